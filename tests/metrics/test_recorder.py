"""The recorder loses nothing it does not count, and never stops a call."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from voicelat.errors import UsageError
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.recorder import MetricRecorder, RecordCounts
from voicelat.metrics.turnsfile import encode, read_turns

NEVER_S = 3600.0  # a flush interval that only `close` ends
AT_ONCE_S = 0.0
PATIENCE_S = 20.0


def turn(number: int, text: str = "") -> TurnRecord:
    return TurnRecord(call_id="c", turn=number, outcome="answered", text=text)


class Listener:
    """Collects what a recorder tells, and lets a test wait for it."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self._news = threading.Condition()

    def __call__(self, record: TurnRecord) -> None:
        with self._news:
            self.heard.append(record.turn)
            self._news.notify_all()

    def wait_for(self, count: int) -> bool:
        with self._news:
            return self._news.wait_for(lambda: len(self.heard) >= count, PATIENCE_S)


def test_what_was_recorded_is_in_the_file_after_close(tmp_path: Path) -> None:
    path = tmp_path / "turns.jsonl"
    with MetricRecorder(path, flush_interval_s=NEVER_S) as recorder:
        for number in range(5):
            recorder.record(turn(number))
    assert read_turns([path]).records == [turn(number) for number in range(5)]
    assert recorder.counts() == RecordCounts(written=5, dropped=0, failed=0, waiting=0)


def test_it_is_in_the_file_before_close_too(tmp_path: Path) -> None:
    path = tmp_path / "turns.jsonl"
    listener = Listener()
    with MetricRecorder(path, flush_interval_s=AT_ONCE_S) as recorder:
        recorder.subscribe(listener)
        recorder.record(turn(1))
        assert listener.wait_for(1)
        assert read_turns([path]).records == [turn(1)]


def test_a_full_queue_drops_and_counts_instead_of_waiting(tmp_path: Path) -> None:
    recorder = MetricRecorder(tmp_path / "t.jsonl", flush_interval_s=NEVER_S, queue_size=2)
    for number in range(5):
        recorder.record(turn(number))
    assert recorder.counts() == RecordCounts(written=0, dropped=3, failed=0, waiting=2)
    assert recorder.close()
    assert recorder.counts() == RecordCounts(written=2, dropped=3, failed=0, waiting=0)


