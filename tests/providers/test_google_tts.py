from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from voicelat.audio.level import is_audible
from voicelat.audio.mulaw import duration_ms, silence
from voicelat.doubles.faulty import FaultyLine
from voicelat.errors import InvalidSetting, MissingExtra, ProviderError

pytest.importorskip("google.cloud.texttospeech")

from tests.providers.contract.bench import Trouble
from tests.providers.google_server import WORD_MS, GoogleServer

from voicelat.providers.google_tts import (
    FAMILIES,
    GoogleTts,
    _pieces,
    _without_header,
    family_of,
)


@pytest_asyncio.fixture
async def server() -> AsyncGenerator[GoogleServer]:
    async with GoogleServer().run() as server:
        yield server


async def say(
    server: GoogleServer, text: str, voice: str | None = None, *wishes: float, **options: Any
) -> bytes:
    """``text`` as a voice at ``server`` says it."""
    tts = GoogleTts(voice, *wishes, endpoint=f"127.0.0.1:{server.port}", **options)
    try:
        return b"".join([chunk async for chunk in tts.speak(text, "en-US")])
    finally:
        await tts.aclose()


async def test_the_default_voice_is_streamed_as_telephone_sound(server: GoogleServer) -> None:
    audio = await say(server, "One two three.")
    assert duration_ms(audio) == 3 * WORD_MS
    (config,) = server.configs
    assert config.voice.name == "en-US-Chirp3-HD-Aoede"
    assert config.voice.language_code == "en-US"
    assert config.streaming_audio_config.audio_encoding.name == "MULAW"
    assert config.streaming_audio_config.sample_rate_hertz == 8000
    assert config.streaming_audio_config.speaking_rate == 0.0, "what is not asked for is not sent"


async def test_other_voices_are_asked_for_whole_and_their_header_is_cut(
    server: GoogleServer,
) -> None:
    audio = await say(server, "One two.", "en-US-Wavenet-A")
    assert duration_ms(audio) == 2 * WORD_MS
    assert b"RIFF" not in audio
    (request,) = server.configs
    assert request.audio_config.audio_encoding.name == "MULAW"
    assert (request.audio_config.speaking_rate, request.audio_config.pitch) == (0.0, 0.0)


async def test_sound_without_a_header_is_taken_as_it_is(server: GoogleServer) -> None:
    server.wav = False
    assert duration_ms(await say(server, "One two.", "Wavenet-A")) == 2 * WORD_MS


async def test_a_voice_with_a_language_keeps_it(server: GoogleServer) -> None:
    await say(server, "שלום.", "he-IL-Wavenet-A")
    (request,) = server.configs
    assert (request.voice.name, request.voice.language_code) == ("he-IL-Wavenet-A", "he-IL")


async def test_rate_and_pitch_go_to_voices_that_take_them(server: GoogleServer) -> None:
    await say(server, "One.", "en-US-Neural2-A", 1.05, -2.0)
    (request,) = server.configs
    assert (request.audio_config.speaking_rate, request.audio_config.pitch) == (1.05, -2.0)


async def test_chirp_takes_the_rate_and_a_warning_tells_of_the_pitch(
    server: GoogleServer, caplog: pytest.LogCaptureFixture
) -> None:
    await say(server, "One.", "Chirp3-HD-Kore", 1.05, -2.0)
    (config,) = server.configs
    assert config.streaming_audio_config.speaking_rate == 1.05
    (record,) = caplog.records
    assert record.getMessage() == (
        "google:Chirp3-HD-Kore: TTS_PITCH=-2 is not sent, Chirp3-HD voices take none"
    )


@pytest.mark.parametrize("voice", ["Journey-D", "Chirp-HD-F", "en-US-Marvel-A"])
async def test_a_voice_that_takes_nothing_is_sent_nothing(
    server: GoogleServer, voice: str, caplog: pytest.LogCaptureFixture
) -> None:
    await say(server, "One.", voice, 1.05, -2.0)
    (config,) = server.configs
    audio = (
        config.audio_config if hasattr(config, "audio_config") else config.streaming_audio_config
    )
    assert audio.speaking_rate == 0.0
    assert getattr(audio, "pitch", 0.0) == 0.0
    assert [name in caplog.text for name in ("TTS_RATE=1.05", "TTS_PITCH=-2")] == [True, True]


def test_neutral_wishes_need_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    for family in FAMILIES:
        GoogleTts(f"en-US-{family}-A")
    assert not caplog.records


def test_a_rate_beyond_the_voice_is_refused_at_once() -> None:
    with pytest.raises(InvalidSetting, match=r"0\.25 to 2"):
        GoogleTts("Wavenet-A", 3.0)


@pytest.mark.parametrize(
    ("voice", "family"),
    [
        ("en-US-Chirp3-HD-Aoede", "Chirp3-HD"),
        ("Chirp3-HD-Aoede", "Chirp3-HD"),
        ("en-US-Chirp-HD-F", "Chirp-HD"),
        ("he-IL-Standard-A", "Standard"),
        ("cmn-CN-Wavenet-B", "Wavenet"),
        ("en-US-Polyglot-1", "unknown"),
    ],
)
def test_the_family_stands_in_the_name(voice: str, family: str) -> None:
    assert family_of(voice)[0] == family


