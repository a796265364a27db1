"""The metrics of several processes as those of one."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from voicelat.metrics.merge import Ratio, merge
from voicelat.metrics.prometheus import PrometheusExporter
from voicelat.metrics.record import Outcome, Stamps, TurnRecord


def turn(total_ms: int, outcome: Outcome = "answered") -> TurnRecord:
    stamps = Stamps(speech_end=0, turn_end=0, first_audio_sent=total_ms)
    return TurnRecord(call_id="a", turn=1, outcome=outcome, stamps=stamps).measured()


def exposition(turns: list[TurnRecord], calls: float = 0) -> str:
    exporter = PrometheusExporter()
    exporter.watch_gauge("voicelat_calls", "Calls", lambda: calls)
    exporter.watch_counts("voicelat_events", "Events", "what", lambda: {"seen": len(turns)})
    for record in turns:
        exporter.observe(record)
    return exporter.exposition().decode()


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(st.lists(st.tuples(st.integers(0, 12_000), st.integers(0, 2)), max_size=30))
def test_the_parts_together_are_the_whole(turns: list[tuple[int, int]]) -> None:
    parts: list[list[TurnRecord]] = [[], [], []]
    for ms, part in turns:
        parts[part].append(turn(ms))
    whole = exposition([turn(ms) for ms, _ in turns], calls=6)
    merged = merge([exposition(part, calls=n + 1) for n, part in enumerate(parts)]).decode()
    assert samples(merged) == samples(whole)


def test_a_rate_is_made_of_the_sums_again() -> None:
    def lookups(hits: int, misses: int) -> str:
        exporter = PrometheusExporter()
        exporter.watch_counts("x_lookups", "n", "result", lambda: {"hit": hits, "miss": misses})
        exporter.watch_gauge("x_hit_rate", "n", lambda: hits / max(1, hits + misses))
        return exporter.exposition().decode()

    ratios = {"x_hit_rate": Ratio("x_lookups_total", "result", "hit")}
    merged = samples(merge([lookups(9, 1), lookups(0, 30)], ratios).decode())
    assert merged["x_hit_rate", ()] == 9 / 40
    nothing = samples(merge([lookups(0, 0), lookups(0, 0)], ratios).decode())
    assert math.isnan(nothing["x_hit_rate", ()])


def test_types_and_help_stay() -> None:
    text = merge([exposition([turn(700)])] * 2).decode()
    assert "# TYPE voicelat_total_latency_ms histogram" in text
    assert "# HELP voicelat_calls Calls" in text
