"""From records to samples: which turn contributes what to which number.

A caller who never got an answer waited, too: such a turn enters the numbers that measure the
wait as *right-censored* (observed for so long, without an answer), never as missing.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from voicelat.metrics.record import NUMBERS, Stamp, TurnRecord

__all__ = ["Sample", "View", "call_indices", "is_cutoff", "is_implausible", "sample_of", "value_of"]

View = Literal["speech-end", "turn-start"]
"""Where the numbers begin: as defined (`NUMBERS`), or at the start of the caller's speech."""

_FROM_TURN_START: Final[dict[str, Stamp]] = {
    name: end for name, (_, end) in NUMBERS.items() if name != "STT_FINAL_AFTER_PARTIAL_MS"
}

_OWED: Final = ("TOTAL_LATENCY_MS", "FIRST_CONTENT_MS", "HEARD_LATENCY_MS")
"""The numbers that wait for an answer, and can wait in vain."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One number over many turns: three arrays of the same length."""

    ms: NDArray[np.float64]
    """The measured time; where not ``seen``, how long the turn was observed in vain."""
    seen: NDArray[np.bool_]
    call: NDArray[np.intp]
    """Which call the turn belongs to, as any small whole number."""

    def __len__(self) -> int:
        return len(self.ms)

    @classmethod
    def of(cls, points: Iterable[tuple[float, bool, int]]) -> Sample:
        """A sample from ``(ms, seen, call)`` points."""
        rows = list(points)
        return cls(
            ms=np.array([row[0] for row in rows], dtype=np.float64),
            seen=np.array([row[1] for row in rows], dtype=np.bool_),
            call=np.array([row[2] for row in rows], dtype=np.intp),
        )

    def order(self) -> NDArray[np.intp]:
        """The turns by time; at a tie an answer comes before a censoring."""
        return np.lexsort((~self.seen, self.ms))

    def take(self, turns: NDArray[np.intp]) -> Sample:
        """The turns at these places, in this order."""
        return Sample(ms=self.ms[turns], seen=self.seen[turns], call=self.call[turns])

    def with_ms(self, ms: NDArray[np.float64]) -> Sample:
        """The same turns with other times."""
        return Sample(ms=ms, seen=self.seen, call=self.call)


def call_indices(records: Iterable[TurnRecord]) -> list[int]:
    """A number per call for each record, from 0 in order of appearance.

    Demo calls of two runs may share a ``call_id``; their start tells them apart.
    """
    numbers: dict[Hashable, int] = {}
    return [
        numbers.setdefault((record.call_id, record.started_utc), len(numbers)) for record in records
    ]


def sample_of(
    records: Sequence[TurnRecord], calls: Sequence[int], number: str, view: View = "speech-end"
) -> Sample:
    """One number of `NUMBERS` over the records; ``calls`` as from `call_indices`.

    Abandoned turns were owed nothing and are left out. A negative time is impossible
    (`is_implausible` counts those turns) and is left out. A number that waits for an answer
    counts censored turns, unless no turn at all knows it: then it was never measured.
    """
    values = [value_of(record, number, view) for record in records]
    measured = any(value is not None for value in values)
    points: list[tuple[float, bool, int]] = []
    for record, call, value in zip(records, calls, values, strict=True):
        if record.outcome == "abandoned":
            continue
        if value is not None:
            if value >= 0:
                points.append((value, True, call))
        elif _in_vain(record, number, measured):
            points.append((_observed_ms(record, number, view), False, call))
    return Sample.of(points)


def value_of(record: TurnRecord, number: str, view: View = "speech-end") -> int | None:
    """One number of one turn, in ms; ``None`` when unknown.

    Seen from the turn's start every number counts from ``speech_start``, except
    STT_FINAL_AFTER_PARTIAL_MS, which has a start of its own. It needs stamps.
    """
    end = _FROM_TURN_START.get(number) if view == "turn-start" else None
    if end is None or number == "STT_FIRST_PARTIAL_MS":
        value: int | None = getattr(record, number)
        return value
    at: int | None = getattr(record.stamps, end)
    start = record.stamps.speech_start
    return None if at is None or start is None else at - start


def is_cutoff(record: TurnRecord) -> bool:
    """Whether audio was sent before the caller had finished, by the record's word or its total."""
    return record.cutoff or (record.TOTAL_LATENCY_MS or 0) < 0


def is_implausible(record: TurnRecord) -> bool:
    """Whether one of the turn's numbers is negative: audio before the caller's end (then it
    is a cutoff), or stamps that somebody mixed up."""
    return any((value_of(record, name) or 0) < 0 for name in NUMBERS)


def _in_vain(record: TurnRecord, number: str, measured: bool) -> bool:
    if number == "TOTAL_LATENCY_MS":
        return record.outcome == "censored"
    if number not in _OWED or not measured:
        return False
    only_filler = number == "FIRST_CONTENT_MS" and record.stamps.first_audio_sent is not None
    return record.outcome == "censored" or only_filler


def _observed_ms(record: TurnRecord, number: str, view: View) -> int:
    """How long the caller is known to have waited. 0 where no stamp tells: such a turn stays
    in ``n`` but can move no percentile."""
    stamps = record.stamps
    start = stamps.speech_start if view == "turn-start" else stamps.speech_end
    if start is None:
        return 0
    ends = [at for at in (stamps.reply_end, stamps.barge_in) if at is not None]
    if number != "FIRST_CONTENT_MS" or not ends:
        known = [at for at in msgspec.structs.astuple(stamps) if at is not None]
        ends = [stamps.reply_end if stamps.reply_end is not None else max(known)]
    return max(0, min(ends) - start)
