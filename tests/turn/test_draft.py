"""What a closed turn records."""

from __future__ import annotations

import pytest
from tests.turn.scenario import CALL, Scenario, utterance, voice

from voicelat.metrics.record import Stamps, TurnRecord
from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.draft import Draft
from voicelat.turn.states import Agent

BOOK = "I want to book a table"
STOP = on.StreamStopped()


def asked() -> Scenario:
    """A turn that was over at 2160, its reply committed."""
    return Scenario().play(*utterance(1000, 2000, BOOK, 2100)).wait(2160)


# -- stamps, numbers, legs --------------------------------------------------------------------


def test_a_closed_record_holds_every_stamp_and_number_exactly() -> None:
    call = Scenario(speculate=False).play(*utterance(1000, 2000, BOOK, 2100)).wait(2160)
    call.play(
        (2400, on.ReplyTextStarted(1, 1)),
        (2450, on.SpeechRequested(1, 1)),
        (2550, on.SpeechReady(1, 1, cached=False)),
        (2551, on.AudioQueued(1, 1, 1200, "For how many?")),
        (2560, on.AudioSent(1, 1)),
        (2600, on.ReplyFinished(1, 1, "For how many people?")),
    )
    assert call.echo(2640, "heard").echo(3800).record == TurnRecord(
        call_id="CA1",
        turn=1,
        outcome="answered",
        stamps=Stamps(
            speech_start=1000,
            first_partial=1500,
            last_partial=1500,
            speech_end=2000,
            turn_end=2160,
            stt_final=2100,
            reply_start=2160,
            llm_first_token=2400,
            tts_request=2450,
            tts_ready=2550,
            gate_open=2160,
            first_audio_sent=2560,
            first_content_sent=2560,
            first_audio_heard=2640,
            reply_end=3800,
        ),
        STT_FIRST_PARTIAL_MS=500,
        STT_FINAL_MS=160,
        STT_FINAL_AFTER_PARTIAL_MS=660,
        TTS_READY_MS=100,
        TOTAL_LATENCY_MS=560,
        FIRST_CONTENT_MS=560,
        HEARD_LATENCY_MS=640,
        EOU_REASON="silence",
        legs={"endpointing": 160, "llm": 240, "clause": 50, "tts": 100, "gate": 0},
        residual_ms=10,
        stt_lag_ms=-500,
        clipped=False,
        cache="miss",
        model_calls=1,
        text=BOOK,
        final_text=BOOK,
        reply="For how many people?",
        reply_words=4,
    )


def test_work_done_before_the_end_of_the_turn_costs_no_leg() -> None:
    call = Scenario(hangover_ms=500).play(*utterance(1000, 2000, BOOK, 2100))
    call.play((2300, on.ReplyTextStarted(1, 1)), (2350, on.SpeechRequested(1, 1)))
    call.play((2400, on.SpeechReady(1, 1)), (2401, on.AudioQueued(1, 1, 900, "Sure.")))
    record = call.play((2505, on.AudioSent(1, 1))).finish(2510).echo(3500).record
    assert record.legs == {"endpointing": 500, "llm": 0, "clause": 0, "tts": 0, "gate": 0}
    assert (record.TOTAL_LATENCY_MS, record.residual_ms) == (505, 5)


def test_unknown_stamps_are_none() -> None:
    record = asked().play((2300, STOP)).record
    assert record.stamps.first_audio_sent is None
    assert record.stamps.barge_in is None
    assert record.TOTAL_LATENCY_MS is None
    assert record.residual_ms is None
    assert record.reply_words is None
    assert record.cache is None


def test_the_recognisers_lag_counts_to_the_last_change_of_the_words() -> None:
    call = Scenario().play(*voice(1000, 2000), (2090, on.Partial(BOOK)), (2100, on.Final(BOOK)))
    assert call.answered(2500).record.stt_lag_ms == 90


