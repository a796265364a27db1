"""Twilio's half of the audio path: what it does with what a server sends it.

Audio is buffered and played in real time, in order; a mark comes back when all before it was
played; ``clear`` empties the buffer and sends back every mark still pending (Twilio's "Media
Streams - WebSocket Messages"). Times are samples (1/8 ms) from the start of the stream.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from voicelat.audio.framing import FRAME_BYTES
from voicelat.audio.level import audible_span

__all__ = ["Mouthpiece", "Playout"]

_SILENCE: Final = b"\xff"


class _Piece(NamedTuple):
    """What can be heard of 20 ms in the buffer, or less: from ``first`` to before ``last``."""

    first: int
    last: int


class Playout:
    """The buffer between a server and the caller's ear. Call `advance` before anything else."""

    def __init__(self) -> None:
        self.end = 0
        """Where the audio sent so far will have been played."""
        self._audible: deque[_Piece] = deque()
        self._marks: deque[tuple[int, str]] = deque()

    @property
    def next_mark(self) -> int | None:
        """When the next mark is due back; None when none is pending."""
        return self._marks[0][0] if self._marks else None

    def append(self, audio: bytes, now: int) -> None:
        """Play this behind what is there, or at once."""
        start = max(self.end, now)
        for at in range(0, len(audio), FRAME_BYTES):
            frame = audio[at : at + FRAME_BYTES]
            span = audible_span(frame)
            if span is not None:
                self._audible.append(_Piece(start + at + span[0], start + at + span[1]))
        self.end = start + len(audio)

    def mark(self, name: str, now: int) -> None:
        """Send this back when all audio before it was played."""
        self._marks.append((max(self.end, now), name))

    def clear(self, now: int) -> list[str]:
        """Empty the buffer. Returns every pending mark: all of them come back now."""
        names = [name for _, name in self._marks]
        self._marks.clear()
        self._audible.clear()
        self.end = min(self.end, now)
        return names

    def advance(self, now: int) -> tuple[list[tuple[int, int]], list[str]]:
        """Play until ``now``.

        Returns the audible spans ``(first, behind the last)`` that were played, oldest first,
        and the marks that are due. A span still playing is told again, longer, the next time.
        """
        spans: list[tuple[int, int]] = []
        while self._audible:
            piece = self._audible[0]
            if piece.first >= now:
                break
            spans.append((piece.first, min(piece.last, now)))
            if piece.last > now:
                break
            self._audible.popleft()
        names: list[str] = []
        while self._marks and self._marks[0][0] <= now:
            names.append(self._marks.popleft()[1])
        return spans, names


class Mouthpiece:
    """The caller's microphone: what was put in front of it, else background noise."""

    def __init__(self, noise: bytes = b"") -> None:
        self._noise = noise or _SILENCE
        self._at = 0
        self._speech = b""
        self._said = 0

    @property
    def busy(self) -> bool:
        """Whether there is speech left to say."""
        return self._said < len(self._speech)

    def say(self, parts: tuple[bytes | int, ...]) -> None:
        """Begin to say this with the next `take`; a number is that many samples of pause."""
        speech = bytearray()
        for part in parts:
            speech += part if isinstance(part, bytes) else self._background(len(speech), part)
        self._speech, self._said = bytes(speech), 0

    def take(self, size: int) -> bytes:
        """The next ``size`` samples."""
        speech = self._speech[self._said : self._said + size]
        self._said += len(speech)
        frame = speech + self._background(len(speech), size - len(speech))
        self._at += size
        return frame

    def _background(self, offset: int, size: int) -> bytes:
        """``size`` samples of the noise loop, ``offset`` samples from where the line is now."""
        start = (self._at + offset) % len(self._noise)
        loops = -(-(start + size) // len(self._noise))
        return (self._noise * loops)[start : start + size]
