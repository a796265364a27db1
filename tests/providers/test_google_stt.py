from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest
import pytest_asyncio
from tests.providers.contract.bench import Trouble
from tests.providers.contract.trial import final, say
from tests.providers.scripted_recogniser import spoken

from voicelat.audio.mulaw import BYTES_PER_MS, silence
from voicelat.errors import InvalidSetting, MissingExtra, ProviderError
from voicelat.providers.protocols import Transcript

pytest.importorskip("google.cloud.speech")

from tests.providers.google_server import GoogleServer

from voicelat.providers.google_stt import GoogleStt, GoogleSttConfig
from voicelat.providers.google_stt_laps import GoogleSttStream

Api = Literal["v1", "v2"]
both = pytest.mark.parametrize("api", ["v1", "v2"])

_WORDS = spoken("one", 300) + silence(60) + spoken("two", 300)


@pytest_asyncio.fixture
async def server() -> AsyncGenerator[GoogleServer]:
    async with GoogleServer().run() as server:
        yield server


@asynccontextmanager
async def ears(
    server: GoogleServer, api: Api = "v1", model: str | None = None, **config: Any
) -> AsyncGenerator[GoogleStt]:
    stt = GoogleStt(
        api, model, endpoint=f"localhost:{server.port}", config=GoogleSttConfig(**config)
    )
    yield stt
    await stt.aclose()


async def hear(stt: GoogleStt, speech: bytes, language: str = "en-US") -> list[Transcript]:
    """Everything that is told about one utterance."""
    stream = await stt.open(language)
    told: list[Transcript] = []
    await say(stream, speech)
    async for transcript in stream:
        told.append(transcript)
        if transcript.final:
            break
    await stream.aclose()
    return told


@both
async def test_partials_grow_and_the_half_close_makes_them_final(
    server: GoogleServer, api: Api
) -> None:
    async with ears(server, api) as stt:
        told = await hear(stt, _WORDS)
    assert [(t.text, t.final) for t in told[-2:]] == [("one two", False), ("one two", True)]
    assert told[-1].confidence == pytest.approx(0.9)
    assert {t.confidence for t in told[:-1]} == {None}


async def test_version_1_is_asked_for_telephone_sound_partials_and_voice_events(
    server: GoogleServer,
) -> None:
    async with ears(server, "v1", "phone_call") as stt:
        await hear(stt, _WORDS)
    streaming = server.configs[0].streaming_config
    config = streaming.config
    assert (config.encoding.name, config.sample_rate_hertz) == ("MULAW", 8000)
    assert (config.language_code, config.model) == ("en-US", "phone_call")
    assert config.use_enhanced
    assert config.enable_word_time_offsets
    assert streaming.interim_results
    assert streaming.enable_voice_activity_events
    assert not streaming.single_utterance


async def test_version_2_is_asked_for_the_same_in_its_own_words(server: GoogleServer) -> None:
    async with ears(server, "v2", "chirp_2") as stt:
        await hear(stt, _WORDS)
    request = server.configs[0]
    assert request.recognizer == "projects/loopback/locations/global/recognizers/_"
    config, features = request.streaming_config.config, request.streaming_config.streaming_features
    decoding = config.explicit_decoding_config
    assert (decoding.encoding.name, decoding.sample_rate_hertz) == ("MULAW", 8000)
    assert decoding.audio_channel_count == 1
    assert (list(config.language_codes), config.model) == (["en-US"], "chirp_2")
    assert not config.features.enable_word_time_offsets, "Chirp refuses the question"
    assert features.interim_results
    assert features.enable_voice_activity_events


@both
async def test_hebrew_has_its_old_code_at_google(server: GoogleServer, api: Api) -> None:
    async with ears(server, api) as stt:
        await hear(stt, _WORDS, "he-IL")
    streaming = server.configs[0].streaming_config.config
    asked = streaming.language_code if api == "v1" else streaming.language_codes[0]
    assert asked == "iw-IL"


async def test_warming_up_leaves_an_open_connection_for_the_first_call(
    server: GoogleServer,
) -> None:
    stt = GoogleStt(endpoint=f"127.0.0.1:{server.cable.port}")
    await stt.warm()
    await hear(stt, _WORDS)
    await hear(stt, _WORDS)
    assert server.cable.total == 1
    await stt.aclose()


async def test_after_warming_up_nothing_is_loaded_any_more(server: GoogleServer) -> None:
    async with ears(server) as stt:
        await stt.warm()
        codec = stt._codec
        assert codec is not None
        await hear(stt, _WORDS)
        assert stt._codec is codec


