"""Which pauses of a caller were the end of a turn: from labels, or from who spoke next.

A *hold* is a pause after which the caller goes on in the same turn, a *shift* one after which
the other side speaks. A true turn is its holds and the shift that ends it.

Labels say where turns ended; the voice detector's pauses are matched to them. Without labels
the second channel tells (`derived`): where the agent took the floor, the turn was over. That is
what the agent of the recording thought, so it inherits its mistakes: an agent that interrupts
makes a shift, unless its own trace says that it cut the caller off; and a caller who asks
"hello?" after a long silence makes a hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Final, Literal

from msgspec import Struct

from voicelat.lab.labels import LabelledTurn, Labels
from voicelat.turn.effects import TurnClosed
from voicelat.turn.events import SpeechStarted, SpeechStopped
from voicelat.turn.trace import Trace, TraceStep

__all__ = [
    "MIN_PAUSE_MS",
    "NOBODY_KNOWS",
    "TruePause",
    "TrueTurn",
    "Truth",
    "cut_off_ms",
    "derived",
    "labelled",
]

MIN_PAUSE_MS = 100
"""Shorter silences are gaps between words (livekit/eot-bench labels pauses from 100 ms on)."""

TOLERANCE_MS: Final = 200
"""How far a label and the voice detector may be apart. Their edges differ by tens of ms, people
are slower; the usual gap between two speakers is as long (Stivers et al. 2009)."""

BRIDGE_MS: Final = 300
"""Agent voice with gaps shorter than this is one stretch: breath and the closures of words."""

BACKCHANNEL_MS: Final = 400
"""Agent voice shorter than this, gaps not counted, is a "mhm" and takes no floor."""

OVERLAP_MS: Final = 200
"""Agent voice this long before the caller's end still answers it: people begin a little early."""

OVER_AFTER_MS: Final = 1000
"""A recording that goes on in silence for this long after the caller's last word heard its end."""

OVER_AGENT: Final = "while the agent spoke"
RECORDING_ENDS: Final = "cut off by the end of the recording"
NOBODY_KNOWS: Final = "no labels and no second channel"
NO_LABEL: Final = "no label"
NOT_DETECTED: Final = "not detected"
NO_PAUSE: Final = "no pause at the labelled end"


class TruePause(Struct, frozen=True):
    """One pause inside or behind a turn. The steps are indices into the trace's steps."""

    stop_step: int
    """The step whose `SpeechStopped` begins it."""
    start_step: int | None
    """The step whose `SpeechStarted` ends it. None for a shift: nobody is cut off any more."""
    until_step: int
    """The first step behind the pause: what the recogniser says before it belongs to it."""
    hold: bool

    @property
    def kind(self) -> Literal["hold", "shift"]:
        """In the field's words."""
        return "hold" if self.hold else "shift"


class TrueTurn(Struct, frozen=True):
    """A turn as it really was: its judged pauses in order, the last one its shift."""

    first_step: int
    """The step whose `SpeechStarted` begins it."""
    pauses: tuple[TruePause, ...]


class Truth(Struct, frozen=True):
    """All true turns of one call."""

    turns: tuple[TrueTurn, ...]
    by: Literal["labels", "derived"]
    left_out: dict[str, int]
    """Utterances that are in no turn, by why: ``while the agent spoke``, ``cut off by the end of
    the recording`` (the whole turn, as nobody knows its end), ``no labels and no second
    channel``, ``no label``, ``no pause at the labelled end`` (the detector heard voice across
    it). Beside them what is no utterance: labelled turns that were ``not detected``, and voice
    edges that change nothing (``voice while speaking``, ``silence while silent``)."""


class _Utterance(Struct):
    """Speech between two pauses. Silences too short to be one stay inside."""

    first_step: int
    start_ms: int
    stop_ms: int
    """Acoustic end; the time of the last step where there is none."""
    stop_step: int | None = None
    """None: still speaking when the trace ends."""


_Span = tuple[int, int]
_Stretch = list[_Span]
"""Agent voice whose gaps are bridged, as the spans of voice in it."""


