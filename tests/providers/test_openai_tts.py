from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import pairwise

import numpy as np
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.openai_server import OpenAiServer

from voicelat.audio.mulaw import BYTES_PER_MS, decode
from voicelat.audio.resample import to_8k
from voicelat.errors import Advice, InvalidSetting, MissingExtra, ProviderError
from voicelat.providers.openai_tts import DEFAULT_MODEL, DEFAULT_VOICE, OpenAiTts, PcmToMulaw

_RATE = 24_000


def _voice_like(ms: int, rate: int = _RATE) -> bytes:
    """PCM as the vendor sends it: two tones of the voice band, in a rhythm."""
    t = np.arange(ms * rate // 1000) / rate
    wave = np.sin(2 * np.pi * 220 * t) + 0.5 * np.sin(2 * np.pi * 1800 * t)
    return (6000 * wave * np.sin(2 * np.pi * 3 * t)).astype("<i2").tobytes()


@pytest_asyncio.fixture
async def server() -> AsyncGenerator[OpenAiServer]:
    async with OpenAiServer().run() as server:
        assert isinstance(server, OpenAiServer)
        yield server


@pytest_asyncio.fixture
async def voice(server: OpenAiServer) -> AsyncGenerator[OpenAiTts]:
    voice = OpenAiTts("test-model", "test-voice", "a-key", server.url)
    yield voice
    await voice.aclose()


async def _said(voice: OpenAiTts, text: str = "Good morning.") -> list[bytes]:
    return [chunk async for chunk in voice.speak(text, "en-US")]


async def _failure(voice: OpenAiTts) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await _said(voice)
    return caught.value


async def test_what_the_server_says_is_heard_as_mulaw_of_the_same_length(
    voice: OpenAiTts, server: OpenAiServer
) -> None:
    pcm = _voice_like(500)
    server.audio = [pcm[at : at + 4801] for at in range(0, len(pcm), 4801)]
    heard = decode(b"".join(await _said(voice)))
    wanted = to_8k(np.frombuffer(pcm, "<i2").astype(np.int16), _RATE)
    assert abs(len(heard) - len(wanted)) <= 2 * BYTES_PER_MS
    late = 12  # samples: the filter's 1.5 ms
    error = heard[late : len(wanted)].astype(float) - wanted[: len(wanted) - late]
    assert np.std(error) < 0.2 * np.std(wanted)


async def test_the_server_is_asked_for_raw_pcm_and_nothing_it_may_not_know(
    voice: OpenAiTts, server: OpenAiServer
) -> None:
    await _said(voice)
    assert voice.name == "openai:test-model"
    assert server.asked == [
        (
            "/v1/audio/speech",
            {
                "model": "test-model",
                "voice": "test-voice",
                "input": "Good morning.",
                "response_format": "pcm",
            },
        )
    ]


async def test_pace_and_style_are_asked_for_where_they_are_set(server: OpenAiServer) -> None:
    voice = OpenAiTts(None, None, "a-key", server.url, speed=1.1, style="calmly")
    await _said(voice)
    await voice.aclose()
    body = server.asked[0][1]
    assert (body["model"], body["voice"]) == (DEFAULT_MODEL, DEFAULT_VOICE)
    assert (body["speed"], body["instructions"]) == (1.1, "calmly")


async def test_the_first_sound_does_not_wait_for_the_second(
    voice: OpenAiTts, server: OpenAiServer
) -> None:
    server.stall = 2
    async with aclosing(voice.speak("Good morning.", "en-US")) as chunks:
        assert len(await anext(chunks)) >= 90 * BYTES_PER_MS
    await server.gone.wait()


async def test_cancelling_the_reader_closes_the_request(
    voice: OpenAiTts, server: OpenAiServer
) -> None:
    server.stall = 2
    first = asyncio.Event()

    async def listen() -> None:
        async with aclosing(voice.speak("Good morning.", "en-US")) as chunks:
            async for _ in chunks:
                first.set()

    reader = asyncio.create_task(listen())
    await first.wait()
    reader.cancel()
    await server.gone.wait()
    with pytest.raises(asyncio.CancelledError):
        await reader


@pytest.mark.parametrize("text", ["", "  \n", "...", "?!"])
async def test_what_cannot_be_said_is_not_asked_for(
    voice: OpenAiTts, server: OpenAiServer, text: str
) -> None:
    assert await _said(voice, text) == []
    assert server.asked == []


async def test_hebrew_goes_as_it_is(voice: OpenAiTts, server: OpenAiServer) -> None:
    assert await _said(voice, "בוקר טוב")
    assert server.asked[0][1]["input"] == "בוקר טוב"


@pytest.mark.parametrize("before_piece", [0, 1, 2])
async def test_a_server_that_falls_silent_is_given_up(
    server: OpenAiServer, before_piece: int
) -> None:
    server.stall = before_piece
    voice = OpenAiTts(None, None, "a-key", server.url, silence_s=0.05)
    error = await _failure(voice)
    assert error.advice == "retry"
    assert "no answer" in error.why
    await voice.aclose()


@pytest.mark.parametrize("before_piece", [1, 2])
async def test_audio_that_breaks_off_is_told(
    voice: OpenAiTts, server: OpenAiServer, before_piece: int
) -> None:
    server.die = before_piece
    error = await _failure(voice)
    assert error.advice == "retry"
    assert "cannot reach" in error.why


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        ("401 Unauthorized", "fix_key"),
        ("400 Bad Request", "give_up"),
        ("404 Not Found", "give_up"),
        ("429 Too Many Requests", "retry"),
        ("503 Service Unavailable", "retry"),
    ],
)
async def test_a_refusal_says_what_to_do(
    voice: OpenAiTts, server: OpenAiServer, status: str, advice: Advice
) -> None:
    server.status = status
    assert (await _failure(voice)).advice == advice


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("application/json", b'{"ok": true}', "application/json"),
        ("text/html; charset=utf-8", b"<html>", "text/html"),
        ("audio/wav", b"RIFF....WAVE", "WAV"),
        ("audio/mpeg", b"ID3\x04", "MP3"),
        ("application/octet-stream", b"OggS", "Ogg"),
    ],
)
async def test_what_would_be_noise_is_not_played(
    voice: OpenAiTts, server: OpenAiServer, kind: str, body: bytes, words: str
) -> None:
    server.audio_kind, server.audio = kind, [body]
    error = await _failure(voice)
    assert error.advice == "give_up"
    assert words in error.why


