"""What a meter makes of what it is told: in order, out of order, and out of its mind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.clock import ManualClock
from voicelat.metrics import CallInfo, CallMeter, TurnRecord
from voicelat.metrics.diagnosis import diagnose
from voicelat.metrics.meter_turn import REACTION_MS
from voicelat.metrics.turnsfile import decode, encode
from voicelat.turn import barge_in

CALL = CallInfo(call_id="CA1", source="my-bot")

Tell = Callable[[CallMeter], None]


def told(tell: Tell) -> list[TurnRecord]:
    """The turns of a call in which this was said."""
    turns: list[TurnRecord] = []
    with CallMeter(CALL, turns.append, clock=ManualClock()) as meter:
        tell(meter)
    return turns


def five_calls(meter: CallMeter) -> None:
    meter.speech_started(1000)
    meter.partial("what time", 1400)
    meter.partial("what time is it", 2000)
    meter.final("What time is it?", 2300)
    meter.tts_ready(2900)
    meter.audio_sent(400, 2910)


def test_five_calls_give_all_six_numbers() -> None:
    (turn,) = told(five_calls)
    assert turn.STT_FIRST_PARTIAL_MS == 400
    assert turn.STT_FINAL_MS == 300
    assert turn.TTS_READY_MS == 600
    assert turn.TOTAL_LATENCY_MS == 910
    assert (turn.BARGE_IN_HIT, turn.outcome) == (False, "answered")
    assert turn.EOU_REASON == "silence"
    assert (turn.call_id, turn.source, turn.turn) == ("CA1", "my-bot", 1)
    assert (turn.text, turn.final_text, turn.clipped) == (*["What time is it?"] * 2, False)


def test_numbers_that_begin_elsewhere_say_where_and_stamps_are_not_made_up() -> None:
    (turn,) = told(five_calls)
    assert turn.counted_from == {
        "STT_FINAL_MS": "last_partial",
        "TTS_READY_MS": "turn_end",
        "TOTAL_LATENCY_MS": "last_partial",
        "FIRST_CONTENT_MS": "last_partial",
    }
    assert turn.stamps.speech_end is None
    assert turn.stamps.tts_request is None
    assert (turn.legs, turn.residual_ms) == ({}, None)


def test_further_calls_make_every_number_exact() -> None:
    def tell(meter: CallMeter) -> None:
        meter.speech_started(1000)
        meter.partial("what time is it", 2000)
        meter.speech_ended(1900)
        meter.final("What time is it?", 2300)
        meter.reply_started(2310)
        meter.llm_token(2600)
        meter.tts_requested(2650)
        meter.tts_ready(2900)
        meter.audio_sent(400, 2910)
        meter.mark_heard(3100)

    (turn,) = told(tell)
    assert turn.counted_from == {}
    assert turn == turn.measured()
    assert (turn.STT_FINAL_MS, turn.TTS_READY_MS, turn.TOTAL_LATENCY_MS) == (400, 250, 1010)
    assert turn.HEARD_LATENCY_MS == 1200
    assert turn.legs == {"endpointing": 400, "llm": 290, "clause": 50, "tts": 250}
    assert turn.residual_ms == 20


def test_a_total_without_partials_or_speech_end_counts_from_the_final() -> None:
    def tell(meter: CallMeter) -> None:
        meter.final("yes", 500)
        meter.tts_ready(700)
        meter.audio_sent(at_ms=710)

    (turn,) = told(tell)
    assert (turn.TOTAL_LATENCY_MS, turn.STT_FINAL_MS) == (210, None)
    assert turn.counted_from["TOTAL_LATENCY_MS"] == "turn_end"


def test_a_report_says_that_numbers_begin_elsewhere() -> None:
    turns = told(five_calls)
    assert any("tell the meter speech_ended" in found.try_ for found in diagnose(turns, [0]))


def test_time_is_the_clocks_when_none_is_given() -> None:
    turns: list[TurnRecord] = []
    clock = ManualClock(100)
    with CallMeter(CALL, turns.append, clock=clock) as meter:
        meter.speech_started()
        clock.advance_to(600)
        meter.partial()
    assert turns[0].STT_FIRST_PARTIAL_MS == 500


@pytest.mark.parametrize(
    ("speaks_ms", "hit", "cutoff"),
    [(2950, True, True), (3200, True, False), (3309, True, False), (3310, False, False)],
)
def test_who_speaks_before_the_reply_has_been_played_interrupts_it(
    speaks_ms: int, hit: bool, cutoff: bool
) -> None:
    def tell(meter: CallMeter) -> None:
        five_calls(meter)  # plays until 3310
        meter.speech_started(speaks_ms)
        meter.final("stop", speaks_ms + 800)

    first, second = told(tell)
    assert (first.BARGE_IN_HIT, first.cutoff) == (hit, cutoff)
    assert first.outcome == ("barged_in" if hit else "answered")
    assert (second.stamps.speech_start, second.outcome) == (speaks_ms, "censored")


def test_a_cutoff_is_what_it_is_everywhere() -> None:
    assert barge_in.REACTION_MS == REACTION_MS


def test_without_lengths_only_a_barge_in_that_is_told_is_one() -> None:
    def tell(meter: CallMeter, *, cleared: bool) -> None:
        meter.speech_started(0)
        meter.final("hello", 500)
        meter.tts_ready(600)
        meter.audio_sent(at_ms=610)
        meter.speech_started(1100)
        if cleared:
            meter.barge_in(1300)
        meter.final("stop", 1500)

    assert [turn.BARGE_IN_HIT for turn in told(lambda m: tell(m, cleared=False))] == [False] * 2
    first, _ = told(lambda m: tell(m, cleared=True))
    assert (first.BARGE_IN_HIT, first.stamps.barge_in) == (True, 1300)


def test_noise_over_a_reply_is_no_turn_and_no_interruption() -> None:
    def tell(meter: CallMeter) -> None:
        five_calls(meter)
        meter.speech_started(3000)
        meter.speech_ended(3050)
        meter.audio_sent(400, 3060)  # the reply goes on

    (turn,) = told(tell)
    assert (turn.outcome, turn.TOTAL_LATENCY_MS) == ("answered", 910)


def test_a_caller_who_goes_on_before_the_reply_sounds_reopens_the_turn() -> None:
    def tell(meter: CallMeter) -> None:
        meter.speech_started(0)
        meter.final("I need", 1000)
        meter.reply_started(1010)
        meter.speech_started(1200)
        meter.partial("a room", 1500)
        meter.speech_ended(1600)
        meter.final("a room", 1900)
        meter.tts_ready(2100)
        meter.audio_sent(100, 2110)

    (turn,) = told(tell)
    assert (turn.reopened, turn.text) == (True, "I need a room")
    assert (turn.stamps.speech_start, turn.stamps.turn_end) == (0, 1900)
    assert (turn.TOTAL_LATENCY_MS, turn.stamps.reply_start) == (510, None)


def test_noise_before_the_reply_sounds_changes_nothing() -> None:
    def tell(meter: CallMeter) -> None:
        meter.speech_started(0)
        meter.speech_ended(900)
        meter.final("a room", 1000)
        meter.speech_started(1200)
        meter.speech_ended(1250)
        meter.tts_ready(1300)
        meter.audio_sent(100, 1310)

    (turn,) = told(tell)
    assert (turn.reopened, turn.TOTAL_LATENCY_MS) == (False, 410)


def test_a_reply_begun_on_a_partial_is_judged_by_its_final() -> None:
    def tell(meter: CallMeter, final: str) -> None:
        meter.speech_started(0)
        meter.partial("a room", 800)
        meter.turn_ended("debounce", 1000)
        meter.final(final, 1200)
        meter.tts_ready(1300)
        meter.audio_sent(100, 1310)

    (same,) = told(lambda meter: tell(meter, "A room"))
    assert (same.EOU_REASON, same.stamps.turn_end, same.clipped) == ("debounce", 1000, False)
    (more,) = told(lambda meter: tell(meter, "a room please"))
    assert (more.text, more.final_text, more.clipped) == ("a room", "a room please", True)


def test_a_filler_counts_for_the_total_and_not_as_content() -> None:
    def tell(meter: CallMeter) -> None:
        meter.speech_ended(0)
        meter.speech_started(0)
        meter.speech_ended(900)
        meter.final("a room", 1000)
        meter.audio_sent(300, 1100, filler=True)
        meter.audio_sent(300, 1900)

    (turn,) = told(tell)
    assert (turn.TOTAL_LATENCY_MS, turn.FIRST_CONTENT_MS) == (200, 1000)


def test_a_turn_that_is_never_answered_is_told_and_one_without_words_is_counted() -> None:
    (turn,) = told(lambda meter: meter.final("hello?", 500))
    assert (turn.outcome, turn.TOTAL_LATENCY_MS) == ("censored", None)
    (turn,) = told(lambda meter: meter.partial("hel", 500))
    assert turn.outcome == "abandoned"
    turns: list[TurnRecord] = []
    meter = CallMeter(CALL, turns.append)
    meter.speech_started()
    meter.close()
    assert turns == []
    assert meter.ignored == {"speech without words": 1}


@pytest.mark.parametrize(
    ("tell", "ignored"),
    [
        (lambda m: m.audio_sent(20), "audio_sent with nothing to answer"),
        (lambda m: m.tts_ready(), "tts_ready with nothing to answer"),
        (lambda m: m.speech_ended(), "speech_ended without speech"),
        (lambda m: m.barge_in(), "barge_in without a reply"),
        (lambda m: m.mark_heard(), "mark_heard without audio"),
        (lambda m: m.speech_started(1.7e12), "speech_started at a time that is none"),
        (lambda m: (m.close(), m.partial("late")), "partial after the call"),
    ],
)
def test_what_makes_no_sense_is_counted(tell: Tell, ignored: str) -> None:
    meter = CallMeter(CALL, lambda _turn: None)
    tell(meter)
    assert meter.ignored == {ignored: 1}


def test_words_after_the_reply_sounded_are_not_taken_for_the_next_turn() -> None:
    meter = CallMeter(CALL, lambda _turn: None, clock=ManualClock())
    five_calls(meter)
    meter.final("What time is it, please?", 3000)
    assert meter.ignored == {"final after the reply sounded": 1}
    meter.partial("thank you", 4000)  # it has been played by now: these are new
    meter.close()
    assert meter.ignored == {"final after the reply sounded": 1}


def test_a_callback_that_fails_does_not_reach_the_call() -> None:
    def fail(_turn: TurnRecord) -> None:
        raise ZeroDivisionError

    meter = CallMeter(CALL, fail)
    meter.final("hello")
    meter.close()
    assert meter.ignored == {"on_turn failed": 1}


TIMES = st.one_of(
    st.none(),
    st.integers(-(10**13), 10**13),
    st.integers(0, 20_000),
    st.floats(),
    st.just(10**400),
    st.text(max_size=2),
)
TEXTS = st.one_of(st.text(max_size=8), st.none(), st.binary(max_size=3))
CALLS = st.one_of(
    st.tuples(
        st.sampled_from(
            [
                *("speech_started", "speech_ended", "tts_ready", "reply_started"),
                *("llm_token", "tts_requested", "mark_heard", "barge_in"),
            ]
        ),
        TIMES,
    ),
    st.tuples(st.sampled_from(["partial", "final"]), TEXTS, TIMES),
    st.tuples(st.just("turn_ended"), st.sampled_from(["silence", "debounce", "timeout"]), TIMES),
    st.tuples(st.just("audio_sent"), TIMES, TIMES),
)


@given(st.lists(CALLS, max_size=25))
def test_nothing_that_can_be_told_raises_and_every_turn_can_be_read_back(
    calls: list[tuple[Any, ...]],
) -> None:
    turns: list[TurnRecord] = []
    with CallMeter(CALL, turns.append, clock=ManualClock()) as meter:
        for name, *arguments in calls:
            getattr(meter, name)(*arguments)
    assert [turn.turn for turn in turns] == list(range(1, len(turns) + 1))
    for turn in turns:
        assert (turn.outcome in ("answered", "barged_in")) == (
            turn.stamps.first_audio_sent is not None
        )
        if not turn.counted_from:
            assert turn == turn.measured()
        if "\ud800" <= max(turn.text, default="") <= "\udfff":
            continue  # a lone surrogate: the recorder counts such a turn as failed
        assert decode(encode(turn).strip(), call_id="", turn=0) == turn


def test_threads_may_tell_at_once() -> None:
    turns: list[TurnRecord] = []
    meter = CallMeter(CALL, turns.append)
    begin = threading.Barrier(4)

    def tell() -> None:
        begin.wait()
        for _ in range(200):
            meter.speech_started()
            meter.final("a")
            meter.tts_ready()
            meter.audio_sent(1)

    threads = [threading.Thread(target=tell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    meter.close()
    assert [turn.turn for turn in turns] == list(range(1, len(turns) + 1))
