"""Live export: turns go to a database or a collector beside the calls, never in them.

`LiveSink.record` puts the turn into a bounded queue and returns. A daemon thread hands what came
in to a writer, and when the other side is slow or gone it keeps the turns and tries again, later
and later. What does not fit meanwhile is counted.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final, Protocol

from voicelat.errors import VoicelatError
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.recorder import RecordCounts

__all__ = ["LiveSink", "TurnWriter"]

_LOG = logging.getLogger("voicelat.export")

QUEUE_SIZE: Final = 10_000
"""Turns, some 15 MB: an hour of a hundred calls, should the other side be gone that long."""
BATCH: Final = 200
FLUSH_INTERVAL_S: Final = 1.0
REST_S: Final = (0.5, 30.0)
"""How long a writer that failed is left alone, at first and at most; doubled each time."""


class TurnWriter(Protocol):
    """Brings turns to one place. Used from one thread; waiting is fine."""

    def write(self, records: Sequence[TurnRecord]) -> list[str]:
        """Write them, all again after a failure. Returns why, for each that can never be taken.

        Raises VoicelatError when they should be offered again later.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class LiveSink:
    """A writer behind a bounded queue and a thread. ``name``: what is said in logs and metrics."""

    def __init__(
        self,
        name: str,
        writer: TurnWriter,
        *,
        queue_size: int = QUEUE_SIZE,
        flush_interval_s: float = FLUSH_INTERVAL_S,
        rest_s: tuple[float, float] = REST_S,
    ) -> None:
        self.name = name
        self.last_error: str | None = None
        """The last thing that went wrong, in words."""
        self._writer = writer
        self._queue_size = queue_size
        self._flush_interval_s = flush_interval_s
        self._rest_s = rest_s
        self._queue: deque[TurnRecord] = deque()
        self._offered = threading.Condition()
        self._closing = threading.Event()
        self._written = self._dropped = self._failed = 0
        self._thread = threading.Thread(target=self._run, name=f"voicelat-{name}", daemon=True)
        self._thread.start()

    def record(self, record: TurnRecord) -> None:
        """Take a turn. Never waits for the other side, never raises; a turn that does not fit is
        counted. Suits `MetricRecorder.subscribe`."""
        with self._offered:
            if self._closing.is_set() or len(self._queue) >= self._queue_size:
                self._dropped += 1
                return
            self._queue.append(record)
            self._offered.notify()

    def counts(self) -> RecordCounts:
        """What became of the turns so far; ``failed`` are those that can never be taken."""
        with self._offered:
            return RecordCounts(self._written, self._dropped, self._failed, len(self._queue))

    def close(self, timeout_s: float = 2.0) -> bool:
        """Write what is waiting, trying once, and stop. Safe to call twice.

        False when that needs longer than ``timeout_s``: what is left stays ``waiting``.
        """
        with self._offered:
            self._closing.set()
            self._offered.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        rest_s = self._rest_s[0]
        while batch := self._next_batch():
            last_try = self._closing.is_set()
            if self._write(batch):
                rest_s = self._rest_s[0]
            elif last_try:
                break
            else:
                self._closing.wait(rest_s)
                rest_s = min(2 * rest_s, self._rest_s[1])
        self._writer.close()

    def _next_batch(self) -> list[TurnRecord]:
        """The oldest turns, which stay in the queue until they are written; empty at the end."""
        with self._offered:
            self._offered.wait_for(lambda: self._queue or self._closing.is_set())
            full = len(self._queue) >= BATCH
        if not full:
            self._closing.wait(self._flush_interval_s)
        with self._offered:
            return list(islice(self._queue, BATCH))

    def _write(self, batch: Sequence[TurnRecord]) -> bool:
        try:
            refusals = self._writer.write(batch)
        except VoicelatError as error:
            self._say(logging.ERROR, f"turns wait: {error}")
            return False
        with self._offered:
            for _ in batch:
                self._queue.popleft()
            self._failed += len(refusals)
            self._written += len(batch) - len(refusals)
        if refusals:
            self._say(logging.ERROR, f"turns were refused: {refusals[-1]}")
        elif self.last_error is not None:
            self._say(logging.INFO, None)
        return True

    def _say(self, level: int, error: str | None) -> None:
        """Log a change of state, not every try."""
        if error != self.last_error:
            _LOG.log(level, "%s: %s", self.name, error or "turns are written again")
        self.last_error = error
