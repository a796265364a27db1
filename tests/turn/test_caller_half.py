"""When a turn is over."""

from __future__ import annotations

from typing import Any

import pytest
from tests.turn.scenario import Scenario, Script, utterance, voice

from voicelat.errors import IllegalMove
from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.caller_half import CallerHalf
from voicelat.turn.config import TurnConfig
from voicelat.turn.endpointing import Fixed
from voicelat.turn.states import Caller, CallerMove
from voicelat.turn.timers import Timers

BOOK = "I want to book a table"


def test_turn_ends_one_hangover_after_speech_when_the_final_is_there() -> None:
    call = Scenario().play(*utterance(1000, 2000, BOOK, 2100)).wait(3000)
    assert call.at(do.CommitReply) == 2160
    record = call.answered(3000).record
    assert record.EOU_REASON == "silence"
    assert record.stamps.turn_end == 2160
    assert record.text == BOOK
    assert not call.all(do.FinalizeStt)


def test_turn_ends_one_hangover_after_speech_when_the_partial_is_stable() -> None:
    call = Scenario().play(*utterance(1000, 2000, BOOK)).wait(2160)
    assert call.at(do.StartReply) == 2160
    assert call.one(do.FinalizeStt).turn == 1
    assert call.answered(2500).record.EOU_REASON == "debounce"


def test_after_the_hangover_the_turn_waits_for_the_partial_to_be_stable() -> None:
    call = Scenario().play(*voice(1000, 2000), (2150, on.Partial(BOOK))).wait(3000)
    assert call.at(do.StartReply) == 2210
    assert call.answered(3000).record.EOU_REASON == "debounce"


def test_after_the_hangover_the_turn_ends_as_soon_as_the_final_comes() -> None:
    call = Scenario().play(*voice(1000, 2000), (2190, on.Partial(BOOK)), (2200, on.Final(BOOK)))
    assert call.at(do.StartReply) == 2200
    assert call.answered(2500).record.EOU_REASON == "silence"


def test_at_the_timeout_the_turn_ends_with_the_best_text() -> None:
    call = Scenario().play(*voice(1000, 2000), (2360, on.Partial("I want")))
    call.play((2390, on.Partial("I want to"))).wait(3000)
    assert call.at(do.StartReply) == 2400
    assert call.one(do.StartReply).text == "I want to"
    assert call.answered(3000).record.EOU_REASON == "timeout"


def test_without_any_text_the_caller_is_asked_to_repeat_while_the_fallback_works() -> None:
    call = Scenario().play(*voice(1000, 2000)).wait(2400)
    assert call.at(do.AskToRepeat) == call.at(do.RunFallback) == call.at(do.CommitReply) == 2400
    assert not call.all(do.StartReply)
    record = call.answered(2450, "Could you repeat that?").record
    assert (record.fallback, record.EOU_REASON, record.model_calls) == (True, "timeout", 0)


def test_a_short_noise_without_words_is_no_turn() -> None:
    call = Scenario().play(*voice(1000, 1240)).wait(5000)
    assert call.effects == []
    assert call.machine.caller is Caller.SILENT
    assert call.machine.dropped["too short for an utterance"] == 1


def test_a_short_utterance_with_words_counts() -> None:
    call = Scenario().play(*voice(1000, 1100), (1150, on.Partial("yes"))).wait(1260)
    assert call.one(do.StartReply).text == "yes"


def test_voice_in_several_short_pieces_adds_up_to_an_utterance() -> None:
    call = Scenario().play(*voice(1000, 1150), *voice(1250, 1400)).wait(1800)
    assert call.at(do.AskToRepeat) == 1800


def test_an_ignored_noise_does_not_use_up_a_turn_number() -> None:
    call = Scenario().play(*voice(1000, 1100), *utterance(3000, 4000, BOOK)).wait(5000)
    assert call.one(do.StartReply).turn == 1


