"""Providers by name, wherever one can be chosen.

``local``, ``openai``, ``google``, ``google:v2`` and ``simulated:PROFILE`` are ours;
``package.module:Class`` is yours, and is called without arguments.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from voicelat.audio.vad import EnergyVad, SharedVoiceDetector, VoiceDetector
from voicelat.errors import UsageError
from voicelat.providers.protocols import (
    LanguageModel,
    SpeechToText,
    TextToSpeech,
    Transcriber,
)
from voicelat.providers.turn_model import TurnModel

__all__ = [
    "ProviderOptions",
    "Role",
    "detector",
    "language_model",
    "serving_detector",
    "speech_to_text",
    "text_to_speech",
    "transcriber",
    "turn_model",
]

Role = Literal["stt", "llm", "tts", "turn", "fallback"]

_IMPORTABLE: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


_METHODS: Final[dict[Role, tuple[str, ...]]] = {
    "stt": ("warm", "open", "aclose"),
    "llm": ("warm", "reply", "aclose"),
    "tts": ("warm", "speak", "aclose"),
    "turn": ("warm", "probability"),
    "fallback": ("warm", "transcribe", "aclose"),
}


_NAMES: Final[dict[Role, str]] = {
    "stt": "local, openai, google, google:v2",
    "llm": "local, openai",
    "tts": "local, openai, google",
    "turn": "none, smart-turn",
    "fallback": "none, openai",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderOptions:
    """What providers may need to know. None: the provider's own default."""

    tts_rate: float = 1.0
    """Times the voice's normal rate."""
    tts_pitch: float = 0.0
    """Semitones, where the voice can change it."""
    openai_api_key: str | None = None
    openai_base_url: str | None = None
    openai_model: str | None = None
    openai_api: Literal["chat", "responses"] = "chat"
    openai_file_stt_model: str | None = None
    openai_stt_model: str | None = None
    openai_tts_model: str | None = None
    openai_tts_voice: str | None = None
    google_credentials: str | None = None
    """A key file. None: Google's default credentials."""
    google_project: str | None = None
    google_location: str = "global"
    """Of speech to text, version 2."""
    google_stt_model: str | None = None
    google_stt_endpoint: str | None = None
    google_tts_voice: str | None = None
    google_tts_endpoint: str | None = None
    google_tts_streaming: bool | None = None
    """None: where the voice streams."""
    instructions: str | None = None
    """The system prompt of a language model."""
    seed: int = 0
    """Of simulated providers."""


_DEFAULTS: Final = ProviderOptions()


def speech_to_text(name: str, options: ProviderOptions = _DEFAULTS) -> SpeechToText:
    """Ears by name. Raises UsageError for a name that is none, MissingExtra for a package."""
    if name == "local":
        from voicelat.providers.local.stt import MoonshineStt

        return MoonshineStt()
    if name == "openai":
        from voicelat.providers.openai_stt import OpenAiStt

        return OpenAiStt(options.openai_stt_model, options.openai_api_key, options.openai_base_url)
    if name in ("google", "google:v1", "google:v2"):
        return _google_stt("v2" if name.endswith("v2") else "v1", options)
    if profile := _simulated(name):
        from voicelat.providers import simulated

        return simulated.SimulatedStt(simulated.profile(profile), options.seed)
    made: SpeechToText = _imported("stt", name)
    return made


def language_model(name: str, options: ProviderOptions = _DEFAULTS) -> LanguageModel:
    """A responder by name. Raises UsageError, MissingExtra."""
    if name == "local":
        from voicelat.providers.receptionist import ScriptedReceptionist

        return ScriptedReceptionist()
    if name == "openai":
        from voicelat.providers.openai_llm import OpenAiLlm

        return OpenAiLlm(
            options.openai_model,
            options.openai_api_key,
            options.openai_base_url,
            options.instructions,
            api=options.openai_api,
        )
    if profile := _simulated(name):
        from voicelat.providers import simulated

        return simulated.SimulatedLlm(simulated.profile(profile), options.seed)
    made: LanguageModel = _imported("llm", name)
    return made


