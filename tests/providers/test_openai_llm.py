from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.providers.chat_server import chunk
from tests.providers.openai_server import OpenAiServer, event

from voicelat.errors import Advice, MissingExtra, ProviderError
from voicelat.providers.openai_llm import DEFAULT_MODEL, Api, OpenAiLlm
from voicelat.providers.protocols import LanguageModel, Message, Prompt

_PROMPT = Prompt("CA1", 1, "Are you open?")


@pytest_asyncio.fixture
async def server() -> AsyncGenerator[OpenAiServer]:
    async with OpenAiServer().run() as server:
        assert isinstance(server, OpenAiServer)
        yield server


@pytest_asyncio.fixture(params=["chat", "responses"])
async def model(server: OpenAiServer, request: pytest.FixtureRequest) -> AsyncGenerator[OpenAiLlm]:
    """One for each API: what holds for chat completions holds for Responses."""
    model = OpenAiLlm("test-model", "a-key", server.url, api=request.param)
    yield model
    await model.aclose()


@pytest_asyncio.fixture
async def chat(server: OpenAiServer) -> AsyncGenerator[OpenAiLlm]:
    model = OpenAiLlm("test-model", "a-key", server.url)
    yield model
    await model.aclose()


@pytest_asyncio.fixture
async def responses(server: OpenAiServer) -> AsyncGenerator[OpenAiLlm]:
    model = OpenAiLlm("test-model", "a-key", server.url, api="responses")
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


_HISTORY = (Message("caller", "Hi"), Message("agent", "Hello, how can I help?"))
_TURNS = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello, how can I help?"},
    {"role": "user", "content": "When do you close?"},
]


async def test_a_chat_shows_the_model_instructions_history_and_text_in_this_order(
    server: OpenAiServer,
) -> None:
    model = OpenAiLlm("test-model", "a-key", server.url, "You repair cars.")
    await _answer(model, Prompt("CA1", 2, "When do you close?", _HISTORY, max_words=24))
    await model.aclose()
    system = "You repair cars.\nAnswer in the language en-US, in at most 24 words."
    assert server.asked == [
        (
            "/v1/chat/completions",
            {
                "model": "test-model",
                "stream": True,
                "messages": [{"role": "system", "content": system}, *_TURNS],
            },
        )
    ]


async def test_the_model_is_told_what_is_left_out_and_what_was_heard_badly(
    chat: OpenAiLlm, server: OpenAiServer
) -> None:
    history = (Message("caller", "book a table", probable=True), Message("agent", "Pardon?"))
    await _answer(chat, Prompt("CA1", 9, "for two", history, left_out=6))
    system, caller, *_ = server.asked[0][1]["messages"]
    assert system["content"].endswith(
        "in the language en-US. 6 earlier messages of this call are left out."
    )
    assert caller["content"] == "(heard badly, probably:) book a table"


async def test_responses_show_the_same_and_store_nothing(server: OpenAiServer) -> None:
    model = OpenAiLlm("test-model", "a-key", server.url, "You repair cars.", api="responses")
    await _answer(model, Prompt("CA1", 2, "When do you close?", _HISTORY, max_words=1))
    await model.aclose()
    assert server.asked == [
        (
            "/v1/responses",
            {
                "model": "test-model",
                "stream": True,
                "store": False,
                "instructions": (
                    "You repair cars.\nAnswer in the language en-US, in at most 1 word."
                ),
                "input": _TURNS,
            },
        )
    ]


@pytest.mark.parametrize(
    ("max_words", "wish"),
    [
        (None, "יש לענות בעברית."),
        (1, "יש לענות בעברית, במילה אחת."),
        (24, "יש לענות בעברית, ב-24 מילים לכל היותר."),
    ],
)
async def test_in_a_hebrew_call_the_model_is_asked_in_hebrew(
    chat: OpenAiLlm, server: OpenAiServer, max_words: int | None, wish: str
) -> None:
    prompt = Prompt("CA1", 2, "מתי אתם פתוחים?", language="he-IL", max_words=max_words)
    await _answer(chat, prompt)
    system, text = (message["content"] for message in server.asked[0][1]["messages"])
    instructions, asked = system.split("\n")
    assert asked == wish
    assert "טלפון" in instructions
    assert text == "מתי אתם פתוחים?"


