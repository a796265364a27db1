"""The caller goes on: re-opening, and recognisers whose final comes late, longer or changed."""

from __future__ import annotations

import pytest
from tests.turn.scenario import Scenario, utterance, voice

from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.owed import EXPIRES_MS, OwedFinal
from voicelat.turn.states import Agent

WANT = "I want a table"


def ended_early() -> Scenario:
    """The turn was over at 2160 on a stable partial; the final is owed."""
    return Scenario().play(*utterance(1000, 2000, WANT)).wait(2160)


def going_on() -> Scenario:
    """And the caller goes on at 2300, before the first audio."""
    return ended_early().play((2300, on.SpeechStarted(2300)))


def last_text(call: Scenario) -> str:
    return call.all(do.StartReply)[-1][1].text


# -- re-opening -------------------------------------------------------------------------------


def test_a_caller_who_goes_on_before_the_first_audio_reopens_the_turn() -> None:
    call = going_on().wait(2540)
    assert call.all(do.HoldReply) == [(2300, do.HoldReply(1, 1))]
    assert call.one(do.CancelReply) == do.CancelReply(1, 1, "reopened")
    assert not call.all(do.ClearPlayout), "nothing has sounded"
    assert call.records == []
    call.play((3300, on.SpeechStopped(3300)), (3400, on.Final("for two"))).wait(3460)
    assert last_text(call) == WANT + " for two"
    record = call.answered(3700).record
    assert (record.turn, record.reopened, record.cutoff) == (1, True, False)
    assert (record.stamps.speech_start, record.stamps.speech_end) == (1000, 3300)
    assert record.stamps.turn_end == 3460
    assert record.TOTAL_LATENCY_MS == 400
    assert record.stamps.reply_start >= record.stamps.speech_end  # type: ignore[operator]


def test_words_alone_reopen_a_turn_where_a_short_voice_went_before() -> None:
    call = ended_early().play(*voice(2300, 2450), (2600, on.Partial("for two"))).wait(2660)
    assert call.one(do.CancelReply).why == "reopened"
    assert last_text(call) == WANT + " for two"
    record = call.answered(2900).record
    assert (record.stamps.speech_end, record.stamps.last_partial) == (2450, 2600)


def test_a_noise_long_enough_to_reopen_ends_with_the_same_text() -> None:
    call = going_on().play((2700, on.SpeechStopped(2700))).wait(5000)
    assert last_text(call) == WANT
    record = call.answered(5000).record
    assert (record.reopened, record.EOU_REASON, record.model_calls) == (True, "timeout", 2)


def test_a_request_to_repeat_that_has_not_sounded_is_taken_back_too() -> None:
    call = Scenario().play(*voice(1000, 2000)).wait(2400)
    call.play(*utterance(2500, 3500, "hello", 3600)).wait(3660)
    record = call.answered(4000).record
    assert (record.fallback, record.text, record.reopened) == (False, "hello", True)


# -- three kinds of recogniser ----------------------------------------------------------------


def test_no_word_is_doubled_when_the_requested_final_comes() -> None:
    call = going_on().play((2350, on.Final("I want a table.")), (2800, on.Partial("for two")))
    call.play((3300, on.SpeechStopped(3300)), (3400, on.Final("for two"))).wait(3460)
    assert last_text(call) == "I want a table. for two"


def test_a_second_final_before_the_gate_opens_is_put_behind_the_first() -> None:
    call = Scenario(speak_gate_ms=900).play(*utterance(1000, 2000, "I want"))
    call.play((2300, on.Final("I want")), (2600, on.Final("a table"))).wait(2800)
    assert last_text(call) == "I want a table"
    record = call.answered(3000).record
    assert (record.text, record.final_text, record.clipped) == ("I want a table",) * 2 + (False,)


def test_a_final_without_words_changes_nothing() -> None:
    call = Scenario(speak_gate_ms=900).play(*utterance(1000, 2000, "I want"))
    call.play((2300, on.Final("..."))).wait(2800)
    assert last_text(call) == "I want"
    assert call.answered(3000).record.clipped


def test_no_word_is_doubled_when_the_recogniser_goes_on_with_the_same_segment() -> None:
    call = going_on().play((2600, on.Partial(WANT)), (2800, on.Partial(WANT + " for two")))
    call.play((3300, on.SpeechStopped(3300)), (3400, on.Final(WANT + " for two"))).wait(3460)
    assert last_text(call) == WANT + " for two"


def test_no_word_is_doubled_when_the_recogniser_revises_the_segment() -> None:
    call = going_on().play((2800, on.Partial("I want the table for two")))
    call.play((3300, on.SpeechStopped(3300)), (3400, on.Final("I want the table for two please")))
    call.wait(3460)
    assert last_text(call) == WANT + " for two please"