def test_a_record_after_close_is_dropped_and_counted(tmp_path: Path) -> None:
    recorder = MetricRecorder(tmp_path / "t.jsonl")
    assert recorder.close()
    recorder.record(turn(1))
    assert recorder.close()
    assert recorder.counts() == RecordCounts(written=0, dropped=1, failed=0, waiting=0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_counted_and_told_and_calls_go_on() -> None:
    listener = Listener()
    with MetricRecorder("/dev/full", flush_interval_s=AT_ONCE_S) as recorder:
        recorder.subscribe(listener)
        recorder.record(turn(1))
        assert listener.wait_for(1)
        recorder.record(turn(2))
        assert listener.wait_for(2)
    assert recorder.counts() == RecordCounts(written=0, dropped=0, failed=2, waiting=0)
    assert recorder.last_error == "No space left on device"


def test_a_disk_that_hangs_blocks_neither_calls_nor_close(tmp_path: Path) -> None:
    """A pipe that nobody reads takes 64 KiB and then no more."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    recorder = MetricRecorder(path, flush_interval_s=AT_ONCE_S, queue_size=5)
    recorder.record(turn(0, text="x" * 1_000_000))
    for number in range(1, 20):
        recorder.record(turn(number))
    assert recorder.counts().dropped >= 20 - 2 * 5
    assert not recorder.close(timeout_s=0)
    assert recorder.counts().waiting > 0
    while not recorder.close(timeout_s=0.01):  # the disk is back
        with contextlib.suppress(BlockingIOError):
            os.read(reader, 65_536)
    os.close(reader)
    counts = recorder.counts()
    assert (counts.waiting, counts.failed) == (0, 0)
    assert counts.written + counts.dropped == 20


DISK_THAT_FILLS = """
import resource, sys, threading
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.recorder import MetricRecorder

path, limit = sys.argv[1], int(sys.argv[2])
def turn(number):
    return TurnRecord(call_id="c", turn=number, outcome="answered")

resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
told = threading.Semaphore(0)
recorder = MetricRecorder(path, flush_interval_s=0)
recorder.subscribe(lambda record: told.release())
for number in (0, 1, 2):
    recorder.record(turn(number))
    told.acquire(timeout=20)
print(recorder.counts(), recorder.last_error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
recorder.record(turn(3))
recorder.close()
print(recorder.counts())
"""


def test_a_disk_that_fills_inside_a_line_and_recovers_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "turns.jsonl"
    line = len(encode(turn(0)))
    out = run(DISK_THAT_FILLS, str(path), str(line + line // 2)).splitlines()
    assert out[0].startswith("RecordCounts(written=1, dropped=0, failed=1, waiting=1)")
    assert "File too large" in out[0]
    assert out[1] == "RecordCounts(written=3, dropped=0, failed=1, waiting=0)"
    turns = read_turns([path])
    assert [record.turn for record in turns.records] == [0, 1, 3]
    assert turns.truncated == []


def test_text_that_is_no_unicode_costs_its_own_record_only(tmp_path: Path) -> None:
    path = tmp_path / "turns.jsonl"
    with MetricRecorder(path) as recorder:
        recorder.record(turn(1, text="half a smile \ud83d"))
        recorder.record(turn(2))
    assert recorder.counts() == RecordCounts(written=1, dropped=0, failed=1, waiting=0)
    assert [record.turn for record in read_turns([path]).records] == [2]


def test_a_subscriber_that_raises_is_told_and_stops_nothing(tmp_path: Path) -> None:
    def broken(_record: TurnRecord) -> None:
        raise RuntimeError("oops")

    listener = Listener()
    with MetricRecorder(tmp_path / "t.jsonl") as recorder:
        recorder.subscribe(broken)
        recorder.subscribe(listener)
        recorder.record(turn(1))
        recorder.record(turn(2))
    assert listener.heard == [1, 2]
    assert recorder.counts().written == 2
    assert recorder.last_error == "subscriber: RuntimeError('oops')"


def test_a_place_that_cannot_be_written_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        MetricRecorder(tmp_path / "missing" / "turns.jsonl")


def test_what_callers_said_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    MetricRecorder(tmp_path / "t.jsonl").close()
    assert (tmp_path / "t.jsonl").stat().st_mode & 0o077 == 0


def test_a_line_that_a_killed_writer_left_unfinished_is_ended_first(tmp_path: Path) -> None:
    path = tmp_path / "turns.jsonl"
    path.write_bytes(encode(turn(1)) + encode(turn(2))[:30])
    with MetricRecorder(path) as recorder:
        recorder.record(turn(3))
    turns = read_turns([path])
    assert [record.turn for record in turns.records] == [1, 3]
    assert turns.truncated == [f"{path}: line 2"]


KILLED = """
import sys, threading
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.recorder import MetricRecorder

recorder = MetricRecorder(sys.argv[1], flush_interval_s=0.05)
recorder.subscribe(lambda record: print(record.turn, flush=True))
for number in range(3):
    recorder.record(TurnRecord(call_id="c", turn=number, outcome="answered"))
threading.Event().wait()
"""


def test_a_killed_process_keeps_what_its_last_flush_interval_did_not_hold(tmp_path: Path) -> None:
    """The child tells each turn after its flush, is killed with no chance to close, and every
    turn it told of is there."""
    path = tmp_path / "turns.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(3)]
        child.send_signal(signal.SIGKILL)
    assert told == [0, 1, 2]
    turns = read_turns([path])
    assert [record.turn for record in turns.records] == told
    assert turns.truncated == []


CROWD = """
import sys
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.recorder import MetricRecorder

with MetricRecorder(sys.argv[1], flush_interval_s=0) as recorder:
    for number in range(500):
        recorder.record(TurnRecord(call_id=sys.argv[2], turn=number, outcome="answered"))
"""


def test_two_processes_can_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "turns.jsonl"
    writers = [
        subprocess.Popen([sys.executable, "-c", CROWD, str(path), name]) for name in ("a", "b")
    ]
    assert [writer.wait(PATIENCE_S) for writer in writers] == [0, 0]
    turns = read_turns([path])
    assert turns.truncated == []
    for name in ("a", "b"):
        assert [r.turn for r in turns.records if r.call_id == name] == list(range(500))


def run(code: str, *args: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-c", code, *args],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    return finished.stdout
