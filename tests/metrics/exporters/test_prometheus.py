"""What Prometheus scrapes is what the turns say."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from tests.metrics.exporters.records import any_records

from voicelat.metrics.exporters.prometheus import BUCKETS_MS, PrometheusExporter
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.recorder import RecordCounts
from voicelat.metrics.targets import DEFAULT_TARGETS


def turn(**fields: Any) -> TurnRecord:
    return TurnRecord(**{"call_id": "c", "turn": 1, "outcome": "answered", **fields})


def scraped(exporter: PrometheusExporter) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(exporter.exposition().decode())
        for sample in family.samples
    }


def value(exporter: PrometheusExporter, name: str, **labels: str) -> float | None:
    return scraped(exporter).get((name, frozenset(labels.items())))


def test_totals_are_kept_by_reason_and_outcome() -> None:
    exporter = PrometheusExporter()
    exporter.observe(turn(TOTAL_LATENCY_MS=1500, EOU_REASON="silence"))
    exporter.observe(turn(TOTAL_LATENCY_MS=900, EOU_REASON="silence"))
    labels = {"eou_reason": "silence", "outcome": "answered"}
    assert value(exporter, "voicelat_total_latency_ms_count", **labels) == 2
    assert value(exporter, "voicelat_total_latency_ms_sum", **labels) == 2400
    assert value(exporter, "voicelat_total_latency_ms_bucket", **labels, le="1000.0") == 1
    assert value(exporter, "voicelat_turns_total", **labels) == 2


def test_events_are_counted() -> None:
    exporter = PrometheusExporter()
    exporter.observe(turn(BARGE_IN_HIT=True, outcome="barged_in", cutoff=True, reopened=True))
    exporter.observe(turn(outcome="censored"))
    exporter.observe(turn(TOTAL_LATENCY_MS=-5))
    for name in ("barge_ins", "cutoffs", "reopened", "censored", "implausible"):
        assert value(exporter, f"voicelat_{name}_total") == 1
    assert value(exporter, "voicelat_turns_total", eou_reason="none", outcome="censored") == 1


def test_unknown_and_negative_numbers_are_not_observed() -> None:
    exporter = PrometheusExporter()
    exporter.observe(turn(TTS_READY_MS=None, STT_FINAL_MS=-1))
    assert value(exporter, "voicelat_tts_ready_ms_count") == 0
    assert value(exporter, "voicelat_stt_final_ms_count") == 0


def test_records_that_were_lost_show_at_the_scrape() -> None:
    counts = [RecordCounts(written=1, dropped=0, failed=0, waiting=0)]
    exporter = PrometheusExporter(lambda: counts[-1])
    counts.append(RecordCounts(written=5, dropped=2, failed=1, waiting=3))
    fates = {
        fate: value(exporter, "voicelat_turn_records_total", fate=fate)
        for fate in ("written", "dropped", "failed")
    }
    assert fates == {"written": 5, "dropped": 2, "failed": 1}


def test_every_default_target_is_the_edge_of_a_bucket() -> None:
    assert {goal.limit_ms for goal in DEFAULT_TARGETS} <= set(BUCKETS_MS)


def test_two_exporters_do_not_share_anything() -> None:
    first, second = PrometheusExporter(), PrometheusExporter()
    first.observe(turn())
    assert value(second, "voicelat_turns_total", eou_reason="none", outcome="answered") == 0


def test_every_series_of_turns_begins_at_zero_so_that_rates_see_the_first_one() -> None:
    before = set(scraped(PrometheusExporter()))
    exporter = PrometheusExporter()
    for reason in ("silence", "debounce", "timeout"):
        for outcome in ("answered", "barged_in"):
            exporter.observe(turn(TOTAL_LATENCY_MS=900, EOU_REASON=reason, outcome=outcome))
    exporter.observe(turn(outcome="censored", fallback_failure="no text"))
    assert set(scraped(exporter)) == before


@given(any_records)
def test_no_turn_makes_more_series_than_there_are_reasons_and_outcomes(
    records: list[TurnRecord],
) -> None:
    exporter = PrometheusExporter()
    for record in records:
        exporter.observe(record)
    allowed = {"eou_reason": 4, "outcome": 4, "used": 3, "le": len(BUCKETS_MS) + 1}
    values: dict[str, set[str]] = {}
    for _, labels in scraped(exporter):
        for label, one in labels:
            values.setdefault(label, set()).add(one)
    assert set(values) <= set(allowed)
    assert all(len(values[label]) <= count for label, count in allowed.items())


@given(st.lists(st.integers(0, 9_999), min_size=1, max_size=60), st.sampled_from([0.5, 0.95]))
def test_a_percentile_from_the_buckets_is_right_to_within_its_bucket(
    totals: list[int], share: float
) -> None:
    exporter = PrometheusExporter()
    for total in totals:
        exporter.observe(turn(TOTAL_LATENCY_MS=total, EOU_REASON="silence"))
    labels = frozenset({("eou_reason", "silence"), ("outcome", "answered")})
    rank, found = share * len(totals), scraped(exporter)
    below, edge = 0, 0
    for edge in BUCKETS_MS:
        upto = labels | {("le", str(float(edge)))}
        if found["voicelat_total_latency_ms_bucket", upto] >= rank:
            break
        below = edge
    exact = sorted(totals)[math.ceil(rank) - 1]
    assert below < exact <= edge or exact == below == 0


def test_model_calls_and_those_nobody_heard_are_counted() -> None:
    exporter = PrometheusExporter()
    exporter.observe(turn(model_calls=3, wasted_calls=2))
    exporter.observe(turn(model_calls=1))
    assert value(exporter, "voicelat_model_calls_total") == 4
    assert value(exporter, "voicelat_wasted_model_calls_total") == 2


def test_fallbacks_are_counted_by_what_they_were_good_for() -> None:
    exporter = PrometheusExporter()
    exporter.observe(turn(fallback=True))
    exporter.observe(turn(fallback=True, fallback_ms=700, fallback_used="history"))
    exporter.observe(turn(fallback_ms=100, fallback_used="answer"))
    exporter.observe(turn(fallback=True, fallback_failure="no text in 6000 ms"))
    assert value(exporter, "voicelat_asked_to_repeat_total") == 3
    for used in ("history", "answer", "nothing"):
        assert value(exporter, "voicelat_fallbacks_total", used=used) == 1
    assert value(exporter, "voicelat_fallback_ms_sum") == 800
