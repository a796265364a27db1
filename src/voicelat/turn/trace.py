"""A trace: everything that entered the machine of one call, and what left it.

One JSON object a line. Line 1 is the `TraceHeader`; each line after it a `TraceStep`. The list
of ``(at_ms, event)`` is production trace, regression test, replay input and bug report at once:
`replay` over the same settings must give the same effects, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeVar

import msgspec

from voicelat.errors import InvalidFile
from voicelat.metrics.record import SCHEMA, CallInfo
from voicelat.turn.config import TurnConfig
from voicelat.turn.effects import Effect
from voicelat.turn.endpointing import EndpointPolicy
from voicelat.turn.events import Event
from voicelat.turn.machine import TurnMachine

__all__ = [
    "Difference",
    "Listening",
    "Trace",
    "TraceHeader",
    "TraceStep",
    "encode_line",
    "replay",
]


class Listening(msgspec.Struct, frozen=True, kw_only=True):
    """How a caller-side trace came about: a recording, and who listened to it afterwards."""

    recording: str
    """Name of the file."""
    duration_ms: int
    caller_channel: int
    """Index of the caller's channel, from 0."""
    channels_by: str
    """Why that one: ``told``, ``mono``, ``agent speaks first``, ..."""
    agent_voice: list[tuple[int, int]] | None
    """Where the agent spoke, begin and end in ms. None: a mono recording, nobody knows."""
    ears: dict[str, str]
    """What listened: ``stt``, ``vad``, ``language``, ``turn_model``; and what went wrong with it:
    ``reopened`` (recogniser streams), ``hints``."""
    lag_ms: dict[str, float] = {}
    """What the recogniser took, measured: ``n``, ``p50``, ``p95`` of pause to text."""


class TraceHeader(msgspec.Struct, frozen=True, kw_only=True):
    """Line 1: what is needed to build the same machine again."""

    schema: Literal[1] = SCHEMA
    call: CallInfo
    turn: TurnConfig
    voicelat: str
    """The version that wrote it."""
    listening: Listening | None = None
    """None: the trace of a live call. Else its steps are the caller's side only."""


class TraceStep(msgspec.Struct, frozen=True, kw_only=True):
    """One event and its effects. ``effects`` is None where nobody recorded them."""

    at_ms: int
    event: Event
    effects: list[Effect] | None = None


class Trace(msgspec.Struct, frozen=True):
    """A whole trace. ``torn``: its last line was cut off (a killed process) and left out."""

    header: TraceHeader
    steps: list[TraceStep]
    torn: bool = False

    @classmethod
    def decode(cls, lines: Iterable[bytes], source: object) -> Trace:
        """Read a trace's lines. Raises InvalidFile(source) that names the line at fault."""
        rows = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
        if not rows:
            raise InvalidFile(source, "empty: a trace begins with a header line")
        header = _decode(_HEADER, rows[0][1], source, rows[0][0])
        steps: list[TraceStep] = []
        for number, row in rows[1:]:
            if number == rows[-1][0] and not row.endswith(b"\n"):
                return cls(header, steps, torn=True)
            steps.append(_decode(_STEP, row, source, number))
        return cls(header, steps)


class Difference(msgspec.Struct, frozen=True):
    """Where a replay went another way than the recording."""

    step: int
    """Index of the step, from 0."""
    at_ms: int
    recorded: list[Effect]
    replayed: list[Effect]


_Row = TypeVar("_Row", TraceHeader, TraceStep)

_HEADER: Final = msgspec.json.Decoder(TraceHeader)
_STEP: Final = msgspec.json.Decoder(TraceStep)
_ENCODER: Final = msgspec.json.Encoder()


def encode_line(row: TraceHeader | TraceStep) -> bytes:
    """One line of a trace file, its newline included."""
    return _ENCODER.encode(row) + b"\n"


def replay(trace: Trace, policy: EndpointPolicy | None = None) -> Difference | None:
    """Put every event of ``trace`` through a machine like the recorded one.

    Returns the first step whose effects differ, byte for byte; None when all are the same.
    Steps whose effects were not recorded are not compared. ``policy``: the one that was in
    force, None for the fixed hangover.
    """
    machine = TurnMachine(trace.header.turn, trace.header.call, policy)
    for index, step in enumerate(trace.steps):
        replayed = machine.handle(step.event, step.at_ms)
        if step.effects is None:
            continue
        if _ENCODER.encode(replayed) != _ENCODER.encode(step.effects):
            return Difference(index, step.at_ms, step.effects, replayed)
    return None


def _decode(decoder: msgspec.json.Decoder[_Row], row: bytes, source: object, number: int) -> _Row:
    try:
        return decoder.decode(row)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidFile(source, f"line {number} is not a trace line: {error}") from None
