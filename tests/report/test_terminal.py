"""The report reads well at 80 columns, in a pipe, and with numbers nobody knows."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from voicelat.metrics.record import NUMBERS, Stamps, TurnRecord
from voicelat.metrics.samples import View
from voicelat.metrics.summary import CallerSide, MeasuredAt, summarise
from voicelat.metrics.targets import parse_gate
from voicelat.report import judged
from voicelat.report.terminal import print_report


def turn(call: int, total_ms: int, **fields: Any) -> TurnRecord:
    stamps = Stamps(
        speech_start=0,
        first_partial=300,
        speech_end=2000,
        turn_end=2200,
        reply_start=2200,
        llm_first_token=2400,
        first_audio_sent=2000 + total_ms,
    )
    own = {"outcome": "answered", "EOU_REASON": "silence", "stamps": stamps, **fields}
    return TurnRecord(call_id=f"c{call}", turn=1, **own).measured()


TURNS = [turn(index % 4, 500 + 20 * index) for index in range(40)]
SILENT = turn(
    9, 0, outcome="censored", stamps=Stamps(speech_end=0, reply_end=9000), EOU_REASON="timeout"
)
CALLER = CallerSide(call_id="c0", v2v_ms=[880, 990], barge_stop_ms=[51])


def printed(
    records: list[TurnRecord],
    *,
    width: int = 80,
    gates: str = "",
    truncated: tuple[str, ...] = (),
    view: View = "speech-end",
    caller: tuple[CallerSide, ...] = (),
    measured_at: MeasuredAt = "server",
) -> str:
    out = io.StringIO()
    summary = summarise(records, view=view, caller=caller, measured_at=measured_at)
    console = Console(file=out, width=width, highlight=False)
    print_report(judged(summary, parse_gate(gates), truncated), console)
    return out.getvalue()


def squeezed(text: str) -> str:
    return " ".join(text.split())


def line_with(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.strip().startswith(start))


def test_every_number_stands_in_80_columns_uncut() -> None:
    text = printed([*TURNS, SILENT], caller=(CALLER,), gates="total_p95=1")
    assert all(name in text for name in NUMBERS)
    assert "…" not in text
    assert max(cell_len(line) for line in text.splitlines()) <= 80


def test_a_row_has_n_the_percentiles_and_the_slowest_turn() -> None:
    row = squeezed(line_with(printed(TURNS), "TOTAL_LATENCY_MS"))
    assert row == "TOTAL_LATENCY_MS 40 880 ms 1.20 s 1.24 s 1.28 s 1.28 s"


def test_a_pipe_gets_words_and_no_colour_codes() -> None:
    text = printed(TURNS, gates="total_p95=100,total_p50=9000")
    assert "\x1b" not in text
    assert "FAILED  total_p95: 1.24 s, at most 100 ms allowed" in text
    assert "passed  total_p50" in text


def test_colour_only_repeats_what_the_words_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def bare(**environment: str) -> str:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        out = io.StringIO()
        console = Console(file=out, width=80, force_terminal=True, highlight=False)
        print_report(judged(summarise(TURNS)), console)
        return out.getvalue()

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32m" in bare(TERM="xterm-256color")
    assert "\x1b[32m" not in bare(NO_COLOR="1")


def test_a_pipe_gets_no_blanks_at_the_ends_of_sections() -> None:
    text = printed(TURNS, gates="total_p95=100")
    assert "40 turns in 4 calls\n" in text
    assert not any(line.isspace() for line in text.splitlines())


def test_a_long_gate_stays_behind_its_verdict() -> None:
    lines = printed([], gates="total_p95=100").splitlines()
    at = next(n for n, line in enumerate(lines) if "FAILED" in line)
    assert lines[at + 1].startswith(" " * len("  FAILED  "))


def test_one_is_no_plural() -> None:
    assert printed([turn(1, 500)]).startswith("1 turn in 1 call\n")


def test_numbers_alone_do_not_meet_every_target() -> None:
    record = TurnRecord(call_id="c", turn=1, outcome="answered", TOTAL_LATENCY_MS=812)
    text = printed([record])
    assert "Verdict: 2 targets met, 3 without data, nobody cut off" in text
    assert "Where the time goes is unknown" in text
    assert "Why turns ended" not in text


@pytest.mark.parametrize(
    ("records", "caller", "verdict"),
    [
        ([*TURNS, SILENT], (), "in time, but 1 of 41 turns never answered"),
        (TURNS, (CALLER,), "4 targets met, 1 without data, nobody cut off"),
        (
            TURNS,
            (CallerSide(call_id="c0", v2v_ms=[880], unanswered_ms=[9000]),),
            "in time, but 1 question of the callers never answered",
        ),
    ],
)
def test_the_verdict_knows_who_waited_in_vain(
    records: list[TurnRecord], caller: tuple[CallerSide, ...], verdict: str
) -> None:
    assert f"Verdict: {verdict}" in squeezed(printed(records, caller=caller))


def test_targets_are_judged_in_words() -> None:
    text = printed(TURNS)
    assert squeezed(line_with(text, "total_p95")) == "total_p95 1.24 s of at most 3.00 s met"
    assert squeezed(line_with(text, "tts_ready_p50")).endswith("of at most 250 ms no data")


def test_unknown_is_a_dash() -> None:
    row = line_with(printed([]), "TOTAL_LATENCY_MS")
    assert row.split() == ["TOTAL_LATENCY_MS", "0", *["\u2013"] * 5]


def test_nothing_measured_is_still_a_report() -> None:
    text = printed([])
    assert "0 turns in 0 calls" in text
    assert "there are no turns to judge" in text


def test_it_says_where_it_was_measured() -> None:
    assert "0.2 to 0.5 s more" in printed(TURNS)
    assert "Measured at the caller." in printed(TURNS, measured_at="caller")


def test_the_callers_own_numbers_stand_in_the_same_table() -> None:
    text = printed(TURNS, caller=(CALLER,))
    assert line_with(text, "caller: voice to voice").split()[4:6] == ["2", "880"]
    assert "caller: barge-in" in text
    assert "caller: pacing" not in text


def test_the_turn_start_view_warns_of_what_it_contains() -> None:
    assert "how long callers talk" in squeezed(printed(TURNS, view="turn-start"))


def test_reasons_have_their_share() -> None:
    text = printed([*TURNS[:3], SILENT])
    assert "3 (75%)" in line_with(text, "silence")
    assert "1 (25%)" in line_with(text, "timeout")


def test_few_turns_and_one_call_are_admitted() -> None:
    text = squeezed(printed([turn(1, 500), turn(1, 600)]))
    assert "by resampling single turns" in text
    assert "fewer than 72 turns" in text
    many = squeezed(printed(TURNS * 2))
    assert "by resampling calls" in many
    assert "fewer than 72" not in many


def test_unanswered_turns_and_lines_left_out_are_shown() -> None:
    text = squeezed(printed([*TURNS, SILENT], truncated=("a.jsonl: line 7",) * 9))
    assert "1 never answered" in text
    assert "the line breaks off: a.jsonl: line 7" in text
    assert "and 4 more" in text


def test_square_brackets_from_other_people_are_text() -> None:
    broken = turn(1, 0, outcome="censored", failure="[bold]model[/nonsense] said no")
    assert "[bold]model[/nonsense] said no" in squeezed(printed([broken]))
