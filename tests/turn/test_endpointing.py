"""Policies: how long to wait, asked whenever the pause changes."""

from __future__ import annotations

from tests.turn.scenario import Scenario, utterance, voice

from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.endpointing import Endpointing, FixedHangover, Pause


class ByText:
    """Waits long where the text looks unfinished or the hint doubts, and notes the pauses."""

    def __init__(self) -> None:
        self.asked: list[Pause] = []

    def decide(self, pause: Pause) -> Endpointing:
        self.asked.append(pause)
        unfinished = pause.text.endswith("and") or (pause.hint is not None and pause.hint < 0.5)
        return Endpointing(1000, 1200) if unfinished else Endpointing(200, 200)


def test_the_fixed_hangover_is_the_same_for_every_pause() -> None:
    policy = FixedHangover(300, 500)
    assert policy.decide(Pause(0, "", False, None)) == Endpointing(300, 500)
    assert policy.decide(Pause(9000, "and", True, 0.1)) == Endpointing(300, 500)


def test_a_policy_is_asked_again_when_the_text_changes() -> None:
    policy = ByText()
    call = Scenario(policy).play(*voice(1000, 2000), (2100, on.Partial("a table and"))).wait(2300)
    assert not call.all(do.CommitReply)
    call.play((2310, on.Partial("a table and chairs"))).wait(2370)
    assert call.at(do.CommitReply) == 2370, "the short hangover has passed already"
    assert [pause.text for pause in policy.asked] == ["", "a table and", "a table and chairs"]
    assert policy.asked[0] == Pause(voiced_ms=1000, text="", final=False, hint=None)


def test_a_policy_is_asked_again_when_a_hint_comes() -> None:
    call = Scenario(ByText()).play(*utterance(1000, 2000, "a table", 2050))
    call.play((2100, on.EndpointHint(0.2))).wait(2900)
    assert not call.all(do.CommitReply)
    call.play((2950, on.EndpointHint(0.9)))
    assert call.at(do.CommitReply) == 2950


def test_a_hint_outside_a_pause_is_counted_and_changes_nothing() -> None:
    call = Scenario().play((1000, on.EndpointHint(0.9)), (1100, on.SpeechStarted(1100)))
    call.play((1200, on.EndpointHint(0.9)))
    assert call.machine.dropped["hint outside a pause"] == 2
    assert call.effects == []


def test_the_speak_gate_delays_the_reply_not_the_work() -> None:
    call = Scenario(speak_gate_ms=600).play(*utterance(1000, 2000, "a table", 2100)).wait(2599)
    assert call.at(do.StartReply) < 2160
    assert not call.all(do.CommitReply)
    call.wait(2600)
    assert call.at(do.CommitReply) == 2600
    stamps = call.answered(2610).record.stamps
    assert (stamps.turn_end, stamps.gate_open) == (2160, 2600)


def test_a_gate_that_has_passed_opens_when_the_turn_is_over() -> None:
    call = Scenario(speak_gate_ms=100).play(*utterance(1000, 2000, "a table", 2100)).wait(2160)
    assert call.at(do.CommitReply) == 2160


def test_without_voice_the_gate_counts_from_the_end_of_the_turn() -> None:
    call = Scenario(speak_gate_ms=600).play((1000, on.Final("hello"))).wait(5000)
    assert call.at(do.CommitReply) == 1000 + 160 + 600


def test_a_key_is_new_text_for_the_policy_too() -> None:
    call = Scenario(ByText()).play(*utterance(1000, 2000, "press one and", 2050))
    call.play((2100, on.Dtmf("1"))).wait(5000)
    assert call.at(do.CommitReply) == 2100 + 1500, "not held back by the gate of 'and'"
