"""What a caller heard, as turns like any other."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from voicelat.caller import (
    BargeIn,
    Caller,
    CallResult,
    CallSetup,
    HangUp,
    Heard,
    Opened,
    Say,
    Silence,
    Step,
    Tick,
    WaitForReply,
)
from voicelat.loadtest.rows import caller_side, turn_records
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.summary import CallerNumbers, summarise
from voicelat.twilio.codec import encode_clear, encode_media

SID = CallSetup().stream_sid


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


def test_a_row_is_the_callers_own_figure_to_the_millisecond() -> None:
    """Audio of odd length puts words between two milliseconds."""
    caller = Caller([Say(b"\x80" * 803, "a"), WaitForReply(timeout_ms=500)])
    caller.handle(Opened(), 0)
    for at_ms, audio in ((109, b"\xff" * 804), (150, b"\x80" * 800)):
        caller.handle(encode_media(SID, audio), at_ms)
    while caller.deadline_ms is not None:
        caller.handle(Tick(), caller.deadline_ms)
    (heard,) = caller.result().heard
    (row,) = rows(heard)
    assert row.TOTAL_LATENCY_MS == row.HEARD_LATENCY_MS == heard.v2v_ms
    assert row.stamps.speech_end == heard.said_end_ms


def test_who_hangs_up_in_the_middle_of_a_word_is_owed_nothing() -> None:
    caller = Caller([Say(b"\x80" * 803, "a"), HangUp()])
    caller.handle(Opened(), 0)
    while caller.deadline_ms is not None:
        caller.handle(Tick(), caller.deadline_ms)
    result = caller.result()
    made = turn_records(result.call_sid, result.heard, source="loadtest")
    side = caller_side(result.call_sid, result.heard, result)
    assert [row.outcome for row in made] == ["abandoned"]
    assert summarise(made, caller=[side], measured_at="caller").censored == 0
    assert side.unanswered_ms == []


TONE, HUSH = b"\x80" * 1203, b"\xff" * 5000
_STEP = st.sampled_from(
    [
        Say(TONE + HUSH[:300] + TONE, "a"),
        Say(TONE, "c"),
        Say(HUSH[:400]),
        WaitForReply(timeout_ms=900, quiet_ms=300),
        WaitForReply(timeout_ms=900, quiet_ms=300),
        BargeIn(TONE, after_ms=100, text="b", timeout_ms=700),
        Silence(250),
    ]
)
_SENT = st.one_of(
    st.builds(encode_media, st.just(SID), st.sampled_from([TONE, HUSH[:1001] + TONE, TONE * 4])),
    st.just(encode_clear(SID)),
)


@settings(deadline=None)
@given(
    script=st.lists(_STEP, min_size=2, max_size=6),
    said=st.lists(st.tuples(st.integers(1, 400), _SENT), max_size=12),
    hangs_up=st.booleans(),
)
def test_any_call_makes_rows_that_agree_with_what_was_heard(
    script: list[Step], said: list[tuple[int, str]], hangs_up: bool
) -> None:
    result = held([*script, HangUp()] if hangs_up else script, said)
    made = turn_records(result.call_sid, result.heard, source="loadtest")
    assert [row.turn for row in made] == [one.question for one in result.heard]
    for row, one in zip(made, result.heard, strict=True):
        assert (row.legs, row.residual_ms) == ({}, None)
        assert (row.outcome in {"answered", "barged_in"}) == (not one.censored)
        assert (row.outcome == "censored") == (one.in_vain_ms is not None)
        if one.v2v_ms is not None:
            assert one.v2v_ms == row.TOTAL_LATENCY_MS
        elif row.TOTAL_LATENCY_MS is not None:
            assert row.TOTAL_LATENCY_MS < 0
            assert row.cutoff
        if row.stamps.speech_start is not None and row.stamps.speech_end is not None:
            assert row.stamps.speech_start < row.stamps.speech_end
        if row.stamps.barge_in is not None and row.stamps.first_audio_sent is not None:
            assert row.stamps.first_audio_sent <= row.stamps.barge_in
    side = caller_side(result.call_sid, result.heard, result)
    summary = summarise(made, caller=[side], measured_at="caller")
    assert len(side.unanswered_ms) == summary.censored
    assert isinstance(summary.caller, CallerNumbers)
    v2v, total = summary.caller.v2v_ms, summary.numbers["TOTAL_LATENCY_MS"]
    assert (v2v.n, v2v.censored, v2v.p50) == (total.n, total.censored, total.p50)


def held(script: list[Step], said: list[tuple[int, str]]) -> CallResult:
    """The call of ``script`` with a server that says things, each so long after the last."""
    caller = Caller(script)
    caller.handle(Opened(), 0)
    at_ms = 0
    for wait_ms, text in said:
        at_ms += wait_ms
        while caller.deadline_ms is not None and caller.deadline_ms <= at_ms:
            caller.handle(Tick(), caller.deadline_ms)
        caller.handle(text, at_ms)
    while caller.deadline_ms is not None:
        caller.handle(Tick(), caller.deadline_ms)
    return caller.result()


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


@settings(deadline=None)
@given(heard_calls())
def test_every_question_is_one_row_whatever_was_heard(heard: list[Heard]) -> None:
    made = rows(*heard)
    assert [row.turn for row in made] == [one.question for one in heard]
    summary = summarise(made, caller=[caller_side("call-1", heard)], measured_at="caller")
    waited = sum(one.censored and one.in_vain_ms is not None for one in heard)
    assert summary.censored == waited