def test_words_without_voice_are_a_turn_with_unknown_ends() -> None:
    call = Scenario().play((1000, on.Partial("hello")), (1050, on.Final("Hello."))).wait(3000)
    assert call.at(do.CommitReply) == 1050 + 160
    record = call.answered(3000).record
    assert record.text == "Hello."
    assert record.stamps.speech_start is None
    assert record.stamps.speech_end is None
    assert record.TOTAL_LATENCY_MS is None
    assert record.legs == {}


def test_a_machine_woken_late_ends_the_turn_late_but_alike() -> None:
    call = Scenario().play(*utterance(1000, 2000, BOOK, 2100))
    call.feed(2900, on.Tick())
    assert call.at(do.CommitReply) == 2900
    record = call.answered(3000).record
    assert (record.EOU_REASON, record.STT_FINAL_MS) == ("silence", 900)


def test_timers_due_fire_before_the_event_that_found_them_late() -> None:
    call = Scenario().play(*utterance(1000, 2000, BOOK, 2100))
    call.feed(2300, on.SpeechStarted(2290))
    assert call.machine.live_reply is not None, "the turn was over at 2160"
    assert call.all(do.CommitReply)
    assert call.all(do.HoldReply)


@pytest.mark.parametrize("stop_seen_ms", [2000, 2090, 2110, 2155, 2300])
def test_a_final_that_overtakes_the_stop_event_adds_no_wait(stop_seen_ms: int) -> None:
    events: Script = [(2100, on.Final(BOOK)), (stop_seen_ms, on.SpeechStopped(2000))]
    events.sort(key=lambda timed: timed[0])
    call = Scenario(speculate=False).play((1000, on.SpeechStarted(1000)), *events).wait(3000)
    assert call.at(do.StartReply) == max(2160, stop_seen_ms)
    assert not call.all(do.FinalizeStt), "the final is there"
    assert call.answered(3000).record.EOU_REASON == "silence"


def test_a_final_before_the_voice_ended_is_not_the_final_of_the_pause() -> None:
    call = Scenario().play((1000, on.SpeechStarted(1000)), (1500, on.Final("I want")))
    call.play((2000, on.SpeechStopped(2000)), (2100, on.Partial("to book"))).wait(3000)
    assert call.one(do.StartReply).text == "I want to book"
    assert call.answered(3000).record.EOU_REASON == "debounce"


def test_text_from_before_the_last_voice_does_not_end_the_turn() -> None:
    call = Scenario(hangover_ms=300).play(*utterance(1000, 2000, "I want"))
    call.play(*voice(2250, 2600)).wait(2900)
    assert not call.all(do.StartReply), "no text of the second piece yet"
    call.play((3000, on.Partial("I want a table"))).wait(3060)
    assert call.one(do.StartReply).text == "I want a table"


def test_a_hebrew_turn_is_told_from_its_words_like_any_other() -> None:
    text = "אני רוצה להזמין שולחן לשניים"
    call = Scenario().play(*utterance(1000, 2000, text, 2100)).answered(2500, "בשמחה רבה")
    assert call.record.text == text
    assert (call.record.reply, call.record.reply_words) == ("בשמחה רבה", 2)
    assert call.record.EOU_REASON == "silence"


def test_an_illegal_move_raises_and_changes_nothing() -> None:
    caller = CallerHalf(TurnConfig(), Fixed(), Timers())
    with pytest.raises(IllegalMove, match="turn over while silent"):
        caller.move(CallerMove.TURN_OVER)
    assert caller.state is Caller.SILENT


# -- words nobody can be sure of --------------------------------------------------------------

REPEAT = "Could you repeat that?"


def doubted(confidence: float | None = 0.3, **settings: Any) -> Scenario:
    """A turn whose only final came with a confidence, where 0.5 is asked for; over at 2160."""
    call = Scenario(min_confidence=0.5, **settings).play(*voice(1000, 2000))
    return call.play((2100, on.Final(BOOK, confidence))).wait(2160)


