"""What bringing turns to other tools costs: for each exporter, and for the process with the calls.

python benchmarks/export.py
python benchmarks/export.py --sql postgresql://me@127.0.0.1/bench

The collector is a server that takes everything, in this process. How late the loop is says
something only on a quiet machine: there ``nobody`` is below 1 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from voicelat.metrics.exporters.live import BATCH, LiveSink, TurnWriter
from voicelat.metrics.exporters.otel import OtlpWriter
from voicelat.metrics.exporters.prometheus import PrometheusExporter
from voicelat.metrics.exporters.sql import SqlWriter
from voicelat.metrics.exporters.tables import frame_of, write_csv, write_parquet
from voicelat.metrics.record import Stamps, TurnRecord
from voicelat.metrics.recorder import MetricRecorder
from voicelat.settings import Settings

__all__ = ["main"]

CALLS = 500
PER_SECOND, SECONDS = 20, 10
"""Turns while the event loop is watched: those of some 200 calls at once."""

Sink = MetricRecorder | LiveSink


def a_turn(index: int) -> TurnRecord:
    """A turn as ``voicelat serve`` records it, with everything in it."""
    first_ms = 2000 + index % 700
    return TurnRecord(
        call_id=f"CA{index % CALLS:032x}",
        stream_sid=f"MZ{index % CALLS:032x}",
        started_utc="2026-11-25T10:00:00.000+00:00",
        turn=index // CALLS + 1,
        outcome="answered",
        providers={"stt": "google:latest_long", "llm": "openai:gpt", "tts": "google:Aoede"},
        settings=Settings().in_force(),
        EOU_REASON="debounce",
        model_calls=1,
        text="I would like to move my appointment to Thursday, please.",
        reply="Of course. Would ten in the morning suit you?",
        stamps=Stamps(
            **{name: first_ms + 200 * n for n, name in enumerate(Stamps.__struct_fields__)}
        ),
    ).measured()


def us_per_turn(work: Callable[[], object], turns: int) -> float:
    """Of one go: each has something to set up that a second one would find there."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) / turns * 1e6


def in_batches(writer: TurnWriter, records: Sequence[TurnRecord]) -> None:
    """As the live sink does."""
    for start in range(0, len(records), BATCH):
        assert writer.write(records[start : start + BATCH]) == []


@contextmanager
def collector() -> Iterator[str]:
    """The address of one that takes everything."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def exporters(records: Sequence[TurnRecord], folder: Path, sql: str, otlp: str) -> dict[str, float]:
    """Microseconds a turn."""
    turns = len(records)
    frame_of(records[:1])  # imports pandas, which takes a second or two
    prometheus, database, spans = PrometheusExporter(), SqlWriter(sql), OtlpWriter(otlp)

    def observe() -> None:
        for record in records:
            prometheus.observe(record)

    return {
        "prometheus": us_per_turn(observe, turns),
        "frame": us_per_turn(lambda: frame_of(records), turns),
        "csv": us_per_turn(lambda: write_csv(records, folder / "turns.csv"), turns),
        "parquet": us_per_turn(lambda: write_parquet(records, folder / "turns.parquet"), turns),
        "sql": us_per_turn(lambda: in_batches(database, records), turns),
        "sql again": us_per_turn(lambda: in_batches(database, records), turns),
        "otlp": us_per_turn(lambda: in_batches(spans, records), turns),
    }


def offering(sinks: Sequence[Sink], records: Sequence[TurnRecord]) -> float:
    """Microseconds that a turn costs whoever hands it over."""

    def offer() -> None:
        for record in records:
            for sink in sinks:
                sink.record(record)

    return us_per_turn(offer, len(records))


async def lateness_ms(sinks: Sequence[Sink], records: Sequence[TurnRecord]) -> dict[str, float]:
    """How late an event loop is that hands over `PER_SECOND` turns, and ticks every 5 ms."""
    late: list[float] = []
    left = iter(records[: PER_SECOND * SECONDS])
    due = time.perf_counter()
    for tick in range(SECONDS * 200):
        due += 0.005
        await asyncio.sleep(due - time.perf_counter())
        late.append((time.perf_counter() - due) * 1000)
        if tick % (200 // PER_SECOND) == 0 and (record := next(left, None)) is not None:
            for sink in sinks:
                sink.record(record)
    return {"p99": float(np.percentile(late, 99)), "max": max(late)}


def measure(turns: int, sql: str | None) -> dict[str, object]:
    """Everything."""
    records = [a_turn(index) for index in range(turns)]
    with tempfile.TemporaryDirectory() as name, collector() as otlp:
        folder = Path(name)
        url = sql or f"sqlite:///{folder}/turns.db"
        taken = exporters(records, folder, url, otlp)
        alone: list[Sink] = [MetricRecorder(folder / "turns.jsonl")]
        gc.collect()
        gc.freeze()  # as the server does: else a collection of all this stops the loop
        sql_sink = LiveSink("sql", SqlWriter(url))
        otel_sink = LiveSink("otel", OtlpWriter(otlp))
        ways: dict[str, list[Sink]] = {
            "nobody": [],
            "recorder": alone,
            "recorder, sql": [*alone, sql_sink],
            "recorder, otel": [*alone, otel_sink],
            "all three": [*alone, sql_sink, otel_sink],
        }
        found: dict[str, object] = {
            "turns": turns,
            "us_per_turn": taken,
            "loop_late_ms": {
                way: asyncio.run(lateness_ms(sinks, records)) for way, sinks in ways.items()
            },
            "offering_us": {way: offering(sinks, records[:1000]) for way, sinks in ways.items()},
        }
        for sink in ways["all three"]:
            assert sink.close(60)
            assert sink.counts().dropped == sink.counts().failed == 0
    return found


def main() -> None:
    """Print one figure a line."""
    parser = argparse.ArgumentParser(description="What exporters cost.")
    parser.add_argument("--turns", type=int, default=10_000)
    parser.add_argument("--sql", metavar="URL", help="a database; default: SQLite in a folder")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = measure(options.turns, options.sql)
    if options.json:
        print(json.dumps(found))
        return
    for what, figures in found.items():
        for name, figure in figures.items() if isinstance(figures, dict) else ():
            print(f"{what:<14}{name:<22}{figure}")


if __name__ == "__main__":
    main()
