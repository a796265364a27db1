"""Noticing that something does not come, without waiting for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Watch"]


class Watch:
    """One deadline that is moved with every sign of life.

    It calls; it cancels nothing. What is late may never answer, not even to being cancelled, so
    whoever is called goes on without it. Moving the deadline costs no timer unless it comes
    earlier, because a model gives a hundred tokens a second.
    """

    def __init__(self, on_late: Callable[[str], None]) -> None:
        self._on_late = on_late
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due_s: float | None = None
        self._why = ""

    def expect(self, within_ms: int, why: str) -> None:
        """From now on, ``why`` is told unless `expect` or `stop` is called within the time."""
        self._due_s = due_s = self._loop.time() + within_ms / 1000
        self._why = why
        if self._timer is None or self._timer.when() > due_s:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(due_s, self._ring)

    def stop(self) -> None:
        """Nothing is expected."""
        self._due_s = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        due_s = self._due_s
        if due_s is None:  # pragma: no cover - `stop` has cancelled the timer
            return
        if self._loop.time() < due_s:
            self._timer = self._loop.call_at(due_s, self._ring)
            return
        self._due_s = None
        self._on_late(self._why)
