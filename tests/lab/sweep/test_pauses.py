"""The table of pauses holds what a sweep needs, and no more than it can use."""

from __future__ import annotations

from dataclasses import replace

from tests.lab.sweep.traces import NOTICED_MS, spoken_call

from voicelat.lab.calls import JudgedCall
from voicelat.lab.latency import constant
from voicelat.lab.sweep.grid import Setting, columns
from voicelat.lab.sweep.judge import judge
from voicelat.lab.sweep.pauses import HORIZON_MS, NEVER, joined, tabulate
from voicelat.lab.sweep.score import score
from voicelat.lab.truth import Truth
from voicelat.turn import events as on
from voicelat.turn.endpointing import Fixed
from voicelat.turn.trace import TraceStep

QUICK = constant(300)


def test_a_pause_is_a_row_for_its_begin_and_one_for_each_thing_heard_in_it() -> None:
    table = tabulate([spoken_call("1", [[500], []], final_ms=150)], Fixed, QUICK)
    assert (table.turns, table.holds, table.calls) == (2, 1, ["1"])
    assert table.pause_hold.tolist() == [1, 0, 0]
    assert table.pause_turn.tolist() == [0, 0, 1]
    assert table.pause_number.tolist() == [0, 1, 0]
    assert table.pause_until.tolist() == [500 + NOTICED_MS, NEVER, NEVER]
    assert table.pause_voiced.tolist() == [700, 1400, 700]
    assert table.pause_ready.tolist() == [300, 300, 300]
    assert table.pause_rows.tolist() == [2, 2, 2]
    assert table.row_at.tolist() == [NOTICED_MS, 150] * 3
    assert table.row_final.tolist() == [0, 1] * 3


def test_no_calls_are_an_empty_table() -> None:
    for table in (tabulate([], Fixed, QUICK), joined([])):
        assert (table.turns, table.holds, table.calls) == (0, 0, [])
    found = score(tabulate([], Fixed, QUICK), columns([Setting("fixed", 60, 160, 250, 240, 0)]))
    assert found.total.shape == (0, 1)


def music_behind(minutes: int, every_ms: int = 3000) -> JudgedCall:
    """A call whose recogniser goes on to hear words in the music behind its only turn."""
    call = spoken_call("1", [[500]])
    begin_ms = call.steps[-1].at_ms + 4000
    behind = [
        TraceStep(at_ms=begin_ms + after_ms, event=on.Final(f"la {after_ms}"))
        for after_ms in range(0, minutes * 60_000, every_ms)
    ]
    (turn,) = call.truth.turns
    steps = [*call.steps, *behind]
    shift = turn.pauses[-1]
    longer = type(shift)(shift.stop_step, None, len(steps), hold=False)
    true = type(turn)(turn.first_step, (*turn.pauses[:-1], longer))
    return replace(call, steps=steps, truth=Truth((true,), "labels", {}))


def test_what_is_heard_long_after_everything_is_over_takes_no_room() -> None:
    short, long = (tabulate([music_behind(minutes)], Fixed, QUICK) for minutes in (2, 20))
    assert len(short.node_at) == len(long.node_at)
    assert max(at for at in long.row_at) <= HORIZON_MS


def test_what_is_heard_so_late_changes_nothing_for_the_most_patient_setting_either() -> None:
    call = music_behind(4, every_ms=20_000)
    chosen = [
        Setting("fixed", 2000, 5000, 5000, 10_000, 5000),
        Setting("fixed", 60, 160, 250, 240, 0),
    ]
    found = score(tabulate([call], Fixed, QUICK), columns(chosen))
    for index, setting in enumerate(chosen):
        (turn,) = judge(call, setting, Fixed, QUICK, max_speculations=3)
        assert (found.delay[0, index], found.total[0, index]) == (turn.delay_ms, turn.total_ms)
        assert (found.clipped[0, index], found.calls[0, index]) == (turn.clipped, turn.calls)
