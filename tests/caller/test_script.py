"""Scripts are data; their plan is what the caller does."""

from __future__ import annotations

import pytest

from voicelat.caller import BargeIn, Dtmf, HangUp, Pause, Say, Script, Silence, Step, WaitForReply
from voicelat.caller.script import AwaitVoice, Press, Utter, plan
from voicelat.errors import UsageError

TONE = b"\x80" * 800
HUSH = b"\xff" * 160


def test_speech_and_pauses_in_a_row_are_one_question() -> None:
    script: Script = [
        Say(HUSH + TONE, "is it"),
        Pause(100),
        Say(TONE + HUSH, "open"),
        WaitForReply(),
    ]
    assert plan(script) == (
        Utter((HUSH + TONE, 800, TONE + HUSH), "is it open", 160, 960 + 800 + 800),
        WaitForReply(),
        HangUp(),
    )


def test_a_barge_in_waits_for_the_agents_voice_and_takes_pauses_too() -> None:
    assert plan([BargeIn(TONE, after_ms=300, text="wait"), Pause(50), Say(TONE), HangUp()]) == (
        AwaitVoice(300, 10_000),
        Utter((TONE, 400, TONE), "wait", 0, 2000),
        HangUp(),
    )


def test_keys_are_pressed_one_after_the_other() -> None:
    assert plan([Dtmf("1#", gap_ms=50)]) == (
        Press("1"),
        Silence(50),
        Press("#"),
        Silence(50),
        HangUp(),
    )


def test_speech_nobody_can_hear_has_no_bounds() -> None:
    assert plan([Say(HUSH)])[0] == Utter((HUSH,), "", None, None)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ([Pause(10)], "step 1 .Pause.: a Pause is inside a question"),
        ([Say(TONE), WaitForReply(), Pause(10)], "step 3"),
        ([Dtmf("1x")], "not on a telephone"),
        ([Silence(-1)], "ms=-1 is negative"),
        ([WaitForReply(timeout_ms=-5)], "timeout_ms=-5"),
        ([HangUp(), Say(TONE)], "over after HangUp"),
        ([HangUp(), HangUp()], "over after HangUp"),
    ],
)
def test_a_script_that_cannot_be_done_is_refused(script: list[Step], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        plan(script)
