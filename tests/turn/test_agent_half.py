"""The reply: speculative, committed, held, played, failed or late."""

from __future__ import annotations

from typing import Any

import pytest
from tests.turn.scenario import Scenario, utterance, voice

from voicelat.errors import IllegalMove
from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.agent_half import AgentHalf
from voicelat.turn.config import TurnConfig
from voicelat.turn.draft import Draft
from voicelat.turn.states import Agent
from voicelat.turn.timers import Timers

BOOK = "I want to book a table"


def speculating(**settings: Any) -> Scenario:
    """A pause with a long hangover, a reply begun at 2100."""
    call = Scenario(hangover_ms=800, **settings).play(*utterance(1000, 2000, BOOK))
    return call.play((2100, on.Partial(BOOK)))


def asked(speech_ms: int = 2000, **settings: Any) -> Scenario:
    """A turn that was over 160 ms after ``speech_ms``, its final there, its reply committed."""
    script = utterance(speech_ms - 1000, speech_ms, BOOK, speech_ms + 100)
    return Scenario(**settings).play(*script).wait(speech_ms + 160)


# -- speculation ------------------------------------------------------------------------------


def test_the_reply_starts_on_text_confirmed_in_the_pause() -> None:
    call = speculating()
    assert call.at(do.StartReply) == 2100
    assert call.one(do.StartReply) == do.StartReply(1, 1, BOOK, speculative=True)
    assert not call.all(do.CommitReply)


def test_a_partial_from_before_the_pause_alone_is_not_acted_on_early() -> None:
    call = Scenario(hangover_ms=800).play(*utterance(1000, 2000, BOOK)).wait(2799)
    assert not call.all(do.StartReply)


def test_the_speculative_reply_becomes_the_reply_when_the_words_stay_the_same() -> None:
    call = speculating().play((2300, on.Final("I want to book a table."))).wait(2800)
    assert call.at(do.StartReply) == 2100, "punctuation is no change of mind"
    assert call.one(do.CommitReply) == do.CommitReply(1, 1)
    assert call.at(do.CommitReply) == 2800
    record = call.answered(2900).record
    assert (record.model_calls, record.stamps.reply_start) == (1, 2100)


def test_a_changed_text_cancels_the_speculative_reply_and_starts_another() -> None:
    call = speculating().play((2300, on.Partial(BOOK + " for two"))).wait(2800)
    assert call.one(do.CancelReply) == do.CancelReply(1, 1, "text_changed")
    assert [(at, e.attempt) for at, e in call.all(do.StartReply)] == [(2100, 1), (2360, 2)]
    assert call.one(do.CommitReply).attempt == 2


def test_resumed_speech_cancels_the_speculative_reply() -> None:
    call = speculating().play((2400, on.SpeechStarted(2400)))
    assert call.one(do.CancelReply) == do.CancelReply(1, 1, "resumed")
    assert call.machine.agent is Agent.IDLE


def test_a_key_cancels_the_speculative_reply_too() -> None:
    call = speculating().play((2300, on.Dtmf("4"))).wait(5000)
    assert call.one(do.CancelReply).why == "text_changed"
    assert call.all(do.StartReply)[-1][1].text == "4 " + BOOK


def test_speculation_is_capped_per_turn() -> None:
    call = Scenario(hangover_ms=2000, max_speculations=2).play(*voice(1000, 2000))
    for number in range(5):
        call.play((2100 + 200 * number, on.Partial("one two three four"[: 5 * number + 3])))
    assert len(call.all(do.StartReply)) == 2
    call.wait(4000)
    assert [e.speculative for _, e in call.all(do.StartReply)] == [True, True, False]
    assert call.answered(4100).record.model_calls == 3


def test_without_speculation_the_reply_starts_when_the_turn_is_over() -> None:
    call = speculating(speculate=False).wait(2800)
    assert call.at(do.StartReply) == 2800
    assert not call.one(do.StartReply).speculative


def test_a_failed_speculation_costs_nothing_but_the_call() -> None:
    call = speculating()
    call.play((2200, on.ReplyFailed(1, 1, "503"))).wait(2800)
    record = call.answered(2900).record
    assert (record.outcome, record.failure, record.model_calls) == ("answered", None, 2)


def test_a_speculative_reply_that_is_ready_early_waits_for_the_end_of_a_long_pause() -> None:
    call = Scenario(hangover_ms=9000).play(*utterance(1000, 2000, BOOK, 2100))
    name = call.live
    call.play((2200, on.AudioQueued(*name, 300, "Sure.")), (2210, on.ReplyFinished(*name)))
    call.wait(11_000)
    assert call.at(do.CommitReply) == 11_000
    assert call.machine.live_reply == name


