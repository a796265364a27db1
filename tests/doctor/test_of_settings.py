"""All of the settings at once: against doubles of the services, and with what is planted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.doctor.told import Told, faults, outcomes

from voicelat.doctor.catalog import CHECKS
from voicelat.doctor.of_settings import examine_settings, judged_request, judged_rollover
from voicelat.doctor.services import services
from voicelat.doubles.google import GoogleDouble
from voicelat.doubles.openai import OpenAiDouble
from voicelat.providers.google_stt_lap import GoogleSttConfig
from voicelat.providers.simulated import profile
from voicelat.settings import load

pytest.importorskip("openai")
pytest.importorskip("google.cloud.speech")

MEASURED = {"log-handler", "thread-pool", "turns-file", "cold-imports", "dns", "round-trip"}
"""On a machine that others use, too: their own tests plant what they measure."""
OF_SETTINGS = {check.name for check in CHECKS.values() if "settings" in check.subjects}


@pytest.fixture
async def doubles() -> AsyncIterator[dict[str, str]]:
    """Settings that point to the public doubles."""
    instant = profile("instant")
    async with GoogleDouble(instant).run() as google, OpenAiDouble(instant).run() as openai:
        yield {
            "STT_PROVIDER": "google",
            "LLM_PROVIDER": "openai",
            "TTS_PROVIDER": "google",
            "GOOGLE_SPEECH_ENDPOINT": google.endpoint,
            "GOOGLE_TTS_ENDPOINT": google.endpoint,
            "OPENAI_BASE_URL": openai.url,
            "OPENAI_API_KEY": "double",
        }


async def test_good_settings_are_not_accused_and_every_check_is_told(
    doubles: dict[str, str],
) -> None:
    told = Told()
    await examine_settings(load(doubles, environ={}), told)
    assert set(faults(told)) <= MEASURED
    assert set(outcomes(told)) == OF_SETTINGS
    for check in ("keys", "voices", "interim-results", "stream-age", "wall-clock", "http-clients"):
        assert "ok" in {one.outcome for one in told if one.check == check}, check


async def test_the_defaults_are_not_accused() -> None:
    told = Told()
    await examine_settings(load({}, environ={}), told, frozenset(OF_SETTINGS - MEASURED))
    assert faults(told) == []


async def test_several_planted_faults_are_all_found(doubles: dict[str, str]) -> None:
    planted = {
        **doubles,
        "DEBUG": "1",
        "ASYNC_LOG_QUEUE": "0",
        "TTS_PREWARM": "0",
        "SEND_LEAD_MS": "20",
        "VAD_HANGOVER_MS": "2000",
        "TURNS_FILE": "",
        "PUBLIC_BASE_URL": "http://bot.example",
        "GOOGLE_TTS_VOICE": "Chirp3-HD-Nobody",
        "SPECULATE": "0",
    }
    told = Told()
    wanted = frozenset(OF_SETTINGS - MEASURED | {"turns-file"})
    await examine_settings(load(planted, environ={}), told, wanted)
    assert set(faults(told)) == {
        *("debug-output", "log-queue", "prewarm", "send-lead", "patience", "turns-file"),
        *("public-url", "auth-token", "voices", "late-starts"),
    }


async def test_only_what_is_wanted_is_done() -> None:
    told = Told()
    await examine_settings(load({}, environ={}), told, frozenset({"prewarm", "models"}))
    assert [one.check for one in told] == ["prewarm", "models"]


def test_a_rollover_after_googles_limit_is_found() -> None:
    assert judged_rollover(GoogleSttConfig()).outcome == "ok"
    assert judged_rollover(GoogleSttConfig(roll_by_ms=304_000)).outcome == "fault"


def test_a_request_without_interim_results_is_found() -> None:
    from google.cloud.speech_v1.types import cloud_speech as v1
    from google.cloud.speech_v2.types import cloud_speech as v2

    assert judged_request(v1.StreamingRecognizeRequest.serialize({}), "v1").outcome == "fault"
    assert judged_request(v2.StreamingRecognizeRequest.serialize({}), "v2").outcome == "fault"


@pytest.mark.parametrize("name", ["google", "google:v1", "google:v2"])
async def test_our_own_request_asks_for_partials(name: str) -> None:
    told = Told()
    settings = load({"STT_PROVIDER": name}, environ={})
    await examine_settings(settings, told, frozenset({"interim-results"}))
    assert outcomes(told) == {"interim-results": "ok"}


def test_services_are_where_the_settings_say() -> None:
    settings = load(
        {
            "STT_PROVIDER": "google:v2",
            "GOOGLE_SPEECH_LOCATION": "europe-west4",
            "TTS_PROVIDER": "google",
            "LLM_PROVIDER": "openai",
            "FALLBACK_PROVIDER": "openai",
        },
        environ={},
    )
    assert {one.address for one in services(settings)} == {
        "api.openai.com:443",
        "europe-west4-speech.googleapis.com:443",
        "texttospeech.googleapis.com:443",
    }
