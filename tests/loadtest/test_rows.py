"""What a caller heard, as turns like any other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voicelat.caller import Heard
from voicelat.loadtest.rows import caller_side, turn_records
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.summary import summarise


def rows(*heard: Heard) -> list[TurnRecord]:
    return turn_records("call-1", heard, source="loadtest")


ANSWERED = Heard(
    question=1,
    said_start_ms=200,
    said_end_ms=1000,
    reply_start_ms=1700,
    reply_end_ms=3000,
    v2v_ms=700,
)


def test_what_a_caller_heard_is_a_turn_like_any_other() -> None:
    (row,) = rows(ANSWERED)
    assert (row.outcome, row.TOTAL_LATENCY_MS, row.HEARD_LATENCY_MS) == ("answered", 700, 700)
    assert (row.source, row.turn, row.stamps.reply_end) == ("loadtest", 1, 3000)


def test_nobody_is_blamed_for_what_happened_inside_the_server() -> None:
    (row,) = rows(ANSWERED)
    assert (row.legs, row.residual_ms) == ({}, None)
    slow = ANSWERED
    for number in range(3):
        slow = Heard(
            question=number + 1, said_start_ms=0, said_end_ms=100, reply_start_ms=5100, v2v_ms=5000
        )
    says = " ".join(finding.says for finding in summarise(rows(slow)).diagnosis)
    assert "residual" not in says


def test_a_turn_without_a_reply_waited_as_long_as_its_caller_did() -> None:
    silent = Heard(question=1, said_end_ms=1000, censored=True, in_vain_ms=4000)
    (row,) = rows(silent)
    assert (row.outcome, row.stamps.reply_end) == ("censored", 5000)
    assert caller_side("call-1", [silent]).unanswered_ms == [4000]


def test_a_question_cut_short_by_the_end_of_the_call_was_owed_nothing() -> None:
    cut = Heard(question=1, said_end_ms=1000, censored=True)
    assert rows(cut)[0].outcome == "abandoned"
    assert caller_side("call-1", [cut]).unanswered_ms == []


def test_a_reply_the_caller_spoke_into_was_interrupted() -> None:
    into = Heard(question=2, said_start_ms=2000, said_end_ms=2500, barge_stop_ms=300)
    first, second = rows(ANSWERED, into)
    assert (first.outcome, first.BARGE_IN_HIT) == ("barged_in", True)
    assert (first.stamps.barge_in, first.stamps.reply_end) == (2000, 2300)
    assert not second.BARGE_IN_HIT


def test_an_agent_that_spoke_into_the_turn_cut_its_caller_off() -> None:
    over = Heard(question=1, said_end_ms=1000, reply_start_ms=800, talked_over=True)
    (row,) = rows(over)
    assert row.cutoff


@st.composite
def heard_calls(draw: st.DrawFn) -> list[Heard]:
    ms = st.none() | st.integers(0, 60_000)
    count = draw(st.integers(0, 6))
    return [
        Heard(
            question=number + 1,
            said_start_ms=draw(ms),
            said_end_ms=draw(ms),
            reply_start_ms=draw(ms),
            reply_end_ms=draw(ms),
            v2v_ms=draw(ms),
            barge_stop_ms=draw(ms),
            talked_over=draw(st.booleans()),
            censored=draw(st.booleans()),
            in_vain_ms=draw(ms),
        )
        for number in range(count)
    ]


@given(heard_calls())
def test_every_question_is_one_row_whatever_was_heard(heard: list[Heard]) -> None:
    made = rows(*heard)
    assert [row.turn for row in made] == [one.question for one in heard]
    summary = summarise(made, caller=[caller_side("call-1", heard)], measured_at="caller")
    waited = sum(one.censored and one.in_vain_ms is not None for one in heard)
    assert summary.censored == waited
