"""One thing a report has found out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from voicelat.metrics.record import TurnRecord

__all__ = ["MOST_TURNS", "Finding", "TurnRef", "worst_turns"]

MOST_TURNS: Final = 10
"""More turns than a person looks at help nobody."""


class TurnRef(msgspec.Struct, frozen=True):
    """A turn to look at."""

    call_id: str
    turn: int
    ms: int | None
    """How much of what was found is in it; ``None`` where that has no figure."""


class Finding(msgspec.Struct, frozen=True, rename={"try_": "try"}):
    """One thing found, and what to try."""

    leg: str | None
    """A leg, ``residual`` or ``stt``; ``None`` when it is about no single leg."""
    says: str
    """One sentence for people."""
    try_: str
    """What to do about it; empty when there is nothing to do."""
    turns: tuple[TurnRef, ...] = ()
    """The turns to look at, the worst first, ten at most. Empty when it is about all of them, or
    none stands out."""


def worst_turns(turns: Iterable[tuple[TurnRecord, int | None]]) -> tuple[TurnRef, ...]:
    """The first ten of these, the most ms first; those without a figure last, in their order."""
    refs = [TurnRef(record.call_id, record.turn, ms) for record, ms in turns]
    refs.sort(key=lambda ref: (ref.ms is None, -(ref.ms or 0)))
    return tuple(refs[:MOST_TURNS])
