"""A few threads, and who goes first.

The wait that a caller hears (the text at a pause, the first clause of a reply) must not stand
behind work that can wait (a partial nobody acts on yet, the next clause).
"""

from __future__ import annotations

import sys
from concurrent.futures import Future, ThreadPoolExecutor
from enum import IntEnum
from heapq import heappop, heappush
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Rank", "RankedPool"]

T = TypeVar("T")


class Rank(IntEnum):
    """How soon a job is wanted, soonest first."""

    NOW = 0
    NEXT = 1
    LATER = 2


class RankedPool:
    """A thread pool that starts the most urgent waiting job; equals in order of arrival."""

    def __init__(self, threads: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._lock = Lock()
        self._order = count()
        self._waiting: list[tuple[Rank, int, Future[Any], Callable[[], Any]]] = []

    def submit(self, rank: Rank, job: Callable[[], T]) -> Future[T]:
        """Run ``job`` in a thread, when its turn comes. Raises RuntimeError once closed."""
        future: Future[T] = Future()
        with self._lock:
            heappush(self._waiting, (rank, next(self._order), future, job))
        # The executor queues tickets; which job a ticket runs is decided when it is drawn.
        self._executor.submit(self._run_most_urgent)
        return future

    def urgent(self) -> bool:
        """Whether a `Rank.NOW` job waits for a thread: a good moment for others to give way."""
        waiting = self._waiting
        return bool(waiting) and waiting[0][0] is Rank.NOW

    def close(self) -> None:
        """Cancel what waits and wait for what runs. Blocks; stop running jobs first."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for _, _, future, _ in waiting:
            future.cancel()

    def _run_most_urgent(self) -> None:
        with self._lock:
            _, _, future, job = heappop(self._waiting)
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(job())
        finally:
            # Whatever the job raised belongs to the one who waits for it.
            if (error := sys.exception()) is not None:
                future.set_exception(error)
