"""How sure a percentile is: bootstrap intervals that resample whole calls.

Turns of one call share a caller, a line and a server's mood, so they are not independent.
Drawing turns one by one would pretend that they are and give intervals that are too narrow
(Davison & Hinkley 1997, section 3.8); drawing calls does not.

A percentile interval cannot look past the slowest turn: below `TURNS_TO_BOUND_P95` turns the
true P95 may lie above its upper end, and a report should say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from voicelat.metrics.percentiles import Percentile, weighted_percentiles
from voicelat.metrics.samples import Sample

__all__ = [
    "REPLICATES",
    "SEED",
    "TURNS_TO_BOUND_P95",
    "Bounds",
    "Intervals",
    "bounds",
    "clusters_of",
    "intervals",
    "replicates",
]

REPLICATES: Final = 2000
SEED: Final = 20_260_101
"""Fixed, so that the same turns always print the same report. The value means nothing."""

TURNS_TO_BOUND_P95: Final = 72
"""The fewest independent turns whose slowest one exceeds the true P95 with 97.5 % confidence:
0.95 ** 72 < 0.025."""

_CHUNK: Final = 64
"""Replicates at once: the arrays of 10,000 turns then stay in the cache (2.5 MB; three times
as fast as chunks of 250, measured November 2026)."""

Bounds = tuple[float | None, float | None]
"""The lower and upper end of a 95 % interval in ms; ``None`` where it is not reached."""


@dataclass(frozen=True, slots=True)
class Intervals:
    """95 % intervals by percentile, and what was resampled to get them."""

    by_percentile: dict[Percentile, Bounds]
    unit: Literal["call", "turn"]
    """``turn`` when all turns came from one call: then they are taken as independent."""


def intervals(
    sample: Sample,
    wanted: tuple[Percentile, ...] = (50, 95),
    *,
    count: int = REPLICATES,
    seed: int = SEED,
) -> Intervals | None:
    """95 % intervals of the wanted percentiles; ``None`` for fewer than two turns."""
    if len(sample) < 2:
        return None
    drawn = replicates(sample, wanted, count=count, seed=seed)
    return Intervals(
        by_percentile={p: bounds(row) for p, row in zip(wanted, drawn, strict=True)},
        unit="turn" if (sample.call == sample.call[0]).all() else "call",
    )


def bounds(drawn: NDArray[np.float64]) -> Bounds:
    """The middle 95 % of what was drawn; infinity becomes ``None``."""
    low, high = np.quantile(drawn, (0.025, 0.975), method="nearest")
    return _finite(low), _finite(high)


def replicates(
    sample: Sample,
    wanted: tuple[Percentile, ...],
    *,
    count: int = REPLICATES,
    seed: int = SEED,
) -> NDArray[np.float64]:
    """Bootstrapped percentiles, shape ``(len(wanted), count)``, infinite where not reached.

    The draws depend on the calls and the seed only: two samples over the same turns get the
    same draws, so their replicates can be subtracted pair by pair. Needs at least one turn.
    """
    clusters, cluster_count = clusters_of(sample)
    order = sample.order()
    ordered = sample.take(order)
    drawn = np.empty((len(wanted), count))
    for first, times_drawn in _draws(cluster_count, count, seed):
        weights = times_drawn[clusters[order]]
        chunk = slice(first, first + times_drawn.shape[1])
        drawn[:, chunk] = weighted_percentiles(ordered, weights, wanted)
    return drawn


def clusters_of(sample: Sample) -> tuple[NDArray[np.intp], int]:
    """What is resampled: the index of each turn's call, or each turn when there is one call; and
    how many there are."""
    names, clusters = np.unique(sample.call, return_inverse=True)
    if len(names) > 1:
        return clusters, len(names)
    return np.arange(len(sample)), len(sample)


def _draws(clusters: int, count: int, seed: int) -> Iterator[tuple[int, NDArray[np.int32]]]:
    """Chunks of ``(first replicate, how often each cluster was drawn)``, one column each."""
    rng = np.random.default_rng(seed)
    for first in range(0, count, _CHUNK):
        size = min(_CHUNK, count - first)
        picks = rng.integers(0, clusters, size=(clusters, size)) * size + np.arange(size)
        drawn = np.bincount(picks.ravel(), minlength=clusters * size)
        yield first, drawn.reshape(clusters, size).astype(np.int32)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
