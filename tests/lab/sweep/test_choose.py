"""Which setting is recommended, and when none is."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicelat.lab.sweep.choose import (
    Choice,
    Figures,
    choose,
    front,
    surely_within,
    turns_needed,
    upper_bound,
)
from voicelat.lab.sweep.result import SettingIntervals, SettingResult

INTERVALS = SettingIntervals(
    delay_p50=(None, None),
    delay_p95=(None, None),
    total_p50=(None, None),
    total_p95=(None, None),
    early_rate=(0.0, 0.0),
    cutoff_rate=(0.0, 0.0),
    clipped_rate=(0.0, 0.0),
)
PLAIN = SettingResult(
    debounce_ms=60,
    hangover_ms=160,
    min_utt_s=0.25,
    stt_timeout_ms=240,
    policy="fixed",
    speak_gate_ms=0,
    delay_p50=None,
    delay_p95=None,
    total_p50=None,
    total_p95=None,
    early_rate=0.0,
    reopened_rate=0.0,
    cutoff_rate=0.0,
    cut_holds_rate=0.0,
    clipped_rate=0.0,
    timeout_rate=0.0,
    missed_rate=0.0,
    model_calls_per_turn=1.0,
    n=100,
    ci95=INTERVALS,
)


def result(p50: float | None, cutoffs: float, p95: float | None = None) -> SettingResult:
    return msgspec.structs.replace(PLAIN, total_p50=p50, total_p95=p95, cutoff_rate=cutoffs)


def figures(
    p50: float, cutoffs: float, *, p95: float = 2000, sure: bool = True, calls: float = 1.0
) -> Figures:
    return p50, p95, cutoffs, sure, calls


# -- the front --------------------------------------------------------------------------------


def test_the_front_is_what_no_other_beats_in_both_fastest_first() -> None:
    results = [result(900, 0.0), result(500, 0.3), result(700, 0.1), result(800, 0.2)]
    assert front(results, range(4)) == [1, 2, 0]


def test_of_settings_with_the_same_figures_the_first_stays() -> None:
    results = [result(500, 0.1), result(500, 0.1), result(700, 0.1), result(500, 0.2)]
    assert front(results, range(4)) == [0]


def test_where_median_and_cutoffs_are_the_same_the_smaller_p95_stays() -> None:
    results = [result(500, 0.1, p95=None), result(500, 0.1, p95=900), result(500, 0.1, p95=800)]
    assert front(results, range(3)) == [2]


def test_a_setting_without_a_median_is_on_no_front() -> None:
    assert front([result(None, 0.0), result(500, 0.5)], range(2)) == [1]
    assert front([result(None, 0.0)], range(1)) == []


def test_a_front_is_among_those_it_is_asked_for() -> None:
    results = [result(400, 0.0), result(500, 0.2), result(600, 0.1)]
    assert front(results, [1, 2]) == [1, 2]
    assert front(results, []) == []


some_results = st.lists(
    st.builds(
        result,
        st.sampled_from([None, 400.0, 500.0, 600.0, 700.0]),
        st.sampled_from([0.0, 0.1, 0.2, 0.3]),
    ),
    max_size=12,
)


@given(some_results)
def test_every_setting_is_on_the_front_or_beaten_by_one_that_is(
    results: list[SettingResult],
) -> None:
    kept = front(results, range(len(results)))
    for index, one in enumerate(results):
        beaten = any(
            _as_good(results[other], one) and (other < index or not _as_good(one, results[other]))
            for other in range(len(results))
            if other != index
        )
        assert (index in kept) is (one.total_p50 is not None and not beaten)
    totals = [results[index].total_p50 or 0 for index in kept]
    assert totals == sorted(totals)


def _as_good(one: SettingResult, other: SettingResult) -> bool:
    if one.total_p50 is None or other.total_p50 is None:
        return False
    return one.total_p50 <= other.total_p50 and one.cutoff_rate <= other.cutoff_rate


# -- the choice -------------------------------------------------------------------------------


def test_the_fastest_that_is_surely_within_the_budget_is_recommended() -> None:
    some = [figures(400, 0.2), figures(500, 0.04), figures(600, 0.0), figures(450, 0.05)]
    assert choose(some, [False] * 4, 0.05) == Choice(recommended=3, candidate=3, baseline=None)


def test_a_rate_within_the_budget_by_chance_makes_a_candidate_not_a_recommendation() -> None:
    some = [figures(400, 0.04, sure=False), figures(600, 0.0)]
    assert choose(some, [False] * 2, 0.05) == Choice(recommended=1, candidate=0, baseline=None)
    none_sure = [figures(400, 0.04, sure=False), figures(600, 0.0, sure=False)]
    assert choose(none_sure, [False] * 2, 0.05) == Choice(None, 0, None)


def test_the_baseline_is_the_fastest_silence_timer_within_the_budget() -> None:
    some = [figures(900, 0.04), figures(700, 0.05), figures(500, 0.2), figures(400, 0.3)]
    assert choose(some, [True, True, True, False], 0.05).baseline == 1


def test_where_no_silence_timer_is_within_the_budget_the_one_that_cuts_off_least_is() -> None:
    some = [figures(900, 0.3), figures(700, 0.2), figures(500, 0.4), figures(450, 0.0)]
    choice = choose(some, [True, True, True, False], 0.05)
    assert (choice.baseline, choice.recommended) == (1, 3)


def test_a_setting_that_answers_later_at_p95_than_the_baseline_is_not_chosen() -> None:
    some = [figures(900, 0.05, p95=1500), figures(400, 0.0, p95=1501), figures(500, 0.0, p95=1500)]
    choice = choose(some, [True, False, False], 0.05)
    assert (choice.recommended, choice.candidate, choice.baseline) == (2, 2, 0)


def test_a_baseline_outside_the_budget_is_nothing_to_be_held_to() -> None:
    some = [figures(900, 0.2, p95=1500), figures(400, 0.0, p95=9000)]
    assert choose(some, [True, False], 0.05).recommended == 1


def test_a_setting_that_misses_every_other_turn_is_not_chosen() -> None:
    some = [figures(math.inf, 0.0, p95=math.inf), figures(900, 0.2)]
    assert choose(some, [False, False], 0.05) == Choice(None, None, None)


def test_equally_fast_settings_are_told_apart_by_cutoffs_then_p95_then_model_calls() -> None:
    some = [
        figures(500, 0.02, p95=800, calls=1.0),
        figures(500, 0.01, p95=900, calls=1.5),
        figures(500, 0.01, p95=900, calls=1.2),
        figures(500, 0.01, p95=900, calls=1.2),
        figures(500, 0.01, p95=901, calls=1.0),
    ]
    assert choose(some, [False] * 5, 0.05).recommended == 2


def test_the_silence_timer_itself_may_be_the_best_there_is() -> None:
    some = [figures(900, 0.0), figures(400, 0.3)]
    assert choose(some, [True, False], 0.05) == Choice(0, 0, 0)


def test_of_nothing_nothing_is_chosen() -> None:
    assert choose([], [], 0.05) == Choice(None, None, None)


# -- how sure a rate is -----------------------------------------------------------------------


@pytest.mark.parametrize("turns", [1, 10, 58, 59, 60, 300, 5000])
def test_none_of_n_is_bounded_as_the_formula_says(turns: int) -> None:
    assert upper_bound(0, turns) == pytest.approx(1 - 0.05 ** (1 / turns), abs=1e-9)


def test_59_turns_without_a_cutoff_are_the_fewest_that_show_less_than_5_percent() -> None:
    assert upper_bound(0, 59) < 0.05 < upper_bound(0, 58)
    assert surely_within(0, 59, 0.05)
    assert not surely_within(0, 58, 0.05)


@pytest.mark.parametrize(
    ("cutoffs", "turns", "bound"),
    [
        # The Clopper-Pearson bound, from tables of the binomial distribution's upper limits.
        (1, 10, 0.39416),
        (2, 20, 0.28262),
        (5, 50, 0.19884),
        (9, 10, 0.99488),
        (1, 93, 0.05000),
    ],
)
def test_upper_bounds_are_those_of_clopper_and_pearson(
    cutoffs: int, turns: int, bound: float
) -> None:
    assert upper_bound(cutoffs, turns) == pytest.approx(bound, abs=1e-4)


@given(st.integers(1, 60), st.integers(0, 60))
def test_the_bound_is_the_rate_at_which_so_few_cutoffs_have_a_chance_of_5_percent(
    turns: int, cutoffs: int
) -> None:
    cutoffs = min(cutoffs, turns - 1)
    rate = upper_bound(cutoffs, turns)
    assert cutoffs / turns < rate < 1
    chance = sum(
        math.comb(turns, k) * rate**k * (1 - rate) ** (turns - k) for k in range(cutoffs + 1)
    )
    assert chance == pytest.approx(0.05, rel=1e-6)


def test_of_no_turns_and_of_turns_all_cut_off_nothing_is_known() -> None:
    assert upper_bound(0, 0) == upper_bound(7, 7) == 1.0
    assert not surely_within(0, 0, 1.0)


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(1, 300), st.floats(0, 1))
def test_surely_within_is_the_bound_within_the_budget(
    cutoffs: int, turns: int, budget: float
) -> None:
    cutoffs = min(cutoffs, turns)
    bound = upper_bound(cutoffs, turns)
    if abs(bound - budget) > 1e-9:
        assert surely_within(cutoffs, turns, budget) is (bound <= budget)


# -- how many turns it would take -------------------------------------------------------------


def test_a_setting_that_cut_off_nobody_needs_59_turns_or_a_few_more_for_5_percent() -> None:
    needed = turns_needed(0.0, 0.05)
    assert needed is not None
    assert 59 <= needed <= 66


@settings(deadline=None)
@given(st.floats(0, 0.5), st.floats(0.001, 0.5))
def test_so_many_turns_are_enough_and_far_fewer_are_not(rate: float, budget: float) -> None:
    needed = turns_needed(rate, budget)
    if needed is None:
        assert rate >= 0.9 * budget
        return
    assert surely_within(round(rate * needed), needed, budget)
    half = needed // 2
    assert half < 10 or not surely_within(math.ceil(rate * half), half, budget)


@pytest.mark.parametrize(("rate", "budget"), [(0.05, 0.05), (0.046, 0.05), (0.2, 0.05), (0.0, 0.0)])
def test_more_turns_do_not_help_a_rate_that_is_at_the_budget(rate: float, budget: float) -> None:
    assert turns_needed(rate, budget) is None
