"""Which setting: the Pareto front, the baseline, and a recommendation that the turns can bear.

Cutting callers off less than the budget allows must be *shown*, not merely seen: of 20 turns
none may be cut off by a setting that cuts off one caller in ten. So a recommendation needs the
upper end of the rate's interval within the budget.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from voicelat.lab.sweep.result import SettingResult

__all__ = ["Choice", "Figures", "choose", "front", "surely_within", "turns_needed", "upper_bound"]

CONFIDENCE: Final = 0.95
"""Of the upper end, one-sided."""

Figures = tuple[float, float, float, bool, float]
"""What is weighed of a setting: total P50, total P95, cutoff rate, whether it is surely within
the budget, model calls a turn. A missed percentile is infinite."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Indices of settings, None where there is none."""

    recommended: int | None
    candidate: int | None
    baseline: int | None


def choose(figures: Sequence[Figures], silence: Sequence[bool], max_cutoffs: float) -> Choice:
    """The fastest setting whose cutoff rate is within the budget: surely, or as measured.

    ``silence``: which settings are the silence timer alone; the baseline is the fastest of
    them within the budget as measured, or the one that cuts off least. No other is chosen that
    leaves callers waiting longer at P95 than the baseline does: a median can be bought there.
    """
    of_silence = [index for index, alone in enumerate(silence) if alone]
    within = [index for index in of_silence if figures[index][2] <= max_cutoffs]
    if within:
        baseline: int | None = min(within, key=lambda index: figures[index])
    else:
        baseline = min(of_silence, key=lambda index: figures[index][2], default=None)
    latest = figures[baseline][1] if within and baseline is not None else math.inf
    fit = [
        index
        for index, figure in enumerate(figures)
        if figure[2] <= max_cutoffs and figure[1] <= latest and math.isfinite(figure[0])
    ]
    sure = [index for index in fit if figures[index][3]]
    return Choice(_fastest(sure, figures), _fastest(fit, figures), baseline)


def _fastest(indices: Sequence[int], figures: Sequence[Figures]) -> int | None:
    """Smallest P50; then cutoffs, P95 and model calls decide, and the order of the settings."""

    def key(index: int) -> tuple[float, ...]:
        p50, p95, cutoffs, _, calls = figures[index]
        return p50, cutoffs, p95, calls, index

    return min(indices, key=key, default=None)


def front(results: Sequence[SettingResult], among: Sequence[int]) -> list[int]:
    """Those that no other beats in both total P50 and cutoff rate, fastest first. Of settings
    with the same figures the first stays."""
    known = [index for index in among if results[index].total_p50 is not None]
    known.sort(
        key=lambda i: (
            results[i].total_p50,
            results[i].cutoff_rate,
            results[i].total_p95 or math.inf,
            i,
        )
    )
    kept: list[int] = []
    for index in known:
        if not kept or results[index].cutoff_rate < results[kept[-1]].cutoff_rate:
            kept.append(index)
    return kept


@cache
def surely_within(cutoffs: int, turns: int, max_cutoffs: float) -> bool:
    """Whether `upper_bound` is within the budget, without looking for it."""
    if cutoffs > max_cutoffs * turns or not turns:
        return False
    return _at_most(cutoffs, turns, max_cutoffs) <= 1 - CONFIDENCE


@cache
def upper_bound(cutoffs: int, turns: int) -> float:
    """The largest cutoff rate that ``cutoffs`` of ``turns`` turns still agree with, one-sided at
    95 % (Clopper and Pearson 1934). 1 when nothing is known."""
    if cutoffs >= turns:
        return 1.0
    low, high = cutoffs / turns, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if _at_most(cutoffs, turns, middle) > 1 - CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def _at_most(cutoffs: int, turns: int, rate: float) -> float:
    """The probability of at most so many cutoffs at this rate."""
    if rate <= 0 or rate >= 1:
        return 1.0 if rate <= 0 else 0.0
    log_rate, log_rest = math.log(rate), math.log1p(-rate)
    total = 0.0
    for k in range(cutoffs + 1):
        ways = math.lgamma(turns + 1) - math.lgamma(k + 1) - math.lgamma(turns - k + 1)
        total += math.exp(ways + k * log_rate + (turns - k) * log_rest)
    return total


def turns_needed(rate: float, max_cutoffs: float) -> int | None:
    """About how many turns would show that a setting with this measured rate is within the
    budget. None: more turns would not, it is too close to it."""
    if max_cutoffs <= 0 or rate >= 0.9 * max_cutoffs:
        return None
    turns = 10
    while not surely_within(round(rate * turns), turns, max_cutoffs):
        turns = turns * 11 // 10 + 1
        if turns > 1_000_000:
            return None
    return turns
