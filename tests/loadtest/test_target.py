"""The way to a server under test: sockets and webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from voicelat.errors import ConnectError, UsageError
from voicelat.loadtest.target import Target, stream_of
from voicelat.twilio.signature import handshake_is_genuine, webhook_is_genuine
from voicelat.twilio.twiml import connect_stream

URL = "http://127.0.0.1/voice"


@asynccontextmanager
async def webhook(*answers: tuple[int, str]) -> AsyncIterator[tuple[str, list[web.Request]]]:
    """A real HTTP server that gives these answers in turn."""
    seen: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        await request.post()
        status, body = answers[min(len(seen), len(answers) - 1)]
        seen.append(request)
        return web.Response(status=status, text=body, content_type="text/xml")

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"http://127.0.0.1:{port}/voice", seen
    finally:
        await runner.cleanup()


def twiml(inside: str) -> str:
    return f"<Response>{inside}</Response>"


STREAM = twiml('<Connect><Stream url="wss://bot/media"/></Connect>')


async def test_a_socket_is_called_as_it_is() -> None:
    async with Target("ws://bot:8080/media") as target:
        reached = await target.reach()
    assert (reached.url, dict(reached.parameters), dict(reached.headers)) == (
        "ws://bot:8080/media",
        {},
        {},
    )


async def test_with_a_token_the_handshake_is_signed_as_twilio_does() -> None:
    async with Target("wss://bot/media", "secret") as target:
        reached = await target.reach()
    assert handshake_is_genuine("secret", "wss://bot/media", dict(reached.headers))


async def test_a_webhook_is_signed_and_its_twiml_followed_once_per_call() -> None:
    made = connect_stream("wss://bot/media", parameters={"token": "one-time"})
    async with webhook((200, made)) as (url, seen), Target(url, "secret") as target:
        first, second = await target.reach(), await target.reach()
        forms = [dict(await request.post()) for request in seen]
    assert (first.url, dict(first.parameters)) == ("wss://bot/media", {"token": "one-time"})
    assert forms[0]["CallSid"] == first.call_sid != second.call_sid
    sent = {str(name): str(value) for name, value in forms[0].items()}
    assert webhook_is_genuine("secret", url, sent, dict(seen[0].headers))


async def test_a_redirect_is_followed_and_a_circle_is_not() -> None:
    redirect = (200, twiml("<Redirect>/elsewhere</Redirect>"))
    async with webhook(redirect, (200, STREAM)) as (url, seen), Target(url) as target:
        assert (await target.reach()).url == "wss://bot/media"
        assert seen[1].path == "/elsewhere"
    async with webhook(redirect) as (url, _), Target(url) as target:
        with pytest.raises(ConnectError, match="redirected more than 5"):
            await target.reach()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((403, "no"), "auth token"),
        ((500, "oops"), "HTTP 500"),
        ((200, "hello"), "no TwiML"),
        ((200, twiml("<Say>All lines are busy.</Say>")), "says 'All lines are busy.'"),
        ((200, twiml("<Hangup/>")), "no <Connect><Stream>"),
        ((200, twiml('<Start><Stream url="wss://bot"/></Start>')), "only listens"),
        ((200, twiml('<Connect><Stream url="https://bot"/></Connect>')), "is no ws://"),
        ((200, "<Response>" + "x" * 70_000 + "</Response>"), "more than 65536 bytes"),
    ],
)
async def test_what_is_no_way_to_a_stream_says_what_it_is(
    answer: tuple[int, str], why: str
) -> None:
    async with webhook(answer) as (url, _), Target(url) as target:
        with pytest.raises(ConnectError, match=why):
            await target.reach()


async def test_a_webhook_nobody_listens_at_could_not_be_connected_to() -> None:
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with Target(f"http://127.0.0.1:{port}/voice") as target:
        with pytest.raises(ConnectError):
            await target.reach()


@pytest.mark.parametrize("url", ["bot:8080", "ftp://bot/media", "ws://", "/media"])
def test_any_other_url_says_what_to_give(url: str) -> None:
    with pytest.raises(UsageError, match="webhook"):
        Target(url)


def test_entities_that_would_fill_the_memory_are_refused() -> None:
    lol = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<!DOCTYPE x [<!ENTITY l0 "lol">{lol}]><Response><Say>&l11;</Say></Response>'
    with pytest.raises(ConnectError):
        stream_of(bomb.encode(), URL)


@given(st.binary() | st.text().map(str.encode))
def test_any_answer_is_a_stream_or_one_error(body: bytes) -> None:
    with pytest.raises(ConnectError):
        stream_of(body, URL)
