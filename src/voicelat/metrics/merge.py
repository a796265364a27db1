"""The metrics of several processes as those of one.

Counters and histograms are summed, series by series. So are gauges, which here count things
(calls, bytes); ``ratios`` names those that do not, with the counts they are made of.

All expositions are our own, written by one program, so a series is spelled alike in each: they
are added up as lines, without taking labels apart. A parser would stop the calls of the process
that was asked for ten times as long (25 ms for four workers, measured 2026-11).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.utils import floatToGoString

__all__ = ["Ratio", "merge"]


@dataclass(frozen=True, slots=True)
class Ratio:
    """A gauge that is one count as a share of two: series, spelled as in an exposition."""

    hits: str
    misses: str


@dataclass(slots=True)
class _Family:
    head: list[str] = field(default_factory=list)
    """Its lines of help and type."""
    series: dict[str, float] = field(default_factory=dict)


def merge(expositions: Sequence[bytes], ratios: Mapping[str, Ratio] | None = None) -> bytes:
    """Several processes' expositions in Prometheus' text format as one."""
    families: dict[str, _Family] = {}
    for exposition in expositions:
        _add(exposition.decode(), families)
    values = {name: value for one in families.values() for name, value in one.series.items()}
    for name, ratio in (ratios or {}).items():
        if name in values:
            families[name].series[name] = _share(values, ratio)
    lines: list[str] = []
    for family in families.values():
        lines += family.head
        lines += (f"{name} {_written(value)}" for name, value in family.series.items())
    return "".join(f"{line}\n" for line in lines).encode()


def _written(value: float) -> str:
    """As in every exposition."""
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def _add(text: str, families: dict[str, _Family]) -> None:
    family = _Family()
    for line in text.split("\n"):  # and not at other line ends, which a label may have in it
        if line.startswith("# "):
            family = families.setdefault(line.split(" ", 3)[2], _Family())
            if line not in family.head:
                family.head.append(line)
        elif line:
            name, _, value = line.rpartition(" ")
            family.series[name] = _both(name, family.series.get(name), float(value))


def _both(name: str, known: float | None, value: float) -> float:
    if known is None:
        return value
    made_at = name.partition("{")[0].endswith("_created")
    return min(known, value) if made_at else known + value


def _share(values: Mapping[str, float], ratio: Ratio) -> float:
    hits = values.get(ratio.hits, 0.0)
    looked_up = hits + values.get(ratio.misses, 0.0)
    return hits / looked_up if looked_up else math.nan
