"""Recorded calls: finding the files, and telling the caller's channel from the agent's.

A call is a WAV file to listen to, a trace that says already what was heard, or both: our server
writes ``NAME.wav`` beside ``NAME.trace.jsonl``, and then the trace has what really arrived and
when, and the recording where the agent spoke.
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from voicelat.audio.framing import FRAME_BYTES, FRAME_MS
from voicelat.audio.level import level_dbfs
from voicelat.audio.mulaw import BYTES_PER_MS, LINEAR, RATE, Pcm, encode
from voicelat.audio.vad import EnergyVad, SpeechSegmenter, VoiceDetector
from voicelat.audio.wav import Recording
from voicelat.errors import InvalidFile, UsageError
from voicelat.turn import events as on
from voicelat.turn.trace import Listening, Trace, TraceStep

__all__ = [
    "CALLER_SIDE",
    "Channels",
    "Source",
    "caller_side",
    "channels",
    "find",
    "read_trace",
    "voice_spans",
]

_WAV: Final = ".wav"
_TRACE: Final = ".trace.jsonl"


# -- the files --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Source:
    """One recorded call: a recording, a trace, or both."""

    name: str
    """The file's name without its ending; with the folders before it where two are the same."""
    recording: Path | None = None
    """The WAV file. None: only the trace was kept."""
    trace: Path | None = None
    """What was heard already, to be used as it is. None: the recording is to be listened to."""

    @property
    def path(self) -> Path:
        """The file to name it by: the recording, if there is one."""
        path = self.recording or self.trace
        assert path is not None, "a call is a recording or a trace"
        return path


def find(paths: Sequence[str]) -> list[Source]:
    """The calls in ``paths``: WAV files, ``*.trace.jsonl``, folders with all below them, patterns.

    Sorted by path, each once. A recording and a trace of one name in one folder are one call,
    also when only one of them is named. In folders, what is hidden (a leading dot) is left
    out. Raises UsageError for a path that is not there, for a file of another kind, and when
    nothing is found.
    """
    calls: dict[Path, Path] = {}
    for file in _files(paths):
        call = _without_ending(file)
        calls.setdefault(call.parent.resolve() / call.name, call)
    if not calls:
        raise UsageError(f"no *{_WAV} and no *{_TRACE} in {', '.join(paths) or 'no path at all'}")
    found = sorted(calls.values())
    return [
        Source(name, _beside(call, _WAV, _WAV.upper()), _beside(call, _TRACE))
        for name, call in zip(_names(found), found, strict=True)
    ]


def read_trace(path: Path) -> Trace:
    """A trace from its file. Raises InvalidFile, also when its times go back."""
    try:
        with path.open("rb") as file:
            trace = Trace.decode(file, path)
    except OSError as error:
        raise InvalidFile(path, f"cannot be read ({error.strerror})") from error
    for before, after in pairwise(trace.steps):
        if after.at_ms < before.at_ms:
            raise InvalidFile(path, f"goes back in time, from {before.at_ms} to {after.at_ms} ms")
    return trace


def _files(paths: Iterable[str]) -> Iterator[Path]:
    for given in paths:
        path = Path(given).expanduser()
        if os.path.exists(path):  # noqa: PTH110 - Path.exists raises for too long a name
            if not path.is_dir() and not _is_call(path):
                raise UsageError(f"{given} is neither *{_WAV} nor *{_TRACE}")
            yield from _below(path)
        elif glob.has_magic(given):
            # Path.glob takes no pattern that begins at the root.
            matches = glob.glob(str(path), recursive=True)  # noqa: PTH207
            if not matches:
                raise UsageError(f"nothing matches {given}")
            for match in matches:
                yield from _below(Path(match))
        else:
            raise UsageError(f"there is no file or folder {given}")


def _below(path: Path) -> Iterator[Path]:
    """``path``, if it is of a call, or all that are in the folder it is."""
    if not path.is_dir():
        yield from [path] if _is_call(path) else []
        return
    for file in path.rglob("*"):
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        if not hidden and _is_call(file) and file.is_file():
            yield file


def _is_call(file: Path) -> bool:
    return file.name.lower().endswith((_WAV, _TRACE))


def _without_ending(file: Path) -> Path:
    ending = _TRACE if file.name.lower().endswith(_TRACE) else _WAV
    return file.with_name(file.name[: -len(ending)])


def _beside(call: Path, *endings: str) -> Path | None:
    files = (call.with_name(call.name + ending) for ending in endings)
    return next((file for file in files if file.is_file()), None)


def _names(calls: Sequence[Path]) -> list[str]:
    """The last part of each path, or as many as it takes to tell it from the others."""
    names = [call.name for call in calls]
    for depth in range(2, max((len(call.parts) for call in calls), default=0) + 1):
        count = Counter(names)
        if max(count.values()) == 1:
            break
        for index, call in enumerate(calls):
            if count[names[index]] > 1:
                names[index] = "/".join(call.parts[-depth:])
    return names


