"""The recorder: turns go to disk beside the calls, never in them.

`MetricRecorder.record` puts the turn into a bounded queue and returns. A daemon thread writes
everything that came in during one flush interval as whole lines with one ``write`` on a file
opened for appending: a killed process loses at most that interval, and several processes can
share a file (POSIX makes an append one step). What cannot be written is counted.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from voicelat.errors import UsageError
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.turnsfile import encode

__all__ = ["MetricRecorder", "RecordCounts"]

FLUSH_INTERVAL_S: Final = 0.25
QUEUE_SIZE: Final = 10_000
"""Turns, some 15 MB: an hour of a hundred calls, should the disk hang that long."""

_FILE_MODE: Final = 0o600  # what callers said is theirs


class RecordCounts(msgspec.Struct, frozen=True):
    """What became of the records so far; together they are all that were offered."""

    written: int
    dropped: int
    """Not taken: the queue was full, or the recorder was closed."""
    failed: int
    """Taken, but the disk refused them."""
    waiting: int


class MetricRecorder:
    """Appends turns to a ``turns.jsonl`` without ever blocking or failing a call.

    Raises `UsageError` when the file cannot be opened. Usable as a context manager.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        flush_interval_s: float = FLUSH_INTERVAL_S,
        queue_size: int = QUEUE_SIZE,
    ) -> None:
        self._file = _open(path)
        self._flush_interval_s = flush_interval_s
        self._queue_size = queue_size
        self._queue: list[TurnRecord] = []
        self._offered = threading.Condition()
        self._closing = threading.Event()
        self._subscribers: tuple[Callable[[TurnRecord], None], ...] = ()
        self._cut_line = b""
        self._written = self._dropped = self._failed = self._in_hand = 0
        self.last_error: str | None = None
        """The last thing that went wrong, in words."""
        self._writer = threading.Thread(target=self._run, name="voicelat-recorder", daemon=True)
        self._writer.start()

    def record(self, record: TurnRecord) -> None:
        """Take a turn. Never blocks, never raises; a turn it cannot take is counted."""
        with self._offered:
            if self._closing.is_set() or len(self._queue) >= self._queue_size:
                self._dropped += 1
                return
            self._queue.append(record)
            self._offered.notify()

    def subscribe(self, callback: Callable[[TurnRecord], None]) -> None:
        """Have every turn from now on, on the writer's thread, after it was written (or
        could not be). The callback must be quick: the writer waits for it."""
        with self._offered:
            self._subscribers = (*self._subscribers, callback)

    def counts(self) -> RecordCounts:
        """What became of the records so far."""
        with self._offered:
            waiting = len(self._queue) + self._in_hand
            return RecordCounts(self._written, self._dropped, self._failed, waiting)

    def close(self, timeout_s: float = 2.0) -> bool:
        """Write what is waiting and stop. Safe to call twice.

        False when the disk needs longer than ``timeout_s``: what is left stays ``waiting``.
        """
        with self._offered:
            self._closing.set()
            self._offered.notify()
        self._writer.join(timeout_s)
        return not self._writer.is_alive()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self) -> None:
        while batch := self._next_batch():
            written, failed = self._write(batch)
            with self._offered:
                self._written += written
                self._failed += failed
                self._in_hand = 1 if self._cut_line else 0
                subscribers = self._subscribers
            for callback in subscribers:
                self._tell(callback, batch)
        os.close(self._file)

    def _next_batch(self) -> list[TurnRecord]:
        """What came in during one flush interval; empty when closed and all is written."""
        with self._offered:
            self._offered.wait_for(lambda: self._queue or self._closing.is_set())
        self._closing.wait(self._flush_interval_s)
        with self._offered:
            batch, self._queue = self._queue, []
            self._in_hand += len(batch)
        return batch

    def _write(self, batch: Sequence[TurnRecord]) -> tuple[int, int]:
        """Append the batch; returns how many lines were written and how many refused.

        A full disk may take half a line. Its rest is kept and goes first the next time, so
        that the file stays whole lines; until then that line is neither.
        """
        lines = [line for record in batch if (line := self._line(record))]
        data = self._cut_line + b"".join(lines)
        done = 0
        try:
            while done < len(data):
                done += os.write(self._file, data[done:])
        except OSError as error:
            self.last_error = error.strerror or str(error)
        written, refused = self._settle(data, done)
        return written, refused + len(batch) - len(lines)

    def _settle(self, data: bytes, done: int) -> tuple[int, int]:
        """Count the lines before and after ``done`` (each has one newline, at its end), and
        keep the rest of the one it falls into."""
        sent = data[:done]
        written = sent.count(b"\n")
        inside = not sent.endswith(b"\n") if sent else bool(self._cut_line)
        rest_end = data.index(b"\n", done) + 1 if inside else done
        self._cut_line = data[done:rest_end]
        return written, data.count(b"\n", rest_end)

    def _line(self, record: TurnRecord) -> bytes:
        """The record as a line; empty when it cannot be one (text that is no Unicode)."""
        try:
            return encode(record)
        except ValueError as error:
            self.last_error = str(error)
            return b""

    def _tell(self, callback: Callable[[TurnRecord], None], batch: Sequence[TurnRecord]) -> None:
        for record in batch:
            try:
                callback(record)
            except Exception as error:  # noqa: BLE001 - foreign code: its bug must not stop the records
                self.last_error = f"subscriber: {error!r}"


def _open(path: str | Path) -> int:
    """Open for appending, and end a line that a killed writer left unfinished."""
    try:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, _FILE_MODE)
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            os.write(file, b"\n")
    except OSError as error:
        raise UsageError(f"turn records cannot be written to {path}: {error.strerror}") from error
    return file
