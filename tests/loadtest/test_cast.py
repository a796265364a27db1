"""From a scenario to calls."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicelat.audio.level import level_dbfs
from voicelat.audio.mulaw import duration_ms, silence
from voicelat.caller import BargeIn, HangUp, Pause, Say, Silence, WaitForReply
from voicelat.caller.script import plan
from voicelat.errors import UsageError
from voicelat.loadtest.cast import Cast, noise
from voicelat.loadtest.scenario import Line, Patience, Scenario, Talk
from voicelat.loadtest.utterances import Utterance


def tone(ms: int) -> bytes:
    return b"\x80" * (ms * 8)


SAID = [Utterance(bytes([n]) * 8000, f"sentence {n}") for n in range(1, 6)]


def test_the_same_number_gives_the_same_call_and_another_number_another() -> None:
    scenario = Scenario(talk=Talk(barge_ins=0.5, pauses=0.5), line=Line(jitter_ms=40))
    assert Cast(SAID, scenario, 3).call(7) == Cast(SAID, scenario, 3).call(7)
    assert Cast(SAID, scenario, 3).call(7) != Cast(SAID, scenario, 3).call(8)
    assert Cast(SAID, scenario, 3).call(7) != Cast(SAID, scenario, 4).call(7)


def test_a_plain_call_waits_thinks_asks_and_waits() -> None:
    script, setup = Cast(SAID, Scenario()).call(0, turns=2)
    kinds = [type(step) for step in script]
    question = [Silence, Say, WaitForReply]
    assert kinds == [WaitForReply, *question, *question, Silence]
    assert (setup.arrivals, setup.noise) == ((), b"")


def test_a_caller_who_speaks_first_waits_for_no_greeting() -> None:
    script, _ = Cast(SAID, Scenario(patience=Patience(greeting_ms=0))).call(0, turns=1)
    assert [type(step) for step in script[:2]] == [Silence, Say]


def test_shares_are_kept_over_many_calls() -> None:
    scenario = Scenario(talk=Talk(barge_ins=0.3, pauses=0.2, silences=0.1, hang_ups=0.25))
    cast = Cast(SAID, scenario)
    kinds: Counter[type] = Counter()
    for number in range(400):
        kinds.update(type(step) for step in cast.call(number, turns=10).script)
    questions = kinds[BargeIn] + kinds[Say] - kinds[Pause]
    assert kinds[HangUp] / 400 == pytest.approx(0.25, abs=0.07)
    assert kinds[BargeIn] / questions == pytest.approx(0.3 * 0.9, abs=0.05)
    assert kinds[Pause] / questions == pytest.approx(0.2 * 0.73, abs=0.05)


def test_a_caller_who_hangs_up_breaks_off_in_the_middle_of_a_word() -> None:
    words = [
        Utterance(tone(400) + silence(600) + tone(200) + silence(600) + tone(400), "two words")
    ]
    cast = Cast(words, Scenario(talk=Talk(hang_ups=1.0, abrupt=1.0)))
    for number in range(20):
        *_, said, end = cast.call(number).script
        assert isinstance(said, Say)
        assert said.audio.endswith(tone(4))
        assert words[0].audio[len(said.audio) :].startswith(tone(4))
        assert end == HangUp(abrupt=True)


def test_a_caller_who_looks_for_a_word_pauses_between_two() -> None:
    words = [Utterance(tone(900) + silence(60) + tone(700), "two words")]
    script, _ = Cast(words, Scenario(talk=Talk(pauses=1.0))).call(0, turns=1)
    before, pause, after = script[2:5]
    assert isinstance(before, Say)
    assert isinstance(pause, Pause)
    assert isinstance(after, Say)
    assert before.audio + after.audio == words[0].audio
    assert 900 <= duration_ms(before.audio) <= 960
    assert (before.text, after.text) == ("two words", "")


@pytest.mark.parametrize("audio", [b"", b"\x80", silence(500)])
def test_what_has_no_word_to_break_off_in_can_be_said_all_the_same(audio: bytes) -> None:
    cast = Cast([Utterance(audio)], Scenario(talk=Talk(hang_ups=0.5, pauses=1.0)))
    for number in range(10):
        plan(cast.call(number).script)


@pytest.mark.parametrize("level", range(-70, -19, 5))
@pytest.mark.parametrize("seed", [-1, 0, 7])
def test_line_noise_has_the_level_asked_for(level: int, seed: int) -> None:
    assert level_dbfs(noise(level, seed)) == pytest.approx(level, abs=0.5)


def test_packets_are_late_and_lost_in_the_share_asked_for() -> None:
    cast = Cast(SAID, Scenario(line=Line(jitter_ms=60, loss=0.05)))
    arrivals = cast.call(0).setup.arrivals
    lost = sum(ms is None for ms in arrivals)
    assert lost / len(arrivals) == pytest.approx(0.05, abs=0.015)
    assert {ms for ms in arrivals if ms is not None} <= set(range(61))


def test_nothing_to_say_is_an_error() -> None:
    with pytest.raises(UsageError, match="nothing to say"):
        Cast([], Scenario())


@settings(deadline=None)
@given(
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(1, 30),
    st.integers(),
)
def test_every_call_can_be_held(
    pauses: float, barge_ins: float, silences: float, hang_ups: float, turns: int, number: int
) -> None:
    talk = Talk(pauses=pauses, barge_ins=barge_ins, silences=silences, hang_ups=hang_ups)
    plan(Cast(SAID, Scenario(talk=talk)).call(number, turns).script)