def text_to_speech(name: str, options: ProviderOptions = _DEFAULTS) -> TextToSpeech:
    """A voice by name. Raises UsageError, MissingExtra."""
    if name == "local":
        from voicelat.providers.local.tts import PiperTts

        return PiperTts(options.tts_rate, options.tts_pitch)
    if name == "openai":
        from voicelat.providers.openai_tts import OpenAiTts

        return OpenAiTts(
            options.openai_tts_model,
            options.openai_tts_voice,
            options.openai_api_key,
            options.openai_base_url,
            speed=options.tts_rate,
        )
    if name == "google":
        from voicelat.providers.google_tts import GoogleTts

        return GoogleTts(
            options.google_tts_voice,
            options.tts_rate,
            options.tts_pitch,
            endpoint=options.google_tts_endpoint,
            streaming=options.google_tts_streaming,
            credentials_file=options.google_credentials,
        )
    if profile := _simulated(name):
        from voicelat.providers import simulated

        return simulated.SimulatedTts(simulated.profile(profile), options.seed)
    made: TextToSpeech = _imported("tts", name)
    return made


def detector(name: Literal["silero", "energy"]) -> Callable[[], VoiceDetector]:
    """Makes one voice detector per call. Raises MissingExtra."""
    if name == "energy":
        return EnergyVad
    from voicelat.providers.local.vad import SileroVad

    return SileroVad


def serving_detector(
    name: Literal["silero", "energy"],
) -> Callable[[], VoiceDetector | SharedVoiceDetector]:
    """The same for many calls at once: a model is shared by all of them, off the event loop."""
    if name == "energy":
        return EnergyVad
    from voicelat.providers.local.vad_batch import SileroBatch

    return SileroBatch()


def turn_model(name: str) -> TurnModel | None:
    """An end-of-turn model by name; ``none`` is none. Raises UsageError."""
    if name == "none":
        return None
    if name == "smart-turn":
        from voicelat.providers.smart_turn import SmartTurn

        return SmartTurn()
    made: TurnModel = _imported("turn", name)
    return made


def transcriber(name: str, options: ProviderOptions = _DEFAULTS) -> Transcriber | None:
    """Who listens again to a turn without text, by name; ``none`` is nobody.

    Raises UsageError, MissingExtra.
    """
    if name == "none":
        return None
    if name == "openai":
        from voicelat.providers.openai_file_stt import OpenAiFileStt

        return OpenAiFileStt(
            options.openai_file_stt_model, options.openai_api_key, options.openai_base_url
        )
    if profile := _simulated(name):
        from voicelat.providers import simulated

        return simulated.SimulatedTranscriber(simulated.profile(profile), options.seed)
    made: Transcriber = _imported("fallback", name)
    return made


def _google_stt(api: Literal["v1", "v2"], options: ProviderOptions) -> SpeechToText:
    from voicelat.providers.google_stt import GoogleStt

    return GoogleStt(
        api,
        options.google_stt_model,
        endpoint=options.google_stt_endpoint,
        credentials_file=options.google_credentials,
        project=options.google_project,
        location=options.google_location,
    )


def _simulated(name: str) -> str | None:
    kind, _, profile = name.partition(":")
    return (profile or "google-openai-google") if kind == "simulated" else None


def _imported(role: Role, name: str) -> Any:
    """``package.module:Class``, made without arguments."""
    if not _IMPORTABLE.fullmatch(name):
        raise UsageError(
            f"no {role} provider {name!r}: use {_NAMES[role]}, simulated:PROFILE "
            "or package.module:Class"
        )
    here = f"{role} provider {name!r}"
    module, _, attribute = name.partition(":")
    try:
        made = getattr(importlib.import_module(module), attribute)
        inspect.signature(made).bind()
    except ImportError as error:
        raise UsageError(f"{here}: {error}") from None
    except AttributeError:
        raise UsageError(f"{here}: {module} has no {attribute}") from None
    except (TypeError, ValueError) as error:
        raise UsageError(f"{here} cannot be called without arguments: {error}") from None
    provider = made()
    missing = [method for method in _METHODS[role] if not callable(getattr(provider, method, None))]
    if missing:
        raise UsageError(f"{here} is none: it has no {', '.join(missing)}")
    return provider
