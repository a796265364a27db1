"""Silero VAD at 8 kHz: the probability of speech, window by window.

Implements `voicelat.audio.vad.VoiceDetector`.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from voicelat.audio import mulaw as codec
from voicelat.providers.local.inference import Array, Session, inference_errors, open_session
from voicelat.providers.local.weights import SILERO

__all__ = ["CONTEXT", "FLOAT", "STATE", "WINDOW", "SileroVad", "load", "shared_session"]

# Sizes at 8 kHz: silero_vad utils_vad.OnnxWrapper.
WINDOW: Final = 256
CONTEXT: Final = 32
STATE: Final = 128
FLOAT: Final = codec.LINEAR.astype(np.float32) / np.float32(32768)
_RATE: Final = np.array(codec.RATE, np.int64)


class SileroVad:
    """One call's voice detector. Not for two calls, nor for two threads at once.

    All of them share one session: a new call costs a state of 1 KB. Call `load` off the event
    loop before the first one, or that one blocks for 20 to 200 ms.
    Raises `MissingExtra` without the ``local`` extra, `ProviderError` for wrong weights.
    """

    __slots__ = ("_feed", "_samples", "_session", "window_ms")

    def __init__(self) -> None:
        self.window_ms = WINDOW // codec.BYTES_PER_MS
        self._session = shared_session()
        self._feed = _start()
        self._samples = self._feed["input"]

    def probability(self, window: bytes) -> float:
        """How likely the next window is speech, 0..1. Blocks for 56 us.

        Raises ValueError for anything but 256 bytes of mu-law, `ProviderError` when the model
        fails.
        """
        samples = self._samples
        samples[0, :CONTEXT] = samples[0, -CONTEXT:]
        samples[0, CONTEXT:] = FLOAT[np.frombuffer(window, np.uint8)].reshape(WINDOW)
        with inference_errors():
            speech, self._feed["state"] = self._session.run(None, self._feed)
        return float(speech[0, 0])


def load() -> None:
    """Load the shared session and run it once. Blocks; later calls return at once."""
    shared_session()


@cache
def shared_session() -> Session:
    """The one session of this process. The first time it is loaded, which blocks."""
    session = open_session(SILERO)
    with inference_errors():
        session.run(None, _start())
    return session


def _start() -> dict[str, Array]:
    """The inputs at the beginning of a call."""
    return {
        "input": np.zeros((1, CONTEXT + WINDOW), np.float32),
        "state": np.zeros((2, 1, STATE), np.float32),
        "sr": _RATE,
    }