async def test_a_reset_in_the_middle_of_a_turn_costs_no_word(server: GoogleServer) -> None:
    server.dies_at = [400 * BYTES_PER_MS]
    async with ears(server) as stt:
        told = await hear(stt, _WORDS)
    assert told[-1].text == "one two"
    assert server.dies_at == []


async def _silent(stream: GoogleSttStream, seconds: int) -> None:
    """Silence, a good deal faster than it would be on the telephone."""
    for _ in range(seconds * 50):
        stream.feed(silence(20))
        await asyncio.sleep(0.001)


async def test_googles_time_limit_is_survived_where_we_were_too_late(
    server: GoogleServer,
) -> None:
    server.limit_ms = 3000
    async with ears(server) as stt:
        stream = await stt.open("en-US")
        for _ in range(3):
            await say(stream, _WORDS)
            assert (await final(stream)).text == "one two"
            await _silent(stream, 4)
        await stream.aclose()
    assert server.expired >= 3


async def test_a_request_is_left_in_silence_before_googles_limit(server: GoogleServer) -> None:
    server.limit_ms = 3000
    async with ears(server, roll_after_ms=2000, roll_by_ms=2900) as stt:
        stream = await stt.open("en-US")
        for _ in range(3):
            await say(stream, _WORDS)
            assert (await final(stream)).text == "one two"
            await _silent(stream, 4)
        await stream.aclose()
    assert server.expired == 0
    assert stream.laps >= 9


@pytest.mark.parametrize(("code", "advice"), [(3, "give_up"), (7, "fix_key"), (16, "fix_key")])
async def test_an_error_inside_an_answer_is_an_error(
    server: GoogleServer, code: int, advice: str
) -> None:
    server.error_inside = code
    async with ears(server) as stt:
        stream = await stt.open("en-US")
        await say(stream, _WORDS)
        with pytest.raises(ProviderError) as caught:
            await final(stream)
    assert caught.value.advice == advice


async def test_a_final_that_never_comes_is_asked_for_again(server: GoogleServer) -> None:
    server.tell(Trouble.HOLD)
    async with ears(server, final_s=0.3) as stt:
        stream = await stt.open("en-US")
        await say(stream, _WORDS)
        await server.configured(3)
        server.tell(Trouble.NONE)
        assert (await final(stream)).text == "one two"
        await stream.aclose()


async def test_a_voice_without_words_gets_an_empty_final(server: GoogleServer) -> None:
    async with ears(server) as stt:
        stream = await stt.open("en-US")
        await say(stream, silence(800))
        assert await final(stream) == Transcript("", final=True)
        await stream.aclose()


async def test_no_project_for_version_2_is_said_at_once() -> None:
    stt = GoogleStt("v2", endpoint="speech.example:443")
    with pytest.raises(ProviderError, match="GOOGLE_CLOUD_PROJECT") as caught:
        stt._recognizer()
    assert caught.value.advice == "fix_key"


@pytest.mark.filterwarnings("ignore:The load_credentials_from_file method")
@pytest.mark.parametrize("content", [None, "", "{}", '{"type": "service_account"}', "no json"])
async def test_credentials_that_do_not_work_say_how_to_get_some(
    content: str | None, tmp_path: Any
) -> None:
    file = tmp_path / "key.json"
    if content is not None:
        file.write_text(content)
    stt = GoogleStt(endpoint="speech.example:443", credentials_file=str(file))
    with pytest.raises(ProviderError, match="GOOGLE_APPLICATION_CREDENTIALS") as caught:
        await stt.warm()
    assert caught.value.advice == "fix_key"
    assert "\n" not in str(caught.value)
    with pytest.raises(ProviderError):
        await stt.open("en-US")
    await stt.aclose()


async def test_no_credentials_at_all_say_how_to_get_some(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nothing.json"))
    stt = GoogleStt(endpoint="speech.example:443")
    with pytest.raises(ProviderError, match="gcloud auth application-default login") as caught:
        await stt.warm()
    assert caught.value.advice == "fix_key"
    await stt.aclose()


@pytest.mark.parametrize("endpoint", ["https://speech.googleapis.com", "host:port", ""])
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    if endpoint:
        with pytest.raises(InvalidSetting, match="host:port"):
            GoogleStt(endpoint=endpoint)
    else:
        assert GoogleStt(endpoint=endpoint)._channel.endpoint == "speech.googleapis.com:443"


def test_a_location_has_an_endpoint_of_its_own() -> None:
    stt = GoogleStt("v2", "chirp_2", location="us-central1")
    assert stt._channel.endpoint == "us-central1-speech.googleapis.com:443"


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicelat.providers.google_channel.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"pip install 'voicelat\[google\]'"):
        GoogleStt()
