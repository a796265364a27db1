"""The metrics of several processes as those of one.

Counters and histograms are summed, sample by sample. So are gauges, which here count things
(calls, bytes); ``ratios`` names those that do not, with the counter labels they are made of.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

__all__ = ["Ratio", "merge"]

_Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Ratio:
    """A gauge that is one count as a share of several."""

    counter: str
    """The sample the counts have, like ``voicelat_phrase_lookups_total``."""
    label: str
    hit: str
    """The label's value of the counts in question; all values together are the whole."""


def merge(expositions: Sequence[str], ratios: Mapping[str, Ratio] | None = None) -> bytes:
    """Several processes' expositions in Prometheus' text format as one."""
    families: dict[str, Metric] = {}
    sums: dict[str, dict[_Key, float]] = {}
    for text in expositions:
        for family in text_string_to_metric_families(text):
            known = families.setdefault(family.name, family)
            values = sums.setdefault(known.name, {})
            for sample in family.samples:
                key = sample.name, tuple(sorted(sample.labels.items()))
                if sample.name.endswith("_created"):
                    values[key] = min(values.get(key, math.inf), sample.value)
                else:
                    values[key] = values.get(key, 0.0) + sample.value
    for name, ratio in (ratios or {}).items():
        if name in sums:
            sums[name] = {(name, ()): _share(sums, ratio)}
    registry = CollectorRegistry()
    registry.register(_Merged(families.values(), sums))
    return generate_latest(registry)


def _share(sums: Mapping[str, Mapping[_Key, float]], ratio: Ratio) -> float:
    counts = {
        dict(labels)[ratio.label]: value
        for values in sums.values()
        for (name, labels), value in values.items()
        if name == ratio.counter
    }
    total = sum(counts.values())
    return counts.get(ratio.hit, 0.0) / total if total else math.nan


class _Merged:
    """A collector of what was merged."""

    def __init__(
        self, families: Iterable[Metric], sums: Mapping[str, Mapping[_Key, float]]
    ) -> None:
        self._families = list(families)
        self._sums = sums

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            made = Metric(family.name, family.documentation, family.type)
            for (name, labels), value in self._sums[family.name].items():
                made.add_sample(name, dict(labels), value)
            yield made
