"""What the caller's audio becomes: voice edges on the call clock, and audio for the recogniser."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from voicelat.audio.echo import EchoGuard
from voicelat.audio.level import AUDIBLE_DBFS, level_dbfs
from voicelat.audio.mulaw import SILENCE, duration_ms
from voicelat.audio.vad import (
    SharedVoiceDetector,
    SpeechSegmenter,
    VoiceDetector,
    VoiceEdge,
    Window,
)

__all__ = ["Ear", "MediaClock", "SharedEar"]


_MAX_AHEAD_MS: Final = 2000
"""Nobody can have said yet what our clock says is to come. Believed, one wild timestamp would
make all audio after it late; two seconds leave room for a burst at the start and for drift."""


class MediaClock:
    """Maps media time (where in the audio) to the call clock (when on ours).

    The smallest lag seen is taken for the line's own; what exceeds it is jitter or our own
    stall and must not move the acoustic instants. A smaller lag is approached by at most 1 ms a
    message, so that audio is never placed before audio that came earlier.
    """

    __slots__ = ("_lag_ms", "_least_ms")

    def __init__(self) -> None:
        self._lag_ms: int | None = None
        self._least_ms = 0

    def to_call(self, media_ms: int, length_ms: int, now_ms: int) -> int:
        """Call-clock time of media time ``media_ms``, where audio of ``length_ms`` that begins
        there has just arrived at ``now_ms``."""
        lag_ms = now_ms - (media_ms + length_ms)
        if self._lag_ms is None:
            self._lag_ms = self._least_ms = lag_ms
        self._least_ms = min(self._least_ms, lag_ms)
        if self._lag_ms > self._least_ms:
            self._lag_ms -= 1
        return media_ms + self._lag_ms


class Ear:
    """One call's hearing. Sound that could be the echo of the agent is silence to the detector,
    not to the recogniser."""

    def __init__(self, detector: VoiceDetector | SharedVoiceDetector) -> None:
        self.echo: Final = EchoGuard()
        """Told by the playout what the caller hears of us."""
        self.echo_ms = 0
        """Sound that was taken for echo."""
        self.implausible = 0
        """Messages whose timestamp could not be: their audio was taken to follow the last."""
        self._speech = False
        self._segmenter = SpeechSegmenter(detector)
        self._clock = MediaClock()
        self._next_media_ms = 0

    def hear(self, audio: bytes, media_ms: int | None, now_ms: int) -> tuple[int, list[VoiceEdge]]:
        """Take caller audio that begins at ``media_ms`` (None: where the last one ended).

        Returns its begin on the call clock and the edges it shows, none later than ``now_ms``.
        """
        length_ms = duration_ms(audio)
        if media_ms is not None and media_ms + length_ms > now_ms + _MAX_AHEAD_MS:
            self.implausible += 1
            media_ms = None
        if media_ms is None:
            media_ms = self._next_media_ms
        self._next_media_ms = media_ms + length_ms
        at_ms = self._clock.to_call(media_ms, length_ms, now_ms)
        # A voice that has proved to be one keeps its quiet sounds.
        level = level_dbfs(audio)
        if not self._speech and not self.echo.passes(at_ms, level):
            self.echo_ms += length_ms if level > AUDIBLE_DBFS else 0
            audio = bytes([SILENCE]) * len(audio)
        return at_ms, self._edges(audio, at_ms, now_ms)

    @property
    def late_ms(self) -> int:
        """Audio that was dropped because its time had been filled already."""
        return self._segmenter.late_ms

    def close(self) -> None:
        """The call is over."""

    def _edges(self, audio: bytes, at_ms: int, now_ms: int) -> list[VoiceEdge]:
        return self._took(self._segmenter.push(audio, at_ms), now_ms)

    def _took(self, edges: list[VoiceEdge], now_ms: int) -> list[VoiceEdge]:
        if edges:
            self._speech = edges[-1].active
        # Audio that is early for the smoothed lag ends a moment after now.
        return [replace(edge, at_ms=min(edge.at_ms, now_ms)) for edge in edges]


class SharedEar(Ear):
    """An ear whose detector answers later: `hear` returns no edges, ``on_edges`` is told them.

    They are the same edges, noticed a few ms later; what was said lies where it lay.
    """

    def __init__(
        self, detector: SharedVoiceDetector, on_edges: Callable[[list[VoiceEdge]], None]
    ) -> None:
        super().__init__(detector)
        self._detector = detector
        self._on_edges = on_edges
        self._asked: deque[tuple[Window, int]] = deque()
        """Windows whose answer is to come, and when their audio did."""

    def close(self) -> None:
        """The call is over: nothing is told any more."""
        self._asked.clear()
        self._detector.close()

    def _edges(self, audio: bytes, at_ms: int, now_ms: int) -> list[VoiceEdge]:
        for window in self._segmenter.cut(audio, at_ms):
            self._asked.append((window, now_ms))
            if window.audio:
                self._detector.ask(window.audio, self._answer)
        return []

    def _answer(self, probability: float) -> None:
        window, now_ms = self._asked.popleft()
        told: list[VoiceEdge] = []
        while not window.audio:  # a gap in front of what was asked about
            told += self._took(self._segmenter.judge(window, 0.0), now_ms)
            window, now_ms = self._asked.popleft()
        told += self._took(self._segmenter.judge(window, probability), now_ms)
        if told:
            self._on_edges(told)
