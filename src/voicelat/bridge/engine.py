"""The engine's end of the bridge: an event loop that is handed connections, one a call.

Two socket pairs join it to its worker. On ``orders`` come the settings and then, as file
descriptors, the connections; when the worker ends, however it does, ``orders`` ends with it, and
so does the engine. On ``news`` go readiness, turns and the last word.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final

import msgspec
from uvicorn.loops.auto import auto_loop_factory

from voicelat.bridge.frames import HEADER, Kind, frame
from voicelat.engine.logs import LogQueue
from voicelat.errors import ConnectError, UsageError, VoicelatError
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.turnsfile import encode
from voicelat.serve.app import TwilioServer
from voicelat.settings import Settings, load, wiring

__all__ = ["Hello", "run"]

_LOG = logging.getLogger("voicelat.bridge")

_MAX_NEWS: Final = 2**22
"""Bytes of turns kept for a worker that does not read them, some 2000 turns."""


class Hello(msgspec.Struct, frozen=True):
    """The worker's first word."""

    settings: dict[str, str]
    """By environment name; they come before every other place."""
    path: list[str]
    """Where the worker finds modules: providers of its own among them."""
    turns: bool
    """Whether it wants to be told of turns."""


def run(
    orders: socket.socket,
    news: socket.socket,
    logs: Callable[[Settings], AbstractContextManager[LogQueue | None]],
    *,
    on_end: Callable[[], None] = lambda: None,
) -> None:
    """Serve until the worker ends. ``logs`` sets up logging as the settings say, or gives None
    where somebody else has; ``on_end`` is called on a thread of its own as soon as the worker has
    ended.

    What goes wrong is said on ``news``, not raised.
    """
    orders.setblocking(True)  # green sockets are not, and a descriptor keeps that
    hello = _hello(orders)
    if hello is None:
        return
    sys.path += [place for place in hello.path if place not in sys.path]
    try:
        settings = load(hello.settings)
        with logs(settings) as queue, asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
            runner.run(_Engine(hello, settings, news, queue).serve(orders, on_end))
    except UsageError as error:
        _tell(news, Kind.FAILED, str(error))
    except VoicelatError as error:
        _tell(news, Kind.ENDED, str(error))
    finally:
        orders.close()
        news.close()


class _Engine:
    """One server without sockets of its own."""

    def __init__(
        self, hello: Hello, settings: Settings, news: socket.socket, queue: LogQueue | None
    ) -> None:
        self._server = wiring.server(
            # Whom to believe is decided where the sockets are accepted: in the worker.
            msgspec.structs.replace(settings, twilio_auth_token=None, host="127.0.0.1"),
            on_turn=self._tell if hello.turns else None,
            lost_logs=None if queue is None else lambda: queue.dropped,
        )
        self._news = news
        self._teller: StreamWriter | None = None
        self._untold = 0
        """Turns the worker was not told of, because it does not read."""
        self._calls: set[asyncio.Task[None]] = set()

    async def serve(self, orders: socket.socket, on_end: Callable[[], None]) -> None:
        """Serve until ``orders`` ends. Raises what `Stack.warm` raises."""
        loop = asyncio.get_running_loop()
        work = loop.create_task(self._work())

        def read() -> None:
            for connection in _connections(orders):
                loop.call_soon_threadsafe(self._begin, connection)
            on_end()
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                loop.call_soon_threadsafe(work.cancel)

        # From the first moment on: a provider that never warms up must not outlive the worker.
        threading.Thread(target=read, name="voicelat-orders", daemon=True).start()
        with contextlib.suppress(asyncio.CancelledError):
            await work

    async def _work(self) -> None:
        async with self._server.lifespan():
            _, self._teller = await asyncio.open_connection(sock=self._news)
            self._teller.write(frame(Kind.READY))
            try:
                await asyncio.Future()
            finally:
                for call in self._calls:
                    call.cancel()
                await asyncio.gather(*self._calls, return_exceptions=True)
                self._teller.close()
        if self._untold:
            _LOG.error("the worker was not told of %d turns: it does not read", self._untold)

    def _begin(self, connection: int) -> None:
        call = asyncio.get_running_loop().create_task(_converse(self._server, connection))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    def _tell(self, record: TurnRecord) -> None:
        if self._teller is None or self._teller.transport.get_write_buffer_size() > _MAX_NEWS:
            self._untold += 1
        else:
            self._teller.write(frame(Kind.TURN, encode(record)))


async def _converse(server: TwilioServer, connection: int) -> None:
    """Serve one connection: a call, or a question."""
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=connection))
    transport = _Framed(reader, writer, server.config.max_message_bytes)
    last_word: str | bytes = "the call broke off inside the engine"
    try:
        purpose, _ = await transport.next_frame()
        if purpose is Kind.METRICS:
            last_word = server.exposition()
        else:
            last_word = (await server.take_call(transport)).why
            last_word = transport.cut_off or last_word
    except asyncio.CancelledError:
        last_word = "the engine was stopped"
        raise
    finally:
        transport.say_goodbye(last_word)


class _Framed:
    """A connection from the worker as a `Transport`."""

    def __init__(self, reader: StreamReader, writer: StreamWriter, longest: int) -> None:
        self._reader = reader
        self._writer = writer
        self._longest = longest
        self._closed = False
        self.cut_off: str | None = None
        """Why we stopped listening; None while we had no reason to."""

    async def receive(self) -> str | bytes | None:
        """See `Transport`."""
        _, message = await self.next_frame()
        return message

    async def send(self, text: str) -> None:
        """See `Transport`."""
        if self._closed:
            raise ConnectError("the media socket is closed")
        self._writer.write(frame(Kind.TEXT, text))
        try:
            await self._writer.drain()
        except OSError:
            raise ConnectError("the media socket is closed") from None

    async def close(self) -> None:
        """See `Transport`. What is left to say is why."""
        self._closed = True

    def say_goodbye(self, why: str | bytes) -> None:
        """Send the last word and hang up."""
        self._writer.write(frame(Kind.ENDED, why))
        self._writer.close()

    async def next_frame(self) -> tuple[Kind | None, str | bytes | None]:
        """Its kind and body; nothing when the worker has hung up, or is to be hung up on."""
        try:
            kind, length = HEADER.unpack(await self._reader.readexactly(HEADER.size))
            if length > self._longest:
                self.cut_off = f"cut off: a message of {length} bytes (MAX_MESSAGE_BYTES)"
                return None, None
            body = await self._reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            return None, None
        return Kind(kind), body.decode() if kind == Kind.TEXT.value else body


def _hello(orders: socket.socket) -> Hello | None:
    """None: the worker ended before it had said anything."""
    header = _exactly(orders, HEADER.size)
    body = _exactly(orders, HEADER.unpack(header)[1]) if header else b""
    return msgspec.json.decode(body, type=Hello) if body else None


def _exactly(sock: socket.socket, size: int) -> bytes:
    """So many bytes and not one more: a descriptor may come with the next. b"": it ended."""
    found = b""
    while len(found) < size:
        more = sock.recv(size - len(found))
        if not more:
            return b""
        found += more
    return found


def _connections(orders: socket.socket) -> Iterator[int]:
    """Descriptors as they come, until the worker ends."""
    with contextlib.suppress(ConnectionError):
        while True:
            ordered, connections, _, _ = socket.recv_fds(orders, 1, 1)
            if not ordered:
                return
            yield from connections


def _tell(news: socket.socket, kind: Kind, why: str) -> None:
    with contextlib.suppress(OSError):  # the worker is gone
        news.sendall(frame(kind, why))
