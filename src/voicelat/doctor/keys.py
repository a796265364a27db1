"""The keys, models and voices the settings name: read here, then asked of the service itself."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from voicelat.doctor.catalog import fault, ok, skipped
from voicelat.doctor.result import CheckResult
from voicelat.doctor.services import uses
from voicelat.errors import ProviderError, VoicelatError
from voicelat.providers import openai_file_stt, openai_llm, openai_stt, openai_tts
from voicelat.providers.google_channel import GoogleChannel, on_loopback
from voicelat.providers.google_tts import family_of
from voicelat.providers.openai_client import OpenAiClient
from voicelat.settings import Settings

__all__ = ["google_credentials", "google_voice", "model_ends", "openai_keys", "voices"]

ENDS: Final = (
    (re.compile(r"tts-1(-hd)?|gpt-4o-mini-tts.*"), dt.date(2027, 1, 6)),
    (re.compile(r"whisper-1|gpt-4o.*-transcribe.*"), dt.date(2027, 2, 26)),
)
"""OpenAI's own models -> the day they are switched off (its deprecations page, 2026-11)."""
_SOON: Final = dt.timedelta(days=90)
_OPENAI_VOICES: Final = frozenset(
    (
        *("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable"),
        *("marin", "nova", "onyx", "sage", "shimmer", "verse"),
    )
)
"""As in openai 3.54."""
_GOOGLE_TTS: Final = "/google.cloud.texttospeech.v1.TextToSpeech"
_ASK_S: Final = 5.0


def openai_models(settings: Settings) -> dict[str, str]:
    """Role -> the model it would use at OpenAI."""
    models = {
        "stt": settings.openai_stt_model or openai_stt.DEFAULT_MODEL,
        "llm": settings.openai_model or openai_llm.DEFAULT_MODEL,
        "tts": settings.openai_tts_model or openai_tts.DEFAULT_MODEL,
        "fallback": settings.openai_file_stt_model or openai_file_stt.DEFAULT_MODEL,
    }
    return {role: models[role] for role in uses(settings, "openai")}


async def openai_keys(settings: Settings) -> list[CheckResult]:
    """The key's form, then what the service says to it, and to each model."""
    models = openai_models(settings)
    if not models:
        return []
    key, hosted = settings.openai_api_key, settings.openai_base_url is None
    if hosted and not key:
        return [fault("keys", "OpenAI asks for a key", "OPENAI_API_KEY is not set")]
    if key and (
        len(key.split()) != 1 or not key.isascii() or (hosted and not key.startswith("sk-"))
    ):
        return [
            fault("keys", "OPENAI_API_KEY is no key", "OpenAI's begin with sk-, without blanks")
        ]
    try:
        client = OpenAiClient("openai", "asking for a model", key, settings.openai_base_url)
    except VoicelatError as error:
        return [fault("keys", str(error), "the client cannot be made")]
    found = [await _asked(client, role, model) for role, model in models.items()]
    await client.aclose()
    return found if any(one.outcome == "fault" for one in found) else found[:1]


async def _asked(client: OpenAiClient, role: str, model: str) -> CheckResult:
    try:
        with client.asking():
            await client.api.models.retrieve(model, timeout=_ASK_S)
    except ProviderError as error:
        said = f"asked for the {role}'s model {model}: {error.why}"
        if error.advice == "fix_key" and "scope" not in error.why:
            return fault("keys", "OpenAI refuses the key", said)
        if "no such model" in error.why:
            return fault("models", f"there is no model {model}", said)
        return skipped("keys", said)
    return ok("keys", "the key is accepted", f"{client.url} knows {model}")


def model_ends(settings: Settings, today: dt.date | None = None) -> Iterator[CheckResult]:
    """Models that are, or will soon be, switched off. Other servers than OpenAI's have their
    own."""
    models = openai_models(settings)
    if not models or settings.openai_base_url is not None:
        yield skipped("models", "no model of OpenAI's own is used")
        return
    today = today or dt.datetime.now(dt.UTC).date()
    good = True
    for role, model in models.items():
        end = next((day for name, day in ENDS if name.fullmatch(model)), None)
        if end is not None and end - today <= _SOON:
            good = False
            when = f"ended {end}" if end <= today else f"ends {end}, in {(end - today).days} days"
            yield fault("models", f"the {role}'s model {model} {when}", f"today is {today}")
    if good:
        yield ok("models", "no model in use ends soon", ", ".join(models.values()))


async def google_credentials(settings: Settings) -> list[CheckResult]:
    """The key file's form, then a token."""
    roles = uses(settings, "google")
    if not roles:
        return []
    endpoints = _endpoints(settings)
    remote = [endpoint for endpoint in endpoints if not on_loopback(endpoint)]
    if not remote:
        return [skipped("keys", f"{endpoints[0]} is on loopback: no key is used")]
    file = settings.google_application_credentials
    if file is not None and (wrong := _no_key_file(file)):
        return [fault("keys", "Google's key file is none", f"{file} {wrong}")]
    channel = GoogleChannel("google", remote[0], file)
    try:
        await channel.open()
    except ProviderError as error:
        if error.advice == "fix_key":
            return [fault("keys", "Google gives no token", error.why)]
        return [skipped("keys", f"Google was not asked: {error.why}")]
    finally:
        await channel.aclose()
    return [ok("keys", "Google gives a token", file or "default credentials")]


