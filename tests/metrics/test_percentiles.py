"""Percentiles are exact, and an unanswered turn counts for what was seen of it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.metrics.percentiles import (
    PERCENTILES,
    Percentile,
    percentile,
    percentiles,
    weighted_percentiles,
)
from voicelat.metrics.samples import Sample

Point = tuple[float, bool, int]
times = st.integers(0, 30).map(float)
points = st.lists(st.tuples(times, st.booleans(), st.just(0)), min_size=1, max_size=60)


def answered(*ms: float) -> Sample:
    return Sample.of((value, True, 0) for value in ms)


def kaplan_meier(rows: list[Point], p: int) -> float | None:
    """The textbook, in exact fractions: the first time at which S(t) <= 1 - p."""
    surviving = Fraction(1)
    for time in sorted({ms for ms, _, _ in rows}):
        at_risk = sum(ms >= time for ms, _, _ in rows)
        answers = sum(ms == time and seen for ms, seen, _ in rows)
        surviving *= 1 - Fraction(answers, at_risk)
        if surviving <= 1 - Fraction(p, 100):
            return time
    return None


@given(st.lists(st.integers(0, 10**6).map(float), min_size=1, max_size=400))
def test_without_censoring_a_percentile_is_the_plain_one(ms: list[float]) -> None:
    for p, found in zip(PERCENTILES, percentiles(answered(*ms)), strict=True):
        assert found == np.percentile(ms, p, method="inverted_cdf")


@given(points)
def test_with_censoring_it_is_the_kaplan_meier_quantile(rows: list[Point]) -> None:
    for p, found in zip(PERCENTILES, percentiles(Sample.of(rows)), strict=True):
        assert found == kaplan_meier(rows, p)


@given(points, st.data())
def test_a_weight_counts_a_turn_that_many_times(rows: list[Point], data: st.DataObject) -> None:
    weights = data.draw(
        st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)).filter(any)
    )
    sample = Sample.of(rows)
    order = sample.order()
    column = np.array(weights, dtype=np.int32)[order][:, np.newaxis]
    repeated = [row for row, times in zip(rows, weights, strict=True) for _ in range(times)]
    found = weighted_percentiles(sample.take(order), column, PERCENTILES)[:, 0]
    for p, ms in zip(PERCENTILES, found, strict=True):
        assert (None if np.isinf(ms) else ms) == kaplan_meier(repeated, p)


@given(points)
def test_a_turn_that_is_censored_never_makes_the_rest_look_faster(rows: list[Point]) -> None:
    waited_on = [*rows, (100.0, False, 0)]
    for p in PERCENTILES:
        before, after = percentile(Sample.of(rows), p), percentile(Sample.of(waited_on), p)
        assert after is None or (before is not None and after >= before)


def test_the_p99_of_twenty_turns_is_the_slowest_of_them() -> None:
    assert percentile(answered(*range(1, 21)), 99) == 20


@pytest.mark.parametrize(("p", "rank"), [(50, 10), (90, 18), (95, 19), (99, 20)])
def test_a_percentile_is_a_turn_that_happened(p: Percentile, rank: int) -> None:
    assert percentile(answered(*range(1, 21)), p) == rank


def test_a_percentile_that_the_answers_do_not_reach_is_unknown() -> None:
    sample = Sample.of([(1, True, 0), (2, True, 0), (3, False, 0), (3, False, 0)])
    assert percentiles(sample) == [2, None, None, None]


def test_no_turns_have_no_percentiles() -> None:
    assert percentiles(answered()) == [None] * 4
