"""Peers that hold a connection without using it. Every one of them is a real socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
from tests.serve.running import Inside, serving, until
from websockets.asyncio.client import connect
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from voicelat.engine.config import EngineConfig
from voicelat.serve import connections
from voicelat.serve.config import ServeConfig
from voicelat.twilio.messages import Start, Stop
from voicelat.twilio.mirror import encode_inbound

SID = "MZ0123"
START = encode_inbound(Start(SID, 1, call_sid="CA0123"))
PATIENCE_S = 20.0


@asynccontextmanager
async def raw(server: Inside) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A TCP connection that takes next to nothing unless it is read."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.setblocking(False)
    host, port = server.url.removeprefix("http://").split(":")
    await asyncio.get_running_loop().sock_connect(line, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=line, limit=1024)
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield reader, writer
    finally:
        writer.transport.abort()


class Deaf:
    """A Twilio that never reads, after the handshake."""

    def __init__(self, server: Inside, writer: asyncio.StreamWriter) -> None:
        self._protocol = ClientProtocol(parse_uri(server.media))
        self._writer = writer

    async def call(self, reader: asyncio.StreamReader) -> None:
        """Shake hands and begin a call."""
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        self._protocol.receive_data(await reader.readuntil(b"\r\n\r\n"))
        (answer,) = self._protocol.events_received()
        assert isinstance(answer, Response)
        assert answer.status_code == 101
        self.say(START)

    def say(self, text: str) -> None:
        """Send a message."""
        self._protocol.send_text(text.encode())
        self._flush()

    async def ping(self, times: int) -> None:
        """Ping, and do not read what comes back. Raises ConnectionError once cut off."""
        self._protocol.send_ping(b"x" * 125)
        (ping,) = self._protocol.data_to_send()
        for _ in range(times):
            self._writer.write(ping)
            await self._writer.drain()

    async def empty_fragments(self, times: int) -> None:
        """Begin a message and do not come to its end."""
        frames = [Frame(Opcode.TEXT, b"{", fin=False), Frame(Opcode.CONT, b"", fin=False)]
        begin, more = (frame.serialize(mask=True) for frame in frames)
        self._writer.write(begin)
        for _ in range(times):
            self._writer.write(more)
            await self._writer.drain()

    def _flush(self) -> None:
        self._writer.write(b"".join(self._protocol.data_to_send()))


PONGS = 100_000
"""Unanswered, 12 MB: more than the kernel keeps for a socket."""


FORM = b"POST /voice HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"


@pytest.mark.parametrize("begun", [b"", b"GET /me", FORM + b"Content-Length: 9\r\n\r\nab"])
async def test_a_request_that_never_ends_is_cut(
    begun: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    careful = ServeConfig(
        auth_token="12345", handshake_timeout_s=0.1
    )  # reads a form before it answers
    async with serving(careful) as server, raw(server) as (reader, writer):
        writer.write(begun)
        assert await reader.read() == b""
    assert [r.getMessage() for r in caplog.records if r.exc_info] == []


async def test_a_second_request_that_never_ends_is_cut_too() -> None:
    async with (
        serving(ServeConfig(handshake_timeout_s=0.3)) as server,
        raw(server) as (reader, writer),
    ):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /heal")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_call_outlasts_the_time_for_a_request() -> None:
    impatient = ServeConfig(handshake_timeout_s=0.5)
    async with serving(impatient) as server, connect(server.media) as call:
        await call.send(START)
        async with raw(server) as (reader, _):
            assert await reader.read() == b""  # its time is over, so is the one of the call
        async with httpx.AsyncClient() as http:
            health = await http.get(f"{server.url}/healthz")
        assert health.json()["calls"] == 1


async def test_a_peer_that_pings_and_never_reads_is_cut_off() -> None:
    async with serving() as server, raw(server) as (reader, writer):
        deaf = Deaf(server, writer)
        await deaf.call(reader)
        await until(server.taken)
        with pytest.raises(ConnectionError):
            await deaf.ping(PONGS * 10)
        await until(server.idle)
        assert await server.events("cut off: makes us keep too much") == 1


async def test_a_message_of_countless_fragments_is_cut_off() -> None:
    async with serving() as server, raw(server) as (reader, writer):
        deaf = Deaf(server, writer)
        await deaf.call(reader)
        await until(server.taken)
        with pytest.raises(ConnectionError):
            await deaf.empty_fragments(10**6)
        await until(server.idle)
        assert await server.events("cut off: makes us keep too much") == 1


async def test_a_call_whose_peer_does_not_read_ends_when_a_ping_is_not_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "MAX_UNREAD", 2**30)
    async with serving(ping_s=0.5) as server, raw(server) as (reader, writer):
        deaf = Deaf(server, writer)
        await deaf.call(reader)
        await until(server.taken)
        with pytest.raises(ConnectionError):
            await deaf.ping(PONGS * 10)
        await until(server.idle)
        assert await server.events("cut off: no answer to a ping") == 1


async def test_what_is_unread_of_a_call_that_ended_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "MAX_UNREAD", 2**30)
    monkeypatch.setattr(connections, "LINGER_S", 0.1)
    async with serving() as server, raw(server) as (reader, writer):
        deaf = Deaf(server, writer)
        await deaf.call(reader)
        await deaf.ping(PONGS)
        deaf.say(encode_inbound(Stop(SID)))
        await until(server.idle)
        with pytest.raises(ConnectionError):
            await deaf.ping(PONGS * 10)


async def test_sockets_that_never_start_leave_room_for_nobody_else_only_up_to_a_limit() -> None:
    async with serving(ServeConfig(max_sockets=3)) as server, AsyncExitStack() as held:
        for _ in range(3):
            await held.enter_async_context(connect(server.media))
        with pytest.raises(InvalidStatus):
            await connect(server.media)
        assert await server.events("refused: too many sockets") == 1


async def test_a_silent_socket_that_does_not_answer_our_close_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "CLOSE_S", 0.1)
    engine = EngineConfig(greeting="", start_timeout_ms=100)
    async with serving(engine=engine) as server, raw(server) as (reader, writer):
        protocol = ClientProtocol(parse_uri(server.media))
        protocol.send_request(protocol.connect())
        writer.write(b"".join(protocol.data_to_send()))
        await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(6):  # uvicorn would wait for 10 s
            await reader.read()