@pytest.mark.parametrize("text", ["", " ", "...", "—", "\N{SMILING FACE WITH OPEN MOUTH}"])
@pytest.mark.parametrize("voice", ["Chirp3-HD-Aoede", "Wavenet-A"])
async def test_what_has_no_sound_is_not_asked_for(
    server: GoogleServer, text: str, voice: str
) -> None:
    assert await say(server, text, voice) == b""
    assert server.configs == []


async def test_the_first_sound_comes_while_the_rest_is_still_being_made(
    server: GoogleServer,
) -> None:
    server.tell(Trouble.HOLD)
    tts = GoogleTts(endpoint=f"127.0.0.1:{server.port}")
    async with aclosing(tts.speak("One two three.", "en-US")) as chunks:
        assert duration_ms(await anext(chunks)) == WORD_MS
        assert server.requests == 1
        server.tell(Trouble.NONE)
        assert duration_ms(b"".join([chunk async for chunk in chunks])) == 2 * WORD_MS
    await tts.aclose()


async def test_one_connection_serves_the_warming_and_every_reply(server: GoogleServer) -> None:
    tts = GoogleTts(endpoint=f"127.0.0.1:{server.cable.port}")
    await tts.warm()
    for _ in range(3):
        assert [chunk async for chunk in tts.speak("One.", "en-US")]
    assert server.cable.total == 1
    await tts.aclose()


async def test_a_voice_that_google_does_not_list_is_warned_of(
    server: GoogleServer, caplog: pytest.LogCaptureFixture
) -> None:
    for voice in ("Chirp3-HD-Aoede", "Chirp3-HD-Nobody"):
        tts = GoogleTts(voice, endpoint=f"127.0.0.1:{server.port}")
        await tts.warm()
        await tts.aclose()
    assert [record.getMessage() for record in caplog.records] == [
        "google:Chirp3-HD-Nobody: Google lists no such voice"
    ]


async def test_an_answer_without_sound_is_an_error(server: GoogleServer) -> None:
    tts = GoogleTts(endpoint=f"127.0.0.1:{server.port}")
    server.burst = b""
    with pytest.raises(ProviderError, match="no audio"):
        await anext(tts.speak("One.", "en-US"))
    await tts.aclose()


async def test_a_long_text_goes_in_pieces_that_google_takes(server: GoogleServer) -> None:
    text = "word " * 2000
    audio = await say(server, text)
    assert duration_ms(audio) == 2000 * WORD_MS
    assert all(len(piece.encode()) <= 5000 for piece in server.texts)
    assert " ".join(server.texts) == text.strip()


@given(st.text(max_size=3000))
def test_pieces_keep_every_word_in_its_place(text: str) -> None:
    pieces = list(_pieces(text))
    assert " ".join(pieces).split() == (
        text.split() if any(letter.isalnum() for letter in text) else []
    )


@given(st.binary(max_size=200))
def test_any_bytes_are_sound_or_one_error(audio: bytes) -> None:
    for candidate in (audio, b"RIFF" + audio, b"RIFF\0\0\0\0WAVE" + audio):
        try:
            assert _without_header(candidate) in candidate
        except ValueError as error:
            assert str(error) == "a WAV file without its data"


def test_a_header_of_a_stream_has_no_size() -> None:
    header = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0" + bytes(16) + b"data"
    for size in (b"\0\0\0\0", b"\xff\xff\xff\xff"):
        assert _without_header(header + size + silence(20)) == silence(20)


async def test_two_calls_speak_at_once(server: GoogleServer) -> None:
    tts = GoogleTts(endpoint=f"127.0.0.1:{server.port}")

    async def spoken(text: str) -> bytes:
        return b"".join([chunk async for chunk in tts.speak(text, "en-US")])

    one, two = await asyncio.gather(spoken("One."), spoken("One two."))
    assert (duration_ms(one), duration_ms(two)) == (WORD_MS, 2 * WORD_MS)
    assert is_audible(one)
    await tts.aclose()


async def test_a_connection_that_fell_silent_is_given_up_for_another(
    server: GoogleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicelat.providers.google_channel._RENEW_AFTER_S", 0.0)
    monkeypatch.setattr("voicelat.providers.google_channel._SILENT_S", 0.1)
    async with FaultyLine("127.0.0.1", server.port).run() as line:
        tts = GoogleTts(endpoint=f"127.0.0.1:{line.port}")
        assert [chunk async for chunk in tts.speak("One.", "en-US")]
        line.commit("stall")  # of the kind TCP does not notice for a quarter of an hour
        async with aclosing(tts.speak("One.", "en-US")) as chunks:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(chunks), 0.3)
        line.mend()
        async with asyncio.timeout(5):
            assert [chunk async for chunk in tts.speak("One.", "en-US")]
        assert line.taken == 2
        await tts.aclose()


async def test_a_request_that_is_given_up_soon_keeps_its_connection(server: GoogleServer) -> None:
    server.tell(Trouble.SILENT)
    tts = GoogleTts(endpoint=f"127.0.0.1:{server.cable.port}")
    async with aclosing(tts.speak("One.", "en-US")) as chunks:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(chunks), 0.2)
    server.tell(Trouble.NONE)
    assert [chunk async for chunk in tts.speak("One.", "en-US")]
    assert server.cable.total == 1
    await tts.aclose()


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicelat.providers.google_channel.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"pip install 'voicelat\[google\]'"):
        GoogleTts()
