"""Telling the caller's voice from the echo of our own.

A speakerphone sends the agent's voice back, weaker and up to half a second late. A threshold
tied to what is being sent is what worked for others (pipecat #1771, streamcore #48).
"""

from __future__ import annotations

from collections import deque
from typing import Final

from voicelat.audio.framing import FRAME_BYTES, FRAME_MS
from voicelat.audio.level import AUDIBLE_DBFS, level_dbfs

__all__ = ["ECHO_MARGIN_DB", "ECHO_WINDOW_MS", "EchoGuard"]

ECHO_MARGIN_DB: Final = 15.0
"""How much weaker than sent we take an echo to be at least. A choice, not a measurement: agent
speech at -20 dBFS then holds back all below -35 dBFS, and a caller at a normal level passes."""

ECHO_WINDOW_MS: Final = 600
"""How late an echo may come: network both ways, jitter buffers and the room."""

_MAX_FRAMES: Final = 60_000 // FRAME_MS
"""Memory for a minute of audio sent ahead; beyond it the oldest is forgotten."""


class EchoGuard:
    """Whether inbound sound could be the echo of what we are sending. One per call.

    Times are play times on the call clock and do not go back.
    """

    __slots__ = ("_loud", "_margin_db", "_window_ms")

    def __init__(self, margin_db: float = ECHO_MARGIN_DB, window_ms: int = ECHO_WINDOW_MS) -> None:
        self._margin_db = margin_db
        self._window_ms = window_ms
        self._loud: deque[tuple[int, float]] = deque(maxlen=_MAX_FRAMES)
        """(begin_ms, level) of each audible frame sent."""

    def sent(self, at_ms: int, mulaw: bytes) -> None:
        """Agent audio of any length that plays from ``at_ms`` on."""
        for n, begin in enumerate(range(0, len(mulaw), FRAME_BYTES)):
            level = level_dbfs(mulaw[begin : begin + FRAME_BYTES])
            if level > AUDIBLE_DBFS:
                self._loud.append((at_ms + n * FRAME_MS, level))

    def forget(self) -> None:
        """The caller has taken the floor: what of us still echoes can interrupt nobody, and a
        guard would only swallow the quiet sounds of the interruption."""
        self._loud.clear()

    def passes(self, at_ms: int, level_dbfs: float) -> bool:
        """Whether sound of this level at ``at_ms`` cannot be mere echo.

        True when nothing audible was played in the window before, or when the sound is louder
        than the loudest of it less the margin.
        """
        while self._loud and self._loud[0][0] + FRAME_MS <= at_ms - self._window_ms:
            self._loud.popleft()
        recent = max((level for begin, level in self._loud if begin <= at_ms), default=None)
        return recent is None or level_dbfs > recent - self._margin_db
