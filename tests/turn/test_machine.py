"""The machine as a whole: time, stale events, keys, several turns."""

from __future__ import annotations

import pytest
from tests.turn.scenario import CALL, Scenario, utterance, voice

from voicelat.errors import ClockWentBack
from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.config import TurnConfig
from voicelat.turn.machine import TurnMachine
from voicelat.turn.states import Agent, Caller

BOOK = "I want to book a table"


def asked() -> Scenario:
    """A turn that was over at 2160, its reply committed."""
    return Scenario().play(*utterance(1000, 2000, BOOK, 2100)).wait(2160)


# -- time -------------------------------------------------------------------------------------


def test_a_clock_that_goes_back_raises_and_changes_nothing() -> None:
    call = Scenario().play(*utterance(1000, 2000, BOOK, 2100))
    before = (call.machine.deadline_ms, call.machine.caller, call.machine.live_reply)
    with pytest.raises(ClockWentBack, match="2099 ms after one at 2100 ms"):
        call.machine.handle(on.SpeechStarted(2050), 2099)
    assert (call.machine.deadline_ms, call.machine.caller, call.machine.live_reply) == before
    assert call.wait(2160).at(do.CommitReply) == 2160


def test_the_deadline_is_always_ahead() -> None:
    call = asked()
    assert call.machine.deadline_ms == 2160 + 8000
    call.sound(2500, audio_ms=1000).finish(2500).echo(3500)
    assert call.machine.deadline_ms is None


def test_an_instant_that_cannot_be_is_counted_and_taken_as_the_nearest_that_can() -> None:
    call = Scenario()
    call.feed(1000, on.SpeechStarted(1500))
    call.feed(1900, on.Final("yes"))
    call.feed(2000, on.SpeechStopped(400))
    assert call.machine.dropped["impossible instant"] == 2
    stamps = call.answered(5000).record.stamps
    assert (stamps.speech_start, stamps.speech_end) == (1000, 1000)


def test_the_same_events_give_the_same_effects() -> None:
    script = [*utterance(1000, 2000, BOOK, 2100), (2500, on.AudioSent(1, 1)), *voice(3000, 4000)]
    assert (
        Scenario().play(*script).wait(9000).effects == Scenario().play(*script).wait(9000).effects
    )


# -- what does not belong ---------------------------------------------------------------------


@pytest.mark.parametrize("name", [(0, 1), (1, 2), (2, 1), (-1, -1)])
def test_reply_events_of_another_turn_or_attempt_are_dropped_and_counted(
    name: tuple[int, int],
) -> None:
    call = asked()
    stale: list[on.Event] = [
        on.ReplyTextStarted(*name),
        on.SpeechReady(*name),
        on.AudioQueued(*name, 500, "Old."),
        on.AudioSent(*name),
        on.ReplyFinished(*name),
        on.ReplyFailed(*name, "old"),
    ]
    for event in stale:
        assert call.feed(2300, event) == []
    assert call.machine.dropped["stale reply event"] == 6
    assert call.machine.agent is Agent.THINKING


def test_the_events_of_a_cancelled_reply_are_dropped_after_it_was_replaced() -> None:
    call = Scenario(hangover_ms=800).play(*utterance(1000, 2000, BOOK, 2100))
    call.play((2300, on.Final("for two"))).wait(2800)
    call.play((2850, on.AudioQueued(1, 1, 500, "Old.")), (2850, on.AudioSent(1, 1)))
    assert call.machine.agent is Agent.THINKING
    assert call.answered(3000, "New.").record.reply == "New."


def test_impossible_caller_events_are_dropped_and_counted() -> None:
    call = Scenario().play((100, on.SpeechStopped(100)), (200, on.MarkEchoed("x")))
    call.play((300, on.Partial("")), (400, on.SpeechStarted(400)), (500, on.SpeechStarted(500)))
    call.play((600, on.Dtmf("1")))
    assert call.machine.dropped == {
        "silence while silent": 1,
        "unknown mark": 1,
        "words without a turn": 1,
        "voice while speaking": 1,
        "key while speaking": 1,
    }
    assert call.effects == []


# -- keys -------------------------------------------------------------------------------------


