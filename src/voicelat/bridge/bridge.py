"""The bridge: a media socket of a blocking server on one side, an engine on the other.

Everything here blocks and nothing here is asyncio, so that it means the same in real threads and
in green ones. A call takes two of them: the server's own, and one for the way back.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, Protocol

from voicelat.bridge.frames import Kind, frame, frames_from
from voicelat.bridge.keeper import Keeper
from voicelat.bridge.launch import Place
from voicelat.bridge.patched import patched_by
from voicelat.errors import ConnectError, UsageError, VoicelatError
from voicelat.metrics.record import TurnRecord

__all__ = ["BlockingSocket", "Bridge"]

_LOG = logging.getLogger("voicelat.bridge")

WARM_S: Final = 60.0
"""Loading local speech takes 2 s; a busy machine may take its time."""
CALLER_S: Final = 10.0
"""How long a caller is made to wait for an engine that is being started, or started again."""
LAST_WORD_S: Final = 5.0
"""How long the engine may take to say why a call ended."""


class BlockingSocket(Protocol):
    """A media socket: flask-sock's, gevent-websocket's, or any with these two methods.

    If it has a ``close`` too, it is closed as soon as the engine has ended the call; else when
    the next message comes.
    """

    def receive(self) -> str | bytes | None:
        """The next message. None, or an error of its own, once the socket is closed."""
        ...

    def send(self, text: str) -> Any:
        """Send one message."""
        ...


class Bridge:
    """An engine for the media sockets of one application.

    ``settings`` come before those of the environment, ``.env`` and ``voicelat.toml``, by their
    environment names. ``on_turn`` is called with each closed turn, on a thread of the bridge.
    ``place``: where the engine lives. "auto": in a thread, or, where the standard library is
    monkey-patched, in a process.

    Nothing is started before `warm` or the first call, and each worker starts its own.
    """

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        on_turn: Callable[[TurnRecord], None] | None = None,
        place: Place | Literal["auto"] = "auto",
    ) -> None:
        self._settings = dict(settings or {})
        self._on_turn = on_turn
        self._place = place
        self._keeper: Keeper | None = None
        self._pid: int | None = None
        self._making = threading.Lock()

    def warm(self, timeout_s: float = WARM_S) -> None:
        """Start the engine and wait until it takes calls; afterwards there is nothing to do.

        Call it in the worker, before its first call. Raises UsageError for settings that cannot
        work, ConnectError when it is not ready in time.
        """
        self._kept().wait_ready(timeout_s)

    def serve(self, ws: BlockingSocket) -> str:
        """Carry one call over ``ws`` until it is over; returns why it is.

        Raises nothing of ours: a call for which there is no engine ends at once, with its reason
        in the log and in the answer.
        """
        try:
            connection = self._kept().connect(CALLER_S)
        except VoicelatError as error:
            _LOG.error("a call was not taken: %s", error)
            _close(ws)
            return str(error)
        why = _Pump(ws, connection).run()
        if why is None:
            why = "the engine ended before the call did"
            _LOG.error("a call broke off: %s", why)
        return why

    def metrics(self, timeout_s: float = 2.0) -> bytes:
        """What a scrape by Prometheus is answered with, in its text format.

        Raises what `warm` raises.
        """
        with self._kept().connect(timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(frame(Kind.METRICS))
            for _, body in frames_from(connection):
                return body
        raise ConnectError("the engine does not answer")

    @property
    def engine_pid(self) -> int | None:
        """The engine's process; None before `warm`, while it is started again, and when it is a
        thread of this process."""
        return self._keeper.engine_pid if self._keeper is not None else None

    def close(self) -> None:
        """End the engine, and with it every call. Once the worker ends this happens by itself."""
        if self._keeper is not None and self._pid == os.getpid():
            self._keeper.close()
        self._keeper = None

    def _kept(self) -> Keeper:
        """The keeper of this process's engine: after a fork, a new one."""
        with self._making:
            before, mine = self._keeper, self._pid == os.getpid()
            if before is not None and mine:
                return before
            keeper = self._keeper = Keeper(self._where(), self._settings, self._on_turn)
            self._pid = os.getpid()
        # Not under the lock: it may be older than a patch, and a green thread that holds a real
        # lock while it waits stops the whole server.
        if before is not None:
            before.forget()
        keeper.start()
        atexit.register(self.close)
        return keeper

    def _where(self) -> Place:
        patcher = patched_by()
        if self._place == "auto":
            return "process" if patcher else "thread"
        if self._place == "thread" and patcher:
            raise UsageError(
                f"place='thread': {patcher} has replaced the sockets and threads an engine needs; "
                "leave it out, or use place='process'"
            )
        return self._place


class _Pump:
    """One call: its messages to the engine in this thread, the engine's in another."""

    def __init__(self, ws: BlockingSocket, connection: socket.socket) -> None:
        self._ws = ws
        self._connection = connection
        self._over = False
        self._last_word: str | None = None

    def run(self) -> str | None:
        """Until the call is over. Returns the engine's last word, None when it had none."""
        back = threading.Thread(target=self._bring_back, name="voicelat-call", daemon=True)
        back.start()
        try:
            self._connection.sendall(frame(Kind.CALL))
            for message in self._heard():
                kind = Kind.TEXT if isinstance(message, str) else Kind.BYTES
                self._connection.sendall(frame(kind, message))
            self._connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the engine has hung up: what it said last is being read
        back.join(LAST_WORD_S)
        self._connection.close()
        return self._last_word

    def _heard(self) -> Iterator[str | bytes]:
        while not self._over:
            try:
                message = self._ws.receive()
            except Exception as error:  # noqa: BLE001 - every library says "closed" with its own
                _LOG.debug("the media socket ended: %r", error)
                return
            if message is None:
                return
            yield message

    def _bring_back(self) -> None:
        deaf = False
        for kind, body in frames_from(self._connection):
            if kind is Kind.ENDED:
                self._last_word = body.decode()
            elif not deaf:
                try:
                    self._ws.send(body.decode())
                except Exception as error:  # noqa: BLE001 - as above
                    _LOG.debug("the media socket takes nothing more: %r", error)
                    deaf = True
        self._over = True
        _close(self._ws)


def _close(ws: BlockingSocket) -> None:
    close = getattr(ws, "close", None)
    if close is None:
        return
    try:
        close()
    except Exception as error:  # noqa: BLE001 - it was closed before, which each says with its own
        _LOG.debug("the media socket was closed already: %r", error)
