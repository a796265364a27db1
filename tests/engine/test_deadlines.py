"""Lateness is noticed on time, and only then."""

from __future__ import annotations

import asyncio

from tests.engine.virtual_loop import LoopClock, virtual_time

from voicelat.engine.deadlines import Watch


class _Late:
    """What a watch told, and when."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.told: list[tuple[int, str]] = []
        self.watch = Watch(lambda why: self.told.append((self.clock.now_ms(), why)))


@virtual_time
async def test_what_does_not_come_is_told_once_at_its_deadline() -> None:
    late = _Late()
    late.watch.expect(500, "no text")
    await asyncio.sleep(10)
    assert late.told == [(500, "no text")]


@virtual_time
async def test_every_sign_of_life_moves_the_deadline() -> None:
    late = _Late()
    late.watch.expect(500, "no text")
    for _ in range(10):
        await asyncio.sleep(0.3)
        late.watch.expect(400, "no more text")
    await asyncio.sleep(10)
    assert late.told == [(3400, "no more text")]


@virtual_time
async def test_a_deadline_can_also_come_nearer() -> None:
    late = _Late()
    late.watch.expect(5000, "far")
    late.watch.expect(100, "near")
    await asyncio.sleep(10)
    assert late.told == [(100, "near")]


@virtual_time
async def test_nothing_is_late_that_is_not_expected_any_more() -> None:
    late = _Late()
    late.watch.stop()
    late.watch.expect(500, "no text")
    late.watch.stop()
    await asyncio.sleep(10)
    assert late.told == []
    late.watch.expect(500, "again")
    await asyncio.sleep(10)
    assert late.told == [(10_500, "again")]


@virtual_time
async def test_ten_thousand_signs_of_life_take_no_timer_each() -> None:
    loop = asyncio.get_running_loop()
    late = _Late()
    timers = 0
    call_at = loop.call_at

    def counted(*args: object, **kwargs: object) -> asyncio.TimerHandle:
        nonlocal timers
        timers += 1
        return call_at(*args, **kwargs)  # type: ignore[arg-type]

    loop.call_at = counted  # type: ignore[method-assign]
    late.watch.expect(1000, "first")
    for _ in range(10_000):
        late.watch.expect(1000, "next")
    assert timers == 1
    late.watch.stop()