def labelled(steps: Sequence[TraceStep], labels: Labels) -> Truth:
    """The true turns of one call by its labels. ``steps``: at least the caller's voice edges.

    An utterance belongs to the labelled turn that it overlaps most, by more than
    `TOLERANCE_MS` or by half of itself or of the turn. The pause behind the last one is the
    shift, when the labelled end lies in it, give or take `TOLERANCE_MS`; the others are holds.
    """
    left_out: Counter[str] = Counter()
    utterances = _utterances(steps, left_out)
    owners = [_owner(utterance, labels.turns) for utterance in utterances]
    left_out[NO_LABEL] += owners.count(None)
    turns: list[TrueTurn] = []
    for number, label in enumerate(labels.turns):
        # Without a gap: utterances are in order, and one between two of a turn lies inside it.
        own = [index for index, owner in enumerate(owners) if owner == number]
        if not own:
            left_out[NOT_DETECTED] += 1
        elif (problem := _no_shift(utterances, own[-1], label)) is not None:
            left_out[problem] += len(own)
        else:
            turns.append(_turn(utterances, own[0], own[-1], len(steps)))
    return Truth(tuple(turns), "labels", dict(+left_out))


def derived(
    steps: Sequence[TraceStep],
    agent_voice: Sequence[_Span] | None,
    duration_ms: int,
    cut_off: Collection[int] = (),
) -> Truth:
    """The true turns of one call by who spoke next. ``steps``: at least the caller's voice edges.

    ``agent_voice``: begin and end in ms of where the agent spoke, on the steps' clock; None:
    nobody knows, so there are no turns. ``duration_ms``: of the recording. ``cut_off``: where
    the caller's voice fell silent and the agent spoke too early (see `cut_off_ms`): holds,
    whoever spoke next.
    """
    left_out: Counter[str] = Counter()
    utterances = _utterances(steps, left_out)
    if agent_voice is None:
        left_out[NOBODY_KNOWS] += len(utterances)
        return Truth((), "derived", dict(+left_out))
    talks = _talks(agent_voice)
    held = _held(utterances, cut_off)
    own = [
        index
        for index, utterance in enumerate(utterances)
        if index in held or index - 1 in held or not _inside(utterance, talks)
    ]
    turns: list[TrueTurn] = []
    first: int | None = None
    """The utterance that began the turn the caller holds; None while the caller holds none."""
    for here, after in pairwise([*own, None]):
        assert here is not None  # only the last of the list is None
        first = here if first is None else first
        resumed_ms = None if after is None else utterances[after].start_ms
        if here not in held and _over(utterances[here], resumed_ms, talks, duration_ms):
            turns.append(_turn(utterances, first, here, len(steps)))
            first = None
        elif after is None:
            left_out[RECORDING_ENDS] += here - first + 1
    # Not simply all that is not in `own`: talk over the agent inside a hold went on with it.
    judged = sum(len(turn.pauses) for turn in turns)
    left_out[OVER_AGENT] += len(utterances) - judged - left_out[RECORDING_ENDS]
    return Truth(tuple(turns), "derived", dict(+left_out))


def cut_off_ms(trace: Trace) -> tuple[int, ...]:
    """Where the turns that the agent cut off seemed to end, by the records in a live trace.

    Empty for a trace without effects.
    """
    records = (
        effect.record
        for step in trace.steps
        for effect in step.effects or ()
        if isinstance(effect, TurnClosed)
    )
    ends = (record.stamps.speech_end for record in records if record.cutoff)
    return tuple(end_ms for end_ms in ends if end_ms is not None)


# -- the caller's voice -----------------------------------------------------------------------


def _utterances(steps: Sequence[TraceStep], strays: Counter[str]) -> list[_Utterance]:
    """What the caller said, in order and apart, as the machine would take the edges: a second
    start or stop changes nothing (and is counted), an instant never lies before the last."""
    found: list[_Utterance] = []
    speaking = False
    for index, step in enumerate(steps):
        match step.event:
            case SpeechStarted(at_ms=at_ms) if not speaking:
                speaking = True
                if not found or at_ms - found[-1].stop_ms >= MIN_PAUSE_MS:
                    found.append(_Utterance(index, at_ms, at_ms + 1))
            case SpeechStopped(at_ms=at_ms) if speaking:
                speaking = False
                last = found[-1]
                last.stop_step, last.stop_ms = index, max(at_ms, last.stop_ms)
            case SpeechStarted():
                strays["voice while speaking"] += 1
            case SpeechStopped():
                strays["silence while silent"] += 1
    if speaking:
        last = found[-1]
        last.stop_step, last.stop_ms = None, max(steps[-1].at_ms, last.stop_ms)
    return found


