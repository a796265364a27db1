from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Event

import pytest

from voicelat.providers.local.pool import Rank, RankedPool


@pytest.fixture
def busy() -> tuple[RankedPool, Callable[[], None]]:
    """A pool whose only thread is busy, and how to let it go."""
    started, released = Event(), Event()
    pool = RankedPool(1, "busy")

    def hold() -> None:
        started.set()
        released.wait(timeout=30)

    pool.submit(Rank.LATER, hold)
    assert started.wait(timeout=30)
    return pool, released.set


def test_the_most_urgent_job_runs_first_and_equals_in_order(
    busy: tuple[RankedPool, Callable[[], None]],
) -> None:
    pool, release = busy
    ran: list[str] = []
    jobs = [
        pool.submit(rank, partial(ran.append, name))
        for rank, name in [
            (Rank.LATER, "partial"),
            (Rank.NEXT, "second clause"),
            (Rank.NOW, "pause"),
            (Rank.NOW, "first clause"),
        ]
    ]
    release()
    for job in jobs:
        job.result(timeout=30)
    assert ran == ["pause", "first clause", "second clause", "partial"]
    pool.close()


def test_it_tells_when_somebody_urgent_waits(busy: tuple[RankedPool, Callable[[], None]]) -> None:
    pool, release = busy
    pool.submit(Rank.NEXT, lambda: None)
    assert not pool.urgent()
    pool.submit(Rank.NOW, lambda: None)
    assert pool.urgent()
    release()
    pool.close()


def test_what_a_job_raises_goes_to_the_one_who_waits(pool: RankedPool) -> None:
    failing = pool.submit(Rank.NOW, partial(int, "no number"))
    with pytest.raises(ValueError, match="no number"):
        failing.result(timeout=30)
    assert pool.submit(Rank.NOW, partial(int, "7")).result(timeout=30) == 7


def test_a_cancelled_job_never_runs(busy: tuple[RankedPool, Callable[[], None]]) -> None:
    pool, release = busy
    ran: list[str] = []
    job = pool.submit(Rank.NOW, partial(ran.append, "cancelled"))
    assert job.cancel()
    release()
    pool.submit(Rank.LATER, partial(ran.append, "after")).result(timeout=30)
    assert ran == ["after"]
    pool.close()


def test_closing_cancels_what_waits(busy: tuple[RankedPool, Callable[[], None]]) -> None:
    pool, release = busy
    waiting = [pool.submit(Rank.NOW, lambda: None) for _ in range(3)]
    # Released by the first cancellation seen: `close` waits for the running job.
    waiting[0].cancel()
    release()
    pool.close()
    assert all(job.done() for job in waiting)
    with pytest.raises(RuntimeError):
        pool.submit(Rank.NOW, lambda: None)
