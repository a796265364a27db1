"""What the demo's callers say."""

from __future__ import annotations

import pytest

from voicelat.audio.mulaw import silence
from voicelat.caller import BargeIn, Pause, Say, WaitForReply
from voicelat.caller.script import plan
from voicelat.demo.utterances import (
    CONVERSATIONS,
    Line,
    recorded_script,
    written_script,
)


@pytest.mark.parametrize("lines", CONVERSATIONS)
def test_every_conversation_has_a_pause_and_a_barge_in_and_can_be_held(
    lines: tuple[Line, ...],
) -> None:
    script = written_script(lines, lambda _text: silence(500))
    plan(script)
    assert sum(isinstance(step, BargeIn) for step in script) == 1
    assert sum(isinstance(step, Pause) for step in script) == 1


def test_a_barge_in_takes_the_place_of_the_wait_before_it() -> None:
    script = recorded_script([b"a", b"b", b"c"])
    kinds = [type(step) for step in script]
    assert kinds[:6] == [WaitForReply, Say, WaitForReply, Say, BargeIn, WaitForReply]
