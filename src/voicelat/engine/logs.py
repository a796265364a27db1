"""Logs that no call waits for: a bounded queue, written in batches by one thread.

A record costs its caller one formatted message and one append. What may stall (a disk, a
terminal, a network handler) stalls the thread; when the queue is full, records are dropped and
counted, never waited for. A killed process loses at most one flush interval.

Logger names are module names. One is special: per-frame output (50 records a second and call)
goes to `FRAMES`, which is silent at every ``LOG_LEVEL`` until `show_frames`, for ``DEBUG=1``.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections import deque
from logging.handlers import QueueHandler
from typing import Any, Final

__all__ = ["FRAMES", "LogQueue", "show_frames", "start_async_logs"]

FRAMES: Final = "voicelat.frames"
"""The logger for per-frame output."""

QUEUE_SIZE: Final = 10_000
"""Records: one second of per-frame output from 200 calls, or minutes of anything else."""

STOP_S: Final = 5.0
"""Seconds: enough for a slow disk to take what is queued, short enough for a shutdown."""


def show_frames(wanted: bool) -> None:
    """Let per-frame records through, or (the state at import) none of them."""
    logging.getLogger(FRAMES).setLevel(logging.DEBUG if wanted else logging.CRITICAL + 1)


show_frames(False)


def start_async_logs(
    enabled: bool,
    flush_ms: int,
    queue_size: int = QUEUE_SIZE,
    logger: logging.Logger | None = None,
) -> LogQueue:
    """Put a queue before the handlers that ``logger`` (None: the root logger) has now.

    ``enabled=False`` leaves the handlers where they are; the queue that comes back drops
    nothing and its `LogQueue.stop` does nothing.
    """
    queue = LogQueue(logger or logging.getLogger(), flush_ms, queue_size)
    if enabled:
        queue.start()
    return queue


class LogQueue(QueueHandler):
    """The handler that queues, and the thread that hands the queue to the real handlers."""

    def __init__(self, logger: logging.Logger, flush_ms: int, queue_size: int) -> None:
        self._queued: deque[logging.LogRecord] = deque()
        super().__init__(self._queued)  # type: ignore[arg-type]  # `enqueue` is ours
        self._logger = logger
        # Without handlers a logger speaks through `lastResort`; with ours in place it would not.
        self._handlers = logger.handlers or [logging.lastResort or logging.NullHandler()]
        self._replaced = logger.handlers
        self._flush_s = flush_ms / 1000
        self._size = queue_size
        self._dropped = 0
        self._reported = 0
        self._counting = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="voicelat-logs", daemon=True)

    @property
    def dropped(self) -> int:
        """Records dropped so far: the queue was full, or a handler still stalled at `stop`."""
        return self._dropped

    def start(self) -> None:
        """Take the handlers' place and begin to write. Once only."""
        self._logger.handlers = [self]
        atexit.register(self.stop)
        self._thread.start()

    def stop(self, wait_s: float = STOP_S) -> None:
        """Give the handlers their place back and write what is queued. Safe to call twice.

        A handler that stalls is waited for ``wait_s`` seconds; what it then holds up counts as
        dropped.
        """
        if not self._thread.is_alive():
            return
        self._logger.handlers = self._replaced
        self._stopping.set()
        self._thread.join(wait_s)
        self._drop(len(self._queued))
        atexit.unregister(self.stop)

    def handle(self, record: logging.LogRecord) -> Any:
        """Filter and queue, without the lock every other handler takes: an append is atomic,
        and a thread that lost the processor while it held the lock would hold up a call."""
        kept = self.filter(record)
        if kept:
            self.emit(record if kept is True else kept)
        return kept

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Merge message and arguments now: what they refer to may change before it is written."""
        record.msg = record.getMessage()
        record.args = None
        if record.exc_info:
            record.exc_text = (self.formatter or logging.Formatter()).formatException(
                record.exc_info
            )
            record.exc_info = None
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Append the record, or count it as dropped."""
        if len(self._queued) < self._size:
            self._queued.append(record)
        else:
            self._drop(1)

    def _drop(self, count: int) -> None:
        with self._counting:
            self._dropped += count

    def _run(self) -> None:
        while not self._stopping.wait(self._flush_s):
            self._write()
        self._write()

    def _write(self) -> None:
        for _ in range(len(self._queued)):
            self._pass_on(self._queued.popleft())
        if new := self._dropped - self._reported:
            self._reported += new
            note = f"{new} log records dropped: the queue of {self._size} was full"
            self._pass_on(
                logging.LogRecord(__name__, logging.WARNING, __file__, 0, note, None, None)
            )
        for handler in self._handlers:
            handler.flush()

    def _pass_on(self, record: logging.LogRecord) -> None:
        for handler in self._handlers:
            if record.levelno >= handler.level:
                handler.handle(record)
