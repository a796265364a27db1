"""A turn's pauses as the machine meets them, moment by moment, and what can become of each.

The words are the machine's own (`TurnText`, `Draft`); `pauses` makes columns of numbers of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Final

from voicelat.lab.truth import TruePause, TrueTurn
from voicelat.turn import events as on
from voicelat.turn.draft import Draft
from voicelat.turn.endpointing import EndpointPolicy, Patience, Pause
from voicelat.turn.trace import TraceStep
from voicelat.turn.transcript import TurnText, words_of

__all__ = ["NEVER", "Moment", "OpenPause", "Over", "walk"]

NEVER: Final = 1 << 29
"""A time that does not come: sums of two still fit in 32 bits."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What the machine knows of a pause at one of its looks."""

    at_ms: int
    event: on.Event
    text: TurnText
    final: bool = False
    heard: bool = False
    changed: bool = False
    hint: float | None = None


@dataclass(frozen=True, slots=True)
class OpenPause:
    """A judged pause with all its moments, and how the policy sees them."""

    true: TruePause
    number: int
    stop_ms: int
    until_ms: int
    voiced_ms: int
    segment_ms: int
    """Where the voice before it began."""
    moments: Sequence[Moment]
    policy: EndpointPolicy

    def judge(self, moment: Moment) -> Patience:
        """The policy's answer at this moment."""
        return self.policy.judge(Pause(self.voiced_ms, moment.text.text, moment.final, moment.hint))

    def stable_ms(self, moment: Moment) -> int:
        """When the words last changed, if the recogniser has spoken since the voice began."""
        text = moment.text
        if text.changed_ms is None or text.heard_ms is None or not text.words:
            return NEVER
        return NEVER if text.heard_ms < self.segment_ms else text.changed_ms - self.stop_ms


@dataclass(frozen=True, slots=True)
class Over:
    """A turn that is over, before the next final or hint."""

    draft: Draft
    moment: Moment
    """What the policy judges it by."""
    owed: bool
    gate_shut: bool = True
    """Whether the gate may still be shut."""

    def taken(self, later: Moment) -> Over:
        """It comes while the gate is shut: see `Floor._late_text` and `Floor.on_hint`."""
        if isinstance(later.event, on.EndpointHint):
            return replace(self, moment=replace(self.moment, hint=later.hint))
        draft, text = self._settled(later), _said(later.event)
        if not words_of(text):
            return replace(self, draft=draft, owed=False)
        words = self.moment.text.copy()
        words.put(text, 0, final=True)
        if draft.clipped:
            draft.correct(words, 0, 0)
        moment = replace(self.moment, text=words, final=True)
        return replace(self, draft=draft, owed=False, moment=moment)

    def corrected_by(self, later: Moment) -> bool:
        """Whether it has other words than the turn acted on."""
        if isinstance(later.event, on.EndpointHint):
            return False
        return bool(words_of(_said(later.event)) and self._settled(later).clipped)

    def passed_by(self, later: Moment) -> Over:
        """It comes when the gate is open: a hint is dropped, a final only counted."""
        if isinstance(later.event, on.EndpointHint):
            return replace(self, gate_shut=False)
        return replace(self, draft=self._settled(later), owed=False, gate_shut=False)

    def _settled(self, later: Moment) -> Draft:
        draft = copy(self.draft)
        draft.settle_final(_said(later.event), 0)
        return draft


def _said(event: on.Event) -> str:
    return event.text.strip() if isinstance(event, on.Partial | on.Final) else ""


def walk(steps: Sequence[TraceStep], turn: TrueTurn, policy: EndpointPolicy) -> Iterator[OpenPause]:
    """The judged pauses of a turn. The policy is told of each resumption behind its pause."""
    walk = _Walk()
    judged = {pause.stop_step: (number, pause) for number, pause in enumerate(turn.pauses)}
    begun: tuple[int, TruePause] | None = None
    for index in range(turn.first_step, turn.pauses[-1].until_step):
        step = steps[index]
        match step.event:
            case on.SpeechStarted(at_ms=at_ms):
                if begun is not None:
                    yield walk.pause(*begun, steps, policy)
                begun = None
                if walk.stop_ms is not None:
                    policy.resumed(max(0, at_ms - walk.stop_ms))
                walk.voice(at_ms)
            case on.SpeechStopped(at_ms=at_ms):
                walk.silence(at_ms, step)
                begun = judged.get(index)
            case on.Partial() | on.Final():
                walk.hear(step)
            case on.EndpointHint():
                walk.hint(step)
    if begun is not None:
        yield walk.pause(*begun, steps, policy)


class _Walk:
    """What `CallerHalf` keeps of a turn, moment by moment."""

    def __init__(self) -> None:
        self.stop_ms: int | None = None
        """Where the voice fell silent; None while it lasts."""
        self._text = TurnText()
        self._voiced_ms = 0
        self._segment_ms = 0
        self._moments: list[Moment] = []

    def voice(self, at_ms: int) -> None:
        """Voice begins or goes on."""
        self._segment_ms = at_ms
        self.stop_ms = None

    def silence(self, at_ms: int, step: TraceStep) -> None:
        """It falls silent."""
        self._voiced_ms += max(0, at_ms - self._segment_ms)
        self.stop_ms = at_ms
        text = self._text
        here = text.heard_ms is not None and text.heard_ms >= at_ms
        self._moments = [
            Moment(step.at_ms, step.event, text.copy(), final=here and not text.open, heard=here)
        ]

    def hear(self, step: TraceStep) -> None:
        """A transcript, in the pause or before it."""
        final = isinstance(step.event, on.Final)
        changed = self._text.put(_said(step.event), step.at_ms, final=final)
        if self.stop_ms is not None:
            before = self._moments[-1]
            final = final or (before.final and not changed)
            text = self._text.copy()
            self._moments.append(
                Moment(step.at_ms, step.event, text, final, True, changed, before.hint)
            )

    def hint(self, step: TraceStep) -> None:
        """A hint; outside a pause it means nothing."""
        if self.stop_ms is not None and isinstance(step.event, on.EndpointHint):
            hint = step.event.probability
            before = replace(self._moments[-1], changed=False)
            self._moments.append(replace(before, at_ms=step.at_ms, event=step.event, hint=hint))

    def pause(
        self, number: int, true: TruePause, steps: Sequence[TraceStep], policy: EndpointPolicy
    ) -> OpenPause:
        """The pause just walked through, its times counted from its begin."""
        stop_ms = self.stop_ms
        assert stop_ms is not None
        until_ms = NEVER if true.start_step is None else steps[true.start_step].at_ms - stop_ms
        return OpenPause(
            true=true,
            number=number,
            stop_ms=stop_ms,
            until_ms=until_ms,
            voiced_ms=self._voiced_ms,
            segment_ms=self._segment_ms,
            moments=[replace(moment, at_ms=moment.at_ms - stop_ms) for moment in self._moments],
            policy=policy,
        )
