"""Did it get better? Two sets of turns, and what may be said of the difference.

A difference is told with an interval, and only called better or worse when the interval leaves
no doubt. Otherwise the answer is that these turns cannot tell, and how many could.

The standard error comes from a bootstrap that resamples whole calls of either side on its own
(as in `voicelat.metrics.intervals`); the interval is the difference, plus and minus that error
times Student's t for the calls there are. With a handful of calls a plain bootstrap interval is
too narrow (Cameron, Gelbach & Miller 2008, section 3), and a report that cries wolf is switched
off.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
import numpy as np

from voicelat.metrics.durations import duration
from voicelat.metrics.intervals import SEED, clusters_of, replicates
from voicelat.metrics.percentiles import Percentile, percentile
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.samples import Sample, View, call_indices, is_cutoff, sample_of
from voicelat.metrics.student import t_quantile
from voicelat.metrics.targets import CHANGE_NAMES, ChangeGate, GateResult

__all__ = ["MATTERS_MS", "MATTERS_SHARE", "Comparison", "Difference", "Verdict", "compare"]

Verdict = Literal["better", "worse", "same", "not resolvable"]
"""better, worse: the interval lies on one side of zero. same: it lies within what does not
matter. not resolvable: these turns cannot tell."""

MATTERS_SHARE: Final = 0.05
MATTERS_MS: Final = 20.0
"""A difference of less than the larger of the two is nobody's concern. One frame is 20 ms;
5 % is the run-to-run scatter of a quiet machine."""
_MATTERS_RATE: Final = 0.02
"""For the share of turns cut off: one in fifty."""

_REPLICATES: Final = 1000

_PERCENTILES: Final[dict[str, Percentile]] = {"p50": 50, "p95": 95}

Ends = tuple[float, float]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One figure before and after. Times in ms, rates as shares; unknown is None."""

    name: str
    """``total_p95`` and the like, or ``cutoff_rate``."""
    unit: Literal["ms", "share"]
    before: float | None
    after: float | None
    change: float | None
    """``after`` less ``before``."""
    ci95: Ends | None
    """Of the change. None when either side has too few calls, or unanswered turns hide it."""
    verdict: Verdict
    """As if this difference had been the only question."""
    sure: bool
    """Whether that holds although several differences were looked at (Bonferroni's bound)."""
    turns_needed: int | None
    """With about so many more turns a side, an effect of this size (or the smallest that
    matters) would show. None when it shows already, or nothing is known."""

    @property
    def says(self) -> str:
        """In one line."""
        told = f"{self.name}: {self._figure(self.before)} -> {self._figure(self.after)}"
        if self.change is None or self.ci95 is None:
            return f"{told}, not resolvable: {_UNKNOWN}"
        low, high = (self._signed(end) for end in self.ci95)
        told += f", {self._signed(self.change)} (95 %: {low} to {high}): {self.verdict}"
        if self.verdict in ("better", "worse") and not self.sure:
            told += ", if nothing else was asked"
        if self.turns_needed is not None:
            told += f" at this n (needs about {self.turns_needed} more turns a side)"
        return told

    def _figure(self, value: float | None) -> str:
        if value is None:
            return "unknown"
        return duration(value) if self.unit == "ms" else f"{value:.1%}"

    def _signed(self, value: float) -> str:
        if self.unit == "share":
            return f"{value * 100:+.1f} points"
        return f"{'-' if value < 0 else '+'}{duration(abs(value))}"


