"""A subject is examined by a row of measures; each answers for one or a few checks."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from voicelat.doctor.result import CheckResult

__all__ = ["Measure", "Told", "examine"]

Told = Callable[[CheckResult], None]
"""Is told each result as it is there."""

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Measure(Generic[S]):
    """``look`` measures, and says what each of ``checks`` came to."""

    checks: tuple[str, ...]
    look: Callable[[S], Iterable[CheckResult] | Awaitable[Iterable[CheckResult]]]


async def examine(
    measures: Sequence[Measure[S]], subject: S, told: Told, wanted: frozenset[str]
) -> None:
    """Run those that answer for a check that is wanted, in order."""
    for measure in measures:
        if wanted.isdisjoint(measure.checks):
            continue
        found = measure.look(subject)
        if inspect.isawaitable(found):
            found = await found
        for result in found:
            if result.check in wanted:
                told(result)
