from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.lab.pace import CountedThread, paced_runner

HOUR_S = 3600.0


def idle() -> bool:
    return False


def run(work: Callable[[], Awaitable[None]], computing: Callable[[], bool] = idle) -> None:
    async def main() -> None:
        await work()

    with paced_runner(computing) as runner:
        runner.run(main())


def compute(least_s: float) -> float:
    """Keep a thread busy; returns the wall time it took."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < least_s:
        sum(range(1000))
    return time.monotonic() - began_s


def test_an_hour_in_which_nobody_computes_passes_at_once() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await asyncio.sleep(HOUR_S)
        assert loop.time() == pytest.approx(began_s + HOUR_S)

    run(work)


@given(st.lists(st.floats(0, HOUR_S), max_size=20))
def test_timers_come_in_order_and_never_early(delays_s: list[float]) -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        rung: list[tuple[float, float]] = []

        async def ring(delay_s: float) -> None:
            due_s = loop.time() + delay_s
            await asyncio.sleep(delay_s)
            rung.append((due_s, loop.time()))

        await asyncio.gather(*map(ring, delays_s))
        assert all(at_s >= due_s - 1e-6 for due_s, at_s in rung)
        assert [due_s for due_s, _ in rung] == sorted(due_s for due_s, _ in rung)

    run(work)


def test_a_computation_takes_the_time_it_takes() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        looked = threading.Event()

        def job() -> float:
            looked.wait(30.0)
            return compute(0.02)

        outside_s, began_s = time.monotonic(), loop.time()
        loop.call_soon(looked.set)  # in the next round: the loop has looked at its clock by then
        inside_s = await asyncio.to_thread(job)
        assert inside_s <= loop.time() - began_s <= time.monotonic() - outside_s

    run(work)


def test_the_loops_own_work_takes_no_time() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        compute(0.01)
        await asyncio.sleep(0)
        assert loop.time() == began_s

    run(work)


def test_timers_ring_while_a_computation_goes_on() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        rung = threading.Event()
        loop.call_later(0.02, rung.set)
        assert await asyncio.to_thread(rung.wait, 30.0)

    run(work)


def test_a_result_comes_before_a_timer_that_is_far_away() -> None:
    async def work() -> None:
        order: list[str] = []
        asyncio.get_running_loop().call_later(HOUR_S, order.append, "timer")
        await asyncio.to_thread(compute, 0.01)
        order.append("result")
        await asyncio.sleep(2 * HOUR_S)
        assert order == ["result", "timer"]

    run(work)


def test_a_job_that_was_given_up_no_longer_holds_the_clock() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        go_on = threading.Event()
        job = asyncio.ensure_future(asyncio.to_thread(go_on.wait, 30.0))
        await asyncio.sleep(0)
        job.cancel()
        await asyncio.sleep(HOUR_S)
        assert not go_on.is_set()
        go_on.set()
        assert loop.time() >= HOUR_S

    run(work)


def test_what_others_say_they_compute_holds_the_clock() -> None:
    thread = CountedThread("test")

    async def work() -> None:
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[str] = asyncio.Queue()

        def tell(job: Future[float]) -> None:
            loop.call_soon_threadsafe(told.put_nowait, "result")

        loop.call_later(HOUR_S, told.put_nowait, "timer")
        for _ in range(50):  # the moment between a result and its telling is short
            thread.submit(compute, 0.0002).add_done_callback(tell)
            assert await told.get() == "result"
        assert await told.get() == "timer"

    run(work, thread.computing)
    thread.shutdown()


def test_what_a_job_raises_belongs_to_the_one_who_waits_for_it() -> None:
    thread = CountedThread("test")

    async def work() -> None:
        with pytest.raises(ValueError, match="no number"):
            await asyncio.wrap_future(thread.submit(int, "no number"))

    run(work, thread.computing)
    thread.shutdown()


def test_a_job_that_was_cancelled_before_its_turn_never_runs() -> None:
    thread = CountedThread("test")
    ran: list[int] = []

    async def work() -> None:
        go_on = threading.Event()
        first = thread.submit(go_on.wait, 30.0)
        assert thread.submit(ran.append, 1).cancel()
        go_on.set()
        await asyncio.wrap_future(first)
        await asyncio.wrap_future(thread.submit(ran.append, 2))
        await asyncio.sleep(HOUR_S)
        assert not thread.computing()

    run(work, thread.computing)
    thread.shutdown()
    assert ran == [2]


def test_a_job_that_comes_too_late_is_refused_and_not_counted() -> None:
    thread = CountedThread("test")
    thread.shutdown()

    async def work() -> None:
        with pytest.raises(RuntimeError):
            thread.submit(int)
        assert not thread.computing()

    run(work, thread.computing)


def test_who_stops_computing_without_a_word_is_found_out() -> None:
    busy = iter([True] * 5)

    async def work() -> None:
        await asyncio.sleep(HOUR_S)

    run(work, lambda: next(busy, False))
