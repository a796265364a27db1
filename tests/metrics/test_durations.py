"""Lengths of time look the same everywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.metrics.durations import duration, duration_range


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "\u2013"),
        (0, "0 ms"),
        (240, "240 ms"),
        (999.4, "999 ms"),
        (999.6, "1.00 s"),
        (1240, "1.24 s"),
        (9994, "9.99 s"),
        (9996, "10.0 s"),
        (61_250, "61.2 s"),
        (99_960, "100 s"),
        (-80, "-80 ms"),
        (-1500, "-1.50 s"),
    ],
)
def test_a_duration_has_the_unit_people_say(ms: float | None, text: str) -> None:
    assert duration(ms) == text


@given(st.floats(0, 999_000))
def test_a_duration_fits_its_column(ms: float) -> None:
    assert len(duration(ms)) <= 6


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (200, 310, "200\u2013310 ms"),
        (980, 1380, "0.98\u20131.38 s"),
        (980, None, "980\u2013? ms"),
        (0, 5, "0\u20135 ms"),
        (None, None, "\u2013"),
    ],
)
def test_an_interval_has_one_unit(low: float | None, high: float | None, text: str) -> None:
    assert duration_range(low, high) == text