# -- the channels -----------------------------------------------------------------------------

VOICED_DBFS: Final = -45.0
"""A frame this loud may be voice. The quietest telephone speech is about -40 dBFS."""

SILENT_MS: Final = 500
"""A channel with less sound than this in all of the call has nobody on it."""

_LOOKED_AT_MS: Final = 60_000
"""Who greets and who echoes shows in the first minute."""

GREETING_MS: Final = 1500
"""Who speaks this long before the other says a word greets: "hello?" into a ringing line is
shorter, "thank you for calling" longer."""

_WORD_MS: Final = 120
"""Shorter sound is a click or a breath, not somebody's first word."""

_MUTED: Final = 0.2
_NEVER_MUTED: Final = 0.05
"""Shares of frames without a single bit of noise. Machines and their telephone systems send
pure silence between two sentences (46 % of the agent's frames in the two-channel call of the
amazon-transcribe-live-call-analytics samples), a caller's line has noise (1.6 % there)."""

_SAME: Final = 0.95
_ECHO: Final = 0.7
_ECHO_DB: Final = 10.0
_LONGEST_ECHO_MS: Final = 500
"""Two channels this much alike, at any delay up to here, carry one voice; if one is this much
weaker, it carries it as an echo."""


@dataclass(frozen=True, slots=True)
class Channels:
    """A call's two sides."""

    caller: bytes
    """Mu-law."""
    agent: bytes | None
    """Mu-law, as long as the caller's. None: there is no channel with the agent alone."""
    caller_channel: int
    """Index in the file, from 0."""
    by: str
    """Why that one, in a few words."""

    @property
    def duration_ms(self) -> int:
        """Whole milliseconds, rounded down."""
        return len(self.caller) // BYTES_PER_MS


def channels(recording: Recording, caller: int | None = None, name: object = "it") -> Channels:
    """Which channel of a recording is the caller's.

    ``caller``: its index, if somebody knows. Else a mono recording is all caller; of two
    channels the caller's is 0, as in Twilio's recordings and ours, unless two things that have
    nothing to do with each other say otherwise: channel 0 speaks first and long enough for a
    greeting, and it is perfectly silent between its sentences while channel 1 is not. One of
    the two alone changes nothing (where a bot does not greet, the caller speaks first), but
    ``by`` tells it. A channel 0 that is silent or an echo stays the caller's: most often the
    caller said nothing. Two channels with the same sound are a mono recording.

    Raises InvalidFile(``name``) when ``caller`` is no channel, and for more than two channels
    when it is None.
    """
    pcm = recording.channels
    if caller is not None:
        if not 0 <= caller < len(pcm):
            has = "1 channel" if len(pcm) == 1 else f"{len(pcm)} channels"
            raise InvalidFile(
                name, f"has {has}, so the caller's cannot be {caller} (the first is 0)"
            )
        agent = encode(pcm[1 - caller]) if len(pcm) == 2 else None
        return Channels(encode(pcm[caller]), agent, caller, "told")
    if len(pcm) == 1:
        return Channels(encode(pcm[0]), None, 0, "mono")
    if len(pcm) > 2:
        raise InvalidFile(name, f"has {len(pcm)} channels; say which one is the caller's")
    return _of_two(encode(pcm[0]), encode(pcm[1]))


