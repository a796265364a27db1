"""The clock, the only place where voicelat asks what time it is.

Everything below the runtime takes ``now_ms`` as an argument. Drivers own one `CallClock`
per call, read it once per wake-up, and pass the answer down.
"""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["CallClock", "Clock", "ManualClock"]


class Clock(Protocol):
    """Anything that tells the milliseconds since its zero and never goes back."""

    def now_ms(self) -> int:
        """Whole milliseconds since this clock's zero."""
        ...


class CallClock:
    """The system's monotonic clock with its zero at construction (Twilio's ``start``)."""

    __slots__ = ("_zero_ns",)

    def __init__(self) -> None:
        self._zero_ns = time.monotonic_ns()

    def now_ms(self) -> int:
        """Whole milliseconds since construction."""
        return (time.monotonic_ns() - self._zero_ns) // 1_000_000


class ManualClock:
    """A clock that stands still until a test or a simulation moves it."""

    __slots__ = ("_now_ms",)

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """The time it was last set to, in milliseconds."""
        return self._now_ms

    def advance_to(self, now_ms: int) -> None:
        """Set the time. Raises ValueError when asked to go back."""
        if now_ms < self._now_ms:
            raise ValueError(f"the clock cannot go back from {self._now_ms} to {now_ms} ms")
        self._now_ms = now_ms
