"""The page stands alone, tells the whole report, and believes nothing that comes from outside."""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.report.page.parsed import Parsed, digest
from tests.report.pictures.calls import made_up, page_of

from voicelat.errors import MissingExtra
from voicelat.metrics.durations import duration
from voicelat.metrics.tail import LEG_NAMES
from voicelat.metrics.turnsfile import Turns
from voicelat.report import compared, report_turns
from voicelat.report.pictures.page import Evidence, page

HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202e"


@pytest.fixture(autouse=True)
def _needs_plotly(request: pytest.FixtureRequest) -> None:
    if "without_plotly" not in request.node.name:
        pytest.importorskip("plotly", reason="the html extra is not installed")


@cache
def usual() -> Parsed:
    """The page of the usual calls; taking five megabytes apart takes a while."""
    return Parsed(page_of(made_up()))


def test_nothing_is_loaded_from_anywhere_and_only_its_own_scripts_run() -> None:
    found = usual()
    assert not found.attribute("src")
    assert all(link.startswith("#") for link in found.attribute("href"))
    policy = next(a["content"] or "" for _, a in found.tags if "http-equiv" in a)
    own = [f"'sha256-{digest(script)}'" for script in found.scripts[1:]]
    assert len(own) == 3
    assert f"script-src {' '.join(own)};" in policy
    assert "default-src 'none'" in policy


def test_the_headline_is_the_summary_and_every_target_is_judged() -> None:
    summary = report_turns(Turns(made_up())).summary
    total = summary.numbers["TOTAL_LATENCY_MS"]
    text = usual().text
    assert f"Half of the answers came within {duration(total.p50)}" in text
    for target in summary.targets:
        judged = f"{'met' if target.ok else 'missed'}: at most {duration(target.limit_ms)}"
        assert f"{duration(target.value_ms)} {judged}" in text


def test_every_turn_is_there_with_its_legs_words_and_settings() -> None:
    records, drawn = made_up(), usual().drawn
    assert drawn["legs"] == list(LEG_NAMES)
    assert len(drawn["turns"]) == len(records)
    for record, turn in zip(records, drawn["turns"], strict=True):
        assert drawn["calls"][turn["c"]]["id"] == record.call_id
        assert (turn["n"], turn["total"], turn["text"]) == (
            record.turn,
            record.TOTAL_LATENCY_MS,
            record.text,
        )
        assert sum(ms or 0 for ms in turn["legs"]) == (record.TOTAL_LATENCY_MS or 0)
        hangover = record.settings["VAD_HANGOVER_MS"]
        assert f"VAD_HANGOVER_MS {hangover}" in drawn["settings"][turn["s"]]
    happened = {turn["what"] for turn in drawn["turns"]}
    assert happened == {"", "barged in", "censored", "re-opened", "cut off"}


def test_the_slow_turns_of_the_diagnosis_lead_to_their_calls() -> None:
    links = [
        (attrs["data-call"], attrs["data-turn"])
        for _, attrs in usual().tags
        if "data-call" in attrs
    ]
    assert {("2", "3"), ("5", "5")} <= set(links)


def test_hebrew_keeps_its_direction_and_cannot_turn_the_page_around() -> None:
    assert ("bdi", {"dir": "auto"}) in usual().tags
    assert "אני רוצה לקבוע תור ליום שני" in usual().text


def test_a_comparison_shows_both_curves_and_every_verdict() -> None:
    before = made_up()
    after = [
        msgspec.structs.replace(record, TOTAL_LATENCY_MS=(record.TOTAL_LATENCY_MS or 0) + 900)
        for record in before
    ]
    result = compared(report_turns(Turns(after)), Turns(before), Turns(after))
    found = Parsed(page(result, Evidence(after, before)))
    names = [trace["name"] for trace in found.drawn["figures"]["ecdf"]["data"]]
    assert names[:2] == ["these turns", "before"]
    assert "Compared with before: worse" in found.text
    assert result.comparison is not None
    assert all(one.says in found.text for one in result.comparison.differences)


@settings(max_examples=10)
@given(st.text(max_size=30) | st.just(HOSTILE))
def test_what_callers_and_providers_say_is_only_ever_text(text: str) -> None:
    fields: dict[str, Any] = {
        "text": text,
        "reply": text,
        "failure": text,
        "providers": {"stt": text, text: "x"},
        "settings": {text: text},
        "started_utc": text,
    }
    records = made_up(2, 2, **fields)
    records = [msgspec.structs.replace(record, call_id=text) for record in records]
    found = Parsed(page_of(records))
    assert len(found.scripts) == 4
    assert not [name for _, attrs in found.tags for name in attrs if name.startswith("on")]
    assert "\u202e" not in json.dumps(found.drawn, ensure_ascii=False) + found.text


@pytest.mark.parametrize("records", [[], made_up(1, 1), made_up(2, 2, outcome="abandoned")])
def test_few_turns_or_none_are_a_page_too(records: list[Any]) -> None:
    found = Parsed(page_of(records))
    assert ("waterfall" in found.attribute("id")) == bool(records)


def test_turns_that_were_never_answered_have_no_waterfall_to_hide_in() -> None:
    records = [
        msgspec.structs.replace(
            record,
            outcome="censored",
            TOTAL_LATENCY_MS=None,
            stamps=msgspec.structs.replace(record.stamps, first_audio_sent=None),
        )
        for record in made_up(2, 2)
    ]
    found = Parsed(page_of(records))
    assert "4 never answered" in found.text
    assert "No turn knows how long its caller waited" in found.text


def test_the_page_of_ten_thousand_turns_fits_into_twenty_megabytes() -> None:
    assert len(page_of(made_up(500, 20)).encode()) < 20_000_000


def test_without_plotly_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(MissingExtra, match=r"voicelat\[html\]"):
        page_of(made_up(1, 1))
