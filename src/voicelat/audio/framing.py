"""Cutting audio into the frames that go on the wire.

Twilio takes any size, but whole 20 ms frames are what it sends, and ragged ones are heard as
choppy word starts.
"""

from __future__ import annotations

from typing import Final

from voicelat.audio.mulaw import BYTES_PER_MS, SILENCE

__all__ = ["FRAME_BYTES", "FRAME_MS", "Framer"]

FRAME_MS: Final = 20
FRAME_BYTES: Final = FRAME_MS * BYTES_PER_MS


class Framer:
    """Re-cuts chunks of any size into whole frames; the rest waits for the next chunk."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def push(self, chunk: bytes) -> list[bytes]:
        """Take audio, give every frame it completes, oldest first."""
        audio = self._rest + chunk if self._rest else chunk
        whole = len(audio) - len(audio) % FRAME_BYTES
        self._rest = audio[whole:]
        return [audio[at : at + FRAME_BYTES] for at in range(0, whole, FRAME_BYTES)]

    def flush(self) -> bytes | None:
        """The last frame, padded with silence; None when nothing waits. Ready for more after."""
        rest, self._rest = self._rest, b""
        return rest.ljust(FRAME_BYTES, bytes((SILENCE,))) if rest else None
