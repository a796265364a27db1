from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.providers.openai_server import WORDS, OpenAiServer, spoken

from voicelat.audio.mulaw import silence
from voicelat.errors import Advice, ProviderError
from voicelat.providers.openai_stt import DEFAULT_MODEL, OpenAiStt, OpenAiSttStream
from voicelat.providers.protocols import Transcript


@pytest_asyncio.fixture
async def server() -> AsyncGenerator[OpenAiServer]:
    async with OpenAiServer().run() as server:
        assert isinstance(server, OpenAiServer)
        yield server


@pytest_asyncio.fixture
async def ears(server: OpenAiServer) -> AsyncGenerator[OpenAiStt]:
    ears = OpenAiStt("test-model", "a-key", server.url)
    yield ears
    await ears.aclose()


@pytest_asyncio.fixture
async def stream(ears: OpenAiStt) -> OpenAiSttStream:
    return await ears.open("he-IL")


async def _say(stream: OpenAiSttStream, *words: str) -> None:
    """Frame by frame, with a turn of the loop between them, as in a call."""
    stream.voice(True)
    audio = spoken(*words)
    for at in range(0, len(audio), 160):
        stream.feed(audio[at : at + 160])
        await asyncio.sleep(0)
    stream.voice(False)


async def _until_final(stream: OpenAiSttStream) -> list[Transcript]:
    told = []
    async for transcript in stream:
        told.append(transcript)
        if transcript.final:
            return told
    raise AssertionError("no final")


async def _final(stream: OpenAiSttStream) -> str:
    return (await _until_final(stream))[-1].text


async def _failure(stream: OpenAiSttStream) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await _until_final(stream)
    assert "\n" not in str(caught.value)
    assert len(caught.value.why) <= 200
    return caught.value


async def test_an_utterance_becomes_partials_and_a_final(stream: OpenAiSttStream) -> None:
    await _say(stream, "ala", "alb")
    *partials, final = await _until_final(stream)
    assert final == Transcript("ala alb", final=True)
    assert partials
    assert [len(p.text) for p in partials] == sorted(len(p.text) for p in partials)
    assert all(not p.final and "ala alb".startswith(p.text) for p in partials)


async def test_the_session_is_one_of_transcription_without_the_vendors_detector(
    ears: OpenAiStt, stream: OpenAiSttStream, server: OpenAiServer
) -> None:
    await server.until(lambda: bool(server.live.messages))
    assert ears.name == "openai:test-model"
    assert server.asked == [("/v1/realtime?intent=transcription", {})]
    assert server.keys == ["bearer a-key"]
    message = server.live.messages[0]
    assert message["type"] == "session.update"
    assert message["session"] == {
        "type": "transcription",
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "transcription": {"model": "test-model", "language": "he"},
                "turn_detection": None,
            }
        },
    }


async def test_a_model_that_tells_nothing_before_the_commit_will_do(
    stream: OpenAiSttStream, server: OpenAiServer
) -> None:
    server.live.deltas = False
    await _say(stream, "ala")
    assert await _until_final(stream) == [Transcript("ala", final=True)]


async def test_the_fall_of_the_voice_commits_and_nothing_else_is_needed(
    stream: OpenAiSttStream, server: OpenAiServer
) -> None:
    await _say(stream, "ala")
    stream.finalize()
    assert await _final(stream) == "ala"
    await _say(stream, "alb")
    assert await _final(stream) == "alb"
    assert len(server.live.commits) == 2


async def test_finalize_does_not_wait_for_the_voice_to_fall(stream: OpenAiSttStream) -> None:
    stream.voice(True)
    stream.feed(spoken("ala"))
    stream.finalize()
    assert await _final(stream) == "ala"
    stream.feed(spoken("alb"))
    stream.voice(False)
    assert await _final(stream) == "alb"


async def test_what_is_said_before_the_socket_is_open_is_heard(
    ears: OpenAiStt, server: OpenAiServer
) -> None:
    stream = await ears.open("en-US")
    stream.voice(True)
    stream.feed(spoken("ala", "alb"))
    stream.voice(False)
    assert server.connections == 0
    assert await _final(stream) == "ala alb"


async def test_silence_is_not_sent(stream: OpenAiSttStream, server: OpenAiServer) -> None:
    for _ in range(50):
        stream.feed(silence(20))
        await asyncio.sleep(0)
    stream.finalize()
    await stream.aclose()
    assert [transcript async for transcript in stream] == []
    assert server.live.commits == []


