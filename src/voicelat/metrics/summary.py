"""Many turns as one `Summary`: what `report`, `demo`, `replay` and `loadtest` print as JSON.

Answered and barged-in turns contribute what they measured; a turn that never got its reply
counts as censored at the time it was observed; abandoned turns are counted and owe nothing.
The total of a cutoff is a real wait and stays in, with the count of cutoffs beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, Literal, get_args

import msgspec

from voicelat.metrics.diagnosis import diagnose
from voicelat.metrics.finding import Finding
from voicelat.metrics.intervals import Bounds, intervals
from voicelat.metrics.percentiles import percentiles
from voicelat.metrics.record import NUMBERS, SCHEMA, EouReason, TurnRecord
from voicelat.metrics.samples import (
    Sample,
    View,
    call_indices,
    is_cutoff,
    is_implausible,
    sample_of,
)
from voicelat.metrics.tail import LEG_NAMES, leg_ms
from voicelat.metrics.targets import (
    COUNTS,
    DEFAULT_TARGETS,
    Gate,
    GateResult,
    Statistic,
    Target,
    TargetResult,
    check_gates,
    judge,
)

__all__ = [
    "CallerNumbers",
    "CallerSide",
    "Interval95",
    "LegSummary",
    "MeasuredAt",
    "NumberSummary",
    "Summary",
    "summarise",
]

MeasuredAt = Literal["server", "caller"]
"""Where the numbers were taken. A caller on a carrier hears 0.2-0.5 s more than the server
measures (Twilio's Guide to Core Latency, 2025-11)."""


class Interval95(msgspec.Struct, frozen=True):
    """95 % intervals in ms; an end that is not reached is ``None``."""

    p50: Bounds
    p95: Bounds


class NumberSummary(msgspec.Struct, frozen=True):
    """One number over all turns, in ms; unknown is ``None``."""

    n: int
    """Turns that count, the censored ones included."""
    censored: int
    """Turns that waited in vain: observed for so long, without an answer."""
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    max: float | None
    """The slowest answered turn."""
    ci95: Interval95 | None
    """``None`` for fewer than two turns."""
    ci95_unit: Literal["call", "turn"] | None
    """What was resampled: calls, or turns when all are of one call."""


class LegSummary(msgspec.Struct, frozen=True):
    """One leg of the total over the turns that know it, in ms."""

    n: int
    p50: float | None
    p95: float | None


class CallerSide(msgspec.Struct, frozen=True, kw_only=True):
    """What one simulated caller measured with its own ears, in ms."""

    call_id: str
    v2v_ms: list[float] = []
    """Last voiced sample said -> first voiced sample heard, per answered turn."""
    unanswered_ms: list[float] = []
    """How long it listened in vain, per turn without an answer."""
    barge_stop_ms: list[float] = []
    """First voiced sample of an interruption -> the agent is silent."""
    pacing_ms: list[float] = []
    """Lateness of agent audio against continuous playout, per message or gap."""


class CallerNumbers(msgspec.Struct, frozen=True):
    """`CallerSide` over all callers."""

    v2v_ms: NumberSummary
    """Last voiced sample said -> first voiced sample heard."""
    barge_stop_ms: NumberSummary
    """First voiced sample of an interruption -> the agent is silent."""
    pacing_ms: NumberSummary
    """Lateness of agent audio against continuous playout."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a measurement; its JSON keys are the field names."""

    schema: Literal[1] = SCHEMA
    """Keys may be added; none is renamed without another number here."""
    view: View
    """Where the numbers begin: ``speech-end`` (as defined) or ``turn-start``."""
    measured_at: MeasuredAt
    """``server`` or ``caller``."""
    calls: int
    turns: int
    """All turns read, whatever became of them."""
    numbers: dict[str, NumberSummary]
    """By its name: ``TOTAL_LATENCY_MS``, ..."""
    legs: dict[str, LegSummary]
    """By its name: ``endpointing``, ``llm``, ``clause``, ``tts``, ``gate``, ``residual``."""
    eou_reasons: dict[EouReason, int]
    """``silence``, ``debounce``, ``timeout``: how many turns ended so."""
    barge_ins: int
    """Turns whose reply the caller interrupted."""
    cutoffs: int
    """Turns with audio sent although the caller had not finished."""
    reopened: int
    """Turns that went on before anything was sent: harmless."""
    censored: int
    """Turns that never got their reply."""
    abandoned: int
    """Turns that the call's end cut short."""
    clipped: int
    """Turns that acted on a text that was not the final one."""
    fallbacks: int
    """Turns without text: the caller was asked to repeat."""
    implausible: int
    """Turns with a negative number. That number was left out."""
    model_calls_per_turn: float | None
    """Over the turns that had any; ``None`` when none had."""
    targets: list[TargetResult]
    """The limits of the settings, judged."""
    diagnosis: list[Finding]
    """What stands out, or that nothing does."""
    caller: CallerNumbers | msgspec.UnsetType = msgspec.UNSET
    """Only there when a caller measured too."""

    def value(self, number: str, statistic: Statistic) -> float | None:
        """One figure in ms, by the number's name (``v2v_ms`` is the caller's)."""
        if number in self.numbers:
            summary: NumberSummary | None = self.numbers[number]
        else:
            summary = getattr(self.caller, number, None)
        value: float | None = getattr(summary, statistic, None)
        return value

    def check(self, gates: Iterable[Gate]) -> list[GateResult]:
        """Each gate judged by this summary."""
        return check_gates(gates, self.value, {name: getattr(self, name) for name in COUNTS})


def summarise(
    records: Sequence[TurnRecord],
    targets: Sequence[Target] = DEFAULT_TARGETS,
    view: View = "speech-end",
    *,
    caller: Sequence[CallerSide] = (),
    measured_at: MeasuredAt = "server",
) -> Summary:
    """Summarise turns. The same turns always give the same summary.

    Targets are judged by the numbers of the view; the diagnosis always counts from the end
    of speech.
    """
    calls = call_indices(records)
    summary = Summary(
        view=view,
        measured_at=measured_at,
        calls=len(set(calls)),
        turns=len(records),
        numbers={name: _number_summary(sample_of(records, calls, name, view)) for name in NUMBERS},
        legs={leg: _leg_summary(records, leg) for leg in LEG_NAMES},
        eou_reasons=_eou_reasons(records),
        barge_ins=sum(r.BARGE_IN_HIT or r.outcome == "barged_in" for r in records),
        cutoffs=sum(is_cutoff(r) for r in records),
        reopened=sum(r.reopened for r in records),
        censored=sum(r.outcome == "censored" for r in records),
        abandoned=sum(r.outcome == "abandoned" for r in records),
        clipped=sum(r.clipped is True for r in records),
        fallbacks=sum(r.fallback for r in records),
        implausible=sum(is_implausible(r) for r in records),
        model_calls_per_turn=_mean([r.model_calls for r in records if r.model_calls > 0]),
        targets=[],
        diagnosis=diagnose(records, calls, targets),
        caller=_caller_numbers(caller) if caller else msgspec.UNSET,
    )
    return msgspec.structs.replace(summary, targets=judge(targets, summary.value))


def _number_summary(sample: Sample) -> NumberSummary:
    p50, p90, p95, p99 = (_tidy(ms) for ms in percentiles(sample))
    found = intervals(sample)
    seen = sample.ms[sample.seen]
    return NumberSummary(
        n=len(sample),
        censored=len(sample) - len(seen),
        p50=p50,
        p90=p90,
        p95=p95,
        p99=p99,
        max=_tidy(float(seen.max())) if len(seen) else None,
        ci95=None
        if found is None
        else Interval95(*(_tidy_bounds(found.by_percentile[p]) for p in (50, 95))),
        ci95_unit=None if found is None else found.unit,
    )


def _leg_summary(records: Iterable[TurnRecord], leg: str) -> LegSummary:
    known = [ms for record in records if (ms := leg_ms(record, leg)) is not None]
    p50, p95 = percentiles(Sample.of((ms, True, 0) for ms in known), (50, 95))
    return LegSummary(n=len(known), p50=_tidy(p50), p95=_tidy(p95))


def _caller_numbers(callers: Sequence[CallerSide]) -> CallerNumbers:
    def over_all(name: Literal["v2v_ms", "barge_stop_ms", "pacing_ms"]) -> NumberSummary:
        points = [
            (ms, True, index) for index, one in enumerate(callers) for ms in getattr(one, name)
        ]
        if name == "v2v_ms":
            points += [
                (ms, False, index) for index, one in enumerate(callers) for ms in one.unanswered_ms
            ]
        return _number_summary(Sample.of(points))

    return CallerNumbers(over_all("v2v_ms"), over_all("barge_stop_ms"), over_all("pacing_ms"))


def _eou_reasons(records: Iterable[TurnRecord]) -> dict[EouReason, int]:
    counted = Counter(record.EOU_REASON for record in records)
    reasons: Final[tuple[EouReason, ...]] = get_args(EouReason)
    return {reason: counted[reason] for reason in reasons}


def _mean(values: Sequence[int]) -> float | None:
    return round(sum(values) / len(values), 3) if values else None


def _tidy(ms: float | None) -> float | None:
    """Tenths of a millisecond, and no ``.0`` in the JSON of whole ones."""
    if ms is None:
        return None
    return int(ms) if ms == int(ms) else round(ms, 1)


def _tidy_bounds(ends: Bounds) -> Bounds:
    return _tidy(ends[0]), _tidy(ends[1])
