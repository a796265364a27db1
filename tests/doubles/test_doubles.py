"""The doubles of the cloud's services, met by the real clients."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import aclosing
from itertools import pairwise

import pytest

from voicelat.audio.level import is_audible
from voicelat.audio.mulaw import silence
from voicelat.doubles.google import GoogleDouble
from voicelat.doubles.openai import OpenAiDouble
from voicelat.providers.protocols import Prompt, SttStream, Transcript
from voicelat.providers.simulated import SimulatedTts, profile
from voicelat.settings import load

pytest.importorskip("google.cloud.speech")
pytest.importorskip("google.cloud.texttospeech")
pytest.importorskip("openai")

from voicelat.providers.google_stt import GoogleStt
from voicelat.providers.google_tts import GoogleTts
from voicelat.providers.openai_llm import OpenAiLlm

INSTANT = profile("instant")


async def spoken(words: str) -> bytes:
    """A murmur of so many words, and the silence behind it."""
    async with aclosing(SimulatedTts(INSTANT).speak(words, "")) as chunks:
        return b"".join([chunk async for chunk in chunks]) + silence(400)


async def until_final(stream: SttStream) -> list[Transcript]:
    heard = []
    async for transcript in stream:
        heard.append(transcript)
        if transcript.final:
            break
    return heard


@pytest.mark.parametrize("api", ["v1", "v2"])
async def test_googles_ears_tell_a_word_per_burst_and_a_final(api: str) -> None:
    async with GoogleDouble(profile("stand-in")).run() as google:
        ears = GoogleStt(api, endpoint=google.endpoint)  # type: ignore[arg-type]
        await ears.warm()
        stream = await ears.open("en-US")
        try:
            stream.voice(True)
            audio = await spoken("one two three")
            for begin in range(0, len(audio), 160):
                stream.feed(audio[begin : begin + 160])
                await asyncio.sleep(0)
            heard = await asyncio.wait_for(until_final(stream), 10)
        finally:
            await stream.aclose()
            await ears.aclose()
    assert heard[-1].text == "one moment", "a word per 400 ms of voice, and bursts have gaps"
    assert heard[-1].confidence == pytest.approx(0.9)
    lengths = [len(partial.text) for partial in heard]
    assert all(before <= after for before, after in pairwise(lengths)), "words are only added"


@pytest.mark.parametrize("streaming", [True, False])
async def test_googles_voice_murmurs_a_burst_per_word(streaming: bool) -> None:
    async with GoogleDouble(INSTANT).run() as google:
        voice = GoogleTts(endpoint=google.endpoint, streaming=streaming)
        await voice.warm()
        async with aclosing(voice.speak("One two.", "en-US")) as chunks:
            audio = b"".join([chunk async for chunk in chunks])
        await voice.aclose()
    assert len(audio) == 2 * 400 * 8
    assert is_audible(audio)


async def test_the_model_says_its_sentence_and_every_request_is_counted() -> None:
    async with OpenAiDouble(INSTANT).run() as openai:
        model = OpenAiLlm("m", "a-key", openai.url)
        await model.warm()
        async with aclosing(model.reply(Prompt("CA1", 1, "hello"))) as pieces:
            text = "".join([piece async for piece in pieces])
        await model.aclose()
    assert text.startswith("Certainly,")
    assert openai.requests == 1


async def test_a_share_of_the_requests_hangs() -> None:
    async with OpenAiDouble(INSTANT, hang=1.0).run() as openai:
        model = OpenAiLlm("m", "a-key", openai.url)
        async with aclosing(model.reply(Prompt("CA1", 1, "hello"))) as pieces:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(pieces), 0.3)
        await model.aclose()
    assert openai.requests == 1


def test_run_as_a_program_it_prints_the_settings_that_point_to_it() -> None:
    command = [sys.executable, "-m", "voicelat.doubles", "--profile", "instant"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            told = json.loads(process.stdout.readline())
        finally:
            process.terminate()
    loaded = load(told, environ={})
    assert loaded.google_speech_endpoint == told["GOOGLE_SPEECH_ENDPOINT"]
    assert loaded.openai_base_url == told["OPENAI_BASE_URL"]


def test_an_unknown_profile_is_one_line() -> None:
    command = [sys.executable, "-m", "voicelat.doubles", "--profile", "nobody"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.startswith("voicelat: no latency profile 'nobody'")