# -- how the call's end finds the turn --------------------------------------------------------


def test_a_call_that_ends_in_silence_leaves_no_record() -> None:
    call = Scenario().play((1000, STOP))
    assert call.effects == []
    assert call.machine.deadline_ms is None


def test_a_call_that_ends_over_a_mere_noise_leaves_no_record() -> None:
    for script in ([(1000, on.SpeechStarted(1000))], voice(1000, 1100)):
        call = Scenario().play(*script, (1150, STOP))
        assert call.records == []


def test_a_call_that_ends_while_the_caller_speaks_leaves_an_abandoned_turn() -> None:
    call = Scenario().play(
        (1000, on.SpeechStarted(1000)), (1500, on.Partial("I want")), (2000, STOP)
    )
    assert (call.record.outcome, call.record.text, call.record.EOU_REASON) == (
        "abandoned",
        "I want",
        None,
    )


def test_a_call_that_ends_in_a_pause_cancels_the_speculation_and_abandons_the_turn() -> None:
    call = Scenario(hangover_ms=900).play(*utterance(1000, 2000, BOOK, 2100), (2200, STOP))
    assert call.one(do.CancelReply).why == "stopped"
    assert call.record.outcome == "abandoned"
    assert call.record.model_calls == 1


def test_a_call_that_ends_while_the_agent_thinks_leaves_a_censored_turn() -> None:
    call = asked().play((2300, STOP))
    assert call.one(do.CancelReply) == do.CancelReply(1, 1, "stopped")
    assert (call.record.outcome, call.record.stamps.reply_end) == ("censored", 2300)


def test_a_call_that_ends_while_the_agent_speaks_leaves_an_answered_turn() -> None:
    call = (
        asked().sound(2500, "For how many?", 2000).play((2600, on.AudioQueued(1, 1, 900, "Two?")))
    )
    call.echo(4500, "1.clause").play((5000, STOP))
    assert call.record.outcome == "answered"
    assert call.record.heard == "For how many?"


def test_a_call_that_ends_over_an_interruption_closes_both_turns() -> None:
    call = asked().sound(2500, audio_ms=3000).play((4000, on.SpeechStarted(4000))).wait(4240)
    call.play((4600, on.Partial("no")), (5000, STOP))
    assert [(r.turn, r.outcome) for r in call.records] == [(1, "barged_in"), (2, "abandoned")]


def test_a_reopened_turn_that_is_abandoned_keeps_all_its_words_and_no_end() -> None:
    call = asked().play((2300, on.SpeechStarted(2300)), (2700, on.Partial("for two")), (2800, STOP))
    assert (call.record.outcome, call.record.text) == ("abandoned", BOOK + " for two")
    assert call.record.stamps.turn_end is None
    assert call.record.stt_lag_ms is None


def test_nothing_runs_on_after_the_end() -> None:
    call = asked().play((2300, STOP))
    assert call.machine.deadline_ms is None
    assert call.machine.agent is Agent.IDLE
    for event in (on.Tick(), on.SpeechStarted(2400), on.AudioSent(1, 1), STOP):
        assert call.feed(2400, event) == []
    assert call.machine.dropped["after stop"] == 4


# -- the draft by itself ----------------------------------------------------------------------


def test_a_dropped_reply_leaves_no_stamp_behind() -> None:
    draft = Draft(1)
    draft.stamp("turn_end", 100)
    draft.stamp("tts_ready", 200)
    draft.cached = True
    draft.forget_reply()
    assert draft.at("tts_ready") is None
    assert draft.over
    assert draft.record(CALL, None).cache is None


@pytest.mark.parametrize("count", [1, 2])
def test_finals_that_come_late_add_up(count: int) -> None:
    draft = Draft(1)
    draft.text = "one two"
    for text in ["one", "two"][:count]:
        draft.settle_final(text, 100 + count)
    assert draft.clipped is (count == 1)
