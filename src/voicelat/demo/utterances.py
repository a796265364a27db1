"""What the demo's callers say: a written conversation, or recordings of real people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from voicelat.audio.mulaw import BYTES_PER_MS, encode
from voicelat.audio.vad import SpeechSegmenter, VoiceDetector
from voicelat.audio.wav import read
from voicelat.caller import BargeIn, Pause, Say, Script, Silence, Step, WaitForReply
from voicelat.errors import InvalidFile, UsageError

__all__ = ["CONVERSATIONS", "Line", "Recordings", "recorded_script", "written_script"]

PAUSE_MS: Final = 250
"""The pause in the middle of a sentence: longer than the hangover, so that the turn seems over
and is re-opened."""

JOIN_MS: Final = 700
"""Recordings are cut into utterances at pauses longer than this."""

LONGEST_MS: Final = 15_000
SHORTEST_MS: Final = 300
_MARGIN_MS: Final = 60


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


@dataclass(frozen=True, slots=True)
class Recordings:
    """Utterances cut from recordings, and what could not be used."""

    utterances: tuple[bytes, ...]
    files: int
    broken: tuple[str, ...]
    """One line per file that is no WAV."""
    silent: int
    """Files without any speech."""

    @classmethod
    def load(cls, folder: Path, detector: Callable[[], VoiceDetector]) -> Recordings:
        """Cut every WAV in ``folder`` into utterances, the first channel (the caller's) only.

        Raises UsageError when there is no folder, or nothing in it that can be said.
        """
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder of WAV files")
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".wav")
        utterances: list[bytes] = []
        broken: list[str] = []
        silent = 0
        for file in files:
            try:
                audio = encode(read(file).channels[0])
            except InvalidFile as error:
                broken.append(str(error))
                continue
            found = _cut(audio, detector())
            silent += not found
            utterances += found
        if not utterances:
            why = f"; {broken[0]}" if broken else ""
            looked = f"{len(files)} looked at{why}"
            raise UsageError(f"{folder} has no WAV file with speech in it ({looked})")
        return cls(tuple(utterances), len(files), tuple(broken), silent)

    def share(self, calls: int, turns: int) -> list[list[bytes]]:
        """``turns`` utterances for each of ``calls`` calls, spread evenly over all of them."""
        wanted = calls * turns
        count = len(self.utterances)
        picked = [self.utterances[n * count // wanted % count] for n in range(wanted)]
        return [picked[call::calls] for call in range(calls)]


def _cut(audio: bytes, detector: VoiceDetector) -> list[bytes]:
    """The stretches of speech in ``audio``, pauses up to `JOIN_MS` inside them."""
    segmenter = SpeechSegmenter(detector)
    length_ms = len(audio) // BYTES_PER_MS
    edges = segmenter.push(audio, 0) + segmenter.flush(length_ms)
    spans: list[list[int]] = []
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if spans and start.at_ms - spans[-1][1] < JOIN_MS:
            joined_ms = stop.at_ms - spans[-1][0]
            if joined_ms <= LONGEST_MS:
                spans[-1][1] = stop.at_ms
                continue
        spans.append([start.at_ms, stop.at_ms])
    return [
        audio[max(0, begin - _MARGIN_MS) * BYTES_PER_MS : (end + _MARGIN_MS) * BYTES_PER_MS]
        for begin, end in spans
        if SHORTEST_MS <= end - begin <= LONGEST_MS
    ]
