"""Policies: how long to wait, asked whenever the pause changes."""

from __future__ import annotations

from tests.turn.scenario import Scenario, utterance, voice

from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.endpointing import AS_SET, Endpointing, Fixed, Patience, Pause, endpointing


class ByText:
    """Waits long where the text looks unfinished or the hint doubts; notes what it is told."""

    def __init__(self) -> None:
        self.asked: list[Pause] = []
        self.told: list[int] = []

    def judge(self, pause: Pause) -> Patience:
        self.asked.append(pause)
        unfinished = pause.text.endswith("and") or (pause.hint is not None and pause.hint < 0.5)
        return Patience(least_ms=1200, speculate=False) if unfinished else AS_SET

    def resumed(self, pause_ms: int) -> None:
        self.told.append(pause_ms)


def test_patience_multiplies_the_waits_down_to_a_least() -> None:
    assert endpointing(160, 500, AS_SET) == Endpointing(160, 500)
    assert endpointing(160, 500, Patience(times=0.5)) == Endpointing(80, 250)
    assert endpointing(160, 500, Patience(2.0, 400, speculate=False)) == Endpointing(
        400, 1000, False
    )


def test_fixed_is_as_set_for_every_pause() -> None:
    assert Fixed().judge(Pause(0, "", False, None)) == AS_SET
    assert Fixed().judge(Pause(9000, "and", True, 0.1)) == AS_SET


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


def test_a_hint_moves_the_gate_of_a_turn_that_is_over() -> None:
    call = Scenario(ByText(), speak_gate_ms=600).play(*utterance(1000, 2000, "a table", 2050))
    call.play((2300, on.EndpointHint(0.1))).wait(3199)
    assert call.all(do.StartReply), "the work goes on"
    assert not call.all(do.CommitReply)
    call.wait(3200)
    assert call.at(do.CommitReply) == 3200
    call.play((3210, on.EndpointHint(0.9)))
    assert call.machine.dropped["hint outside a pause"] == 1


def test_a_corrected_text_is_judged_anew() -> None:
    call = Scenario(ByText(), speak_gate_ms=600).play(*utterance(1000, 2000, "a table"))
    call.play((2400, on.Final("a table and"))).wait(3199)
    assert not call.all(do.CommitReply)
    call.wait(3200)
    assert call.at(do.CommitReply) == 3200


def test_no_work_begins_early_where_the_policy_forbids_it() -> None:
    policy = ByText()
    call = Scenario(policy, hangover_ms=900).play(*utterance(1000, 2000, "a table and", 2050))
    call.wait(3199)
    assert not call.all(do.StartReply)
    call.wait(3200)
    assert call.at(do.StartReply) == 3200


def test_a_policy_is_told_of_the_pauses_after_which_the_caller_went_on() -> None:
    policy = ByText()
    call = Scenario(policy, hangover_ms=300, speak_gate_ms=900)
    call.play(*utterance(1000, 2000, "a table"), *voice(2200, 2400))
    assert policy.told == [200], "in the pause"
    call.play((2700, on.Final("for")), (2900, on.SpeechStarted(2900))).wait(3300)
    assert call.all(do.CancelReply)
    assert policy.told == [200, 500], "re-opened"
    call.play((3400, on.SpeechStopped(3400)), (3450, on.Final("two"))).sound(4300)
    call.play((4350, on.SpeechStarted(4350))).wait(4800)
    assert call.record.cutoff
    assert policy.told == [200, 500, 950], "cut off"
    call.play((4900, on.SpeechStopped(4900)), (4950, on.Final("please"))).answered(5900)
    call.play(*voice(9000, 9500))
    assert policy.told == [200, 500, 950], "an answer was due"


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
