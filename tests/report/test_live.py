"""A turn's line: six numbers, any script, no tricks with the terminal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from voicelat.metrics.record import TurnRecord
from voicelat.report.live import HEADER, isolated, turn_line


def turn(**fields: Any) -> TurnRecord:
    return TurnRecord(**{"call_id": "demo-1", "turn": 3, "outcome": "answered", **fields})


FULL = turn(
    STT_FIRST_PARTIAL_MS=312,
    STT_FINAL_MS=180,
    TTS_READY_MS=95,
    TOTAL_LATENCY_MS=1240,
    BARGE_IN_HIT=True,
    EOU_REASON="silence",
    text="hello",
)


def test_the_six_numbers_stand_under_their_headings() -> None:
    line = turn_line(FULL, 100, heard_ms=1310).plain
    assert " ".join(line.split()).startswith(
        "demo-1 3 312 ms 180 ms 95 ms 1.24 s 1.31 s silence yes"
    )
    for heading, figure in (("TOTAL", "1.24 s"), ("heard", "1.31 s"), ("partial", "312 ms")):
        assert HEADER.index(heading) + len(heading) == line.index(figure) + len(figure)
    assert line.index("yes") == HEADER.index("barge-in")


def test_unknown_numbers_are_dashes() -> None:
    assert turn_line(turn(), 80).plain.split() == ["demo-1", "3", *["\u2013"] * 6]


@pytest.mark.parametrize("outcome", ["censored", "abandoned"])
def test_a_turn_without_an_answer_says_so(outcome: str) -> None:
    assert outcome[:8] in turn_line(turn(outcome=outcome), 80).plain


def test_hebrew_is_isolated_so_that_the_figures_stay_in_place() -> None:
    said = "שלום, אני רוצה תור"
    assert turn_line(turn(text=said), 120).plain.endswith(f"\u2068{said}\u2069")
    assert isolated("") == ""


def test_left_to_right_text_is_left_as_it_is() -> None:
    assert isolated("What time is it? 12:30") == "What time is it? 12:30"
    assert isolated("room ٣") == "\u2068room ٣\u2069"


def test_a_call_with_wide_signs_keeps_its_column() -> None:
    wide, plain = (turn_line(turn(call_id=call), 80).plain for call in ("通話", "call"))
    assert cell_len(wide) == cell_len(plain)


def test_a_long_text_is_cut_inside_its_isolate() -> None:
    line = turn_line(turn(text="שלום " * 40), 80).plain
    assert cell_len(line) <= 80
    assert line.endswith("…\u2069")


@given(st.text(max_size=80), st.text(max_size=30), st.integers(80, 200))
def test_any_text_stays_on_its_line_and_steers_nothing(text: str, call: str, width: int) -> None:
    line = turn_line(turn(text=text, call_id=call), width).plain
    assert cell_len(line) <= width
    assert len(line.splitlines()) == 1
    assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in line)
    assert line.count("\u2068") == line.count("\u2069") <= 1
    assert not set(line) & set("\u202a\u202b\u202d\u202e\u2066\u2067")