async def test_finals_keep_the_order_of_the_speech(
    stream: OpenAiSttStream, server: OpenAiServer
) -> None:
    server.live.backwards = True
    await _say(stream, "ala")
    await _say(stream, "alb")
    assert [await _final(stream), await _final(stream)] == ["ala", "alb"]


@pytest.mark.parametrize("messages", [1, 2, 5, 11])
async def test_a_connection_lost_in_a_turn_costs_no_word(
    stream: OpenAiSttStream, server: OpenAiServer, messages: int
) -> None:
    server.live.die_after = [messages, 2]
    await server.until(lambda: bool(server.live.messages))
    await _say(stream, "ala", "alb")
    assert await _final(stream) == "ala alb"
    assert stream.reconnects == 2


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    utterances=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    die_after=st.lists(st.integers(0, 30), max_size=2),
    drafts=st.booleans(),
)
def test_no_word_is_lost_or_doubled(
    utterances: list[int], die_after: list[int], drafts: bool
) -> None:
    async def call() -> None:
        async with OpenAiServer().run() as server:
            assert isinstance(server, OpenAiServer)
            server.live.die_after, server.live.drafts = die_after, drafts
            ears = OpenAiStt(None, "a-key", server.url)
            stream = await ears.open("en-US")
            await server.until(lambda: bool(server.live.messages))
            words = iter(WORDS)
            for length in utterances:
                await _say(stream, *(next(words) for _ in range(length)))
            heard = [await _final(stream) for _ in utterances]
            assert " ".join(heard).split() == list(WORDS[: sum(utterances)])
            assert [len(final.split()) for final in heard] == utterances
            await ears.aclose()

    asyncio.run(call())


async def test_an_item_that_was_not_transcribed_is_said_again(
    stream: OpenAiSttStream, server: OpenAiServer
) -> None:
    server.live.failing = 1
    await _say(stream, "ala")
    assert await _final(stream) == "ala"
    assert server.live.sessions == 2


async def test_an_item_that_cannot_be_transcribed_ends_with_what_was_told(
    stream: OpenAiSttStream, server: OpenAiServer
) -> None:
    server.live.failing = 2
    await _say(stream, "ala")
    assert await _final(stream) == "ala"
    await _say(stream, "alb")
    assert await _final(stream) == "alb"


@pytest.mark.parametrize("silent", ["mute", "hold"])
async def test_a_recogniser_that_hangs_is_given_up(server: OpenAiServer, silent: str) -> None:
    setattr(server.live, silent, True)
    ears = OpenAiStt(None, "a-key", server.url, final_s=0.05)
    stream = await ears.open("en-US")
    await _say(stream, "ala")
    error = await _failure(stream)
    assert error.advice == "retry"
    assert "no text" in error.why
    assert server.live.sessions == 3
    await ears.aclose()


async def test_a_server_that_never_answers_the_call_is_given_up(
    server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicelat.providers.openai_stt.CONNECT_S", 0.05)
    server.stall = 0
    ears = OpenAiStt(None, "a-key", server.url)
    assert (await _failure(await ears.open("en-US"))).advice == "retry"
    await ears.aclose()


@pytest.mark.parametrize("garbage", ["{not json", "[]", "42", '"hello"'])
async def test_a_garbled_answer_is_told(
    stream: OpenAiSttStream, server: OpenAiServer, garbage: str
) -> None:
    server.live.garbage = garbage
    error = await _failure(stream)
    assert error.advice == "retry"
    assert "garbled" in error.why


@pytest.mark.parametrize(
    ("status", "advice", "attempts"),
    [
        ("401 Unauthorized", "fix_key", 1),
        ("403 Forbidden", "fix_key", 1),
        ("404 Not Found", "give_up", 1),
        ("400 Bad Request", "give_up", 1),
        ("429 Too Many Requests", "retry", 3),
        ("503 Service Unavailable", "retry", 3),
    ],
)
async def test_a_refusal_says_what_to_do(
    stream: OpenAiSttStream, server: OpenAiServer, status: str, advice: Advice, attempts: int
) -> None:
    server.status = status
    error = await _failure(stream)
    assert (error.advice, "no luck" in error.why) == (advice, True)
    assert len(server.asked) == attempts


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("invalid_api_key", "fix_key"),
        ("insufficient_quota", "fix_key"),
        ("model_not_found", "give_up"),
        ("invalid_value", "give_up"),
    ],
)
async def test_a_session_that_cannot_be_says_why(
    stream: OpenAiSttStream, server: OpenAiServer, code: str, advice: Advice
) -> None:
    server.live.broken = {"type": "invalid_request_error", "code": code, "message": "no luck"}
    error = await _failure(stream)
    assert (error.advice, "no luck" in error.why) == (advice, True)