async def test_no_audio_is_a_failure(voice: OpenAiTts, server: OpenAiServer) -> None:
    server.audio = []
    assert (await _failure(voice)).why == "sent no audio"


async def test_half_a_sample_at_the_end_is_told(
    voice: OpenAiTts, server: OpenAiServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.audio = [_voice_like(20), b"\x01"]
    assert await _said(voice)
    assert "within a sample" in caplog.text


async def test_warming_up_leaves_a_connection_for_the_first_clause(
    voice: OpenAiTts, server: OpenAiServer
) -> None:
    await voice.warm()
    opened = server.connections
    await _said(voice)
    assert server.connections == opened


@given(
    pcm=st.binary(max_size=4000),
    cuts=st.lists(st.integers(0, 4000), max_size=30),
    rate=st.sampled_from([8000, 16_000, 22_050, 24_000, 48_000]),
)
def test_where_chunks_end_does_not_matter(pcm: bytes, cuts: list[int], rate: int) -> None:
    whole, cut = PcmToMulaw(rate), PcmToMulaw(rate)
    edges = [0, *sorted(cuts), len(pcm)]
    pieces = [pcm[a:b] for a, b in pairwise(edges)]
    one = whole.push(pcm) + whole.flush()
    many = b"".join(map(cut.push, pieces)) + cut.flush()
    assert np.abs(decode(one).astype(int) - decode(many)).max(initial=0) <= 1200
    assert len(one) == len(many)
    assert cut.torn == bool(len(pcm) % 2)


@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
def test_resampling_holds_back_at_most_two_milliseconds(rate: int) -> None:
    audio = PcmToMulaw(rate)
    chunk, got = _voice_like(20, rate), 0
    for fed_ms in range(20, 400, 20):
        got += len(audio.push(chunk))
        assert got >= (fed_ms - 2) * BYTES_PER_MS


@pytest.mark.parametrize("speed", [0.2, 4.1])
def test_a_pace_nobody_has_is_refused(speed: float) -> None:
    with pytest.raises(InvalidSetting, match="speed"):
        OpenAiTts(None, None, "a-key", speed=speed)


def test_openai_without_a_key_is_refused_at_once() -> None:
    with pytest.raises(ProviderError, match="OPENAI_API_KEY") as caught:
        OpenAiTts()
    assert caught.value.advice == "fix_key"


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtra, match=r"voice needs.*voicelat\[openai\]"):
        OpenAiTts(api_key="a-key")
