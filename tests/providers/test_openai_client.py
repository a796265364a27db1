from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import pytest
import pytest_asyncio
from tests.engine.virtual_loop import virtual_time
from tests.providers.openai_server import OpenAiServer

from voicelat.errors import ProviderError
from voicelat.providers.openai_client import (
    KeepWarm,
    OpenAiClient,
    Patience,
    language_code,
    refusal,
)
from voicelat.providers.openai_llm import OpenAiLlm
from voicelat.providers.protocols import Prompt


@pytest_asyncio.fixture
async def server() -> AsyncGenerator[OpenAiServer]:
    async with OpenAiServer().run() as server:
        assert isinstance(server, OpenAiServer)
        yield server


class _Pings:
    """What is pinged, and when, in whole seconds."""

    def __init__(self) -> None:
        self.at_s: list[float] = []

    async def __call__(self) -> None:
        self.at_s.append(round(asyncio.get_running_loop().time(), 1))


@virtual_time
async def test_what_idles_is_pinged_again_and_again() -> None:
    pings = _Pings()
    keeper = KeepWarm(pings, 40.0, lambda: 0.5)
    keeper.start()
    keeper.start()
    await asyncio.sleep(100)
    await keeper.stop()
    await keeper.stop()
    await asyncio.sleep(100)
    assert pings.at_s == [40.0, 80.0]


@virtual_time
async def test_servers_that_start_together_ping_apart() -> None:
    for jitter, at_s in ((0.0, 30.0), (1.0, 50.0)):
        pings, begin_s = _Pings(), asyncio.get_running_loop().time()
        keeper = KeepWarm(pings, 40.0, lambda jitter=jitter: jitter)  # type: ignore[misc]
        keeper.start()
        await asyncio.sleep(51)
        await keeper.stop()
        assert [at - begin_s for at in pings.at_s] == [at_s]


@virtual_time
async def test_what_is_used_is_not_pinged() -> None:
    pings = _Pings()
    keeper = KeepWarm(pings, 40.0, lambda: 0.5)
    keeper.start()
    for _ in range(5):
        await asyncio.sleep(30)
        keeper.begun()
        keeper.ended()
    assert pings.at_s == []
    keeper.begun()
    await asyncio.sleep(300)
    assert pings.at_s == []
    keeper.ended()
    await asyncio.sleep(60)
    await keeper.stop()
    assert pings.at_s == [490.0]


@virtual_time
async def test_what_is_lost_is_replaced_at_once() -> None:
    pings = _Pings()
    keeper = KeepWarm(pings, 40.0, lambda: 0.5)
    keeper.lost()
    keeper.start()
    await asyncio.sleep(10)
    keeper.lost()
    keeper.lost()
    await asyncio.sleep(10)
    await keeper.stop()
    assert pings.at_s == [10.0]


@virtual_time
async def test_patience_is_for_the_next_piece_only() -> None:
    async def slowly() -> AsyncIterator[str]:
        for pause_s in (3.0, 3.0, 5.0):
            await asyncio.sleep(pause_s)
            yield "piece"

    pieces = slowly()
    patience = Patience(4.0)
    for _ in range(2):
        assert await patience.next(pieces) == "piece"
        await asyncio.sleep(60)
        patience.renew()
    with pytest.raises(TimeoutError):
        await patience.next(pieces)
    assert await patience.next(pieces) is None


async def test_the_defaults_that_are_wrong_for_calls_are_changed() -> None:
    client = OpenAiClient("openai:m", "this", "a-key", None)
    pool = client.api._client._transport._pool  # type: ignore[attr-defined]  # no public view
    assert pool._keepalive_expiry is None
    assert client.api.max_retries == 0
    assert client.api.timeout.read == 8.0  # type: ignore[union-attr]
    await client.aclose()


async def test_a_connection_that_was_broken_off_is_replaced_before_the_next_turn(
    server: OpenAiServer,
) -> None:
    model = OpenAiLlm("m", "a-key", server.url)
    await model.warm()
    server.stall = 2
    async with aclosing(model.reply(Prompt("CA1", 1, "Hi"))) as pieces:
        await anext(pieces)
    await server.gone.wait()
    server.stall = None
    await server.until(lambda: server.connections == 3 and len(server.asked) == 5)
    await model.aclose()


async def test_a_server_that_is_down_is_kept_trying(server: OpenAiServer) -> None:
    server.status = "503 Service Unavailable"
    client = OpenAiClient("openai:m", "this", "a-key", server.url)
    await client.warm("m")
    client._keeper.lost()
    await server.until(lambda: len(server.asked) == 4)
    await client.aclose()


async def test_a_web_page_instead_of_a_model_is_no_reason_to_stop(server: OpenAiServer) -> None:
    server.stall = 0
    client = OpenAiClient("openai:m", "this", "a-key", server.url, silence_s=0.05)
    await client.warm("m")
    await client.aclose()


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (401, None, "fix_key"),
        (403, None, "fix_key"),
        (500, "invalid_api_key", "fix_key"),
        (429, "insufficient_quota", "fix_key"),
        (429, "rate_limit_exceeded", "retry"),
        (404, None, "give_up"),
        (500, "model_not_found", "give_up"),
        (400, None, "give_up"),
        (408, None, "retry"),
        (409, None, "retry"),
        (502, None, "retry"),
    ],
)
def test_status_and_code_say_what_happens_next(status: int, code: str | None, advice: str) -> None:
    why, advised = refusal(status, code, "no luck", "http://there")
    assert advised == advice
    assert "no luck" in why


async def test_a_reason_is_one_short_line() -> None:
    client = OpenAiClient("openai:m", "this", "a-key", None)
    error: ProviderError = client.failed("a\n very " + "long " * 100 + "story", "retry")
    assert "\n" not in error.why
    assert len(error.why) <= 200
    await client.aclose()


@pytest.mark.parametrize(
    ("tag", "code"), [("he-IL", "he"), ("EN-us", "en"), ("fr", "fr"), ("yue-Hant-HK", None)]
)
def test_openai_is_given_two_letters_of_a_language(tag: str, code: str | None) -> None:
    assert language_code(tag) == code
