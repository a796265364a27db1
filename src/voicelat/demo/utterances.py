"""What the demo's callers say: a written conversation, or recordings of real people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from voicelat.caller import BargeIn, Pause, Say, Script, Silence, Step, WaitForReply

__all__ = ["CONVERSATIONS", "Line", "recorded_script", "written_script"]

PAUSE_MS: Final = 250
"""The pause in the middle of a sentence: longer than the hangover, so that the turn seems over
and is re-opened."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing a caller says: in one go, with a pause in the middle, or into the reply."""

    text: str
    after_pause: str = ""
    into_reply: bool = False


CONVERSATIONS: Final[tuple[tuple[Line, ...], ...]] = (
    (
        Line("What time do you open on Saturday?"),
        Line("Is it possible", after_pause="to come in on Tuesday morning?"),
        Line("How much does an oil change cost?"),
        Line("What about winter tires?", into_reply=True),
        Line("Thank you and goodbye."),
    ),
    (
        Line("Where are you located?"),
        Line("Can I talk to somebody", after_pause="about my last bill?"),
        Line("Do you work on electric cars?"),
        Line("I mean hybrid cars.", into_reply=True),
        Line("That is all for today."),
    ),
    (
        Line("I need to cancel my appointment."),
        Line("It was on Thursday", after_pause="at two thirty in the afternoon."),
        Line("Can you call me back tomorrow?"),
        Line("Better on Friday afternoon.", into_reply=True),
        Line("Thanks for your help."),
    ),
)
"""Each has a question, a mid-sentence pause, and a barge-in."""


def written_script(lines: Sequence[Line], audio: Callable[[str], bytes]) -> Script:
    """A call that says ``lines``; ``audio`` gives the mu-law of a text."""
    steps: list[Step] = [WaitForReply()]
    for line in lines:
        if line.into_reply:
            steps[-1] = BargeIn(audio(line.text), after_ms=600, text=line.text)
        else:
            steps.append(Say(audio(line.text), line.text))
        if line.after_pause:
            steps += [Pause(PAUSE_MS), Say(audio(line.after_pause), line.after_pause)]
        steps.append(WaitForReply())
    return [*steps, Silence(300)]


def recorded_script(utterances: Sequence[bytes]) -> Script:
    """A call that says recorded utterances; the third, if there is one, into the reply."""
    steps: list[Step] = [WaitForReply()]
    for number, utterance in enumerate(utterances):
        if number == 2:
            steps[-1] = BargeIn(utterance, after_ms=600)
        else:
            steps.append(Say(utterance))
        steps.append(WaitForReply())
    return [*steps, Silence(300)]