def _turn(utterances: list[_Utterance], first: int, last: int, end_step: int) -> TrueTurn:
    """The turn of the utterances from ``first`` to ``last``; a shift is behind the last."""
    pauses: list[TruePause] = []
    for index in range(first, last + 1):
        stop_step = utterances[index].stop_step
        assert stop_step is not None  # a turn's last utterance was heard out
        following = index + 1
        until = utterances[following].first_step if following < len(utterances) else end_step
        hold = index < last
        pauses.append(TruePause(stop_step, until if hold else None, until, hold))
    return TrueTurn(utterances[first].first_step, tuple(pauses))


# -- by labels --------------------------------------------------------------------------------


def _owner(utterance: _Utterance, turns: list[LabelledTurn]) -> int | None:
    """The index of the labelled turn that the utterance belongs to."""
    if not turns:
        return None
    begin_ms, end_ms = utterance.start_ms, utterance.stop_ms
    shared = [_shared_ms((turn.start_ms, turn.end_ms), begin_ms, end_ms) for turn in turns]
    most_ms = max(shared)
    index = shared.index(most_ms)
    shorter_ms = min(end_ms - begin_ms, turns[index].end_ms - turns[index].start_ms)
    return index if most_ms > TOLERANCE_MS or 2 * most_ms >= shorter_ms else None


def _no_shift(utterances: list[_Utterance], last: int, label: LabelledTurn) -> str | None:
    """Why the pause behind a turn's ``last`` utterance is not where it ended; None: it is."""
    if utterances[last].stop_step is None:
        return RECORDING_ENDS
    if utterances[last].stop_ms > label.end_ms + TOLERANCE_MS:
        return NO_PAUSE
    after = utterances[last + 1 : last + 2]
    if after and after[0].start_ms < label.end_ms - TOLERANCE_MS:
        return NO_PAUSE
    return None


# -- by who spoke next ------------------------------------------------------------------------


def _talks(voice: Sequence[_Span]) -> list[_Stretch]:
    """The stretches in which the agent said something, more than a backchannel."""
    stretches: list[_Stretch] = []
    for begin_ms, end_ms in sorted(voice):
        if not stretches or begin_ms - stretches[-1][-1][1] >= BRIDGE_MS:
            stretches.append([(begin_ms, end_ms)])
        elif begin_ms > stretches[-1][-1][1]:
            stretches[-1].append((begin_ms, end_ms))
        else:
            last_begin_ms, last_end_ms = stretches[-1][-1]
            stretches[-1][-1] = (last_begin_ms, max(last_end_ms, end_ms))
    return [
        stretch
        for stretch in stretches
        if sum(end_ms - begin_ms for begin_ms, end_ms in stretch) >= BACKCHANNEL_MS
    ]


def _inside(utterance: _Utterance, talks: list[_Stretch]) -> bool:
    """Whether it lies wholly inside the agent's talk: a backchannel, or an interruption that
    failed. A caller who goes on after the agent stopped has the floor."""
    return any(
        talk[0][0] <= utterance.start_ms and utterance.stop_ms <= talk[-1][1] for talk in talks
    )


def _held(utterances: list[_Utterance], cut_off: Collection[int]) -> set[int]:
    """The utterances in whose pause one of these instants lies, and behind which another is."""
    return {
        index
        for index, (here, after) in enumerate(pairwise(utterances))
        if any(here.stop_ms <= at_ms < after.start_ms for at_ms in cut_off)
    }


def _over(
    utterance: _Utterance, resumed_ms: int | None, talks: list[_Stretch], duration_ms: int
) -> bool:
    """Whether the turn was over behind an utterance. ``resumed_ms``: when the caller had the
    floor again; None: never in this recording."""
    if utterance.stop_step is None:
        return False
    begin_ms = utterance.stop_ms - OVERLAP_MS
    for talk in talks:
        until_ms = talk[-1][1] if resumed_ms is None else resumed_ms
        if sum(_shared_ms(span, begin_ms, until_ms) for span in talk) >= BACKCHANNEL_MS:
            return True
    return resumed_ms is None and duration_ms - utterance.stop_ms >= OVER_AFTER_MS


def _shared_ms(span: _Span, begin_ms: int, end_ms: int) -> int:
    """How long ``span`` and the time from ``begin_ms`` to ``end_ms`` overlap."""
    return max(0, min(span[1], end_ms) - max(span[0], begin_ms))
