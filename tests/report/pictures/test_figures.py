"""A picture shows the numbers of the report, and says what it leaves out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.pictures.calls import made_up

from voicelat.metrics.percentiles import percentile
from voicelat.metrics.samples import Sample, call_indices
from voicelat.metrics.summary import summarise
from voicelat.report.pictures import figures

plotly = pytest.importorskip("plotly.graph_objects", reason="the html extra is not installed")


def test_plotly_knows_every_word_of_every_figure() -> None:
    records = made_up(20, 6)
    calls = call_indices(records)
    sample = Sample.of((record.TOTAL_LATENCY_MS or 0, True, 0) for record in records)
    summary = summarise(records)
    time, _ = figures.over_time(records, summary.targets)
    assert [line["y0"] for line in time["layout"]["shapes"]] == [2000, 3000]
    drawn = [
        figures.ecdf({"a": sample, "b": sample}, summary.targets),
        figures.legs(summary),
        time,
        figures.reasons(records),
        figures.events(records, calls),
    ]
    for figure in drawn:
        plotly.Figure(figure)


waits = st.lists(
    st.tuples(st.integers(0, 10_000).map(float), st.booleans(), st.just(0)), min_size=1, max_size=60
)


@given(waits)
def test_the_curve_reaches_each_percentile_where_the_report_says(points: list[Any]) -> None:
    sample = Sample.of(points)
    curve = figures.ecdf({"a": sample}, [])["data"][0]
    assert curve["y"] == sorted(curve["y"])
    for p in (50, 95):
        reached = [
            ms for ms, share in zip(curve["x"], curve["y"], strict=True) if share >= p - 0.01
        ]
        assert (reached[0] if reached else None) == percentile(sample, p)


def test_turns_never_answered_keep_the_curve_below_the_top() -> None:
    sample = Sample.of([(100.0, True, 0), (200.0, True, 0), (300.0, False, 0), (50.0, False, 0)])
    curve = figures.ecdf({"a": sample}, [])["data"][0]
    assert curve["y"][-1] == pytest.approx(66.67)


def test_what_happened_is_counted_call_by_call() -> None:
    records = made_up()
    data = figures.events(records, call_indices(records))["data"]
    at = {trace["name"]: trace["y"] for trace in data}
    assert at["barge-in (1)"][1] == at["re-opened (1)"][4] == at["cut off (1)"][6] == 1
    assert at["never answered (1)"][3] == 1
    assert sum(map(sum, at.values())) == 4


def test_many_calls_are_drawn_as_stretches_and_none_is_lost() -> None:
    records = made_up(101, 1, reopened=True)
    data = figures.events(records, call_indices(records))["data"]
    assert data[1]["x"][:2] == ["1\u20133", "4\u20136"]
    assert sum(data[1]["y"]) == 101


def test_each_reason_has_its_turns_and_its_p95() -> None:
    data = figures.reasons(made_up())["data"]
    assert [box["name"] for box in data[:-1]] == ["silence (16)", "debounce (15)", "timeout (16)"]
    assert data[-1]["y"] == [
        percentile(Sample.of((ms, True, 0) for ms in box["y"]), 95) for box in data[:-1]
    ]


def test_over_time_follows_the_clock_whatever_the_order_of_the_files() -> None:
    records = made_up()
    forward, _ = figures.over_time(records)
    backward, _ = figures.over_time(records[::-1])
    assert forward["data"][0]["x"] == backward["data"][0]["x"]
    assert forward["data"][0]["x"][0].startswith("2026-11-25T08:00:")


def test_without_a_clock_the_order_counts() -> None:
    figure, _ = figures.over_time(made_up(started_utc="yesterday"))
    assert figure["data"][0]["x"][:2] == [1, 2]


def test_more_turns_than_dots_are_said_to_be() -> None:
    figure, note = figures.over_time(made_up(320, 10))
    assert len(figure["data"][0]["x"]) <= figures.MOST_DOTS
    assert note is not None
    assert "Every 2th of 3,199" in note
    rolling = figure["data"][1]["y"]
    assert len(rolling) == 3199
    assert rolling[: figures.ROLLING - 1] == [None] * (figures.ROLLING - 1)
