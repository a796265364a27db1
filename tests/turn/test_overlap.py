"""Voice over the agent that is not yet, or never, an interruption."""

from __future__ import annotations

from tests.turn.scenario import Scenario, utterance, voice

from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.overlap import BLIP_MEMORY_MS, Overlap
from voicelat.turn.states import Agent, Caller

BOOK = "I want to book a table"


def thinking() -> Scenario:
    """A committed reply that has not sounded yet, at 2160."""
    return Scenario().play(*utterance(1000, 2000, BOOK, 2100)).wait(2160)


def test_a_noise_while_the_agent_thinks_holds_the_reply_and_lets_it_go() -> None:
    call = thinking().play(*voice(2300, 2450)).wait(2500)
    assert call.all(do.HoldReply) == [(2300, do.HoldReply(1, 1))]
    assert [at for at, _ in call.all(do.CommitReply)] == [2160, 2450]
    record = call.answered(2600).record
    assert (record.reopened, record.cutoff, record.stamps.gate_open) == (False, False, 2450)


def test_a_noise_before_the_gate_opens_does_not_open_it() -> None:
    call = Scenario(speak_gate_ms=900).play(*utterance(1000, 2000, BOOK, 2100), *voice(2300, 2400))
    assert not call.all(do.CommitReply)
    assert not call.all(do.HoldReply), "nothing was committed yet"
    assert call.wait(2900).at(do.CommitReply) == 2900


def test_the_gate_stays_shut_while_there_is_voice() -> None:
    call = Scenario(speak_gate_ms=400).play(*utterance(1000, 2000, BOOK, 2100))
    call.play((2300, on.SpeechStarted(2300))).wait(2490)
    assert not call.all(do.CommitReply)
    call.play((2500, on.SpeechStopped(2500)))
    assert call.at(do.CommitReply) == 2500


def test_audio_that_left_in_the_moment_of_a_hold_counts_as_sent() -> None:
    call = thinking().play((2300, on.SpeechStarted(2300)))
    call.sound(2305, audio_ms=2000)
    assert call.machine.agent is Agent.SPEAKING
    call.wait(2540)
    assert call.at(do.ClearPlayout) == 2540
    assert (call.record.outcome, call.record.cutoff) == ("barged_in", True)


def test_voice_over_the_very_end_of_the_reply_becomes_the_next_turn() -> None:
    call = thinking().sound(2500, audio_ms=1000).finish(2500)
    call.play((3400, on.SpeechStarted(3400))).echo(3500)
    assert call.record.outcome == "answered"
    assert call.machine.caller is Caller.SPEAKING
    call.play(
        (3900, on.Partial("thanks")), (4400, on.SpeechStopped(4400)), (4450, on.Final("thanks"))
    )
    record = call.answered(5000, "Bye.").records[-1]
    assert (record.turn, record.text, record.stamps.speech_start) == (2, "thanks", 3400)
    assert record.TOTAL_LATENCY_MS == 600


def test_words_said_over_the_very_end_are_the_next_turns_from_their_first_partial() -> None:
    call = thinking().sound(2500, audio_ms=1000).finish(2500)
    call.play((3300, on.SpeechStarted(3300)), (3400, on.Partial("okay"))).echo(3500)
    call.play((3900, on.SpeechStopped(3900)), (3950, on.Final("okay"))).wait(4060)
    record = call.answered(4500).records[-1]
    assert (record.text, record.STT_FIRST_PARTIAL_MS) == ("okay", 100)


def test_a_nod_after_the_reply_is_no_turn() -> None:
    call = thinking().sound(2500, audio_ms=1000).finish(2500)
    call.play(*voice(3300, 3450)).echo(3500).play((3700, on.Final("okay"))).wait(6000)
    assert len(call.records) == 1
    assert call.machine.agent is Agent.IDLE


def test_a_short_voice_is_remembered_for_its_words_a_while() -> None:
    overlap = Overlap()
    assert not overlap.heard_lately(0)
    overlap.begin(1000)
    assert overlap.heard_lately(99_000), "while it lasts"
    overlap.fade(1200)
    assert overlap.heard_lately(1200 + BLIP_MEMORY_MS)
    assert not overlap.heard_lately(1201 + BLIP_MEMORY_MS)


def test_a_new_voice_soon_after_keeps_the_words_a_late_one_does_not() -> None:
    overlap = Overlap()
    overlap.begin(1000)
    overlap.text.put("okay", 1100, final=True)
    overlap.fade(1200)
    overlap.begin(1500)
    assert overlap.only_nods
    overlap.fade(1700)
    overlap.begin(9000)
    assert overlap.text.words == ()
