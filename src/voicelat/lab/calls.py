"""From what was heard to calls that can be judged: each with its truth, or why it has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from voicelat.audio import wav
from voicelat.errors import UsageError
from voicelat.lab.labels import find_labels, read_labels
from voicelat.lab.listen import Broken, Heard, Listened
from voicelat.lab.realtime import SpokenCall, utterances
from voicelat.lab.recordings import Source, caller_side, channels
from voicelat.lab.truth import Truth, cut_off_ms, derived, labelled
from voicelat.turn.trace import Trace, TraceStep

__all__ = ["Calls", "JudgedCall", "judgeable", "judged_calls", "spoken_calls", "traces_of"]


@dataclass(frozen=True, slots=True)
class JudgedCall:
    """One call with its truth."""

    call_id: str
    steps: Sequence[TraceStep]
    """The caller's side."""
    truth: Truth


@dataclass(frozen=True, slots=True)
class Calls:
    """All calls that could be read."""

    judged: list[JudgedCall]
    """In the order of their sources; those without a true turn too."""
    broken: list[str]
    """One line per call that could not be read, or heard."""
    notes: list[str]
    """One line per thing worth knowing about a call."""

    def must_have_turns(self) -> None:
        """Raises UsageError, with what was found instead, where no call has a true turn."""
        if any(call.truth.turns for call in self.judged):
            return
        found: Counter[str] = Counter()
        for call in self.judged:
            found.update(call.truth.left_out)
        reasons = [f"{count} {why}" for why, count in found.most_common()] + self.broken[:1]
        heard = f" ({'; '.join(reasons)})" if reasons else ""
        raise UsageError(
            f"no turn to judge by: give recordings with two channels, or labels{heard}"
        )


def judged_calls(heard: Sequence[Heard], labels: Path | None = None) -> Calls:
    """Give every call its truth: by its labels where it has some, else by who spoke next.

    ``labels``: the folder of the labels files, None looks beside each recording. A labels file
    that is none makes its call broken. Raises UsageError when there is no such folder.
    """
    calls = Calls([], [], [])
    for one in heard:
        if isinstance(one, Broken):
            calls.broken.append(one.why)
            continue
        calls.notes.extend(one.notes)
        file = find_labels(one.source.path, labels)
        try:
            calls.judged.append(_judged(one, file))
        except UsageError as error:
            calls.broken.append(str(error))
    return calls


def judgeable(sources: Sequence[Source], labels: Path | None = None) -> list[Source]:
    """The calls that can have a truth: nobody knows who spoke next in a mono recording without
    labels, so there is no need to listen to it.

    Raises UsageError when there is no folder ``labels``.
    """
    return [
        source
        for source in sources
        if find_labels(source.path, labels) is not None
        or source.recording is None
        or not wav.is_mono(source.recording)
    ]


def traces_of(heard: Sequence[Heard]) -> tuple[list[Trace], list[str]]:
    """The caller's side of every call, and one line per call that could not be read."""
    good = [one for one in heard if isinstance(one, Listened)]
    broken = [one.why for one in heard if isinstance(one, Broken)]
    return [caller_side(one.trace, one.listening) for one in good], broken


def spoken_calls(
    heard: Sequence[Heard], labels: Path | None, caller: int | None
) -> tuple[list[SpokenCall], list[str]]:
    """What each caller says, turn by turn, and one line per call that gives nothing to say.

    ``caller``: as it was for listening. Raises UsageError as `judged_calls`.
    """
    calls: list[SpokenCall] = []
    left: list[str] = []
    for one in heard:
        found = judged_calls([one], labels)
        left += found.broken
        for call in found.judged:
            assert isinstance(one, Listened)
            if one.source.recording is None:
                left.append(f"{one.source.path}: a trace alone has no audio to play")
            elif not call.truth.turns:
                why = ", ".join(call.truth.left_out) or "no speech"
                left.append(f"{one.source.path}: no true turn in it ({why})")
            else:
                sides = channels(wav.read(one.source.recording), caller, one.source.recording)
                pieces = utterances(call.steps, call.truth, sides.caller)
                calls.append(SpokenCall(call.call_id, pieces))
    return calls, left


def _judged(one: Listened, labels: Path | None) -> JudgedCall:
    steps = caller_side(one.trace, one.listening).steps
    if labels is not None:
        truth = labelled(steps, read_labels(labels))
    else:
        agent_voice = None if one.listening is None else one.listening.agent_voice
        truth = derived(steps, agent_voice, one.audio_ms, cut_off_ms(one.trace))
    return JudgedCall(one.source.name, steps, truth)
