"""The metrics of several processes as those of one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from voicelat.metrics.exporters.prometheus import PrometheusExporter
from voicelat.metrics.merge import Ratio, merge
from voicelat.metrics.record import Outcome, Stamps, TurnRecord

RATES = {"x_hit_rate": Ratio('x_lookups_total{result="hit"}', 'x_lookups_total{result="miss"}')}


def turn(total_ms: int, outcome: Outcome = "answered") -> TurnRecord:
    stamps = Stamps(speech_end=0, turn_end=0, first_audio_sent=total_ms)
    return TurnRecord(call_id="a", turn=1, outcome=outcome, stamps=stamps).measured()


def exposition(turns: list[TurnRecord], calls: float = 0) -> bytes:
    exporter = PrometheusExporter()
    exporter.watch_gauge("voicelat_calls", "Calls", lambda: calls)
    exporter.watch_counts("voicelat_events", "Events", "what", lambda: {"seen": len(turns)})
    for record in turns:
        exporter.observe(record)
    return exporter.exposition()


def counts(found: Mapping[str, int]) -> bytes:
    exporter = PrometheusExporter()
    exporter.watch_counts("x_seen", "n", "what", lambda: found)
    return exporter.exposition()


def seen(text: bytes) -> list[bytes]:
    return sorted(line for line in text.split(b"\n") if line.startswith(b"x_seen_total"))


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@settings(deadline=None)  # building exporters is slow, and a busy machine makes it slower
@given(st.lists(st.tuples(st.integers(0, 12_000), st.integers(0, 2)), max_size=30))
def test_the_parts_together_are_the_whole(turns: list[tuple[int, int]]) -> None:
    parts: list[list[TurnRecord]] = [[], [], []]
    for ms, part in turns:
        parts[part].append(turn(ms))
    whole = exposition([turn(ms) for ms, _ in turns], calls=6)
    merged = merge([exposition(part, calls=n + 1) for n, part in enumerate(parts)])
    assert samples(merged) == samples(whole)


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.text(), st.integers(0, 1000)), min_size=1, max_size=4))
def test_whatever_stands_in_a_label_its_counts_are_added_up(parts: list[dict[str, int]]) -> None:
    whole: Counter[str] = Counter()
    for part in parts:
        whole.update(part)
    merged = merge([counts(part) for part in parts])
    assert seen(merged) == seen(counts(whole))


def test_one_exposition_stays_as_it_is() -> None:
    alone = exposition([turn(700), turn(900)], calls=1)
    assert merge([alone]) == alone


def test_series_that_only_one_has_stand_with_their_family() -> None:
    merged = merge([counts({"a": 1}), counts({"b": 2})]).decode().split("\n")
    at = merged.index('x_seen_total{what="a"} 1.0')
    assert merged[at + 1] == 'x_seen_total{what="b"} 2.0'


def test_a_rate_is_made_of_the_sums_again() -> None:
    def lookups(hits: int, misses: int) -> bytes:
        exporter = PrometheusExporter()
        exporter.watch_counts("x_lookups", "n", "result", lambda: {"hit": hits, "miss": misses})
        exporter.watch_gauge("x_hit_rate", "n", lambda: hits / max(1, hits + misses))
        return exporter.exposition()

    merged = samples(merge([lookups(9, 1), lookups(0, 30)], RATES))
    assert merged["x_hit_rate", ()] == 9 / 40
    nothing = samples(merge([lookups(0, 0), lookups(0, 0)], RATES))
    assert math.isnan(nothing["x_hit_rate", ()])


def test_types_and_help_stay_and_stand_once() -> None:
    text = merge([exposition([turn(700)])] * 2).decode()
    assert text.count("# TYPE voicelat_total_latency_ms histogram") == 1
    assert text.count("# HELP voicelat_calls Calls") == 1