async def test_a_commit_the_server_refuses_ends_its_segment(
    stream: OpenAiSttStream, server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.providers.openai_server._SHORTEST", 1000)
    await _say(stream, "ala")
    assert await _final(stream) == "ala"
    assert server.live.commits == []


async def test_closing_ends_the_iteration_and_the_connection(
    stream: OpenAiSttStream, server: OpenAiServer
) -> None:
    await server.until(lambda: bool(server.live.sessions))
    listening = asyncio.create_task(_until_final(stream))
    await asyncio.sleep(0)
    await stream.aclose()
    await stream.aclose()
    with pytest.raises(AssertionError, match="no final"):
        await listening
    await server.gone.wait()
    stream.feed(spoken("ala"))
    stream.voice(True)
    stream.finalize()


async def test_closing_the_ears_closes_every_stream(ears: OpenAiStt, server: OpenAiServer) -> None:
    streams = [await ears.open("en-US") for _ in range(3)]
    await server.until(lambda: server.live.sessions == 3)
    await ears.aclose()
    for stream in streams:
        assert [transcript async for transcript in stream] == []


async def test_calls_do_not_hear_each_other(ears: OpenAiStt) -> None:
    one, other = await ears.open("en-US"), await ears.open("he-IL")
    await asyncio.gather(_say(one, "ala", "alc"), _say(other, "alb"))
    assert await _final(one) == "ala alc"
    assert await _final(other) == "alb"


async def test_a_fault_of_ours_ends_the_iteration_too(
    ears: OpenAiStt, server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = await ears.open("en-US")
    monkeypatch.setattr(stream._segments, "next_message", lambda: 1 / 0)
    error = await _failure(stream)
    assert (error.advice, "ZeroDivisionError" in error.why) == ("retry", True)


async def test_warming_up_tries_the_key_and_the_model(
    ears: OpenAiStt, server: OpenAiServer
) -> None:
    await ears.warm()
    assert server.live.sessions == 1
    await server.gone.wait()


@pytest.mark.parametrize("code", ["invalid_api_key", "model_not_found"])
async def test_warming_up_raises_what_no_call_could_survive(
    ears: OpenAiStt, server: OpenAiServer, code: str
) -> None:
    server.live.broken = {"type": "invalid_request_error", "code": code, "message": "no"}
    with pytest.raises(ProviderError):
        await ears.warm()
    server.status = "401 Unauthorized"
    with pytest.raises(ProviderError, match="OPENAI_API_KEY"):
        await ears.warm()


async def test_warming_up_only_warns_of_what_may_still_work(
    server: OpenAiServer, caplog: pytest.LogCaptureFixture
) -> None:
    ears = OpenAiStt(None, "a-key", server.url, final_s=0.05)
    server.live.mute = True
    await ears.warm()
    server.live.garbage, server.live.mute = "{", False
    await ears.warm()
    server.status = "503 Service Unavailable"
    await ears.warm()
    assert caplog.text.count("not warmed up") == 3


async def test_a_redirect_is_not_followed_with_the_key(
    stream: OpenAiSttStream, server: OpenAiServer
) -> None:
    server.status = f"302 Found\r\nLocation: {server.url.replace('http', 'ws')}/elsewhere"
    assert (await _failure(stream)).advice == "give_up"
    assert len(server.asked) == 1


def test_openai_without_a_key_is_refused_at_once() -> None:
    with pytest.raises(ProviderError, match="OPENAI_API_KEY") as caught:
        OpenAiStt()
    assert caught.value.advice == "fix_key"


async def test_a_server_of_your_own_needs_neither_key_nor_package(
    server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    ears = OpenAiStt(base_url=f"{server.url}/")
    assert ears.name == f"openai:{DEFAULT_MODEL}"
    stream = await ears.open("en-US")
    await _say(stream, "ala")
    assert await _final(stream) == "ala"
    await ears.aclose()
