"""The machine's timers: one table, not tasks with flags."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Timer", "Timers"]


class Timer(IntEnum):
    """Why the machine may want to be woken. Timers due at once fire in this order."""

    ONSET = 0
    """Voice over the agent's reply has lasted long enough to be a barge-in."""
    HANGOVER = 1
    DEBOUNCE = 2
    STT_TIMEOUT = 3
    GATE = 4
    """The speak gate opens."""
    REPLY = 5
    """The caller has waited too long for the first audio."""
    PLAYOUT = 6
    """The reply should have been played by now."""


class Timers:
    """At most one deadline per timer, in call-clock ms."""

    __slots__ = ("_deadlines", "next_ms")

    def __init__(self) -> None:
        self._deadlines: dict[Timer, int] = {}
        self.next_ms: int | None = None
        """The earliest deadline, None when nothing is armed. Kept, for it is read far more
        often than it changes."""

    def arm(self, timer: Timer, deadline_ms: int) -> None:
        """Set or move a timer."""
        self._deadlines[timer] = deadline_ms
        self._changed()

    def cancel(self, *timers: Timer) -> None:
        """Forget timers, armed or not."""
        if self._deadlines:
            for timer in timers:
                self._deadlines.pop(timer, None)
            self._changed()

    def armed(self, timer: Timer) -> bool:
        """Whether a timer is still to come."""
        return timer in self._deadlines

    def clear(self) -> None:
        """Forget every timer."""
        self._deadlines.clear()
        self._changed()

    def pop_due(self, now_ms: int) -> Timer | None:
        """Take out the earliest timer that is due, None when none is."""
        if self.next_ms is None or self.next_ms > now_ms:
            return None
        _, timer = min((at_ms, timer) for timer, at_ms in self._deadlines.items())
        del self._deadlines[timer]
        self._changed()
        return timer

    def _changed(self) -> None:
        deadlines = self._deadlines
        self.next_ms = min(deadlines.values()) if deadlines else None