def test_words_the_recogniser_is_not_sure_of_are_asked_for_again() -> None:
    call = doubted()
    assert call.at(do.AskToRepeat) == call.at(do.RunFallback) == call.at(do.CommitReply) == 2160
    assert not call.all(do.StartReply), "not even a speculative one"
    record = call.answered(2200, REPEAT).record
    assert (record.fallback, record.text, record.confidence) == (True, BOOK, 0.3)
    assert (record.model_calls, record.fallback_used) == (0, None)


@pytest.mark.parametrize("confidence", [0.5, 0.9, None])
def test_words_it_is_sure_of_or_tells_nothing_about_are_acted_on(confidence: float | None) -> None:
    record = doubted(confidence).answered(2500).record
    assert (record.fallback, record.confidence) == (False, confidence)


def test_by_default_no_words_are_doubted() -> None:
    call = Scenario().play(*voice(1000, 2000), (2100, on.Final(BOOK, 0.0))).wait(2160)
    record = call.answered(2500).record
    assert (record.fallback, record.confidence) == (False, 0.0)


@pytest.mark.parametrize("confidence", [-0.1, 1.5, float("nan"), float("inf")])
def test_what_can_be_no_confidence_is_counted_and_unknown(confidence: float) -> None:
    call = doubted(confidence)
    assert call.machine.dropped["impossible confidence"] == 1
    assert call.answered(2500).record.confidence is None


def test_a_reply_in_the_making_is_dropped_when_its_words_turn_out_doubtful() -> None:
    call = Scenario(min_confidence=0.5, hangover_ms=800).play(*utterance(1000, 2000, BOOK))
    call.play((2100, on.Partial(BOOK)), (2300, on.Final(BOOK, 0.3))).wait(2800)
    assert call.at(do.StartReply) == 2100
    assert call.one(do.CancelReply) == do.CancelReply(1, 1, "doubtful")
    record = call.answered(2850, REPEAT).record
    assert (record.fallback, record.model_calls, record.wasted_calls) == (True, 1, 1)


def test_a_late_final_can_still_raise_doubt_until_the_gate_opens() -> None:
    call = Scenario(min_confidence=0.5, speak_gate_ms=500).play(*utterance(1000, 2000, BOOK))
    call.wait(2160).play((2300, on.Final(BOOK, 0.3)))
    assert call.one(do.CancelReply) == do.CancelReply(1, 1, "doubtful")
    assert call.at(do.AskToRepeat) == 2300
    call.wait(2500)
    assert call.at(do.CommitReply) == 2500
    assert call.answered(2550, REPEAT).record.confidence == 0.3


def test_doubt_that_comes_after_the_gate_changes_nothing() -> None:
    call = Scenario(min_confidence=0.5).play(*utterance(1000, 2000, BOOK)).wait(2160)
    call.play((2300, on.Final(BOOK, 0.3)))
    assert not call.all(do.CancelReply)
    assert call.answered(2500).record.fallback is False


def test_more_words_can_end_the_doubt_and_more_doubt_asks_only_once() -> None:
    call = doubted(speak_gate_ms=900).play((2300, on.Final("hm", 0.1)))
    assert len(call.all(do.AskToRepeat)) == len(call.all(do.RunFallback)) == 1
    call.play((2400, on.Final("for two people please on Friday evening", 0.9)))
    assert call.one(do.CancelReply) == do.CancelReply(1, 1, "text_changed")
    assert call.one(do.StartReply).text == f"{BOOK} hm for two people please on Friday evening"
    assert call.answered(3000).record.fallback is False


# -- what the fallback transcriber heard ------------------------------------------------------


def unheard(**settings: Any) -> Scenario:
    """A turn without any text, over at 2400; the gate opens at 2900."""
    return Scenario(speak_gate_ms=900, **settings).play(*voice(1000, 2000)).wait(2400)


