"""What makes the slow turns slow: an experiment on the records.

Give every turn the median of one leg instead of its own, and see how far the P95 of the total
falls. The leg whose substitution helps most is where the slow turns lose their time. Means
and shares cannot tell this: a leg may be long in every turn and innocent of the tail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from voicelat.metrics.finding import TurnRef, worst_turns
from voicelat.metrics.intervals import Bounds, bounds, replicates
from voicelat.metrics.percentiles import percentile
from voicelat.metrics.record import LEGS, TurnRecord
from voicelat.metrics.samples import Sample

__all__ = ["LEG_NAMES", "RESIDUAL", "TailCause", "leg_ms", "tail_cause"]

RESIDUAL: Final = "residual"
LEG_NAMES: Final[tuple[str, ...]] = (*(leg for leg, _ in LEGS if leg is not None), RESIDUAL)

# A leg stands out when its tail costs this much of the P95, and a caller can feel it. Less is
# the scatter every network has. Judgement, not measurement.
_SHARE_OF_P95: Final = 0.1
_FELT_MS: Final = 50


@dataclass(frozen=True, slots=True)
class TailCause:
    """The leg that costs the P95 most, and by how much."""

    leg: str
    p95_ms: float
    gain_ms: float
    """How far the P95 falls when every turn has the leg's median."""
    gain_ci95: Bounds
    resolved: bool
    """Whether even the interval's lower end could be felt. If not, there are too few turns."""
    rival: str | None
    """Another leg that these turns cannot tell apart from the first."""
    turns: int
    """All turns that were looked at."""
    slow: tuple[TurnRef, ...]
    """The turns of the tail that the leg put there, and by how much it is above its median; the
    worst first."""
    slow_by_call: dict[str, int]
    """How many there are, by call id; the call with the most first."""


def leg_ms(record: TurnRecord, leg: str) -> int | None:
    """One leg of a turn, or its residual, in ms; ``None`` when unknown."""
    return record.residual_ms if leg == RESIDUAL else record.legs.get(leg)


def tail_cause(records: Sequence[TurnRecord], calls: Sequence[int]) -> TailCause | None:
    """The leg to blame for the P95; ``None`` when none stands out, or no turn has legs."""
    usable, total, legs = _totals_and_legs(records, calls)
    if len(total) < 2:
        return None
    p95_ms = cast("float", percentile(total, 95))  # reached: every turn here was answered
    healed = {leg: total.with_ms(_healed(total.ms, legs[leg])) for leg in LEG_NAMES}
    gains = {leg: p95_ms - cast("float", percentile(healed[leg], 95)) for leg in LEG_NAMES}
    first, second = sorted(LEG_NAMES, key=lambda leg: -gains[leg])[:2]
    enough_ms = max(_FELT_MS, _SHARE_OF_P95 * p95_ms)
    if gains[first] < enough_ms:
        return None
    without_first = replicates(healed[first], (95,))[0]
    gain_ci95 = bounds(replicates(total, (95,))[0] - without_first)
    rival = None
    if gains[second] >= enough_ms:
        lead = bounds(replicates(healed[second], (95,))[0] - without_first)
        rival = second if (lead[0] or 0) <= 0 else None
    slow = _put_there(usable, legs[first], p95_ms - gains[first], gains[first])
    return TailCause(
        leg=first,
        p95_ms=p95_ms,
        gain_ms=gains[first],
        gain_ci95=gain_ci95,
        resolved=(gain_ci95[0] or 0) >= _FELT_MS,
        rival=rival,
        turns=len(total),
        slow=worst_turns(slow),
        slow_by_call=dict(Counter(record.call_id for record, _ in slow).most_common()),
    )


def _put_there(
    records: Sequence[TurnRecord], leg: NDArray[np.float64], without_ms: float, gain_ms: float
) -> list[tuple[TurnRecord, int]]:
    """The turns that are slower than the P95 ``without_ms`` the leg, for its sake: above its
    median by at least half of what the P95 gains, since less is scatter. Each with that excess."""
    excess = (leg - np.nanmedian(leg)).tolist()
    return [
        (record, round(more_ms))
        for record, more_ms in zip(records, excess, strict=True)
        if more_ms >= gain_ms / 2 and (record.TOTAL_LATENCY_MS or 0) > without_ms
    ]


def _totals_and_legs(
    records: Sequence[TurnRecord], calls: Sequence[int]
) -> tuple[list[TurnRecord], Sample, dict[str, NDArray[np.float64]]]:
    """The answered turns that have legs, their totals, and each leg; an unknown leg is NaN."""
    usable = [
        (record, call)
        for record, call in zip(records, calls, strict=True)
        if record.legs and record.TOTAL_LATENCY_MS is not None and record.TOTAL_LATENCY_MS >= 0
    ]
    total = Sample.of((record.TOTAL_LATENCY_MS or 0, True, call) for record, call in usable)
    legs = {
        leg: np.array([leg_ms(record, leg) for record, _ in usable], dtype=np.float64)
        for leg in LEG_NAMES
    }
    return [record for record, _ in usable], total, legs


def _healed(total_ms: NDArray[np.float64], leg: NDArray[np.float64]) -> NDArray[np.float64]:
    """The totals with the leg's median in place of the leg, where a turn has that leg."""
    known = ~np.isnan(leg)
    if not known.any():
        return total_ms
    return np.where(known, total_ms - leg + np.median(leg[known]), total_ms)
