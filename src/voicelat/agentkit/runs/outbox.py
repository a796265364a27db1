"""The outbox: events leave for the agents' process beside the calls, never in them.

`Outbox.offer` appends to a bounded queue and returns. A daemon thread posts what came in as
batches over HTTP and keeps trying while the other side is dead, slow or stopped; meanwhile the
queue fills, and what finds it full is dropped and counted. An event may arrive twice (an answer
that was lost); its id makes it run once.

Imports the standard library and msgspec alone: it lives in the process that carries calls.
"""

from __future__ import annotations

import http.client
import threading
from collections import deque
from typing import Final
from urllib.parse import urlsplit

import msgspec

from voicelat.agentkit.runs.event import Event
from voicelat.errors import UsageError

__all__ = ["Outbox", "OutboxCounts"]

SIZE: Final = 1000
BATCH: Final = 50
"""Events to a request."""
BATCH_BYTES: Final = 256 * 1024
"""A batch stops growing here: the receiver takes four times as much."""
POLL_S: Final = 0.1
"""How long an event may wait for others. Polled, so that an offer wakes no thread."""
TIMEOUT_S: Final = 5.0
"""A process that is stopped still accepts connections: only an answer says that it lives."""
FIRST_WAIT_S: Final = 0.2
LONGEST_WAIT_S: Final = 10.0

_HOPELESS: Final = frozenset({400, 413, 422})
"""Answers that sending the same again will not change."""


class OutboxCounts(msgspec.Struct, frozen=True):
    """What became of the events so far; together they are all that were offered."""

    delivered: int
    dropped: int
    """Not taken: the queue was full, or the outbox was closed."""
    refused: int
    """Taken, but the agents' process will not have them."""
    waiting: int


class Outbox:
    """Posts events to ``{url}/v1/events`` without ever blocking or failing a call.

    ``token``: sent as a bearer token; None: none is. ``size``: events that may wait. Raises
    `UsageError` when ``url`` is none.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        size: int = SIZE,
        timeout_s: float = TIMEOUT_S,
        poll_s: float = POLL_S,
    ) -> None:
        self._post = _Post(url, token, timeout_s)
        self._size = size
        self._poll_s = poll_s
        self._queue: deque[Event] = deque()
        self._counting = threading.Lock()
        self._closing = threading.Event()
        self._delivered = self._dropped = self._refused = self._in_hand = 0
        self.last_error: str | None = None
        """The last thing that went wrong, in words."""
        self._thread = threading.Thread(target=self._run, name="voicelat-outbox", daemon=True)
        self._thread.start()

    def offer(self, event: Event) -> bool:
        """Take an event. Never blocks, never raises; False when it was dropped, and counted."""
        with self._counting:
            full = len(self._queue) + self._in_hand >= self._size
            if full or self._closing.is_set():
                self._dropped += 1
                return False
            self._queue.append(event)
            return True

    def counts(self) -> OutboxCounts:
        """What became of the events so far."""
        with self._counting:
            waiting = len(self._queue) + self._in_hand
            return OutboxCounts(self._delivered, self._dropped, self._refused, waiting)

    def close(self, timeout_s: float = 2.0) -> bool:
        """Try once more to send what is waiting, and stop. Safe to call twice.

        False when something is left (it stays ``waiting``) or ``timeout_s`` was too short.
        """
        self._closing.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive() and not self.counts().waiting

    def _run(self) -> None:
        wait_s = self._poll_s
        failed_wait_s = FIRST_WAIT_S
        batch: list[bytes] = []
        while True:
            last = self._closing.wait(wait_s)
            batch = batch or self._next_batch()
            if not batch:
                if last:
                    break
                wait_s = self._poll_s
                continue
            batch = self._send(batch)
            if not batch:
                wait_s, failed_wait_s = 0.0, FIRST_WAIT_S
            elif last:
                break
            else:
                wait_s, failed_wait_s = failed_wait_s, min(failed_wait_s * 2, LONGEST_WAIT_S)
        self._post.close()

    def _next_batch(self) -> list[bytes]:
        """The next events as JSON; they are in hand until they were settled."""
        batch: list[bytes] = []
        size = 0
        while len(batch) < BATCH and size < BATCH_BYTES:
            with self._counting:
                if not self._queue:
                    break
                event = self._queue.popleft()
                self._in_hand += 1
            encoded = self._encoded(event)
            if encoded is not None:
                batch.append(encoded)
                size += len(encoded)
        return batch

    def _encoded(self, event: Event) -> bytes | None:
        """As JSON; None, and refused, when it cannot be (text that is no Unicode)."""
        try:
            return msgspec.json.encode(event)
        except (TypeError, ValueError) as error:  # UnicodeEncodeError is a ValueError
            self.last_error = f"{event.id}: {error}"
            self._settle(1, refused=1)
            return None

    def _send(self, batch: list[bytes]) -> list[bytes]:
        """Settles what it can, for better or worse; returns what is to be sent again."""
        try:
            status, refused = self._post(b'{"events":[' + b",".join(batch) + b"]}")
        except (OSError, http.client.HTTPException, msgspec.MsgspecError) as error:
            self._post.close()
            self.last_error = f"{type(error).__name__}: {error}"
            return batch
        if status == 200:
            if refused:
                self.last_error = f"{refused} events were refused"
            self._settle(len(batch), refused=min(refused, len(batch)))
            return []
        self.last_error = f"the agents' process answered {status}"
        if status not in _HOPELESS:
            return batch
        if len(batch) > 1:  # one of them spoils it for the others
            return [left for one in batch for left in self._send([one])]
        self._settle(1, refused=1)
        return []

    def _settle(self, count: int, *, refused: int) -> None:
        with self._counting:
            self._in_hand -= count
            self._refused += refused
            self._delivered += count - refused


class _Answer(msgspec.Struct):
    refused: int = 0


class _Post:
    """One connection that is kept while it works."""

    def __init__(self, url: str, token: str | None, timeout_s: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{url}: the agents' process needs an http:// or https:// address")
        self._make = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._where = (parts.hostname, parts.port)
        self._path = parts.path.rstrip("/") + "/v1/events"
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None

    def __call__(self, body: bytes) -> tuple[int, int]:
        """The status, and how many events were refused."""
        if self._connection is None:
            host, port = self._where
            self._connection = self._make(host, port, timeout=self._timeout_s)
        self._connection.request("POST", self._path, body, self._headers)
        answer = self._connection.getresponse()
        told = answer.read(65_536)
        if answer.will_close:
            self.close()
        if answer.status != 200:
            self.close()  # what is left of it is not worth reading
            return answer.status, 0
        return 200, msgspec.json.decode(told, type=_Answer).refused

    def close(self) -> None:
        """Give the connection up; the next post opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