async def test_no_word_limit_is_not_asked_for(chat: OpenAiLlm, server: OpenAiServer) -> None:
    await _answer(chat)
    assert server.asked[0][1]["messages"][0]["content"].endswith("in the language en-US.")


@pytest.mark.parametrize(
    ("api", "field", "value"),
    [("chat", "reasoning_effort", "low"), ("responses", "reasoning", {"effort": "low"})],
)
async def test_how_long_to_reason_is_asked_for_where_it_is_set(
    server: OpenAiServer, api: Api, field: str, value: object
) -> None:
    for effort in ("low", None):
        model = OpenAiLlm("m", "a-key", server.url, api=api, effort=effort)
        await _answer(model)
        await model.aclose()
    (_, low), (_, unset) = server.asked
    assert low[field] == value
    assert field not in unset


async def test_the_default_model_is_asked_not_to_reason(server: OpenAiServer) -> None:
    model = OpenAiLlm(None, "a-key", server.url)
    await _answer(model)
    await model.aclose()
    assert model.name == f"openai:{DEFAULT_MODEL}"
    assert server.asked[0][1]["reasoning_effort"] == "none"


async def test_the_connections_of_the_warming_serve_every_turn(
    model: OpenAiLlm, server: OpenAiServer
) -> None:
    await model.warm()
    opened = server.connections
    await _answer(model)
    await _answer(model)
    assert server.connections == opened == 2
    assert [path for path, _ in server.asked[:2]] == ["/v1/models/test-model"] * 2


async def test_closing_the_generator_closes_the_request(
    model: OpenAiLlm, server: OpenAiServer
) -> None:
    server.events.pop(0)
    server.stall = 2
    async with aclosing(model.reply(_PROMPT)) as pieces:
        assert await anext(pieces) == "Good "
        assert not server.gone.is_set()
    await server.gone.wait()


async def test_cancelling_the_reader_closes_the_request(
    model: OpenAiLlm, server: OpenAiServer
) -> None:
    server.events.pop(0)
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
    model: OpenAiLlm,
    server: OpenAiServer,
    status: str,
    code: str | None,
    advice: Advice,
    words: str,
) -> None:
    server.status, server.error["code"] = status, code
    error = await _failure(model)
    assert error.advice == advice
    assert words in error.why
    assert len(server.asked) == 1


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("before_piece", [0, 1, 2])
async def test_a_server_that_falls_silent_is_given_up(
    server: OpenAiServer, before_piece: int, api: Api
) -> None:
    server.stall = before_piece
    model = OpenAiLlm("test-model", "a-key", server.url, api=api, silence_s=0.05)
    error = await _failure(model)
    assert error.advice == "retry"
    assert "no answer" in error.why
    assert len(server.asked) == 1
    await model.aclose()


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_bytes_without_text_do_not_count_as_an_answer(server: OpenAiServer, api: Api) -> None:
    server.pieces = server.events = [": still awake\n\n"] * 1000
    server.piece_s = 0.01
    model = OpenAiLlm("test-model", "a-key", server.url, api=api, silence_s=0.1)
    assert "no answer" in (await _failure(model)).why
    await model.aclose()


@pytest.mark.parametrize("before_piece", [1, 2, 3])
async def test_a_connection_that_dies_in_the_answer_is_told(
    model: OpenAiLlm, server: OpenAiServer, before_piece: int
) -> None:
    server.die = before_piece
    error = await _failure(model)
    assert error.advice == "retry"
    assert "cannot reach" in error.why


async def test_what_was_said_before_the_connection_died_is_kept(
    model: OpenAiLlm, server: OpenAiServer
) -> None:
    server.events.pop(0)
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
async def test_a_garbled_answer_is_told(
    chat: OpenAiLlm, server: OpenAiServer, garbage: str
) -> None:
    server.pieces.insert(1, garbage)
    error = await _failure(chat)
    assert error.advice == "retry"
    assert "garbled" in error.why


@pytest.mark.parametrize(
    "pieces",
    [[], [chunk("Good ")], ["<html>Welcome</html>"]],
    ids=["nothing", "no end", "a web page"],
)
async def test_an_answer_without_its_end_broke_off(
    chat: OpenAiLlm, server: OpenAiServer, pieces: list[str]
) -> None:
    server.pieces = pieces
    error = await _failure(chat)
    assert (error.why, error.advice) == ("the answer broke off", "retry")


