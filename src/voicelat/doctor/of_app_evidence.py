"""What an examination of an application has gathered, and the questions all its checks ask."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from voicelat.doctor.of_app_calls import Placed
from voicelat.doctor.of_app_command import Command
from voicelat.doctor.of_app_source import Reading
from voicelat.doctor.probe.seen import Seen, Serving
from voicelat.metrics.record import TurnRecord

__all__ = ["Evidence", "p99", "some"]

_SHOWN: Final = 3


class _Timed(Protocol):
    @property
    def at_s(self) -> float: ...


_T = TypeVar("_T", bound=_Timed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything the checks judge by."""

    command: Command
    serving: Serving
    seen: Seen
    placed: Placed
    calls: int
    """How many at a time."""
    imports_ms: dict[str, float]
    """What each import cost, with all below it."""
    printed: str
    last_printed: str
    """Its last line of that when the calls were over."""
    reading: Reading
    compression: str | None
    """What the media socket negotiates when asked to; None: nothing."""
    compression_unknown: str | None
    """Why that is not known."""
    records: list[TurnRecord] | None
    """Turns of these calls that the application wrote; None: it writes none."""

    def turns_with(self, spots: Iterable[_T]) -> dict[int, list[_T]]:
        """Which of these happened in which turn of the first call, by number."""
        found: dict[int, list[_T]] = {}
        for spot in spots:
            for number, turn in enumerate(self.placed.turns, start=1):
                if spot.at_s in turn:
                    found.setdefault(number, []).append(spot)
        return found

    def during(self, spots: Iterable[_T]) -> list[_T]:
        """Those that happened while there were calls."""
        return [spot for spot in spots if spot.at_s in self.placed.all]

    @property
    def answered(self) -> int:
        """Turns of the first call that got their reply."""
        first = self.placed.results[0].heard
        return sum(not heard.censored for heard in first)


def p99(values: Sequence[float]) -> float | None:
    """By nearest rank; None of nothing."""
    if not values:
        return None
    return sorted(values)[math.ceil(len(values) * 0.99) - 1]


def some(lines: Iterable[str]) -> str:
    """The first few, and how many more there are."""
    every = list(dict.fromkeys(lines))
    rest = len(every) - _SHOWN
    return "; ".join(every[:_SHOWN]) + (f"; and {rest} more" if rest > 0 else "")
