"""The timer table."""

from __future__ import annotations

from voicelat.turn.timers import Timer, Timers


def test_the_earliest_timer_is_next_and_fires_first() -> None:
    timers = Timers()
    timers.arm(Timer.REPLY, 900)
    timers.arm(Timer.GATE, 500)
    assert timers.next_ms == 500
    assert timers.pop_due(499) is None
    assert timers.pop_due(1000) is Timer.GATE
    assert timers.pop_due(1000) is Timer.REPLY
    assert timers.pop_due(1000) is None
    assert timers.next_ms is None


def test_timers_due_at_once_fire_in_the_order_of_the_table() -> None:
    timers = Timers()
    for timer in reversed(Timer):
        timers.arm(timer, 100)
    assert [timers.pop_due(100) for _ in Timer] == list(Timer)


def test_arming_again_moves_a_timer() -> None:
    timers = Timers()
    timers.arm(Timer.GATE, 100)
    timers.arm(Timer.GATE, 300)
    assert timers.pop_due(200) is None
    assert timers.armed(Timer.GATE)
    assert timers.next_ms == 300


def test_cancelled_timers_do_not_fire() -> None:
    timers = Timers()
    timers.arm(Timer.GATE, 100)
    timers.arm(Timer.ONSET, 200)
    timers.cancel(Timer.GATE, Timer.REPLY)
    assert not timers.armed(Timer.GATE)
    assert timers.pop_due(150) is None
    timers.clear()
    assert timers.pop_due(999) is None
