"""Smart Turn v3.2: has the caller finished, judged from the melody of the last 8 seconds.

A Whisper-tiny encoder of 8.7 MB for 23 languages, Hebrew not among them. On telephone calls a low
number is worth more than a high one: below 0.1 lie 21 of 29 holds and 3 of 11 shifts, from 0.9 on
5 holds and 2 shifts; and every group of dictated digits sounds finished to it
(``benchmarks/turn_model.py``).

Its weights lie in the ``pipecat-ai`` wheel, the only one found on PyPI that carries them. That
package is looked up and never imported, so none of its dependencies need be installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

import numpy as np
import soxr

from voicelat.audio import mulaw as codec
from voicelat.audio.logmel import RATE, log_mel
from voicelat.audio.resample import Floats
from voicelat.errors import MissingExtra, ProviderError
from voicelat.providers.local.inference import Session, inference_errors, open_session
from voicelat.providers.local.weights import WeightFile

__all__ = ["INSTALL_WEIGHTS", "WEIGHTS", "SmartTurn", "features", "upsampled"]

INSTALL_WEIGHTS: Final = "pip install --no-deps pipecat-ai==1.14.0"
"""The whole package would bring 15 more (numba and llvmlite among them) and pull soxr,
soundfile and protobuf back to older versions, for one file."""

_NAME: Final = "smart-turn"
_WINDOW_S: Final = 8
_TINY: Final = 1e-7


@dataclass(frozen=True, slots=True)
class _DistributedFile(WeightFile):
    """A file that a distribution brought. ``package`` is its name on PyPI: one with the import
    name ``pipecat`` is somebody else's there."""

    def locate(self) -> Path:
        try:
            return Path(str(distribution(self.package).locate_file(self.path)))
        except PackageNotFoundError:
            raise _missing() from None

    def _refused(self, why: str) -> ProviderError:
        fix = INSTALL_WEIGHTS.replace("install", "install --force-reinstall")
        return ProviderError(_NAME, f"{self.package}: {self.path} {why}: {fix}", "give_up")


WEIGHTS: Final = _DistributedFile(
    "pipecat-ai",
    "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx",
    "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
)
"""Hash taken from the wheel of pipecat-ai 1.14.0 on PyPI."""


class SmartTurn:
    """Implements `voicelat.providers.turn_model.TurnModel`. All of them share one session."""

    name = _NAME

    def warm(self) -> None:
        """Load the model and run it once. Blocks for 0.2 s; later calls return at once.

        Raises `MissingExtra` without onnxruntime or the weights, `ProviderError` for wrong ones.
        """
        _shared()

    def probability(self, mulaw: bytes) -> float:
        """See `TurnModel`. Blocks for about 30 ms, 2 of them outside the model; only the last 8 s
        count."""
        session = _shared()
        heard = features(upsampled(mulaw))
        with _as_ours(), inference_errors():
            (over,) = session.run(None, {"input_features": heard[np.newaxis]})
        return float(over[0, 0])


def upsampled(mulaw: bytes) -> Floats:
    """The last 8 s as the model takes them: 16 kHz, full scale 1, silence before shorter audio.

    Shape ``(128000,)``.
    """
    window = np.zeros(_WINDOW_S * RATE, np.float32)
    if heard := mulaw[-_WINDOW_S * codec.RATE :]:
        narrow = codec.decode(heard).astype(np.float32) / np.float32(32768)
        window[-len(heard) * RATE // codec.RATE :] = soxr.resample(narrow, codec.RATE, RATE)
    return window


def features(samples: Floats) -> Floats:
    """Shape ``(80, 800)`` of 8 s at 16 kHz. However loud the caller is, they are the same."""
    # Over the padding too, as the model was trained: a short turn counts as a loud one.
    levelled = (samples - samples.mean()) / np.sqrt(samples.var() + _TINY)
    return log_mel(levelled.astype(np.float32))


@cache
def _shared() -> Session:
    with _as_ours():
        session = open_session(WEIGHTS)
        with inference_errors():
            session.run(None, {"input_features": features(upsampled(b""))[np.newaxis]})
    return session


@contextmanager
def _as_ours() -> Iterator[None]:
    """What shared code blames on local speech is this model's."""
    try:
        yield
    except MissingExtra:
        raise _missing() from None
    except ProviderError as error:
        raise ProviderError(_NAME, error.why, error.advice) from error.__cause__


def _missing() -> MissingExtra:
    weights = f"with its weights ({INSTALL_WEIGHTS})"
    return MissingExtra("turn-model", f"the end-of-turn model {_NAME}, {weights},")
