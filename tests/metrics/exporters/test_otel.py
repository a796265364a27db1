"""Spans as a real collector gets them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from tests.metrics.exporters.collector import Collector, collecting, plain
from tests.metrics.exporters.records import FULL, any_records, turn
from tests.serve.running import INSTANT, QUESTION, spawned, until

from voicelat.caller import Say, WaitForReply
from voicelat.errors import ConnectError, UsageError
from voicelat.loadtest.line import place_call
from voicelat.metrics.exporters.live import LiveSink
from voicelat.metrics.exporters.otel import CAPTURE_CONTENT, OtlpWriter
from voicelat.metrics.record import Stamps, TurnRecord
from voicelat.metrics.turnsfile import read_turns

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="pip install 'voicelat[otel]'")
trace_pb2 = pytest.importorskip("opentelemetry.proto.trace.v1.trace_pb2")

START_NS = 1_795_600_800_250_000_000  # 2026-11-25T10:00:00.250Z


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    # One try takes no longer than this, however dead a collector is.
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    with collecting() as collector:
        yield collector


def sent(collector: Collector, *records: TurnRecord) -> list[str]:
    writer = OtlpWriter(collector.url)
    refusals = writer.write(records)
    writer.close()
    return refusals


def test_a_turn_arrives_as_a_tree_with_its_times(collector: Collector) -> None:
    assert sent(collector, FULL) == []
    root, *children = sorted(collector.spans, key=lambda span: bool(span.parent_span_id))
    assert (root.name, len(children)) == ("turn", 6)
    assert root.parent_span_id == b""
    assert {child.parent_span_id for child in children} == {root.span_id}
    assert {span.trace_id for span in collector.spans} == {root.trace_id}
    assert root.start_time_unix_nano == START_NS + 1000 * 10**6
    assert root.end_time_unix_nano == START_NS + 4600 * 10**6
    (chat,) = (child for child in children if child.name == "chat gpt-x")
    assert chat.kind == trace_pb2.Span.SPAN_KIND_CLIENT
    assert plain(chat.attributes)["gen_ai.response.time_to_first_chunk"] == 0.5
    assert chat.start_time_unix_nano == START_NS + 2210 * 10**6
    assert plain(root.attributes)["voicelat.total_latency_ms"] == 1050
    assert [event.name for event in root.events] == ["stall", "barge_in"]
    assert root.events[1].time_unix_nano == START_NS + 4500 * 10**6
    assert collector.paths == {"/v1/traces"}


def test_turns_of_one_call_share_a_trace_whoever_tells_them(collector: Collector) -> None:
    sent(collector, turn(1), turn(2))
    sent(collector, turn(1, source="loadtest"))
    sent(collector, turn(1, "CA2"))
    roots = [span for span in collector.spans if span.name == "turn"]
    traces = [span.trace_id for span in roots]
    assert traces[0] == traces[1] == traces[2] != traces[3]
    assert len({span.span_id for span in roots}) == 4


def test_a_turn_sent_again_has_the_same_ids(collector: Collector) -> None:
    sent(collector, FULL)
    sent(collector, FULL)
    ids = [(span.trace_id, span.span_id) for span in collector.spans]
    assert ids[: len(ids) // 2] == ids[len(ids) // 2 :]


def test_a_turn_without_an_answer_is_an_error(collector: Collector) -> None:
    silent = turn(1, outcome="censored", failure="the model did not answer")
    half = turn(3, failure="the voice broke off")
    sent(collector, silent, turn(2, outcome="censored"), half, turn(4))
    roots = [span for span in collector.spans if span.name == "turn"]
    error = trace_pb2.Status.STATUS_CODE_ERROR
    assert [root.status.code == error for root in roots] == [True, True, True, False]
    said = ["the model did not answer", "never answered", "the voice broke off", ""]
    assert [root.status.message for root in roots] == said
    kinds = [plain(root.attributes).get("error.type") for root in roots]
    assert kinds == ["no_reply", "no_reply", "half_reply", None]


def test_a_turn_that_cannot_be_placed_in_time_is_named(collector: Collector) -> None:
    unplaced = (
        turn(1, started_utc=None),
        turn(2, started_utc="yesterday"),
        turn(3, stamps=Stamps()),
        turn(4, started_utc="1969-01-01T00:00:00Z"),
    )
    refusals = sent(collector, *unplaced, turn(5))
    assert [why.partition(": ")[0] for why in refusals] == [f"CA1 turn {n}" for n in (1, 2, 3, 4)]
    assert "started_utc" in refusals[0]
    assert len([span for span in collector.spans if span.name == "turn"]) == 1


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=any_records)
def test_any_turn_is_sent_or_refused_with_a_reason(
    collector: Collector, records: list[TurnRecord]
) -> None:
    before = len([span for span in collector.spans if span.name == "turn"])
    refusals = sent(collector, *records)
    after = len([span for span in collector.spans if span.name == "turn"])
    assert after - before == len(records) - len(refusals)


def test_what_was_said_goes_along_only_when_the_environment_asks_for_it(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent(collector, FULL)
    assert FULL.text not in str([plain(span.attributes) for span in collector.spans])
    monkeypatch.setenv(CAPTURE_CONTENT, "true")
    sent(collector, FULL)
    assert FULL.text in str([plain(span.attributes) for span in collector.spans])


def test_the_environment_says_where_to_and_as_whom(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent(collector, FULL)
    assert collector.resource["service.name"] == "voicelat"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=1")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "front-desk")
    OtlpWriter().write([FULL])
    assert collector.requests == 2
    assert collector.headers["x-key"] == "1"
    assert collector.resource["service.name"] == "front-desk"


def test_a_collector_that_refuses_is_believed_and_one_that_is_overloaded_asked_again(
    collector: Collector,
) -> None:
    collector.answers = 400
    (why,) = sent(collector, FULL)
    assert why.endswith("answered 400")
    collector.answers = 503
    with pytest.raises(ConnectError, match="answered 503"):
        sent(collector, FULL)


def test_a_collector_that_is_not_there_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    with pytest.raises(ConnectError, match=r"^http://127.0.0.1:1: no answer$"):
        OtlpWriter("http://127.0.0.1:1").write([FULL])
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


def test_an_address_that_is_none_says_what_one_looks_like() -> None:
    with pytest.raises(UsageError, match="like http://localhost:4318"):
        OtlpWriter("localhost:4317")


async def test_a_server_sends_its_turns_to_where_the_environment_says(
    collector: Collector, tmp_path: Path
) -> None:
    env = {"OTEL_TURNS": "1", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    async with spawned(tmp_path, *INSTANT, env=env) as server:
        await place_call(server.media, [Say(QUESTION), WaitForReply(quiet_ms=100)])

        async def told() -> bool:
            return (await server.metrics())["voicelat_otel_records_total{written}"] == 1

        await until(told)
    (record,) = read_turns([tmp_path / "turns.jsonl"]).records
    root = next(span for span in collector.spans if span.name == "turn")
    assert plain(root.attributes)["gen_ai.conversation.id"] == record.call_id
    assert plain(root.attributes)["voicelat.total_latency_ms"] == record.TOTAL_LATENCY_MS


def test_turns_wait_for_a_collector_that_comes_back(collector: Collector) -> None:
    collector.answers = 503
    sink = LiveSink("otel", OtlpWriter(collector.url), flush_interval_s=0.01, rest_s=(0.01, 0.02))
    sink.record(turn(1))
    while collector.requests < 1:
        threading.Event().wait(0.01)
    sink.record(turn(2))
    collector.answers = 200
    assert sink.close(20)
    assert sink.counts().written == 2
    assert len([span for span in collector.spans if span.name == "turn"]) == 2