_UNKNOWN: Final = "too few calls, or too many unanswered turns"


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Everything compared; its JSON keys are the field names."""

    before_calls: int
    before_turns: int
    after_calls: int
    after_turns: int
    differences: list[Difference]
    """Numbers that neither side knows are left out."""

    def check(self, gates: Iterable[ChangeGate]) -> list[GateResult]:
        """Each gate judged. A rise that may be chance passes, and says so; a figure that is
        unknown does not."""
        return [_check(gate, self.of(gate.name)) for gate in gates]

    def of(self, name: str) -> Difference | None:
        """One difference by its name; None when neither side knows it."""
        return next((one for one in self.differences if one.name == name), None)

    @property
    def verdict(self) -> Verdict:
        """Of the whole: worse if anything that callers feel surely is, better if something
        surely is and nothing is worse, the same if all of it is."""
        felt = [one for one in self.differences if one.name in _FELT]
        sure = {one.verdict for one in felt if one.sure}
        if "worse" in sure:
            return "worse"
        if "better" in sure:
            return "better"
        return "same" if all(one.verdict == "same" for one in felt) else "not resolvable"


_FELT: Final = ("total_p50", "total_p95", "cutoff_rate")


def _check(gate: ChangeGate, found: Difference | None) -> GateResult:
    allowed = f"at most +{gate.percent:g} % or +{gate.floor:g} allowed"
    if found is None or found.before is None or found.after is None:
        says = f"{gate.name}: unknown on one of the sides, {allowed}"
        return GateResult(gate.name, 0.0, None, False, says)
    floor = gate.floor if found.unit == "ms" else gate.floor / 100
    limit = found.before + max(found.before * gate.percent / 100, floor)
    ok = found.after <= limit or found.verdict != "worse"
    return GateResult(gate.name, round(limit, 4), found.after, ok, f"{found.says}; {allowed}")


def compare(
    before: Sequence[TurnRecord], after: Sequence[TurnRecord], view: View = "speech-end"
) -> Comparison:
    """What changed from ``before`` to ``after``. The same turns always give the same answer."""
    sides = _Side.of(before, view, SEED), _Side.of(after, view, SEED + 1)
    found = [_percentiles(name, *sides) for name in CHANGE_NAMES]
    differences = [one for one in found if one is not None]
    differences.append(_cutoffs(*sides))
    return Comparison(
        before_calls=sides[0].calls_in_all,
        before_turns=len(before),
        after_calls=sides[1].calls_in_all,
        after_turns=len(after),
        differences=differences,
    )


@dataclass(frozen=True, slots=True)
class _Side:
    records: Sequence[TurnRecord]
    calls: Sequence[int]
    view: View
    seed: int

    @classmethod
    def of(cls, records: Sequence[TurnRecord], view: View, seed: int) -> _Side:
        return cls(records, call_indices(records), view, seed)

    @property
    def calls_in_all(self) -> int:
        return len(set(self.calls))

    def sample(self, number: str) -> Sample:
        return sample_of(self.records, self.calls, number, self.view)

    def cutoffs(self) -> Sample:
        """Each turn as 1 (cut off) or 0, those that were owed nothing aside."""
        pairs = zip(self.records, self.calls, strict=True)
        return Sample.of(
            (float(is_cutoff(r)), True, call) for r, call in pairs if r.outcome != "abandoned"
        )


@dataclass(frozen=True, slots=True)
class _Estimate:
    """One figure of one side. What is not known is None."""

    value: float | None
    variance: float | None
    clusters: int
    turns: int


_NOTHING: Final = _Estimate(None, None, 0, 0)


def _percentiles(name: str, before: _Side, after: _Side) -> Difference | None:
    number, statistic = CHANGE_NAMES[name]
    p = _PERCENTILES[statistic]
    samples = before.sample(number), after.sample(number)
    if not (samples[0].seen.any() or samples[1].seen.any()):
        return None
    one, two = (
        _percentile_of(sample, p, side.seed)
        for sample, side in zip(samples, (before, after), strict=True)
    )
    matters = max(MATTERS_MS, MATTERS_SHARE * (one.value or 0.0))
    return _difference(name, "ms", one, two, matters)


def _percentile_of(sample: Sample, p: Percentile, seed: int) -> _Estimate:
    if not len(sample):
        return _NOTHING
    drawn = replicates(sample, (p,), count=_REPLICATES, seed=seed)[0]
    _, clusters = clusters_of(sample)
    reached = clusters > 1 and bool(np.isfinite(drawn).all())
    variance = float(np.var(drawn, ddof=1)) if reached else None
    return _Estimate(percentile(sample, p), variance, clusters, len(sample))


def _cutoffs(before: _Side, after: _Side) -> Difference:
    one, two = (_rate_of(side.cutoffs()) for side in (before, after))
    return _difference("cutoff_rate", "share", one, two, _MATTERS_RATE)


def _rate_of(sample: Sample) -> _Estimate:
    turns = len(sample)
    if not turns:
        return _NOTHING
    clusters, count = clusters_of(sample)
    rate = float(sample.ms.mean())
    if count < 2:
        return _Estimate(rate, None, count, turns)
    strayed = np.bincount(clusters, sample.ms - rate, minlength=count)
    between = float((strayed**2).sum()) * count / (count - 1) / turns**2
    # None of n does not prove that there are none: never surer than half a turn allows.
    return _Estimate(rate, max(between, 0.5 / turns**2), count, turns)


def _difference(
    name: str, unit: Literal["ms", "share"], before: _Estimate, after: _Estimate, matters: float
) -> Difference:
    digits = 1 if unit == "ms" else 4
    change = ci95 = needed = None
    verdict: Verdict = "not resolvable"
    sure = False
    if before.value is not None and after.value is not None:
        change = after.value - before.value
        spread = _spread(before, after)
        if spread is not None:
            half = spread.half(0.05)
            ci95 = round(change - half, digits), round(change + half, digits)
            verdict = _verdict(change, half, matters)
            sure = abs(change) > spread.half(0.05 / len(_FELT)) or verdict == "same"
            if verdict == "not resolvable":
                # The half-width falls with the root of the turns.
                ratio = (half / max(abs(change), matters)) ** 2
                needed = max(1, math.ceil(max(before.turns, after.turns) * (ratio - 1)))
    return Difference(
        name=name,
        unit=unit,
        before=before.value,
        after=after.value,
        change=None if change is None else round(change, digits),
        ci95=ci95,
        verdict=verdict,
        sure=sure,
        turns_needed=needed,
    )


@dataclass(frozen=True, slots=True)
class _Spread:
    """How far a difference strays by chance."""

    error: float
    freedom: float

    def half(self, alpha: float) -> float:
        """Half the width of its interval that misses once in 1 / ``alpha`` times."""
        return self.error * t_quantile(1 - alpha / 2, self.freedom)


def _spread(before: _Estimate, after: _Estimate) -> _Spread | None:
    """Two sides that vary on their own, with Welch's degrees of freedom (1947)."""
    one, two = before.variance, after.variance
    if one is None or two is None:
        return None
    if one + two == 0:
        return _Spread(0.0, before.clusters + after.clusters - 2)
    weight = one**2 / (before.clusters - 1) + two**2 / (after.clusters - 1)
    return _Spread(math.sqrt(one + two), (one + two) ** 2 / weight)


def _verdict(change: float, half: float, matters: float) -> Verdict:
    if abs(change) + half <= matters:
        return "same"
    if abs(change) <= half:
        return "not resolvable"
    return "better" if change < 0 else "worse"
