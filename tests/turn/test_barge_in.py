"""The caller interrupts the agent, or only seems to."""

from __future__ import annotations

from typing import Any

import pytest
from tests.turn.scenario import Scenario, utterance, voice

from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.barge_in import REACTION_MS, is_backchannel, is_cutoff
from voicelat.turn.states import Agent, Caller

BOOK = "I want to book a table"


def speaking(**settings: Any) -> Scenario:
    """A reply of two clauses whose first sound left at 2500; it lasts until 6500."""
    call = Scenario(**settings).play(*utterance(1000, 2000, BOOK, 2100))
    call.sound(2500, "For how many?", 2000)
    return call.play((2600, on.AudioQueued(1, 1, 2000, "We are full at eight.")))


# -- interrupted ------------------------------------------------------------------------------


def test_voice_of_onset_length_cancels_and_clears_in_the_same_tick() -> None:
    call = speaking().play((4000, on.SpeechStarted(4000))).wait(4239)
    assert not call.all(do.CancelReply)
    effects = call.feed(4240, on.Tick())
    assert effects[:2] == [do.CancelReply(1, 1, "barge_in"), do.ClearPlayout(1)]
    assert call.machine.agent is Agent.IDLE
    assert call.machine.caller is Caller.SPEAKING


def test_the_history_is_cut_to_what_the_marks_say_was_heard() -> None:
    call = speaking().echo(4000, "heard")
    call.feed(4510, on.MarkEchoed("1.1.1.clause"))
    record = call.play((5000, on.SpeechStarted(5000))).wait(5240).record
    assert (record.outcome, record.BARGE_IN_HIT) == ("barged_in", True)
    assert record.reply == "For how many? We are full at eight."
    assert record.heard == "For how many?"
    assert (record.stamps.barge_in, record.stamps.reply_end) == (5240, 5240)


def test_marks_that_come_back_because_of_clear_were_not_heard() -> None:
    call = speaking().play((4000, on.SpeechStarted(4000))).wait(4240).echo(4260)
    assert call.record.heard == ""
    assert call.record.stamps.first_audio_heard is None
    assert call.machine.dropped["unknown mark"] == 3


def test_the_interrupting_voice_is_the_start_of_the_next_turn() -> None:
    call = speaking().play(*utterance(4000, 5000, "no, for Sunday", 5100)).wait(5160)
    assert call.all(do.StartReply)[-1][1] == do.StartReply(2, 2, "no, for Sunday", speculative=True)
    record = call.answered(5500).records[-1]
    assert (record.turn, record.stamps.speech_start, record.stamps.speech_end) == (2, 4000, 5000)


def test_a_late_but_long_voice_interrupts_at_once() -> None:
    effects = speaking().feed(4300, on.SpeechStarted(4000))
    assert do.ClearPlayout(1) in effects


def test_a_short_stop_interrupts_by_its_words() -> None:
    call = speaking().play(*voice(4000, 4200), (4500, on.Final("Stop.")))
    assert call.at(do.ClearPlayout) == 4500
    assert call.records[0].outcome == "barged_in"
    assert call.all(do.StartReply)[-1] == (4500, do.StartReply(2, 2, "Stop.", speculative=False))
    record = call.answered(4700).records[-1]
    assert (record.EOU_REASON, record.stamps.speech_end) == ("silence", 4200)
    assert record.stamps.first_partial == record.stamps.stt_final == 4500


def test_words_make_a_voice_an_interruption_before_its_onset() -> None:
    call = speaking().play((4000, on.SpeechStarted(4000)), (4100, on.Partial("wait")))
    assert call.at(do.ClearPlayout) == 4100


def test_the_greeting_can_be_interrupted() -> None:
    call = Scenario(greeting=True).sound(100, "Welcome to the restaurant.", 5000)
    call.play(*utterance(1000, 2000, BOOK, 2100)).wait(2160)
    assert call.one(do.CancelReply) == do.CancelReply(0, 0, "barge_in")
    assert call.one(do.ClearPlayout) == do.ClearPlayout(0)
    assert call.answered(2500).record.turn == 1


