"""Calls over a real WebSocket, to small servers on this machine."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import TypeVar

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from voicelat.caller import CallSetup, HangUp, Heard, Say, Silence, WaitForReply
from voicelat.errors import ConnectError, UsageError
from voicelat.loadtest.line import place_call
from voicelat.twilio.codec import encode_mark, encode_media
from voicelat.twilio.inbox import Inbox
from voicelat.twilio.messages import InboundMessage, Mark, Media, Start, Stop

TONE_100 = b"\x80" * 800
_Message = TypeVar("_Message", bound=InboundMessage)


@asynccontextmanager
async def listening(
    handler: Callable[[ServerConnection], Awaitable[None]],
) -> AsyncIterator[str]:
    async with serve(handler, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/media"


class Receptionist:
    """Answers the first audio of each call with ``reply`` and a mark, and keeps what it heard."""

    def __init__(self, reply: bytes = TONE_100) -> None:
        self.reply = reply
        self.heard: list[InboundMessage] = []
        self.called = asyncio.Event()
        self.headers: list[str | None] = []
        self.inboxes: list[Inbox] = []

    async def __call__(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.headers.append(socket.request.headers.get("x-twilio-signature"))
        inbox = Inbox()
        self.inboxes.append(inbox)
        owes = True
        async for text in socket:
            message = inbox.receive(text)
            if message is not None:
                self.heard.append(message)
                self.called.set()
            if isinstance(message, Media) and owes:
                owes = False
                with suppress(ConnectionClosed):  # hung up meanwhile
                    await socket.send(encode_media(message.stream_sid, self.reply))
                    await socket.send(encode_mark(message.stream_sid, "end"))

    def of(self, kind: type[_Message]) -> list[_Message]:
        return [message for message in self.heard if isinstance(message, kind)]


async def test_a_whole_call_over_a_real_socket() -> None:
    server = Receptionist()
    told: list[Heard] = []
    async with listening(server) as url:
        result = await place_call(
            url,
            [Say(TONE_100[:160], "hello"), WaitForReply(quiet_ms=100)],
            setup=CallSetup(custom_parameters={"lang": "he"}),
            call_sid="CAmine",
            custom_parameters={"token": "t"},
            headers={"X-Twilio-Signature": "s"},
            on_question=told.append,
        )
    assert server.headers == ["s"]
    (start,) = server.of(Start)
    assert start.custom_parameters == {"lang": "he", "token": "t"}
    assert start.call_sid == result.call_sid == "CAmine"
    assert start.stream_sid == result.stream_sid
    assert [mark.name for mark in server.of(Mark)] == ["end"]
    assert len(server.of(Stop)) == 1
    assert len(server.of(Media)) == result.frames_sent
    assert server.inboxes[0].drops == {}
    assert result.ended == "hung_up"
    assert result.violations == {}
    assert result.bytes_received == 800
    assert result.heard == tuple(told)
    assert told[0].text == "hello"
    assert told[0].v2v_ms is not None
    assert result.lateness_p99_ms is not None


async def test_calls_at_once_have_streams_of_their_own() -> None:
    server = Receptionist()
    async with listening(server) as url:
        results = await asyncio.gather(*(place_call(url, [Silence(60)]) for _ in range(5)))
    assert len({result.stream_sid for result in results}) == 5
    assert len({result.call_sid for result in results}) == 5
    assert {start.stream_sid for start in server.of(Start)} == {r.stream_sid for r in results}


@pytest.mark.parametrize("abrupt", [False, True])
async def test_hanging_up_reaches_the_server(abrupt: bool) -> None:
    server = Receptionist()
    async with listening(server) as url:
        result = await place_call(url, [Silence(20), HangUp(abrupt=abrupt)])
    assert result.ended == "hung_up"
    assert len(server.of(Stop)) == (0 if abrupt else 1)


async def test_a_server_that_closes_ends_the_call_with_what_was_measured() -> None:
    async def rude(socket: ServerConnection) -> None:
        for _ in range(5):
            await socket.recv()

    async with listening(rude) as url:
        result = await place_call(url, [Say(TONE_100 * 50), WaitForReply()])
    assert result.ended == "closed"
    assert result.heard[0].censored
    assert 3 <= result.frames_sent < 200


async def test_a_socket_that_dies_at_once_ends_the_call() -> None:
    async def dead(socket: ServerConnection) -> None:
        socket.transport.abort()

    async with listening(dead) as url:
        result = await place_call(url, [Say(TONE_100 * 50)])
    assert result.ended == "closed"


async def test_a_server_that_speaks_garbage_is_heard_out() -> None:
    async def mad(socket: ServerConnection) -> None:
        await socket.send("{")
        await socket.send(b"\xff\x00")
        async for _ in socket:
            pass

    async with listening(mad) as url:
        result = await place_call(url, [Silence(60)])
    assert result.ended == "hung_up"
    assert sum(result.violations.values()) == 2


async def test_nobody_listening_is_one_line() -> None:
    async with listening(Receptionist()) as url:
        pass
    with pytest.raises(ConnectError, match=r"ws://127\.0\.0\.1") as caught:
        await place_call(url, [])
    assert "\n" not in str(caught.value)


async def test_a_refused_handshake_says_so() -> None:
    def forbid(socket: ServerConnection, request: Request) -> Response:
        return socket.respond(HTTPStatus.FORBIDDEN, "no\n")

    async with serve(Receptionist(), "127.0.0.1", 0, process_request=forbid) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        with pytest.raises(ConnectError, match="403"):
            await place_call(f"ws://127.0.0.1:{port}/", [])


async def test_a_url_that_is_no_socket_is_the_users_to_fix() -> None:
    with pytest.raises(UsageError, match="http://"):
        await place_call("http://127.0.0.1:1/", [])


async def test_a_cancelled_call_leaves_nothing_running() -> None:
    server = Receptionist()
    async with listening(server) as url:
        call = asyncio.create_task(place_call(url, [Silence(60_000)]))
        await server.called.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        ours = {task for task in asyncio.all_tasks() if "_Line" in repr(task.get_coro())}
        assert ours == set()


def test_placing_a_call_needs_no_locust() -> None:
    assert "locust" not in sys.modules
    assert "gevent" not in sys.modules