def test_no_audio_is_taken_as_sent_before_the_turn_is_over() -> None:
    call = speculating()
    call.feed(2200, on.AudioSent(*call.live))
    assert call.machine.agent is Agent.THINKING
    assert call.machine.dropped["impossible reply event"] == 1


def test_no_audio_is_taken_as_sent_that_was_never_queued() -> None:
    call = asked().play((2300, on.AudioSent(1, 1)), (2310, on.AudioQueued(1, 1, -5)))
    assert call.machine.agent is Agent.THINKING
    assert call.machine.dropped["impossible reply event"] == 2


def test_a_mark_that_comes_back_before_the_turn_is_over_plays_nothing() -> None:
    call = speculating()
    name = call.live
    call.play((2200, on.AudioQueued(*name, 300)), (2210, on.ReplyFinished(*name)))
    call.echo(2220)
    assert call.machine.live_reply == name
    assert call.machine.dropped["unknown mark"] == 1


def test_model_calls_nobody_heard_a_sound_of_are_counted_as_wasted() -> None:
    call = speculating().play((2300, on.Partial(BOOK + " for two"))).wait(2800)
    record = call.answered(2900).record
    assert (record.model_calls, record.wasted_calls) == (2, 1)


def test_a_reply_that_was_interrupted_was_not_wasted_and_a_failed_one_was() -> None:
    spoken = asked().sound(2500, audio_ms=3000).play((4000, on.SpeechStarted(4000))).wait(4240)
    assert (spoken.record.model_calls, spoken.record.wasted_calls) == (1, 0)
    failed = asked().play((2500, on.ReplyFailed(1, 1, "503"))).answered(2600, "Sorry.")
    assert (failed.record.model_calls, failed.record.wasted_calls) == (1, 1)


def test_a_filler_alone_does_not_make_a_model_call_worth_its_price() -> None:
    call = asked().play((2300, on.AudioQueued(1, 1, 400, "Hm.")), (2300, on.AudioSent(1, 1, True)))
    assert call.play((2900, on.StreamStopped())).record.wasted_calls == 1


# -- played -----------------------------------------------------------------------------------


def test_the_agent_speaks_until_the_last_mark_comes_back() -> None:
    call = asked().sound(2500, audio_ms=3000).finish(2600).wait(5400)
    assert call.machine.agent is Agent.SPEAKING
    assert call.records == []
    call.echo(5550)
    assert call.record.stamps.reply_end == 5550
    assert call.record.heard is None, "all of it"


def test_marks_are_asked_for_behind_first_sound_each_clause_and_the_end() -> None:
    call = asked().sound(2500, "Sure.")
    call.play((2600, on.AudioQueued(1, 1, 500, "For two?")), (2700, on.AudioQueued(1, 1, 500)))
    call.finish(2700)
    marks = [(e.name.split(".")[-1], e.behind) for _, e in call.all(do.RequestMark)]
    assert marks == [
        ("clause", "queued"),
        ("heard", "sent"),
        ("clause", "queued"),
        ("end", "queued"),
    ]


def test_first_audio_and_first_content_are_two_stamps() -> None:
    call = asked()
    call.play((2300, on.AudioQueued(1, 1, 400, "Hm.")), (2300, on.AudioSent(1, 1, filler=True)))
    call.play((2900, on.AudioQueued(1, 1, 400, "Yes.")), (2900, on.AudioSent(1, 1)))
    record = call.finish(2900).echo(3800).record
    assert (record.TOTAL_LATENCY_MS, record.FIRST_CONTENT_MS) == (300, 900)


def test_a_reply_without_an_audible_frame_ends_with_its_last_mark_as_censored() -> None:
    call = asked().play((2300, on.AudioQueued(1, 1, 400, " "))).finish(2310).echo(2800)
    assert call.machine.agent is Agent.IDLE
    assert call.record.outcome == "censored"


@pytest.mark.parametrize("cached", [True, False, None])
def test_the_record_says_where_the_first_audio_came_from(cached: bool | None) -> None:
    call = asked().play((2300, on.SpeechReady(1, 1, cached=cached))).answered(2400)
    assert call.record.cache == {True: "hit", False: "miss", None: None}[cached]


def test_nothing_comes_behind_the_end_of_the_reply() -> None:
    call = asked().sound(2500).finish(2600).finish(2650)
    call.play((2700, on.AudioQueued(1, 1, 500, "x")), (2700, on.ReplyFailed(1, 1, "late")))
    assert call.machine.dropped["impossible reply event"] == 3
    record = call.echo(3500).record
    assert (record.reply, record.failure) == ("Sure.", None)


# -- failed or late ---------------------------------------------------------------------------


