"""When a turn is over."""

from __future__ import annotations

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
