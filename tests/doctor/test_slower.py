"""Differences with intervals: exact where they are paired, and silent by chance."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.doctor.slower import paired

DIFFERENCES = st.lists(st.floats(-1e5, 1e5), min_size=6, max_size=60)


@given(DIFFERENCES)
def test_the_median_lies_in_its_interval(differences: list[float]) -> None:
    found = paired(differences)
    assert found.low_ms <= found.ms <= found.high_ms
    assert found.n == len(differences)


@pytest.mark.parametrize(
    ("n", "dropped"),
    # Tables of the sign test at 95 % (Conover 1999): so many are dropped at each end.
    [(6, 0), (8, 0), (9, 1), (12, 2), (20, 5), (30, 9)],
)
def test_the_interval_is_that_of_the_sign_test(n: int, dropped: int) -> None:
    found = paired([float(value) for value in range(n)])
    assert (found.low_ms, found.high_ms) == (dropped, n - 1 - dropped)


def test_a_difference_nobody_feels_is_none() -> None:
    assert not paired([100.0] * 20).felt
    assert paired([200.0] * 20).felt


def test_a_difference_that_may_be_chance_is_none() -> None:
    assert not paired([900.0] * 12 + [-900.0] * 8).felt
