"""Durations and arrivals as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.errors import UsageError
from voicelat.loadtest.plan import Calls, LoadPlan, parse_arrival, parse_duration

CALLS = Calls(target="ws://127.0.0.1/media", utterances=[])


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("2m", 120), ("1.5h", 5400), ("500ms", 0.5)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@given(st.text())
def test_any_other_text_is_one_error(text: str) -> None:
    try:
        assert parse_duration(text) >= 0
    except UsageError as error:
        assert "write 90s" in str(error)


def test_arrivals_are_closed_or_by_chance() -> None:
    assert parse_arrival("closed") is None
    assert parse_arrival("poisson:0.5") == 0.5


@pytest.mark.parametrize(
    "text", ["poisson", "poisson:0", "poisson:-1", "poisson:nan", "open:3", ""]
)
def test_other_arrivals_say_what_there_is(text: str) -> None:
    with pytest.raises(UsageError, match=r"poisson:0\.5"):
        parse_arrival(text)


def test_calls_that_come_by_chance_need_an_end() -> None:
    with pytest.raises(UsageError, match="--duration"):
        LoadPlan(calls=CALLS, arrivals_per_s=1.0).check()
