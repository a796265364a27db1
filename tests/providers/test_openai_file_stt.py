from __future__ import annotations

import asyncio
import io
import sys
import wave
from collections.abc import AsyncGenerator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from tests.engine.fakes import tone
from tests.providers.openai_server import OpenAiServer

from voicelat.audio.mulaw import decode, silence
from voicelat.errors import Advice, MissingExtra, ProviderError
from voicelat.providers.openai_file_stt import DEFAULT_MODEL, OpenAiFileStt
from voicelat.providers.protocols import Transcriber, Transcript


@pytest_asyncio.fixture
async def server() -> AsyncGenerator[OpenAiServer]:
    async with OpenAiServer().run() as server:
        assert isinstance(server, OpenAiServer)
        yield server


@pytest_asyncio.fixture
async def ears(server: OpenAiServer) -> AsyncGenerator[Transcriber]:
    ears = OpenAiFileStt("test-model", "a-key", server.url)
    yield ears
    await ears.aclose()


async def _failure(ears: Transcriber) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await ears.transcribe(tone(500), "en-US")
    return caught.value


async def test_an_utterance_becomes_its_text(ears: Transcriber) -> None:
    assert ears.name == "openai:test-model"
    assert await ears.transcribe(tone(500), "en-US") == Transcript("Are you open?", final=True)


async def test_the_audio_goes_as_a_file_every_decoder_reads(
    ears: Transcriber, server: OpenAiServer
) -> None:
    await ears.transcribe(tone(500), "he-IL")
    (upload,) = server.uploads
    assert upload["model"] == b"test-model"
    assert upload["language"] == b"he"
    with wave.open(io.BytesIO(upload["file"])) as file:
        assert file.getparams()[:4] == (1, 2, 8000, 4000)
        samples = np.frombuffer(file.readframes(4000), "<i2")
    assert np.array_equal(samples, decode(tone(500)))


async def test_a_language_without_a_code_is_left_to_the_model(
    ears: Transcriber, server: OpenAiServer
) -> None:
    await ears.transcribe(tone(500), "yue-HK")
    assert "language" not in server.uploads[0]


async def test_no_words_are_no_text(ears: Transcriber, server: OpenAiServer) -> None:
    server.transcript = {"text": "  "}
    assert (await ears.transcribe(silence(500), "en-US")).text == ""


@pytest.mark.parametrize("ms", [0, 99])
async def test_less_than_a_word_is_not_asked_about(
    ears: Transcriber, server: OpenAiServer, ms: int
) -> None:
    assert await ears.transcribe(silence(ms), "en-US") == Transcript("", final=True)
    assert server.asked == []


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        ("401 Unauthorized", "fix_key"),
        ("400 Bad Request", "give_up"),
        ("429 Too Many Requests", "retry"),
        ("500 Internal Server Error", "retry"),
    ],
)
async def test_a_refusal_says_what_to_do(
    ears: Transcriber, server: OpenAiServer, status: str, advice: Advice
) -> None:
    server.status = status
    assert (await _failure(ears)).advice == advice


@pytest.mark.parametrize("answer", [{}, {"text": None}, {"text": 7}, [], "hello", 42, None])
async def test_an_answer_that_is_none_is_told(
    ears: Transcriber, server: OpenAiServer, answer: Any
) -> None:
    server.transcript = answer
    error = await _failure(ears)
    assert error.advice == "retry"
    assert "garbled" in error.why


@pytest.mark.parametrize("before_piece", [0, 1])
async def test_a_server_that_hangs_is_given_up(server: OpenAiServer, before_piece: int) -> None:
    server.stall = before_piece
    ears = OpenAiFileStt(None, "a-key", server.url, answer_s=0.05)
    error = await _failure(ears)
    assert ears.name == f"openai:{DEFAULT_MODEL}"
    assert (error.advice, "no answer" in error.why) == ("retry", True)
    await ears.aclose()


async def test_an_answer_that_breaks_off_is_told(ears: Transcriber, server: OpenAiServer) -> None:
    server.die = 1
    assert (await _failure(ears)).advice == "retry"


async def test_cancelling_closes_the_request(ears: Transcriber, server: OpenAiServer) -> None:
    server.stall = 1
    asking = asyncio.create_task(ears.transcribe(tone(500), "en-US"))
    await server.until(lambda: bool(server.asked))
    asking.cancel()
    await server.gone.wait()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_warming_up_with_a_refused_key_raises(
    ears: Transcriber, server: OpenAiServer
) -> None:
    server.status = "401 Unauthorized"
    with pytest.raises(ProviderError, match="OPENAI_API_KEY"):
        await ears.warm()


def test_openai_without_a_key_is_refused_at_once() -> None:
    with pytest.raises(ProviderError, match="OPENAI_API_KEY"):
        OpenAiFileStt()


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtra, match=r"voicelat\[openai\]"):
        OpenAiFileStt(api_key="a-key")
