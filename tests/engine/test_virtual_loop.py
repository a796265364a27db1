"""The clock the other tests trust."""

from __future__ import annotations

import asyncio

import pytest
from tests.engine.virtual_loop import LoopClock, virtual_time


@virtual_time
async def test_time_jumps_to_the_next_timer_and_no_further() -> None:
    clock = LoopClock()
    seen: list[int] = []

    async def wait(delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        seen.append(clock.now_ms())

    await asyncio.gather(wait(3600), wait(0.02), wait(1.234))
    assert seen == [20, 1234, 3_600_000]


@virtual_time
async def test_threads_are_waited_for() -> None:
    assert await asyncio.to_thread(lambda: 7) == 7


def test_a_task_left_over_fails_the_test() -> None:
    @virtual_time
    async def forgetful() -> None:
        asyncio.create_task(asyncio.sleep(1), name="forgotten")  # noqa: RUF006

    with pytest.raises(AssertionError, match="forgotten"):
        forgetful()


def test_an_exception_nobody_saw_fails_the_test() -> None:
    async def broken() -> None:
        raise ValueError("unseen")

    @virtual_time
    async def careless() -> None:
        asyncio.create_task(broken())  # noqa: RUF006
        await asyncio.sleep(0)

    with pytest.raises(AssertionError, match="unseen"):
        careless()
