"""What the caller makes of what is played. Times are milliseconds here, samples inside."""

from __future__ import annotations

from voicelat.caller.ear import Ear, Heard


class Listener:
    """An `Ear` that counts in milliseconds."""

    def __init__(self) -> None:
        self.ear = Ear()

    def ask(self, first: int, end: int | None) -> None:
        self.ear.ask("q", first * 8, None if end is None else end * 8)

    def hear(self, first: int, last: int) -> None:
        for at in range(first, last, 20):
            self.ear.hear(at * 8, min(at + 20, last) * 8)

    def report(self, now: int = 10_000) -> Heard:
        self.ear.close(now * 8)
        return self.ear.heard[-1]


def test_voice_to_voice_runs_from_the_last_word_to_the_first() -> None:
    caller = Listener()
    caller.ask(100, 1000)
    caller.hear(1730, 2500)
    assert caller.report() == Heard(
        question=1, text="q", said_start_ms=100, said_end_ms=1000, reply_start_ms=1730, v2v_ms=730
    )


def test_a_question_nobody_answers_is_censored() -> None:
    caller = Listener()
    caller.ask(100, 1000)
    heard = caller.report()
    assert heard.censored
    assert heard.v2v_ms is None


def test_the_interrupted_speech_is_not_taken_for_the_reply() -> None:
    caller = Listener()
    caller.hear(0, 1300)
    caller.ask(1000, 1500)
    caller.ear.cleared()
    caller.hear(1900, 2500)
    heard = caller.report()
    assert heard.barge_stop_ms == 300
    assert heard.v2v_ms == 400
    assert not heard.talked_over


def test_speech_that_fell_silent_by_itself_was_interrupted_too() -> None:
    caller = Listener()
    caller.hear(0, 1700)
    caller.ask(1000, 1500)
    caller.ear.settle(2300 * 8)
    caller.hear(2400, 2500)
    heard = caller.report()
    assert heard.barge_stop_ms == 700
    assert heard.v2v_ms == 900


def test_speech_that_was_over_before_interrupted_nothing() -> None:
    caller = Listener()
    caller.hear(0, 900)
    caller.ask(1000, 1500)
    caller.hear(1600, 2000)
    assert caller.report().barge_stop_ms is None


def test_an_answer_into_a_pause_that_is_taken_back_is_not_the_reply() -> None:
    caller = Listener()
    caller.ask(0, 2000)
    caller.hear(900, 1200)
    caller.ear.cleared()
    caller.hear(2450, 3000)
    heard = caller.report()
    assert heard.talked_over
    assert heard.v2v_ms == 450
    assert not heard.censored


def test_an_answer_that_goes_on_over_the_callers_words_has_no_latency() -> None:
    caller = Listener()
    caller.ask(0, 2000)
    caller.hear(900, 3000)
    heard = caller.report()
    assert heard.talked_over
    assert heard.v2v_ms is None
    assert not heard.censored


def test_a_pause_inside_a_reply_does_not_end_it() -> None:
    caller = Listener()
    caller.ask(0, 1000)
    caller.hear(1500, 1800)
    caller.ear.settle(2399 * 8)
    assert caller.ear.talking
    caller.ear.settle(2400 * 8)
    assert not caller.ear.talking


def test_the_greeting_is_no_answer_to_a_question() -> None:
    caller = Listener()
    caller.hear(350, 800)
    assert caller.ear.first_voice == 350 * 8
    assert caller.ear.reply == 350 * 8
    caller.ear.close(10_000 * 8)
    assert caller.ear.heard == []


def test_speech_nobody_can_hear_measures_nothing() -> None:
    caller = Listener()
    caller.ask(0, None)
    caller.hear(500, 800)
    heard = caller.report()
    assert heard.said_end_ms is None
    assert heard.v2v_ms is None
    assert not heard.censored


def test_a_question_without_a_reply_says_how_long_its_caller_listened() -> None:
    caller = Listener()
    caller.ask(100, 1000)
    heard = caller.report(4000)
    assert (heard.censored, heard.in_vain_ms) == (True, 3000)


def test_a_question_cut_short_was_owed_no_reply() -> None:
    caller = Listener()
    caller.ask(100, 1000)
    heard = caller.report(600)
    assert (heard.censored, heard.in_vain_ms) == (True, None)


def test_the_reply_says_when_it_began_and_ended() -> None:
    caller = Listener()
    caller.ask(100, 1000)
    caller.hear(1730, 2500)
    caller.ear.settle(3100 * 8)
    heard = caller.report()
    assert (heard.reply_start_ms, heard.reply_end_ms) == (1730, 2500)
