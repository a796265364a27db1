"""From turns to figures: percentiles and rates of every setting, with their intervals.

Intervals resample whole calls (turns, where all are of one call), as everywhere. A percentile's
interval is found on the other axis: how much the share of turns below it varies from resample
to resample says which order statistics bound it (Woodruff 1952), so that thousands of settings
need one sort each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from voicelat.lab.sweep.grid import Setting
from voicelat.lab.sweep.pauses import NEVER
from voicelat.lab.sweep.result import Bounds, SettingIntervals, SettingResult
from voicelat.lab.sweep.score import TurnScores

__all__ = ["REPLICATES", "HeldOutFigures", "held_out", "resamples", "summarised"]

REPLICATES: Final = 400
SEED: Final = 20_260_101
"""Fixed, so that the same calls always give the same sweep. The value means nothing."""

_ROUNDING: Final = 1e-6  # of one turn

Floats = NDArray[np.float64]


def resamples(call: NDArray[np.int32]) -> tuple[NDArray[np.intp], Floats]:
    """Which cluster each turn is in, and how often each is drawn, shape (replicates, clusters).

    ``call``: each turn's call. Clusters are the calls, or the turns of an only call.
    """
    names, clusters = np.unique(call, return_inverse=True)
    if len(names) == 1:
        clusters = np.arange(len(call))
    count = int(clusters.max(initial=-1)) + 1
    rng = np.random.default_rng(SEED)
    if not count:
        return clusters, np.zeros((REPLICATES, 0))
    return clusters, rng.multinomial(count, np.full(count, 1 / count), REPLICATES).astype(float)


def summarised(
    settings: Sequence[Setting],
    scores: TurnScores,
    holds: int,
    clusters: NDArray[np.intp],
    drawn: Floats,
) -> list[SettingResult]:
    """One result per setting (axis 1 of the scores); no turns give no settings. ``holds``: how
    many there are in all."""
    turns = len(clusters)
    if not turns:
        return []
    share = _Share(clusters, drawn)
    rates = {
        name: getattr(scores, name).mean(axis=0)
        for name in ("early", "reopened", "cutoff", "clipped", "timeout", "missed")
    }
    rate_ci = {
        name: share.interval(getattr(scores, name)) for name in ("early", "cutoff", "clipped")
    }
    delay, total = (_Quantiles(ms, share) for ms in (scores.delay, scores.total))
    calls = scores.calls.mean(axis=0)
    cut = scores.cut_holds.sum(axis=0) / max(1, holds)
    return [
        SettingResult(
            debounce_ms=setting.debounce_ms,
            hangover_ms=setting.hangover_ms,
            min_utt_s=setting.min_utt_ms / 1000,
            stt_timeout_ms=setting.stt_timeout_ms,
            policy=setting.policy,
            speak_gate_ms=setting.speak_gate_ms,
            delay_p50=delay.at(50, index),
            delay_p95=delay.at(95, index),
            total_p50=total.at(50, index),
            total_p95=total.at(95, index),
            **{f"{name}_rate": round(float(rate[index]), 5) for name, rate in rates.items()},
            cut_holds_rate=round(float(cut[index]), 5),
            model_calls_per_turn=round(float(calls[index]), 4),
            n=turns,
            ci95=SettingIntervals(
                delay_p50=delay.interval(50, index),
                delay_p95=delay.interval(95, index),
                total_p50=total.interval(50, index),
                total_p95=total.interval(95, index),
                **{f"{name}_rate": _pair(ends, index) for name, ends in rate_ci.items()},
            ),
        )
        for index, setting in enumerate(settings)
    ]


def _pair(ends: Floats, index: int) -> Bounds:
    return round(float(ends[0, index]), 5), round(float(ends[1, index]), 5)


class _Share:
    """Shares of turns, resampled."""

    def __init__(self, clusters: NDArray[np.intp], drawn: Floats) -> None:
        self._order = np.argsort(clusters, kind="stable")
        self._starts = np.searchsorted(clusters[self._order], np.arange(drawn.shape[1]))
        self._drawn = drawn
        self._turns = drawn @ np.bincount(clusters, minlength=drawn.shape[1])

    def resampled(self, bits: NDArray[np.bool_] | Floats) -> Floats:
        """The share of turns with the bit (or parts of it), per replicate (axis 0) and setting."""
        counts = np.add.reduceat(bits[self._order], self._starts, axis=0, dtype=np.float64)
        shares: Floats = (self._drawn @ counts) / self._turns[:, None]
        return shares

    def interval(self, bits: NDArray[np.bool_]) -> Floats:
        """The middle 95 % of the shares, shape (2, settings)."""
        return _middle(self.resampled(bits))


def _middle(shares: Floats) -> Floats:
    """The 2.5 and 97.5 % quantiles over axis 0, by rank."""
    low, high = (round(q * (len(shares) - 1)) for q in (0.025, 0.975))
    parts = np.partition(shares, (low, high), axis=0)
    return parts[[low, high]]


class _Quantiles:
    """P50 and P95 of one time, of every setting."""

    def __init__(self, ms: NDArray[np.int32], share: _Share) -> None:
        self._sorted = np.sort(ms, axis=0)
        self._ranks: dict[int, Any] = {}
        turns = len(ms)
        for percent in (50, 95):
            rank = _rank(percent, turns)
            low, high = _middle(share.resampled(_up_to(ms, self._sorted[rank], percent)))
            # A resample with more turns below has its percentile further down, and vice versa.
            first = np.ceil((percent / 50 - high) * turns - _ROUNDING).astype(int) - 1
            last = np.ceil((percent / 50 - low) * turns - _ROUNDING).astype(int) - 1
            self._ranks[percent] = (
                rank,
                np.minimum(np.maximum(first, 0), rank),
                np.maximum(last, rank),
            )

    def at(self, percent: int, index: int) -> float | None:
        """The percentile, None where so many turns were missed."""
        return self._known(self._ranks[percent][0], index)

    def interval(self, percent: int, index: int) -> Bounds:
        """Its 95 % interval."""
        _, first, last = self._ranks[percent]
        return self._known(int(first[index]), index), self._known(int(last[index]), index)

    def _known(self, rank: int, index: int) -> float | None:
        ms = self._sorted[rank, index] if rank < len(self._sorted) else NEVER
        return None if ms >= NEVER else int(ms)


def _up_to(ms: NDArray[np.int32], quantile: NDArray[np.int32], percent: int) -> Floats:
    """Which turns are up to each setting's percentile: 1, 0, or for those that are on it the
    part that makes the mean exactly ``percent``. Most turns of a setting may be on it, because
    its gate opens there: counted whole, they would hide how far the percentile can move."""
    below, on_it = ms < quantile, ms == quantile
    part = (percent / 100 * len(ms) - below.sum(axis=0)) / on_it.sum(axis=0)
    found: Floats = np.where(on_it, part, below)
    return found


def _rank(percent: int, turns: int) -> int:
    """The index of a percentile in sorted turns: the smallest that ``percent`` do not exceed."""
    return max(0, -(-percent * turns // 100) - 1)


@dataclass(frozen=True, slots=True)
class HeldOutFigures:
    """One call left out: what the others say of each setting, and what it says itself."""

    call: int
    turns_in: int
    """Turns of the others."""
    turns_out: int
    """Its own."""
    total_in: NDArray[np.int32]
    """P50 of the total over the others; NEVER where missed."""
    p95_in: NDArray[np.int32]
    cutoffs_in: NDArray[np.int64]
    total_out: NDArray[np.int32]
    cutoffs_out: NDArray[np.int64]


def held_out(
    scores: TurnScores, call: NDArray[np.int32], which: Sequence[int]
) -> list[HeldOutFigures]:
    """The figures of every setting with each call of ``which`` left out."""
    found = []
    for index in which:
        out = call == index
        inside, own = scores.total[~out], scores.total[out]
        ranks = (_rank(50, len(inside)), _rank(95, len(inside)))
        parts = np.partition(inside, ranks, axis=0)
        found.append(
            HeldOutFigures(
                call=index,
                turns_in=len(inside),
                turns_out=len(own),
                total_in=parts[ranks[0]],
                p95_in=parts[ranks[1]],
                cutoffs_in=scores.cutoff[~out].sum(axis=0),
                total_out=np.partition(own, _rank(50, len(own)), axis=0)[_rank(50, len(own))],
                cutoffs_out=scores.cutoff[out].sum(axis=0),
            )
        )
    return found
