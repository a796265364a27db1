from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
import pytest_asyncio
from tests.providers.chat_server import ChatServer, chunk

from voicelat.errors import Advice, MissingExtra, ProviderError
from voicelat.providers.openai_llm import OpenAiLlm
from voicelat.providers.protocols import LanguageModel, Message, Prompt

_PROMPT = Prompt("CA1", 1, "Are you open?")


@pytest_asyncio.fixture
async def server() -> AsyncGenerator[ChatServer]:
    async with ChatServer().run() as server:
        yield server


@pytest_asyncio.fixture
async def model(server: ChatServer) -> AsyncGenerator[OpenAiLlm]:
    model = OpenAiLlm("test-model", "a-key", server.url)
    yield model
    await model.aclose()


async def _answer(model: LanguageModel, prompt: Prompt = _PROMPT) -> list[str]:
    return [piece async for piece in model.reply(prompt)]


async def _failure(model: LanguageModel) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await _answer(model)
    assert "\n" not in str(caught.value)
    assert len(caught.value.why) <= 200
    return caught.value


async def test_the_answer_comes_in_the_pieces_the_server_sends(model: OpenAiLlm) -> None:
    assert await _answer(model) == ["Good ", "morning."]
    assert model.name == "openai:test-model"


async def test_the_model_is_shown_instructions_history_and_text_in_this_order(
    server: ChatServer,
) -> None:
    model = OpenAiLlm("test-model", "a-key", server.url, "You repair cars.")
    history = (Message("caller", "Hi"), Message("agent", "Hello, how can I help?"))
    await _answer(model, Prompt("CA1", 2, "מתי אתם פתוחים?", history, "he-IL", 24))
    await model.aclose()
    ((path, body),) = server.asked
    assert path == "/v1/chat/completions"
    assert (body["model"], body["stream"]) == ("test-model", True)
    assert [m["role"] for m in body["messages"]] == ["system", "user", "assistant", "user"]
    assert body["messages"][0]["content"] == (
        "You repair cars.\nAnswer in the language he-IL, in at most 24 words."
    )
    assert [m["content"] for m in body["messages"][1:]] == [
        "Hi",
        "Hello, how can I help?",
        "מתי אתם פתוחים?",
    ]


async def test_the_model_is_told_what_is_left_out_and_what_was_heard_badly(
    model: OpenAiLlm, server: ChatServer
) -> None:
    history = (Message("caller", "book a table", probable=True), Message("agent", "Pardon?"))
    await _answer(model, Prompt("CA1", 9, "for two", history, left_out=6))
    system, caller, *_ = server.asked[0][1]["messages"]
    assert system["content"].endswith(
        "in the language en-US. 6 earlier messages of this call are left out."
    )
    assert caller["content"] == "(heard badly, probably:) book a table"


async def test_no_word_limit_is_not_asked_for(model: OpenAiLlm, server: ChatServer) -> None:
    await _answer(model)
    assert server.asked[0][1]["messages"][0]["content"].endswith("in the language en-US.")


async def test_one_connection_serves_the_warming_and_every_turn(
    model: OpenAiLlm, server: ChatServer
) -> None:
    await model.warm()
    await _answer(model)
    await _answer(model)
    assert server.connections == 1
    assert [path for path, _ in server.asked] == [
        "/v1/models/test-model",
        "/v1/chat/completions",
        "/v1/chat/completions",
    ]


async def test_idle_connections_never_expire(model: OpenAiLlm) -> None:
    pool = model._client._client._transport._pool  # type: ignore[attr-defined]  # no public view
    assert pool._keepalive_expiry is None


async def test_closing_the_generator_closes_the_request(
    model: OpenAiLlm, server: ChatServer
) -> None:
    server.stall = 2
    async with aclosing(model.reply(_PROMPT)) as pieces:
        assert await anext(pieces) == "Good "
        assert not server.gone.is_set()
    await server.gone.wait()


async def test_cancelling_the_reader_closes_the_request(
    model: OpenAiLlm, server: ChatServer
) -> None:
    server.stall = 2
    first = asyncio.Event()

    async def read() -> None:
        async with aclosing(model.reply(_PROMPT)) as pieces:
            async for _ in pieces:
                first.set()

    reader = asyncio.create_task(read())
    await first.wait()
    reader.cancel()
    await server.gone.wait()
    with pytest.raises(asyncio.CancelledError):
        await reader


@pytest.mark.parametrize(
    ("status", "code", "advice", "words"),
    [
        ("401 Unauthorized", "invalid_api_key", "fix_key", "OPENAI_API_KEY"),
        ("403 Forbidden", None, "fix_key", "OPENAI_API_KEY"),
        ("404 Not Found", "model_not_found", "give_up", "no such model"),
        ("400 Bad Request", None, "give_up", "no luck"),
        ("422 Unprocessable Entity", None, "give_up", "no luck"),
        ("429 Too Many Requests", "rate_limit_exceeded", "retry", "no luck"),
        ("429 Too Many Requests", "insufficient_quota", "fix_key", "billing"),
        ("500 Internal Server Error", None, "retry", "no luck"),
        ("503 Service Unavailable", None, "retry", "no luck"),
    ],
)
async def test_a_refusal_says_what_to_do_and_is_not_repeated(
    model: OpenAiLlm, server: ChatServer, status: str, code: str | None, advice: Advice, words: str
) -> None:
    server.status, server.error["code"] = status, code
    error = await _failure(model)
    assert error.advice == advice
    assert words in error.why
    assert len(server.asked) == 1


