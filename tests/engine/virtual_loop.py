"""An event loop whose time passes at once, so that tests own the clock of the whole engine.

When every task waits, the loop's clock jumps to the next timer. A test that would hang fails: a
loop on which nothing will ever happen again raises.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

__all__ = ["LoopClock", "VirtualLoop", "virtual_time"]

P = ParamSpec("P")


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits for a timer. Waits for threads, which take real time, only when it must."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            events = super().select(5.0)
            if not events:
                raise RuntimeError("every task waits for ever")
            return events
        events = super().select(0)
        if not events:
            self.now_s += max(0.0, timeout)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop in virtual time, 0 at its making."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds."""
        return self._jumping.now_s


class LoopClock:
    """A `voicelat.clock.Clock` on the running loop's time, its zero at construction."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._zero_s = self._loop.time()

    def now_ms(self) -> int:
        """Whole milliseconds since construction."""
        return int((self._loop.time() - self._zero_s) * 1000 + 1e-6)


def virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test on a `VirtualLoop`.

    It also fails when tasks it started still run at its end, or when an exception was raised
    where nobody could see it.
    """

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        unseen: list[dict[str, Any]] = []

        async def body() -> set[str]:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: unseen.append(context))
            await test(*args, **kwargs)
            await asyncio.sleep(0)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            return {task.get_name() for task in left}

        # Only what this run makes is looked at: all that other tests have imported and kept would
        # make each collection take a fifth of a second.
        gc.freeze()
        try:
            with asyncio.Runner(loop_factory=VirtualLoop) as runner:
                left = runner.run(body())
                gc.collect()
        finally:
            gc.unfreeze()
        assert not left, f"still running: {left}"
        assert not unseen, unseen

    return run
