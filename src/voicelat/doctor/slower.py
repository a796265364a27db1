"""Whether some turns of a call are slower than the others, and by how much, with intervals.

Each call is its own control: a slow line or a slow day is in both halves of a difference.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Final, NamedTuple

import numpy as np

from voicelat.doctor.catalog import fault, ok, skipped
from voicelat.doctor.result import CheckResult
from voicelat.metrics.durations import duration, duration_range
from voicelat.metrics.record import Stamp, TurnRecord
from voicelat.metrics.samples import call_indices

__all__ = ["Slower", "first_turns", "idle_connections"]

_FELT_MS: Final = 150
_LEAST_PAIRS: Final = 6
"""The fewest pairs whose smallest and largest are a 95 % interval of the median: 2 / 2**6."""
_LEAST_EACH: Final = 8
_IDLE_MS: Final = 5000
"""What HTTP clients keep an idle connection for by default (httpx)."""
_REPLICATES: Final = 1000
_SURE: Final = 0.99
"""Of each interval: two legs are looked at, in every file."""

_REQUESTS: Final[tuple[tuple[str, Stamp, Stamp], ...]] = (
    ("model", "reply_start", "llm_first_token"),
    ("voice", "tts_request", "tts_ready"),
)
"""Whose connection idles between two turns, when it is asked, and when it has answered."""


class Slower(NamedTuple):
    """By how much, and its interval. In ms."""

    ms: float
    low_ms: float
    high_ms: float
    n: int

    @property
    def felt(self) -> bool:
        """Whether it is a difference that callers notice, and not chance."""
        return self.ms >= _FELT_MS and self.low_ms > 0

    def told(self) -> str:
        """With its interval."""
        return f"{duration(self.ms)} (interval {duration_range(self.low_ms, self.high_ms)})"


def first_turns(records: Sequence[TurnRecord]) -> Iterator[CheckResult]:
    """The first turn of each call against the median of its others."""
    calls: dict[int, list[TurnRecord]] = defaultdict(list)
    for record, call in zip(records, call_indices(records), strict=True):
        calls[call].append(record)
    pairs = []
    for turns in calls.values():
        total = {turn.turn: turn.TOTAL_LATENCY_MS for turn in turns}
        first = total.pop(min(total))
        others = [ms for ms in total.values() if ms is not None]
        if first is not None and others and min(turn.turn for turn in turns) <= 1:
            pairs.append(first - median(others))
    if len(pairs) < _LEAST_PAIRS:
        need = f"{_LEAST_PAIRS} calls of two turns are needed"
        yield skipped("first-turns", f"only {len(pairs)} calls can be compared: {need}")
        return
    slower = paired(pairs)
    evidence = f"{slower.told()} over {slower.n} calls"
    if slower.felt:
        yield fault("first-turns", "the first turn of a call is slower than the others", evidence)
    else:
        yield ok("first-turns", "first turns are like the others", evidence)


def paired(differences: Sequence[float]) -> Slower:
    """The median of differences, with the order statistics that are a 95 % interval at least:
    exact whatever their distribution (sign test)."""
    ordered = sorted(differences)
    n = len(ordered)
    tail, rank = 0.0, 0
    while (tail := tail + math.comb(n, rank) / 2**n) <= 0.025:
        rank += 1
    lowest = max(0, rank - 1)
    return Slower(median(ordered), ordered[lowest], ordered[n - 1 - lowest], n)


def idle_connections(records: Sequence[TurnRecord]) -> Iterator[CheckResult]:
    """Requests after more than 5 s of idling against those after less, for model and voice."""
    judged = False
    for who, asked, answered in _REQUESTS:
        slower = _after_idling(records, asked, answered)
        if slower is None:
            continue
        judged = True
        evidence = f"{slower.told()} over {slower.n} requests"
        if slower.felt:
            what = f"the {who} answers later after more than 5 s of idling"
            yield fault("idle-connections", what, evidence)
        else:
            yield ok("idle-connections", f"the {who} answers as fast after idling", evidence)
    if not judged:
        need = f"{_LEAST_EACH} turns each after more and after less than 5 s of idling are needed"
        yield skipped("idle-connections", need)


def _after_idling(records: Sequence[TurnRecord], asked: Stamp, answered: Stamp) -> Slower | None:
    """None: too few turns of one kind. Turns in hand from the cache asked nobody."""
    last_use: dict[int, int] = {}
    rows: list[tuple[int, bool, int]] = []
    for record, call in zip(records, call_indices(records), strict=True):
        begun: int | None = getattr(record.stamps, asked)
        ended: int | None = getattr(record.stamps, answered)
        if begun is None or ended is None or (asked == "tts_request" and record.cache == "hit"):
            continue
        if call in last_use:
            rows.append((call, begun - last_use[call] > _IDLE_MS, ended - begun))
        last_use[call] = ended
    idle = np.array([row[1] for row in rows], dtype=np.bool_)
    if min(idle.sum(), (~idle).sum()) < _LEAST_EACH:
        return None
    call_of = np.array([row[0] for row in rows])
    ms = np.array([row[2] for row in rows], dtype=np.float64)
    drawn = _redrawn(call_of, idle, ms)
    tail = (1 - _SURE) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return Slower(_difference(idle, ms), float(low), float(high), len(rows))


def _difference(idle: np.ndarray, ms: np.ndarray) -> float:
    return float(np.median(ms[idle]) - np.median(ms[~idle]))


def _redrawn(call_of: np.ndarray, idle: np.ndarray, ms: np.ndarray) -> list[float]:
    """The difference over calls drawn anew; of one call alone, over its turns."""
    names = np.unique(call_of)
    groups = [np.flatnonzero(call_of == name) for name in names]
    if len(groups) == 1:
        groups = [np.array([index]) for index in range(len(ms))]
    rng = np.random.default_rng(1)
    drawn: list[float] = []
    while len(drawn) < _REPLICATES:
        picked = np.concatenate([groups[one] for one in rng.integers(0, len(groups), len(groups))])
        if idle[picked].any() and not idle[picked].all():
            drawn.append(_difference(idle[picked], ms[picked]))
    return drawn