def test_a_caller_who_speaks_before_the_greeting_is_not_talked_over() -> None:
    call = Scenario(greeting=True).play((100, on.SpeechStarted(100)))
    assert call.effects == [(100, do.HoldReply(0, 0))]
    call.wait(340)
    assert call.one(do.CancelReply) == do.CancelReply(0, 0, "barge_in")


# -- not interrupted --------------------------------------------------------------------------


def test_a_noise_shorter_than_the_onset_does_not_interrupt() -> None:
    call = speaking().play(*voice(4000, 4200)).finish(4300).echo(6500)
    assert call.record.outcome == "answered"
    assert not call.all(do.ClearPlayout)
    assert call.machine.dropped["voice too short to interrupt"] == 1


@pytest.mark.parametrize("nod", ["uh-huh", "Okay.", "yeah yeah", "כן", "אוקיי, סבבה"])
def test_a_backchannel_does_not_interrupt(nod: str) -> None:
    call = speaking().play((4000, on.SpeechStarted(4000)), (4150, on.Partial(nod)))
    call.play((4600, on.SpeechStopped(4600)), (4700, on.Final(nod))).finish(4800).echo(6500)
    assert call.record.outcome == "answered"
    assert not call.all(do.CancelReply)


def test_nods_all_through_a_long_reply_do_not_add_up_to_an_interruption() -> None:
    call = Scenario().play(*utterance(1000, 2000, BOOK, 2100)).sound(2500, audio_ms=30_000)
    for start_ms in range(4000, 24_000, 4000):
        call.play(*voice(start_ms, start_ms + 200), (start_ms + 500, on.Final("okay")))
    assert call.machine.agent is Agent.SPEAKING


def test_a_nod_that_goes_on_as_a_sentence_interrupts() -> None:
    call = speaking().play((4000, on.SpeechStarted(4000)), (4150, on.Partial("yeah")))
    call.play((4500, on.Partial("yeah but not on Sunday")))
    assert call.at(do.ClearPlayout) == 4500
    call.play((5000, on.SpeechStopped(5000)), (5100, on.Final("yeah but not on Sunday"))).wait(5160)
    assert call.all(do.StartReply)[-1][1].text == "yeah but not on Sunday"


def test_words_without_any_voice_are_an_echo_and_interrupt_nothing() -> None:
    call = speaking().play((4000, on.Partial("for how many")), (4300, on.Final("for how many")))
    assert not call.all(do.CancelReply)
    record = call.finish(4400).echo(6500).record
    assert (record.text, record.clipped, record.final_text) == (BOOK, False, BOOK)


# -- cutoffs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("voice_ms", "cutoff"), [(2610, True), (2699, True), (2700, False)])
def test_voice_sooner_than_anyone_reacts_was_the_caller_going_on(
    voice_ms: int, cutoff: bool
) -> None:
    call = speaking().play((voice_ms, on.SpeechStarted(voice_ms))).wait(3500)
    assert (call.record.outcome, call.record.cutoff) == ("barged_in", cutoff)


def test_cutoff_is_judged_by_where_the_voice_began() -> None:
    assert is_cutoff(1000 + REACTION_MS - 1, 1000)
    assert not is_cutoff(1000 + REACTION_MS, 1000)


@pytest.mark.parametrize("text", ["okay", "Mm-hm", "Uh huh, yeah.", "טוב"])
def test_a_few_listening_words_are_a_backchannel(text: str) -> None:
    assert is_backchannel(text)


@pytest.mark.parametrize("text", ["", "stop", "yes but", "ok ok ok ok", "כן אבל"])
def test_anything_else_is_not(text: str) -> None:
    assert not is_backchannel(text)