def test_text_of_the_fallback_that_comes_before_the_gate_opens_is_answered() -> None:
    call = unheard().play((2700, on.FallbackHeard(1, BOOK)))
    assert call.one(do.CancelReply) == do.CancelReply(1, 1, "text_changed")
    assert call.one(do.StartReply) == do.StartReply(1, 2, BOOK, speculative=False)
    call.wait(2900)
    assert call.at(do.CommitReply) == 2900
    record = call.answered(3000).record
    assert (record.text, record.fallback, record.fallback_used) == (BOOK, False, "answer")
    assert record.stamps.turn_end == 2700
    assert record.clipped is None


def test_text_of_the_fallback_replaces_words_in_doubt() -> None:
    call = doubted(speak_gate_ms=900).play((2700, on.FallbackHeard(1, "book the cable")))
    record = call.wait(2900).answered(3000).record
    assert (record.text, record.final_text) == ("book the cable", BOOK)
    assert (record.clipped, record.confidence) == (None, None)


def test_words_in_doubt_that_the_fallback_confirms_are_answered() -> None:
    call = doubted(speak_gate_ms=900).play((2700, on.FallbackHeard(1, BOOK)))
    assert call.one(do.CancelReply) == do.CancelReply(1, 1, "text_changed")
    assert call.one(do.StartReply).text == BOOK
    record = call.wait(2900).answered(3000).record
    assert (record.fallback, record.fallback_used) == (False, "answer")


@pytest.mark.parametrize("text", ["", " ", "..."])
def test_a_fallback_without_words_changes_nothing(text: str) -> None:
    call = unheard().play((2700, on.FallbackHeard(1, text)))
    assert not call.all(do.CancelReply)
    assert call.machine.dropped["late fallback"] == 1


def test_once_the_question_sounds_the_caller_is_not_talked_over_with_an_answer() -> None:
    call = unheard().sound(2950, REPEAT).play((3000, on.FallbackHeard(1, BOOK)))
    assert not call.all(do.StartReply)
    assert call.machine.dropped["late fallback"] == 1
    assert call.finish(3000).echo(4000).record.fallback


def test_a_caller_who_has_begun_to_repeat_is_listened_to() -> None:
    call = unheard().play((2600, on.SpeechStarted(2600)), (2700, on.FallbackHeard(1, BOOK)))
    assert not call.all(do.StartReply)
    call.play((3400, on.SpeechStopped(3400)), (3450, on.Final("a table"))).wait(4300)
    record = call.answered(4400).record
    assert (record.text, record.fallback, record.fallback_used) == ("a table", False, None)


@pytest.mark.parametrize("turn", [0, 2, -1])
def test_text_of_another_turn_is_dropped(turn: int) -> None:
    call = unheard().play((2700, on.FallbackHeard(turn, BOOK)))
    assert call.machine.dropped["late fallback"] == 1
    assert not call.all(do.CancelReply)


def test_text_for_a_turn_that_has_its_words_or_is_closed_is_dropped() -> None:
    call = doubted(0.9, speak_gate_ms=900).play((2200, on.FallbackHeard(1, "other")))
    assert call.one(do.StartReply).text == BOOK
    call.answered(3000).play((9000, on.FallbackHeard(1, "other")))
    assert call.machine.dropped["late fallback"] == 2


def test_the_recognisers_final_is_only_noted_once_the_fallback_was_acted_on() -> None:
    call = unheard().play((2600, on.FallbackHeard(1, BOOK)), (2700, on.Final("I want to book")))
    assert len(call.all(do.StartReply)) == 1
    record = call.wait(2900).answered(3000).record
    assert (record.text, record.final_text, record.clipped) == (BOOK, "I want to book", None)


def test_a_turn_the_fallback_settled_can_be_reopened_with_its_words() -> None:
    call = unheard().play((2600, on.FallbackHeard(1, BOOK)), (2650, on.Final("I want to book")))
    call.play((2700, on.SpeechStarted(2700)))
    call.wait(2940).play((3400, on.SpeechStopped(3400)), (3450, on.Final("for two"))).wait(4300)
    record = call.answered(4400).record
    assert (record.text, record.reopened) == (BOOK + " for two", True)
    assert record.fallback_used == "answer"
