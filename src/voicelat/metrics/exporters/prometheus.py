"""Turns as Prometheus metrics, for ``/metrics``.

Histograms are for alarms and dashboards: their percentiles are as coarse as their buckets.
Exact ones come from ``voicelat report`` on the records. Import this module where it is used:
nothing else here needs prometheus-client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, product
from typing import Final, get_args

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

from voicelat.metrics.record import NUMBERS, EouReason, Outcome, TurnRecord
from voicelat.metrics.recorder import RecordCounts
from voicelat.metrics.samples import is_implausible

__all__ = ["BUCKETS_MS", "CONTENT_TYPE", "PrometheusExporter"]

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
"""The content type of `PrometheusExporter.exposition`."""

# Steps of at most a fifth around the default targets (250, 500, 700, 2000, 3000 ms).
BUCKETS_MS: Final = (
    *(25, 50, 75, 100, 150, 200, 250, 300, 350, 400, 450, 500, 600, 700, 800, 900, 1000),
    *(1200, 1400, 1600, 1800, 2000, 2250, 2500, 2750, 3000, 3500, 4000, 5000, 7000, 10_000),
)

_COUNTERS: Final[dict[str, tuple[str, Callable[[TurnRecord], int]]]] = {
    "barge_ins": ("Replies the caller interrupted", lambda turn: turn.BARGE_IN_HIT),
    "cutoffs": ("Turns in which audio was sent before the caller was done", lambda t: t.cutoff),
    "reopened": ("Turns that went on after they seemed over", lambda turn: turn.reopened),
    "censored": ("Turns that never got an answer", lambda turn: turn.outcome == "censored"),
    "model_calls": ("Replies asked of the model", lambda turn: turn.model_calls),
    "wasted_model_calls": ("Those nobody heard a sound of", lambda turn: turn.wasted_calls),
    "asked_to_repeat": ("Turns without text, or none to be sure of", lambda turn: turn.fallback),
    "implausible": ("Turns with a negative number, left out", is_implausible),
}


class PrometheusExporter:
    """One registry of its own, fed by `observe` (any thread), read by `exposition`.

    ``record_counts`` is `MetricRecorder.counts`, to show lost records. All label values are
    from closed sets, so the number of series is bounded.
    """

    def __init__(self, record_counts: Callable[[], RecordCounts] | None = None) -> None:
        self._registry = CollectorRegistry()
        self._numbers = {
            name: Histogram(
                f"voicelat_{name.lower()}",
                f"{start} to {end}, in milliseconds",
                labelnames=("eou_reason", "outcome") if name == "TOTAL_LATENCY_MS" else (),
                buckets=BUCKETS_MS,
                registry=self._registry,
            )
            for name, (start, end) in NUMBERS.items()
        }
        self._turns = Counter(
            "voicelat_turns", "Turns closed", ("eou_reason", "outcome"), registry=self._registry
        )
        self._counters = {
            name: Counter(f"voicelat_{name}", help_text, registry=self._registry)
            for name, (help_text, _) in _COUNTERS.items()
        }
        self._fallbacks = Counter(
            "voicelat_fallbacks",
            "Turns given to the fallback transcriber, by what its text was used for",
            ("used",),
            registry=self._registry,
        )
        self._fallback_ms = Histogram(
            "voicelat_fallback_ms",
            "What the fallback transcriber took, in milliseconds",
            buckets=BUCKETS_MS,
            registry=self._registry,
        )
        self._begin_at_zero()
        if record_counts is not None:
            self.watch_records("turn", record_counts)

    def _begin_at_zero(self) -> None:
        """A series that begins with its first turn never shows that turn in a rate."""
        for reason, outcome in product(("none", *get_args(EouReason)), get_args(Outcome)):
            self._turns.labels(reason, outcome)
            if outcome in ("answered", "barged_in") and reason != "none":
                self._numbers["TOTAL_LATENCY_MS"].labels(reason, outcome)
        for used in ("answer", "history", "nothing"):
            self._fallbacks.labels(used)

    def watch_counts(
        self, name: str, help_text: str, label: str, read: Callable[[], Mapping[str, int]]
    ) -> None:
        """Show counts that somebody else keeps, asked for at scrape time: one series a key, so
        the keys must be from a closed set."""
        self._registry.register(_Counts(name, help_text, label, read))

    def watch_records(self, kind: str, counts: Callable[[], RecordCounts]) -> None:
        """Show what became of turn records: ``voicelat_<kind>_records_total`` by fate."""
        self.watch_counts(
            f"voicelat_{kind}_records",
            "Turn records by what became of them",
            "fate",
            lambda: _fates(counts()),
        )

    def watch_histogram(
        self,
        name: str,
        help_text: str,
        buckets: Sequence[int],
        read: Callable[[], Mapping[str, tuple[Sequence[int], float]]],
        label: str | None = None,
    ) -> None:
        """Show histograms that somebody else keeps: counts by bucket (one more for what is above
        all ``buckets``) and the sum, by the value of ``label``; one without it."""
        self._registry.register(_Histograms(name, help_text, buckets, read, label))

    def watch_gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """Show a value that goes up and down, asked for at scrape time."""
        Gauge(name, help_text, registry=self._registry).set_function(read)

    def observe(self, record: TurnRecord) -> None:
        """Count one turn. Suits `MetricRecorder.subscribe`."""
        labels = {"eou_reason": record.EOU_REASON or "none", "outcome": record.outcome}
        self._turns.labels(**labels).inc()
        for name, (_, count) in _COUNTERS.items():
            self._counters[name].inc(count(record))
        if record.fallback_used is not None or record.fallback_failure is not None:
            self._fallbacks.labels(record.fallback_used or "nothing").inc()
        if record.fallback_ms is not None:
            self._fallback_ms.observe(record.fallback_ms)
        for name, histogram in self._numbers.items():
            value: int | None = getattr(record, name)
            if value is not None and value >= 0:
                total = name == "TOTAL_LATENCY_MS"
                (histogram.labels(**labels) if total else histogram).observe(value)

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format (`CONTENT_TYPE`)."""
        return generate_latest(self._registry)


def _fates(counts: RecordCounts) -> dict[str, int]:
    return {"written": counts.written, "dropped": counts.dropped, "failed": counts.failed}


@dataclass(frozen=True, slots=True)
class _Counts:
    """Asks for the counts when it is scraped, so that none is kept twice."""

    name: str
    help_text: str
    label: str
    read: Callable[[], Mapping[str, int]]

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(self.name, self.help_text, labels=[self.label])
        for key, count in self.read().items():
            family.add_metric([key], count)
        yield family


@dataclass(frozen=True, slots=True)
class _Histograms:
    """The same for histograms."""

    name: str
    help_text: str
    buckets: Sequence[int]
    read: Callable[[], Mapping[str, tuple[Sequence[int], float]]]
    label: str | None

    def collect(self) -> Iterator[HistogramMetricFamily]:
        labels = [] if self.label is None else [self.label]
        family = HistogramMetricFamily(self.name, self.help_text, labels=labels)
        bounds = [*(str(float(bound)) for bound in self.buckets), "+Inf"]
        for key, (counts, total) in self.read().items():
            upto = zip(bounds, accumulate(counts), strict=True)
            family.add_metric([key] if labels else [], list(upto), total)
        yield family
