"""A difference that is there is found, one that is not is not, and the rest is left open."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.metrics.compare import compare
from voicelat.metrics.record import Outcome, Stamps, TurnRecord
from voicelat.metrics.targets import ChangeGate

REPETITIONS = 200


def turn(call: str, number: int, total_ms: int | None, *, cutoff: bool = False) -> TurnRecord:
    outcome: Outcome = "censored" if total_ms is None else "answered"
    stamps = Stamps(speech_end=0, turn_end=0, first_audio_sent=total_ms, reply_end=9000)
    return TurnRecord(
        call_id=call, turn=number, outcome=outcome, stamps=stamps, cutoff=cutoff
    ).measured()


def run(
    rng: np.random.Generator, *, calls: int = 20, turns: int = 10, slower: float = 1.0
) -> list[TurnRecord]:
    """Calls that differ from each other, as calls do, and turns with a tail."""
    records = []
    for call in range(calls):
        typical = rng.lognormal(np.log(700), 0.15) * slower
        for number in range(turns):
            total = int(typical * rng.lognormal(0.0, 0.3))
            cutoff = bool(rng.random() < 0.03)
            records.append(turn(f"call-{call}", number + 1, total, cutoff=cutoff))
    return records


def steady(total_ms: int, calls: int = 10, cutoffs: int = 0) -> list[TurnRecord]:
    spread = [total_ms - 5, total_ms, total_ms + 5]
    return [
        turn(f"call-{call}", n + 1, ms, cutoff=call < cutoffs)
        for call in range(calls)
        for n, ms in enumerate(spread)
    ]


def test_a_planted_regression_is_found_and_a_planted_nothing_is_not() -> None:
    rng = np.random.default_rng(7)
    nothing: Counter[str] = Counter()
    regression: Counter[str] = Counter()
    for _ in range(REPETITIONS):
        before = run(rng)
        nothing[compare(before, run(rng)).verdict] += 1
        regression[compare(before, run(rng, slower=1.3)).verdict] += 1
    # 5 % is what is promised; 200 repetitions of exactly that stay below 9 % 99 times in 100.
    assert nothing["better"] + nothing["worse"] <= 0.09 * REPETITIONS
    assert regression["worse"] >= 0.95 * REPETITIONS
    assert not regression["better"]


def test_what_changed_by_less_than_matters_is_the_same() -> None:
    found = compare(steady(700), steady(703))
    total = found.of("total_p95")
    assert total is not None
    assert (total.verdict, total.turns_needed, found.verdict) == ("same", None, "not resolvable")


def test_few_turns_of_great_scatter_say_how_many_more_they_need() -> None:
    rng = np.random.default_rng(1)
    found = compare(run(rng, calls=4, turns=3), run(rng, calls=4, turns=3, slower=1.1))
    total = found.of("total_p95")
    assert total is not None
    assert total.verdict == "not resolvable"
    assert total.turns_needed is not None
    assert f"needs about {total.turns_needed} more turns a side" in total.says


def test_a_change_for_the_better_is_called_so_with_an_interval_below_zero() -> None:
    found = compare(steady(900), steady(600))
    total = found.of("total_p50")
    assert total is not None
    assert total.ci95 is not None
    assert (total.change, total.verdict, total.sure) == (-300.0, "better", True)
    assert total.ci95[1] < 0
    assert found.verdict == "better"


def test_faster_but_cutting_callers_off_is_worse() -> None:
    found = compare(steady(900, calls=40), steady(600, calls=40, cutoffs=20))
    assert found.verdict == "worse"
    cutoffs = found.of("cutoff_rate")
    assert cutoffs is not None
    assert (cutoffs.before, cutoffs.after, cutoffs.verdict) == (0.0, 0.5, "worse")


def test_no_cutoff_seen_is_no_proof_that_there_are_none() -> None:
    cutoffs = compare(steady(900), steady(900)).of("cutoff_rate")
    assert cutoffs is not None
    assert cutoffs.ci95 is not None
    assert cutoffs.ci95[0] < 0 < cutoffs.ci95[1]


def test_turns_never_answered_hide_a_percentile_and_it_is_left_open() -> None:
    unanswered = [turn(f"call-{n}", 1, None) for n in range(5)]
    total = compare(steady(700), [*steady(700), *unanswered]).of("total_p95")
    assert total is not None
    assert (total.after, total.verdict, total.ci95) == (None, "not resolvable", None)


def test_one_call_against_one_call_takes_turns_for_independent() -> None:
    found = compare(steady(900, calls=1), steady(600, calls=1))
    assert found.verdict == "better"


def test_a_single_turn_says_nothing() -> None:
    total = compare([turn("a", 1, 700)], [turn("b", 1, 300)]).of("total_p50")
    assert total is not None
    assert (total.change, total.verdict, total.ci95) == (-400.0, "not resolvable", None)


@pytest.mark.parametrize(
    ("gate", "ok"),
    [
        (ChangeGate("total_p95", 5, 50), False),
        (ChangeGate("total_p95", 50, 50), True),  # 100 ms more, and half of 700 allowed
        (ChangeGate("total_p95", 5, 200), True),
    ],
)
def test_a_gate_fails_only_above_both_its_percentage_and_its_floor(
    gate: ChangeGate, ok: bool
) -> None:
    assert [result.ok for result in compare(steady(700), steady(800)).check([gate])] == [ok]


def test_a_rise_that_may_be_chance_passes_its_gate() -> None:
    rng = np.random.default_rng(1)
    found = compare(run(rng, calls=4, turns=3), run(rng, calls=4, turns=3, slower=1.1))
    (result,) = found.check([ChangeGate("total_p95", 0, 0)])
    assert result.ok
    assert "not resolvable" in result.says


def test_a_gate_on_a_figure_nobody_knows_fails() -> None:
    (result,) = compare(steady(700), steady(700)).check([ChangeGate("tts_ready_p50", 5, 50)])
    assert not result.ok


@given(st.lists(st.integers(0, 5000), max_size=12), st.lists(st.integers(0, 5000), max_size=12))
def test_any_two_runs_can_be_compared_and_swapping_them_swaps_the_sign(
    one: list[int], two: list[int]
) -> None:
    before = [turn(f"c{n % 3}", n, ms) for n, ms in enumerate(one)]
    after = [turn(f"c{n % 3}", n, ms) for n, ms in enumerate(two)]
    there, back = compare(before, after), compare(after, before)
    assert [d.name for d in there.differences] == [d.name for d in back.differences]
    for forth, back_again in zip(there.differences, back.differences, strict=True):
        assert (forth.before, forth.after) == (back_again.after, back_again.before)
        if forth.change is not None:
            assert back_again.change == -forth.change