async def test_an_error_in_the_middle_of_an_answer_is_told(
    chat: OpenAiLlm, server: OpenAiServer
) -> None:
    server.pieces.insert(1, 'data: {"error": {"message": "the model is overloaded"}}\n\n')
    error = await _failure(chat)
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
    chat: OpenAiLlm, server: OpenAiServer, odd: str
) -> None:
    server.pieces.insert(1, odd)
    assert await _answer(chat) == ["Good ", "morning."]


@pytest.mark.parametrize(
    ("told", "advice", "why"),
    [
        (
            event("response.failed", response={"error": {"code": "server_error", "message": "oh"}}),
            "retry",
            "oh",
        ),
        (event("response.failed", response=None), "retry", "the response failed"),
        (event("error", code="insufficient_quota", message="pay"), "fix_key", "billing"),
        (event("error", code="model_not_found", message="which"), "give_up", "no such model"),
        ('data: {"error": {"message": "overloaded"}}\n\n', "retry", "overloaded"),
        ("data: 42\n\n", "retry", "garbled"),
        ('data: {"type": 7}\n\n', "retry", "garbled"),
    ],
)
async def test_a_response_that_fails_says_why(
    responses: OpenAiLlm, server: OpenAiServer, told: str, advice: Advice, why: str
) -> None:
    server.events.insert(2, told)
    error = await _failure(responses)
    assert error.advice == advice
    assert why in error.why


@pytest.mark.parametrize("last", ["response.completed", "response.incomplete"])
async def test_a_response_ends_where_it_says_so(
    responses: OpenAiLlm, server: OpenAiServer, last: str
) -> None:
    server.events[-1] = event(last, response={})
    assert await _answer(responses) == ["Good ", "morning."]
    server.events.pop()
    assert (await _failure(responses)).why == "the answer broke off"


async def test_what_a_model_refuses_to_say_is_said(
    responses: OpenAiLlm, server: OpenAiServer
) -> None:
    server.events[1:-1] = [
        event("response.reasoning_text.delta", delta="hmm"),
        event("response.refusal.delta", delta="I cannot say."),
        event("response.output_text.delta", delta=None),
    ]
    assert await _answer(responses) == ["I cannot say."]


_LINES = st.lists(
    st.sampled_from(
        [
            *(chunk("a"), chunk(finish="stop"), "data: [DONE]\n\n", "\n", "\r\n", ": \n"),
            *(event("response.output_text.delta", delta="a"), "event: error\n", "id: 7\n"),
            *("data: ", "data: {\n\n", "data: []\n\n", 'data: {"choices": [7]}\n\n', "null"),
            *('data: {"type": "error", "message": 7}\n\n', "\udcff", event("response.failed")),
        ]
    ),
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(pieces=_LINES, api=st.sampled_from(["chat", "responses"]))
def test_whatever_a_server_sends_is_an_answer_or_a_provider_error(
    pieces: list[str], api: Api
) -> None:
    async def ask() -> None:
        async with OpenAiServer().run() as server:
            assert isinstance(server, OpenAiServer)
            server.pieces = server.events = pieces
            model = OpenAiLlm("m", "a-key", server.url, api=api)
            with suppress(ProviderError):
                assert all(piece == "a" for piece in await _answer(model))
            await model.aclose()

    asyncio.run(ask())


async def test_nobody_listening_is_a_reason_to_try_again() -> None:
    async with OpenAiServer().run() as server:
        url = server.url
    model = OpenAiLlm("test-model", "a-key", url)
    error = await _failure(model)
    assert error.advice == "retry"
    assert url in error.why
    await model.aclose()


async def test_warming_up_with_a_refused_key_raises(model: OpenAiLlm, server: OpenAiServer) -> None:
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
    server: OpenAiServer,
    status: str,
    message: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.status, server.error["message"] = status, message
    await model.warm()
    assert message.rstrip(".") in caplog.text
    server.status = "200 OK"
    assert await _answer(model) == ["Good ", "morning."]


async def test_a_server_of_your_own_needs_no_key(server: OpenAiServer) -> None:
    model = OpenAiLlm("test-model", base_url=server.url)
    assert await _answer(model) == ["Good ", "morning."]
    await model.aclose()


async def test_the_key_of_the_environment_goes_to_nobody_it_was_not_given_for(
    server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
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
