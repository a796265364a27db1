"""Keys, models and voices: against doubles of the services on loopback."""

from __future__ import annotations

import datetime as dt
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from tests.doctor.told import faults, outcomes

from voicelat.doctor import keys
from voicelat.doubles.google import GoogleDouble
from voicelat.doubles.openai import OpenAiDouble
from voicelat.providers.simulated import profile
from voicelat.settings import Settings, load

pytest.importorskip("openai")
pytest.importorskip("google.cloud.texttospeech")

INSTANT = profile("instant")
NOVEMBER = dt.date(2026, 11, 25)


def loaded(**changed: str) -> Settings:
    return load(changed, environ={})


@pytest.fixture
async def refusing() -> AsyncIterator[str]:
    """A server of OpenAI's kind that knows no key."""

    async def refuse(_request: web.Request) -> web.Response:
        error = {"message": "Incorrect API key provided", "code": "invalid_api_key"}
        return web.json_response({"error": error}, status=401)

    async for url in _answering(refuse):
        yield url


@pytest.fixture
async def modelless() -> AsyncIterator[str]:
    """One that knows no model."""

    async def refuse(_request: web.Request) -> web.Response:
        error = {"message": "no such model", "code": "model_not_found"}
        return web.json_response({"error": error}, status=404)

    async for url in _answering(refuse):
        yield url


async def _answering(handler: web.Handler) -> AsyncIterator[str]:  # type: ignore[name-defined]
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    await runner.cleanup()


async def test_a_key_the_service_takes_is_fine() -> None:
    async with OpenAiDouble(INSTANT).run() as double:
        settings = loaded(LLM_PROVIDER="openai", OPENAI_BASE_URL=double.url, OPENAI_API_KEY="k")
        assert outcomes(await keys.openai_keys(settings)) == {"keys": "ok"}


async def test_a_key_the_service_refuses_is_found(refusing: str) -> None:
    settings = loaded(LLM_PROVIDER="openai", OPENAI_BASE_URL=refusing, OPENAI_API_KEY="wrong")
    assert faults(await keys.openai_keys(settings)) == ["keys"]


async def test_a_model_the_service_does_not_have_is_found(modelless: str) -> None:
    settings = loaded(LLM_PROVIDER="openai", OPENAI_BASE_URL=modelless, OPENAI_MODEL="gpt-2")
    found = await keys.openai_keys(settings)
    assert faults(found) == ["models"]
    assert "gpt-2" in found[0].what


async def test_a_service_that_cannot_be_reached_is_skipped() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    settings = loaded(LLM_PROVIDER="openai", OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1")
    assert outcomes(await keys.openai_keys(settings)) == {"keys": "skipped"}


@pytest.mark.parametrize("key", ["", "AIza123", "sk-1 sk-2", "sk-ü"])
async def test_a_key_that_is_none_is_found_without_asking(key: str) -> None:
    found = await keys.openai_keys(loaded(LLM_PROVIDER="openai", OPENAI_API_KEY=key))
    assert faults(found) == ["keys"]
    assert key not in repr(found) or not key


@pytest.mark.parametrize(
    ("changed", "today", "outcome"),
    [
        ({"TTS_PROVIDER": "openai", "OPENAI_TTS_MODEL": "tts-1"}, NOVEMBER, "fault"),
        ({"TTS_PROVIDER": "openai", "OPENAI_TTS_MODEL": "tts-1"}, dt.date(2028, 1, 1), "fault"),
        ({"TTS_PROVIDER": "openai", "OPENAI_TTS_MODEL": "tts-1"}, dt.date(2026, 3, 1), "ok"),
        ({"TTS_PROVIDER": "openai"}, NOVEMBER, "fault"),
        ({"LLM_PROVIDER": "openai"}, NOVEMBER, "ok"),
        (
            {"FALLBACK_PROVIDER": "openai", "OPENAI_FILE_STT_MODEL": "whisper-1"},
            dt.date(2027, 1, 1),
            "fault",
        ),
    ],
)
def test_a_model_that_ends_within_three_months_is_found(
    changed: dict[str, str], today: dt.date, outcome: str
) -> None:
    assert outcomes(keys.model_ends(loaded(**changed), today)) == {"models": outcome}


def test_another_server_has_models_of_its_own() -> None:
    settings = loaded(
        TTS_PROVIDER="openai", OPENAI_TTS_MODEL="tts-1", OPENAI_BASE_URL="http://127.0.0.1:1/v1"
    )
    assert outcomes(keys.model_ends(settings, NOVEMBER)) == {"models": "skipped"}


@pytest.mark.parametrize(
    "text",
    [
        None,
        "not json",
        "[]",
        "{}",
        json.dumps({"type": "service_account", "client_email": "a@b"}),
        json.dumps({"type": "service_account", "client_email": "a@b", "private_key": "nonsense"}),
    ],
)
async def test_a_key_file_that_is_none_is_found(text: str | None, tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    if text is not None:
        file.write_text(text)
    settings = loaded(STT_PROVIDER="google", GOOGLE_APPLICATION_CREDENTIALS=str(file))
    assert faults(await keys.google_credentials(settings)) == ["keys"]


async def test_google_on_loopback_asks_for_no_key() -> None:
    settings = loaded(STT_PROVIDER="google", GOOGLE_SPEECH_ENDPOINT="127.0.0.1:1")
    assert outcomes(await keys.google_credentials(settings)) == {"keys": "skipped"}


@pytest.mark.parametrize(
    ("voice", "outcome"),
    [
        ("Chirp3-HD-Aoede", "ok"),
        ("he-IL-Wavenet-A", "ok"),
        ("Chirp3-HD-Nobody", "fault"),
        ("he-IL-Neural2-A", "fault"),
    ],
)
async def test_a_voice_google_does_not_list_is_found(voice: str, outcome: str) -> None:
    async with GoogleDouble(INSTANT).run() as double:
        settings = loaded(
            TTS_PROVIDER="google", GOOGLE_TTS_ENDPOINT=double.endpoint, GOOGLE_TTS_VOICE=voice
        )
        assert outcomes(await keys.voices(settings)) == {"voices": outcome}


@pytest.mark.parametrize(
    ("voice", "changed", "found"),
    [
        ("Chirp3-HD-Aoede", {"TTS_PITCH": "-3"}, 1),
        ("Chirp3-HD-Aoede", {"TTS_RATE": "1.2"}, 0),
        ("Chirp3-HD-Aoede", {}, 0),
        ("Wavenet-A", {"TTS_PITCH": "-3", "TTS_RATE": "1.2"}, 0),
        ("Wavenet-A", {"TTS_PITCH": "-3", "GOOGLE_TTS_STREAMING": "on"}, 1),
    ],
)
async def test_a_pitch_the_voice_does_not_take_is_found_where_it_was_asked_for(
    voice: str, changed: dict[str, str], found: int
) -> None:
    async with GoogleDouble(INSTANT).run() as double:
        settings = loaded(
            TTS_PROVIDER="google",
            GOOGLE_TTS_ENDPOINT=double.endpoint,
            GOOGLE_TTS_VOICE=voice,
            **changed,
        )
        assert len(faults(await keys.voices(settings))) == found


@pytest.mark.parametrize(("voice", "outcome"), [("marin", "ok"), ("Aoede", "fault")])
async def test_a_voice_openai_does_not_have_is_found(voice: str, outcome: str) -> None:
    settings = loaded(TTS_PROVIDER="openai", OPENAI_TTS_VOICE=voice)
    assert outcomes(await keys.voices(settings)) == {"voices": outcome}