def test_a_turn_reopened_twice_joins_all_its_parts_once() -> None:
    call = going_on().play((2600, on.Partial(WANT + " for two")), (3000, on.SpeechStopped(3000)))
    call.wait(3160)
    assert last_text(call) == WANT + " for two"
    call.play((3300, on.SpeechStarted(3300)), (3700, on.Partial(WANT + " for two on Sunday")))
    call.play((4000, on.SpeechStopped(4000))).wait(4160)
    assert last_text(call) == WANT + " for two on Sunday"
    call.play((4300, on.Final(WANT + " for two on Sunday")))
    record = call.answered(4500).record
    assert (record.clipped, record.final_text) == (False, WANT + " for two on Sunday")


def test_a_segment_that_goes_on_through_a_barge_in_gives_the_next_turn_its_own_words() -> None:
    call = ended_early().sound(2400, audio_ms=4000).play((4000, on.SpeechStarted(4000)))
    call.play((4400, on.Partial(WANT + " no wait")), (5000, on.SpeechStopped(5000))).wait(5160)
    assert last_text(call) == "no wait"
    call.play((5300, on.Final(WANT + " no wait")))
    record = call.answered(5500).records[-1]
    assert (record.text, record.final_text, record.clipped) == ("no wait", "no wait", False)


def test_hebrew_words_are_not_doubled_either() -> None:
    call = Scenario().play(*utterance(1000, 2000, "אני רוצה שולחן")).wait(2160)
    call.play((2300, on.SpeechStarted(2300)), (2800, on.Partial("אני רוצה שולחן לשניים")))
    call.play((3300, on.SpeechStopped(3300))).wait(3460)
    assert last_text(call) == "אני רוצה שולחן לשניים"


# -- late finals ------------------------------------------------------------------------------


def test_a_late_final_with_the_same_words_says_the_text_was_whole() -> None:
    call = ended_early().play((2300, on.Final("I want a table."))).answered(2500)
    assert (call.record.clipped, call.record.stamps.stt_final) == (False, 2300)


def test_a_late_final_with_more_words_says_the_text_was_clipped() -> None:
    call = ended_early().play((2300, on.Final(WANT + " for two"))).answered(2500)
    assert (call.record.clipped, call.record.text) == (True, WANT)
    assert call.record.final_text == WANT + " for two"
    assert call.machine.agent is Agent.IDLE


def test_a_late_final_is_compared_with_its_own_segment() -> None:
    call = Scenario().play((1000, on.SpeechStarted(1000)), (1500, on.Final("Hello.")))
    call.play((1800, on.Partial(WANT)), (2000, on.SpeechStopped(2000))).wait(2160)
    record = call.play((2300, on.Final(WANT))).answered(2500).record
    assert (record.clipped, record.final_text) == (False, "Hello. " + WANT)


def test_a_late_final_after_the_reply_opens_no_turn() -> None:
    call = ended_early().sound(2200, audio_ms=100).finish(2200).echo(2300)
    call.play((2500, on.Final(WANT + " for two"))).wait(9000)
    assert len(call.all(do.StartReply)) == 1
    assert call.record.clipped is None, "it came after the record was closed"
    assert call.machine.dropped["late words"] == 1


def test_the_same_word_again_is_a_new_turn_when_its_final_had_overtaken_the_stop() -> None:
    call = Scenario().play((1000, on.SpeechStarted(1000)), (1450, on.Final("yes")))
    call.play((1500, on.SpeechStopped(1400))).wait(1560).answered(1600, audio_ms=500)
    call.play(*utterance(2500, 3000, "yes", 3100)).wait(3160)
    assert len(call.all(do.StartReply)) == 2


def test_without_a_final_nothing_is_known_of_clipping() -> None:
    assert ended_early().answered(2500).record.clipped is None


# -- the sorter by itself ---------------------------------------------------------------------


def test_nothing_owed_everything_is_new() -> None:
    assert OwedFinal().new_part("hello", 0, final=False, voice=False) == "hello"


def test_an_owed_final_is_given_up_after_a_while() -> None:
    owed = OwedFinal()
    owed.expect("yes", 1000)
    assert owed.new_part("yes", 999 + EXPIRES_MS, final=False, voice=True) is None
    assert owed.new_part("yes", 1000 + EXPIRES_MS, final=False, voice=True) == "yes"


def test_a_segment_that_goes_on_is_not_given_up() -> None:
    owed = OwedFinal()
    owed.expect("one two", 1000)
    assert owed.new_part("one two three", 5000, final=False, voice=True) == "three"
    assert owed.new_part("one two three four", 9000, final=True, voice=True) == "three four"
    assert owed.new_part("one two", 9100, final=False, voice=True) == "one two", "a new segment"


@pytest.mark.parametrize("voice", [True, False])
def test_other_words_are_new_only_with_a_voice_behind_them(voice: bool) -> None:
    owed = OwedFinal()
    owed.expect("I want a table", 1000)
    expected = "goodbye then" if voice else None
    assert owed.new_part("goodbye then", 2000, final=False, voice=voice) == expected