def _endpoints(settings: Settings) -> list[str]:
    roles = uses(settings, "google")
    by_role = {
        "stt": settings.google_speech_endpoint or "speech.googleapis.com",
        "tts": settings.google_tts_endpoint or "texttospeech.googleapis.com",
    }
    return [by_role[role] for role in roles if role in by_role]


def _no_key_file(file: str) -> str | None:
    """Why it is none; None when it looks like one."""
    try:
        found = json.loads(Path(file).expanduser().read_bytes())
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except (ValueError, RecursionError):
        return "is not JSON"
    if not isinstance(found, dict) or "type" not in found:
        return "has no type: it is no key file of Google's"
    wanted = ("client_email", "private_key") if found["type"] == "service_account" else ()
    missing = [name for name in wanted if not found.get(name)]
    return f"has no {', '.join(missing)}" if missing else None


async def voices(settings: Settings) -> list[CheckResult]:
    """The voice in use, if it is somebody's."""
    if settings.tts_provider == "openai":
        return [_openai_voice(settings)]
    if settings.tts_provider == "google":
        return [*_family(settings), await google_voice(settings)]
    return [skipped("voices", "the voice is not one of a service we know")]


def _openai_voice(settings: Settings) -> CheckResult:
    voice = settings.openai_tts_voice or openai_tts.DEFAULT_VOICE
    if settings.openai_base_url is not None:
        return skipped("voices", f"{settings.openai_base_url} has voices of its own")
    if voice not in _OPENAI_VOICES:
        known = ", ".join(sorted(_OPENAI_VOICES))
        return fault("voices", f"OpenAI has no voice {voice!r}", f"it has {known}")
    return ok("voices", "OpenAI has this voice", voice)


def _family(settings: Settings) -> Iterator[CheckResult]:
    """A rate or pitch that somebody asked for and the voice does not take."""
    voice = settings.google_tts_voice or "Chirp3-HD-Aoede"
    name, family = family_of(voice)
    streams = settings.google_tts_streaming == "on" or (
        settings.google_tts_streaming == "auto" and family.streams
    )
    asked = {key for key, source in settings.sources.items() if source != "default"}
    if "TTS_PITCH" in asked and settings.tts_pitch and (streams or not family.pitch):
        what = f"{voice} is not spoken at the pitch that is set"
        why = f"{name} voices take no pitch" if not family.pitch else "streaming takes no pitch"
        yield fault("voices", what, f"TTS_PITCH={settings.tts_pitch:g}: {why}")
    if "TTS_RATE" in asked and settings.tts_rate != 1 and family.rates is None:
        what = f"{voice} is not spoken at the rate that is set"
        yield fault("voices", what, f"TTS_RATE={settings.tts_rate:g}: {name} voices take none")


async def google_voice(settings: Settings) -> CheckResult:
    """Asks Google for the voices of the language."""
    try:
        from google.cloud.texttospeech_v1.types import cloud_tts
        from google.protobuf.message import DecodeError
    except ImportError:
        return fault("voices", "Google's voices need: pip install 'voicelat[google]'", "no package")
    voice = settings.google_tts_voice or "Chirp3-HD-Aoede"
    own = re.match(r"[a-z]{2,3}-[A-Z][A-Za-z]+(?=-)", voice)
    language = own[0] if own else settings.speech_language
    wanted = voice if own else f"{language}-{voice}"
    endpoint = settings.google_tts_endpoint or "texttospeech.googleapis.com"
    channel = GoogleChannel("google", endpoint, settings.google_application_credentials)
    request = cloud_tts.ListVoicesRequest(language_code=language)
    try:
        await channel.open()
        answer = await channel.ask(
            f"{_GOOGLE_TTS}/ListVoices", cloud_tts.ListVoicesRequest.serialize(request), _ASK_S
        )
        listed = {one.name for one in cloud_tts.ListVoicesResponse.pb().FromString(answer).voices}
    except ProviderError as error:
        return skipped("voices", f"Google's voices are not known: {error.why}")
    except DecodeError as error:
        return skipped("voices", f"Google's list of voices is garbled: {error}")
    finally:
        await channel.aclose()
    return _listed(wanted, language, listed)


def _listed(wanted: str, language: str, listed: set[str]) -> CheckResult:
    evidence = f"{len(listed)} voices of {language}"
    if not listed:
        return fault("voices", f"Google has no voice in {language}", evidence)
    if wanted not in listed:
        some = ", ".join(sorted(listed)[:6])
        return fault("voices", f"Google has no voice {wanted}", f"{evidence}: {some}, ...")
    return ok("voices", f"Google has the voice {wanted}", evidence)