def test_a_failed_reply_is_apologised_for_once() -> None:
    call = asked().play((2300, on.ReplyTextStarted(1, 1)), (2500, on.ReplyFailed(1, 1, "503")))
    assert call.one(do.Apologise) == do.Apologise(1, 2)
    assert call.all(do.CommitReply)[-1] == (2500, do.CommitReply(1, 2))
    record = call.answered(2600, "Sorry.").record
    assert (record.outcome, record.failure, record.reply) == ("answered", "503", "Sorry.")
    assert record.stamps.llm_first_token == 2600, "the stamps are those of what sounded"


def test_an_apology_that_fails_too_closes_the_turn_without_an_answer() -> None:
    call = asked().play(
        (2500, on.ReplyFailed(1, 1, "503")), (2600, on.ReplyFailed(1, 2, "no voice"))
    )
    assert len(call.all(do.Apologise)) == 1
    assert (call.record.outcome, call.record.failure) == ("censored", "no voice")
    assert call.machine.agent is Agent.IDLE
    assert call.machine.deadline_ms is None


def test_the_apology_waits_for_the_speak_gate() -> None:
    call = asked(speak_gate_ms=900).play((2300, on.ReplyFailed(1, 1, "503"))).wait(2899)
    assert not call.all(do.CommitReply)
    assert call.wait(2900).one(do.CommitReply) == do.CommitReply(1, 2)


def test_a_reply_that_breaks_off_is_played_as_far_as_it_goes() -> None:
    call = asked().sound(2500).play((2600, on.ReplyFailed(1, 1, "connection lost")))
    assert not call.all(do.Apologise)
    record = call.echo(3500).record
    assert (record.outcome, record.failure) == ("answered", "connection lost")


def test_a_reply_without_audio_is_a_failure() -> None:
    call = asked().finish(2500)
    assert call.one(do.Apologise).turn == 1


def test_a_reply_that_never_sounds_is_given_up_after_the_timeout() -> None:
    call = asked().wait(2160 + 8000)
    assert call.one(do.CancelReply) == do.CancelReply(1, 1, "timeout")
    assert call.at(do.Apologise) == 10_160
    record = call.wait(10_160 + 8000).record
    assert record.outcome == "censored"
    assert record.failure == "no audio 8000 ms after the turn was over"


def test_a_reply_that_stalls_in_the_middle_is_given_up() -> None:
    call = asked().sound(2500, audio_ms=1000).echo(3500, "clause").wait(2500 + 1000 + 8000)
    assert call.one(do.CancelReply).why == "timeout"
    assert call.at(do.ClearPlayout) == 11_500
    assert (call.record.outcome, call.record.heard) == ("answered", "Sure.")
    assert call.record.failure == "the end of the reply was never confirmed"


def test_a_last_mark_that_never_comes_is_not_waited_for_for_ever() -> None:
    call = asked().sound(2500, audio_ms=1000).finish(2600).wait(20_000)
    assert call.at(do.ClearPlayout) == 2500 + 1000 + 2000
    assert call.record.outcome == "answered"


def test_a_failure_before_the_turn_was_reopened_is_not_the_turns() -> None:
    call = asked().play(
        (2300, on.ReplyFailed(1, 1, "503")), *utterance(2400, 3400, "for two", 3500)
    )
    record = call.wait(3600).answered(3700).record
    assert (record.reopened, record.failure, record.outcome) == (True, None, "answered")


# -- greeting ---------------------------------------------------------------------------------


def test_the_greeting_is_turn_0_and_leaves_no_record() -> None:
    call = Scenario(greeting=True)
    assert call.live == (0, 0)
    call.answered(100, "Hello!", 2000)
    assert call.records == []
    assert call.machine.agent is Agent.IDLE
    call.play(*utterance(3000, 4000, BOOK, 4100)).wait(4160)
    assert call.answered(4500).record.turn == 1


def test_a_greeting_that_never_sounds_does_not_deafen_the_machine() -> None:
    call = Scenario(greeting=True).wait(8000)
    assert call.one(do.CancelReply) == do.CancelReply(0, 0, "timeout")
    assert call.machine.agent is Agent.IDLE
    assert not call.all(do.Apologise)


def test_a_greeting_that_fails_is_over() -> None:
    call = Scenario(greeting=True).play((100, on.ReplyFailed(0, 0, "no voice")))
    assert call.machine.agent is Agent.IDLE
    assert call.effects == []


def test_an_illegal_move_raises_and_changes_nothing() -> None:
    agent = AgentHalf(TurnConfig(), Timers(), lambda effect: None)
    agent.state = Agent.SPEAKING
    with pytest.raises(IllegalMove, match="start while speaking"):
        agent.answer(Draft(1), "hi", ("hi",), 0)
    assert agent.reply is None
    assert agent.state is Agent.SPEAKING
