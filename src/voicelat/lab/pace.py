"""An event loop for listening to recordings: it waits for computation and for nothing else.

A recogniser that computes in this process takes as long on a recording as it takes in a call,
and that time is what we want to know; the time between two frames is not. So the loop's clock
runs at wall speed while a computation is under way, stands still while the loop itself works,
and jumps to the next timer when everybody waits. A transcript then comes at exactly the time
of its audio plus the time it took to compute, and an hour of recording costs the computing alone.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar, TypeVarTuple

__all__ = ["CountedThread", "PacedLoop", "paced_runner"]

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_LOOK_AGAIN_S: Final = 0.1
"""A computation that ended without a word (somebody else's bug) is noticed after so long."""


class _PacedSelector(selectors.DefaultSelector):
    """Waits in real time while ``computing``, else lets the time pass at once."""

    def __init__(self, computing: Callable[[], bool]) -> None:
        super().__init__()
        self._computing = computing
        self._now_s = 0.0
        self._since_s: float | None = None
        """The wall time up to which ``_now_s`` has been counted. None: the clock stands."""

    def now_s(self) -> float:
        """The loop's time. A computation counts from the first look after its beginning."""
        wall_s = time.monotonic()
        if self._since_s is not None:
            self._now_s += wall_s - self._since_s
        self._since_s = wall_s if self._computing() else None
        return self._now_s

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As `selectors.BaseSelector.select`, with ``timeout`` on the loop's own clock.

        What a thread has computed wakes a real wait.
        """
        self.now_s()
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        if self._since_s is not None:
            return super().select(min(timeout, _LOOK_AGAIN_S))
        events = super().select(0)
        if not events:
            self._now_s += timeout
        return events


class PacedLoop(asyncio.SelectorEventLoop):
    """An asyncio loop in such time, 0 at its making. Not for sockets: their time would not pass.

    ``computing`` tells whether work is under way in this process whose result will still come
    (`voicelat.providers.protocols.ComputesHere`); it is asked often. Jobs given to
    `run_in_executor` or `asyncio.to_thread` are known without it.
    """

    def __init__(self, computing: Callable[[], bool]) -> None:
        self._jobs: set[asyncio.Future[Any]] = set()
        self._paced = _PacedSelector(lambda: bool(self._jobs) or computing())
        super().__init__(self._paced)

    def time(self) -> float:
        """Seconds that were computed, or jumped over."""
        return self._paced.now_s()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """See `asyncio.loop.run_in_executor`. The clock runs until the result is here."""
        future = super().run_in_executor(executor, func, *args)
        self._jobs.add(future)
        future.add_done_callback(self._jobs.discard)
        return future


def paced_runner(computing: Callable[[], bool]) -> asyncio.Runner:
    """Runs coroutines on one `PacedLoop`, one after the other."""
    return asyncio.Runner(loop_factory=partial(PacedLoop, computing))


class CountedThread(Executor):
    """One thread whose jobs count until those who wait for them have been told.

    For results that come back by ``call_soon_threadsafe`` from a done callback, which a
    `PacedLoop` cannot see. Give it jobs on the loop that waits for them.
    """

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._open = 0

    def computing(self) -> bool:
        """Whether a job waits, runs, or is being told."""
        return self._open > 0

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See `concurrent.futures.Executor.submit`."""
        told: Future[T] = Future()
        job = partial(fn, *args, **kwargs)
        self._thread.submit(self._run, told, job, asyncio.get_running_loop())
        self._open += 1
        return told

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See `concurrent.futures.Executor.shutdown`."""
        self._thread.shutdown(wait, cancel_futures=cancel_futures)

    def _run(self, told: Future[T], job: Callable[[], T], loop: asyncio.AbstractEventLoop) -> None:
        try:
            if told.set_running_or_notify_cancel():
                told.set_result(job())
        finally:
            # Whatever the job raised belongs to the one who waits for it.
            if (error := sys.exception()) is not None:
                told.set_exception(error)
            with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                loop.call_soon_threadsafe(self._over)

    def _over(self) -> None:
        """On the loop, behind what the job's callbacks put there."""
        self._open -= 1