def test_keys_make_one_number_and_a_pause_ends_it() -> None:
    call = Scenario().play((1000, on.Dtmf("4")), (1800, on.Dtmf("0")), (3200, on.Dtmf("7")))
    call.wait(9000)
    assert call.at(do.CommitReply) == 3200 + 1500
    assert call.one(do.StartReply) == do.StartReply(1, 1, "407", speculative=False)
    assert call.answered(9000).record.EOU_REASON == "silence"


def test_a_hash_ends_the_number_at_once() -> None:
    call = Scenario().play((1000, on.Dtmf("4")), (1500, on.Dtmf("2")), (2000, on.Dtmf("#")))
    assert call.at(do.CommitReply) == 2000
    assert call.one(do.StartReply).text == "42#"


@pytest.mark.parametrize("key", ["*", "#"])
def test_a_sign_alone_is_an_answer_too(key: str) -> None:
    call = Scenario().play((1000, on.Dtmf(key))).wait(9000)
    assert call.one(do.StartReply).text == key


def test_a_key_interrupts_the_reply_at_once() -> None:
    call = asked().sound(2500, audio_ms=5000).play((4000, on.Dtmf("1"))).wait(9000)
    assert call.at(do.ClearPlayout) == 4000
    assert call.records[0].outcome == "barged_in"
    assert call.all(do.StartReply)[-1] == (5500, do.StartReply(2, 2, "1", speculative=False))


def test_a_key_before_the_first_audio_reopens_the_turn() -> None:
    call = asked().play((2300, on.Dtmf("1"))).wait(9000)
    assert call.one(do.CancelReply).why == "reopened"
    record = call.answered(9000).record
    assert (record.turn, record.text, record.reopened) == (1, BOOK + " 1", True)


def test_keys_keep_a_turn_open_without_speculation() -> None:
    call = Scenario().play((1000, on.Dtmf("1"))).wait(2499)
    assert not call.all(do.StartReply)


# -- several turns ----------------------------------------------------------------------------


def test_a_call_of_several_turns_numbers_them_and_ends_idle() -> None:
    call = Scenario(greeting=True).answered(100, "Hello.", 500)
    for number in range(1, 6):
        start_ms = 5000 * number
        call.play(*utterance(start_ms, start_ms + 1000, BOOK, start_ms + 1100))
        call.answered(start_ms + 1500)
    assert [record.turn for record in call.records] == [1, 2, 3, 4, 5]
    assert {record.TOTAL_LATENCY_MS for record in call.records} == {500}
    assert (call.machine.caller, call.machine.agent) == (Caller.SILENT, Agent.IDLE)
    assert not call.machine.dropped


def test_a_new_machine_waits_for_nothing() -> None:
    machine = TurnMachine(TurnConfig(), CALL)
    assert machine.deadline_ms is None
    assert machine.live_reply is None


def test_a_final_that_comes_before_the_gate_opens_starts_the_reply_over_with_its_words() -> None:
    call = Scenario(speak_gate_ms=500).play(*utterance(1000, 2000, "book a"))
    call.play((2200, on.Final("book a room")))
    call.wait(2499)
    assert [(at, e.text) for at, e in call.all(do.StartReply)] == [
        (2160, "book a"),
        (2200, "book a room"),
    ]
    assert [at for at, _ in call.all(do.CancelReply)] == [2200]
    call.sound(2500).finish(2600).echo(3600)
    record = call.record
    assert (record.text, record.clipped, record.model_calls) == ("book a room", False, 2)
    assert (record.stamps.turn_end, record.EOU_REASON) == (2200, "debounce")
    assert record.TOTAL_LATENCY_MS == 500


def test_a_final_with_the_same_words_before_the_gate_opens_changes_nothing() -> None:
    call = Scenario(speak_gate_ms=500).play(*utterance(1000, 2000, "book a room"))
    call.play((2200, on.Final("Book a room.")))
    assert len(call.all(do.StartReply)) == 1
    assert call.all(do.CancelReply) == []


def test_words_that_come_late_but_before_the_gate_make_asking_to_repeat_needless() -> None:
    call = Scenario(speak_gate_ms=600).play(*voice(1000, 2000))
    call.wait(2400)
    assert [at for at, _ in call.all(do.AskToRepeat)] == [2400]
    call.play((2500, on.Final("book a room"))).sound(2600).finish(2700).echo(3700)
    assert (call.record.text, call.record.fallback) == ("book a room", False)
    assert [e.text for _, e in call.all(do.StartReply)] == ["book a room"]
