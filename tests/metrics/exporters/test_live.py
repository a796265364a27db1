"""A live sink keeps what it can, counts what it cannot, and makes nobody wait."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.metrics.exporters.records import turn

from voicelat.errors import ConnectError
from voicelat.metrics.exporters.live import LiveSink
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.recorder import MetricRecorder

PATIENCE_S = 20


class Database:
    """A writer whose other side the test stops and starts."""

    def __init__(self) -> None:
        self.there: list[int] = []
        self.tries = 0
        self.tried = threading.Semaphore(0)
        self.up = True
        self.open = threading.Event()
        self.open.set()
        self.closed = False

    def write(self, records: Sequence[TurnRecord]) -> list[str]:
        self.tries += 1
        self.tried.release()
        self.open.wait()
        if not self.up:
            raise ConnectError("nobody there")
        self.there += [record.turn for record in records if record.turn != 13]
        return ["13 will not do" for record in records if record.turn == 13]

    def close(self) -> None:
        self.closed = True


def sink_of(database: Database, queue_size: int = 100) -> LiveSink:
    return LiveSink(
        "sql", database, queue_size=queue_size, flush_interval_s=0.001, rest_s=(0.001, 0.002)
    )


def test_turns_are_written_in_order_and_the_writer_is_closed() -> None:
    database = Database()
    sink = sink_of(database, queue_size=1000)
    for number in range(20, 520):
        sink.record(turn(number))
    assert sink.close(PATIENCE_S)
    assert database.there == list(range(20, 520))
    assert database.closed
    assert sink.counts().written == 500


def test_what_does_not_fit_while_the_other_side_hangs_is_counted() -> None:
    database = Database()
    database.open.clear()
    sink = sink_of(database, queue_size=3)
    for number in (1, 2, 3, 4, 5):
        sink.record(turn(number))
    assert not sink.close(0.01)
    assert (sink.counts().dropped, sink.counts().waiting) == (2, 3)
    database.open.set()
    assert sink.close(PATIENCE_S)
    assert database.there == [1, 2, 3]


def test_turns_wait_for_a_database_that_comes_back_and_it_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "voicelat.export")
    database = Database()
    database.up = False
    sink = sink_of(database)
    sink.record(turn(1))
    for _ in range(3):
        assert database.tried.acquire(timeout=PATIENCE_S)
    assert sink.last_error == "turns wait: nobody there"
    database.up = True
    sink.record(turn(2))
    assert sink.close(PATIENCE_S)
    assert database.there == [1, 2]
    assert [r.getMessage() for r in caplog.records] == [
        "sql: turns wait: nobody there",
        "sql: turns are written again",
    ]


def test_a_turn_that_can_never_be_taken_holds_up_no_other() -> None:
    database = Database()
    sink = sink_of(database)
    for number in (12, 13, 14):
        sink.record(turn(number))
    assert sink.close(PATIENCE_S)
    assert database.there == [12, 14]
    assert (sink.counts().written, sink.counts().failed) == (2, 1)
    assert sink.last_error == "turns were refused: 13 will not do"


def test_at_the_end_a_dead_database_is_tried_once_and_the_rest_is_told() -> None:
    database = Database()
    database.up = False
    sink = sink_of(database)
    sink.record(turn(1))
    assert sink.close(PATIENCE_S)
    assert sink.counts().waiting == 1
    assert database.closed


def test_a_recorder_is_not_held_up_by_a_sink_that_hangs(tmp_path: Path) -> None:
    database = Database()
    database.open.clear()
    sink = sink_of(database)
    with MetricRecorder(tmp_path / "turns.jsonl", flush_interval_s=0.001) as recorder:
        recorder.subscribe(sink.record)
        recorder.record(turn(1))
        assert database.tried.acquire(timeout=PATIENCE_S)  # and there it hangs
        for number in range(20, 40):
            recorder.record(turn(number))
        assert recorder.close(PATIENCE_S)
    assert recorder.counts().written == 21
    database.open.set()
    assert sink.close(PATIENCE_S)
    assert len(database.there) == 21


def test_turns_after_the_end_are_counted() -> None:
    sink = sink_of(Database())
    assert sink.close(PATIENCE_S)
    assert sink.close(PATIENCE_S)
    sink.record(turn(1))
    assert sink.counts().dropped == 1