def voice_spans(mulaw: bytes, detector: VoiceDetector) -> list[tuple[int, int]]:
    """Where there is voice, begin and end in ms, by a detector that has heard nothing yet."""
    segmenter = SpeechSegmenter(detector)
    edges = segmenter.push(mulaw, 0) + segmenter.flush(len(mulaw) // BYTES_PER_MS)
    return [(a.at_ms, b.at_ms) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _of_two(left: bytes, right: bytes) -> Channels:
    silent = [_sound_ms(side) < SILENT_MS for side in (left, right)]
    if all(silent):
        return Channels(left, right, 0, "channel 0 by convention, both are silent")
    if silent[1]:
        return Channels(left, right, 0, "channel 1 is silent")
    if silent[0]:
        return Channels(left, right, 0, "channel 0 by convention, though it is silent")
    likeness, delay_ms = _likeness(left, right)
    weaker_db = level_dbfs(right) - level_dbfs(left)
    if likeness >= _ECHO and abs(weaker_db) >= _ECHO_DB:
        echo = 0 if weaker_db > 0 else 1
        said = f"though it is an echo ({delay_ms} ms) of channel 1" if echo == 0 else "1 echoes it"
        return Channels(left, right, 0, f"channel 0 by convention, {said}")
    if likeness >= _SAME:
        return Channels(left, None, 0, "mono: both channels are the same")
    return _by_manners(left, right)


def _by_manners(left: bytes, right: bytes) -> Channels:
    """Two people, or a person and a machine: see `channels`."""
    greets = _greets(left, right)
    muted = _muted(left, right)
    if greets == muted == 0:
        by = "channel 1: the other speaks first, and is muted between sentences"
        return Channels(right, left, 1, by)
    seen = [
        f"channel {agent} {manner}"
        for agent, manner in ((greets, "speaks first"), (muted, "is muted between sentences"))
        if agent is not None
    ]
    if not seen:
        return Channels(left, right, 0, "channel 0 by convention")
    agrees = 0 not in (greets, muted)
    by = "channel 0" if agrees else "channel 0 by convention, though not surely"
    return Channels(left, right, 0, f"{by}: {', '.join(seen)}")


def _sound_ms(mulaw: bytes) -> int:
    """How much of it is loud enough for voice."""
    samples = LINEAR[np.frombuffer(mulaw, np.uint8)].astype(np.float32) / np.float32(32768)
    whole = len(samples) - len(samples) % FRAME_BYTES
    power = np.square(samples[:whole]).reshape(-1, FRAME_BYTES).mean(axis=1)
    return int((power > 10 ** (VOICED_DBFS / 10)).sum()) * FRAME_MS


def _likeness(left: bytes, right: bytes) -> tuple[float, int]:
    """The highest normalised cross-correlation of the first minute, 0..1, and its delay in ms."""
    first: list[Pcm] = [
        LINEAR[np.frombuffer(side[: _LOOKED_AT_MS * BYTES_PER_MS], np.uint8)]
        for side in (left, right)
    ]
    longest = _LONGEST_ECHO_MS * BYTES_PER_MS
    size = 1 << (len(first[0]) + longest).bit_length()
    a, b = (np.fft.rfft(side.astype(np.float64), size) for side in first)
    norm = float(np.prod([np.linalg.norm(side.astype(np.float64)) for side in first]))
    if norm == 0:
        return 0.0, 0
    product = np.abs(np.fft.irfft(a * np.conj(b), size)) / norm
    near = np.concatenate([product[-longest:], product[: longest + 1]])
    peak = int(near.argmax())
    return float(near[peak]), abs(peak - longest) * 1000 // RATE


def _greets(left: bytes, right: bytes) -> int | None:
    """The channel whose voice alone is heard first, for `GREETING_MS` at least."""
    first_minute = _LOOKED_AT_MS * BYTES_PER_MS
    words = sorted(
        (begin, end, channel)
        for channel, side in enumerate((left, right))
        for begin, end in voice_spans(side[:first_minute], EnergyVad())
        if end - begin >= _WORD_MS
    )
    if not words:
        return None
    first = words[0][2]
    until_ms = next((begin for begin, _, channel in words if channel != first), _LOOKED_AT_MS)
    alone_ms = sum(min(end, until_ms) - begin for begin, end, _ in words if begin < until_ms)
    return first if alone_ms >= GREETING_MS else None


def _muted(left: bytes, right: bytes) -> int | None:
    """The channel that is perfectly silent between its sentences, if the other never is."""
    shares = [_silent_share(side) for side in (left, right)]
    if shares[0] >= _MUTED and shares[1] <= _NEVER_MUTED:
        return 0
    if shares[1] >= _MUTED and shares[0] <= _NEVER_MUTED:
        return 1
    return None


def _silent_share(mulaw: bytes) -> float:
    samples = LINEAR[np.frombuffer(mulaw, np.uint8)]
    whole = len(samples) - len(samples) % FRAME_BYTES
    frames = samples[:whole].reshape(-1, FRAME_BYTES)
    return float((frames == 0).all(axis=1).mean()) if len(frames) else 0.0


# -- live traces ------------------------------------------------------------------------------

CALLER_SIDE: Final = (
    on.SpeechStarted,
    on.SpeechStopped,
    on.Partial,
    on.Final,
    on.EndpointHint,
    on.Dtmf,
)
"""What a recording can tell of a caller while the call lasts. Everything else in a trace is about
replies, or its end."""


def caller_side(trace: Trace, listening: Listening | None = None) -> Trace:
    """What came from the caller, without what the agent of the time did, for a simulation.

    Without effects, too: another agent has others. ``listening``: what the header shall say
    (where the agent spoke); None leaves it as it is.
    """
    steps = [
        TraceStep(at_ms=step.at_ms, event=step.event)
        for step in trace.steps
        if isinstance(step.event, (*CALLER_SIDE, on.StreamStopped))
    ]
    header = trace.header
    if listening is not None:
        header = msgspec.structs.replace(header, listening=listening)
    return Trace(header, steps, trace.torn)
