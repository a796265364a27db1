"""Intervals are repeatable, resample calls, and cover what they promise to cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicelat.metrics.intervals import Bounds, bounds, intervals, replicates
from voicelat.metrics.percentiles import Percentile, percentile
from voicelat.metrics.samples import Sample


def scattered(turns: int, calls: int, seed: int = 1) -> Sample:
    rng = np.random.default_rng(seed)
    return Sample(
        ms=rng.lognormal(7, 0.4, turns).round(),
        seen=np.ones(turns, dtype=np.bool_),
        call=np.arange(turns) % calls,
    )


def interval(sample: Sample, p: Percentile, seed: int = 1) -> Bounds:
    found = intervals(sample, (p,), seed=seed)
    assert found is not None
    return found.by_percentile[p]


def test_the_same_turns_give_the_same_interval() -> None:
    assert intervals(scattered(60, 6)) == intervals(scattered(60, 6))


@pytest.mark.parametrize("turns", [0, 1])
def test_fewer_than_two_turns_have_no_interval(turns: int) -> None:
    assert intervals(scattered(turns, 1)) is None


@given(
    st.lists(
        st.tuples(st.integers(0, 5000).map(float), st.just(True), st.integers(0, 4)),
        min_size=2,
        max_size=40,
    )
)
@settings(max_examples=30, deadline=None)
def test_an_interval_surrounds_its_percentile(rows: list[tuple[float, bool, int]]) -> None:
    sample = Sample.of(rows)
    found = intervals(sample, count=400)
    assert found is not None
    for p, (low, high) in found.by_percentile.items():
        point = percentile(sample, p)
        assert low is not None and high is not None and point is not None
        assert sample.ms.min() <= low <= high <= sample.ms.max()
        assert low <= point
        if found.unit == "turn":  # a call of one turn beside a long one can pull the ends away
            assert point <= high


def test_turns_of_one_call_are_resampled_one_by_one_and_the_report_can_say_so() -> None:
    one_call, two_calls = intervals(scattered(40, 1)), intervals(scattered(40, 2))
    assert one_call is not None and two_calls is not None
    assert (one_call.unit, two_calls.unit) == ("turn", "call")


def test_turns_that_agree_within_a_call_make_the_interval_wider() -> None:
    """Ten calls of forty equal turns know what ten turns know, not what four hundred do."""
    per_call = scattered(10, 10).ms
    clustered = Sample(
        ms=np.repeat(per_call, 40), seen=np.ones(400, np.bool_), call=np.repeat(np.arange(10), 40)
    )
    shuffled = Sample(ms=clustered.ms, seen=clustered.seen, call=np.arange(400))
    (low, high), (low_1, high_1) = interval(clustered, 50), interval(shuffled, 50)
    assert low is not None and high is not None and low_1 is not None and high_1 is not None
    assert high - low > 2 * (high_1 - low_1)


def test_a_95_percent_interval_covers_the_true_median_in_about_95_of_100_samples() -> None:
    truth = np.exp(7)
    hits = 0
    for seed in range(100):
        low, high = interval(scattered(100, 25, seed), 50, seed)
        assert low is not None and high is not None
        hits += bool(low <= truth <= high)
    assert 88 <= hits <= 100


def test_an_end_that_is_not_reached_is_unknown() -> None:
    rows = [(float(ms), ms < 90, ms // 10) for ms in range(100)]
    low, high = interval(Sample.of(rows), 90)
    assert low is not None
    assert high is None


def test_two_samples_of_the_same_turns_are_drawn_alike() -> None:
    sample = scattered(50, 5)
    slower = sample.with_ms(sample.ms + 100)
    gained = replicates(slower, (95,)) - replicates(sample, (95,))
    assert bounds(gained[0]) == (100, 100)