@pytest.mark.parametrize("before_piece", [0, 1, 2])
async def test_a_server_that_falls_silent_is_given_up(
    server: ChatServer, before_piece: int
) -> None:
    server.stall = before_piece
    model = OpenAiLlm("test-model", "a-key", server.url, silence_s=0.05)
    error = await _failure(model)
    assert error.advice == "retry"
    assert "no answer" in error.why
    assert len(server.asked) == 1
    await model.aclose()


@pytest.mark.parametrize("before_piece", [1, 2, 3])
async def test_a_connection_that_dies_in_the_answer_is_told(
    model: OpenAiLlm, server: ChatServer, before_piece: int
) -> None:
    server.die = before_piece
    error = await _failure(model)
    assert error.advice == "retry"
    assert "cannot reach" in error.why


async def test_what_was_said_before_the_connection_died_is_kept(
    model: OpenAiLlm, server: ChatServer
) -> None:
    server.die = 2
    pieces = model.reply(_PROMPT)
    assert await anext(pieces) == "Good "
    with pytest.raises(ProviderError):
        await anext(pieces)


@pytest.mark.parametrize(
    "garbage",
    [
        "data: {not json\n\n",
        "data: 42\n\n",
        "data: []\n\n",
        'data: {"choices": 7}\n\n',
        "data: \udcff\udcfe\n\n",
    ],
)
async def test_a_garbled_answer_is_told(model: OpenAiLlm, server: ChatServer, garbage: str) -> None:
    server.pieces.insert(1, garbage)
    error = await _failure(model)
    assert error.advice == "retry"
    assert "garbled" in error.why


@pytest.mark.parametrize(
    "pieces",
    [[], [chunk("Good ")], ["<html>Welcome</html>"]],
    ids=["nothing", "no end", "a web page"],
)
async def test_an_answer_without_its_end_broke_off(
    model: OpenAiLlm, server: ChatServer, pieces: list[str]
) -> None:
    server.pieces = pieces
    error = await _failure(model)
    assert (error.why, error.advice) == ("the answer broke off", "retry")


async def test_an_error_in_the_middle_of_an_answer_is_told(
    model: OpenAiLlm, server: ChatServer
) -> None:
    server.pieces.insert(1, 'data: {"error": {"message": "the model is overloaded"}}\n\n')
    error = await _failure(model)
    assert (error.why, error.advice) == ("the model is overloaded", "retry")


@pytest.mark.parametrize(
    "odd",
    [
        'data: {"choices": []}\n\n',
        'data: {"choices": [{"delta": null}]}\n\n',
        'data: {"choices": [{"delta": {"content": 7}}]}\n\n',
        'data: {"choices": [{}]}\n\n',
        ": a comment to keep proxies awake\n\n",
    ],
)
async def test_events_without_text_are_passed_over(
    model: OpenAiLlm, server: ChatServer, odd: str
) -> None:
    server.pieces.insert(1, odd)
    assert await _answer(model) == ["Good ", "morning."]


async def test_nobody_listening_is_a_reason_to_try_again() -> None:
    async with ChatServer().run() as server:
        url = server.url
    model = OpenAiLlm("test-model", "a-key", url)
    error = await _failure(model)
    assert error.advice == "retry"
    assert url in error.why
    await model.aclose()


async def test_warming_up_with_a_refused_key_raises(model: OpenAiLlm, server: ChatServer) -> None:
    server.status = "401 Unauthorized"
    with pytest.raises(ProviderError) as caught:
        await model.warm()
    assert caught.value.advice == "fix_key"


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("401 Unauthorized", "Missing scopes: api.model.read."),
        ("403 Forbidden", "no"),
        ("404 Not Found", "what models?"),
        ("500 Internal Server Error", "no"),
    ],
)
async def test_warming_up_only_warns_of_what_may_still_work(
    model: OpenAiLlm,
    server: ChatServer,
    status: str,
    message: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.status, server.error["message"] = status, message
    await model.warm()
    assert message.rstrip(".") in caplog.text
    server.status = "200 OK"
    assert await _answer(model) == ["Good ", "morning."]


async def test_a_server_of_your_own_needs_no_key(server: ChatServer) -> None:
    model = OpenAiLlm("test-model", base_url=server.url)
    assert await _answer(model) == ["Good ", "morning."]
    await model.aclose()


async def test_the_key_of_the_environment_goes_to_nobody_it_was_not_given_for(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    model = OpenAiLlm("test-model", base_url=server.url)
    await _answer(model)
    await model.aclose()
    assert server.keys == ["bearer none"]


@pytest.mark.parametrize("key", [None, ""])
def test_openai_without_a_key_is_refused_at_once(key: str | None) -> None:
    with pytest.raises(ProviderError, match="OPENAI_API_KEY") as caught:
        OpenAiLlm("gpt-4.1-mini", key)
    assert caught.value.advice == "fix_key"


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtra, match=r"voicelat\[openai\]"):
        OpenAiLlm("gpt-4.1-mini", "a-key")
