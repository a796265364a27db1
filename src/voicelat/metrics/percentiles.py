"""Exact percentiles that count the turns which were never answered.

Nearest rank: the smallest sample that at least p % of all samples do not exceed, so every
percentile is a turn that happened, and the P99 of 20 turns is the slowest of them. With
right-censored turns this becomes the Kaplan-Meier quantile (Kaplan & Meier 1958): a turn
observed for 3 s without an answer says that its answer takes longer than 3 s. A percentile
that the answered turns do not reach is ``None``.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from voicelat.metrics.samples import Sample

__all__ = ["PERCENTILES", "Percentile", "percentile", "percentiles", "weighted_percentiles"]

Percentile = Literal[50, 90, 95, 99]
PERCENTILES: Final[tuple[Percentile, ...]] = (50, 90, 95, 99)

_ROUNDING: Final = 1e-6  # of one turn, so that 5 % of 20 turns is one turn and not 0.99999


def percentile(sample: Sample, p: Percentile) -> float | None:
    """One percentile in ms; ``None`` for no turns, and where it is not reached."""
    return percentiles(sample, (p,))[0]


def percentiles(sample: Sample, wanted: tuple[Percentile, ...] = PERCENTILES) -> list[float | None]:
    """The wanted percentiles in ms, each ``None`` for no turns, or where it is not reached."""
    if not len(sample):
        return [None] * len(wanted)
    once = np.ones((len(sample), 1), dtype=np.int32)
    found = weighted_percentiles(sample.take(sample.order()), once, wanted)[:, 0]
    return [float(ms) if np.isfinite(ms) else None for ms in found]


def weighted_percentiles(
    sample: Sample, weights: NDArray[np.int32], wanted: tuple[Percentile, ...]
) -> NDArray[np.float64]:
    """Percentiles of many weightings of one sample at once.

    The sample is in `Sample.order` and not empty. ``weights`` has one row
    per turn and one column per weighting: how often the turn counts. The answer has shape
    ``(len(wanted), columns)``, infinite where a percentile is not reached.

    The Kaplan-Meier product telescopes between censored turns: the share still waiting after
    turn i is ``left[i] / total``, times ``left before / left after`` of each censored turn up
    to i. So p is reached at the first i whose ``left`` is at most a bound that changes at
    censored turns only, and the long arrays hold whole numbers.
    """
    done = np.cumsum(weights, axis=0, dtype=np.int32)
    total = done[-1]
    left = total - done
    censored = np.flatnonzero(~sample.seen)
    segment = np.cumsum(~sample.seen)
    after = left[censored]
    before = after + weights[censored]
    shrink = np.vstack([np.ones(total.shape), np.cumprod(after / np.maximum(before, 1), axis=0)])
    ms = np.append(sample.ms, np.inf)
    found = np.empty((len(wanted), len(total)))
    for row, p in enumerate(wanted):
        bound = np.floor((100 - p) / 100 * total * shrink + _ROUNDING).astype(np.int32)
        bound[shrink == 0] = -1  # everybody still waiting was censored: nobody answers any more
        reached = left <= bound[segment]
        found[row] = ms[np.where(reached.any(axis=0), reached.argmax(axis=0), len(ms) - 1)]
    return found
