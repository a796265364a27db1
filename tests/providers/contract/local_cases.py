"""The embedded providers in the contract suite. The voice says what the ears must hear."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from tests.providers.contract.bench import Bench, Case

from voicelat.providers.local import available
from voicelat.providers.protocols import LanguageModel, SpeechToText, TextToSpeech
from voicelat.providers.receptionist import ScriptedReceptionist

_SPOKEN: list[bytes] = []
"""One sentence, synthesized once for all tests."""


@asynccontextmanager
async def _stt() -> AsyncGenerator[Bench[SpeechToText]]:
    from voicelat.providers.local.stt import MoonshineStt

    yield Bench(MoonshineStt(), speech=await speech())


@asynccontextmanager
async def _llm() -> AsyncGenerator[Bench[LanguageModel]]:
    yield Bench(ScriptedReceptionist())


@asynccontextmanager
async def _tts() -> AsyncGenerator[Bench[TextToSpeech]]:
    from voicelat.providers.local.tts import PiperTts

    yield Bench(PiperTts())


async def speech() -> bytes:
    """ "Are you open on Sunday?", as the local voice says it."""
    if not _SPOKEN:
        from voicelat.providers.local.tts import PiperTts

        voice = PiperTts()
        _SPOKEN.append(
            b"".join([chunk async for chunk in voice.speak("Are you open on Sunday?", "en-US")])
        )
        await voice.aclose()
    return _SPOKEN[0]


STT: Final = [Case("local", _stt, missing=available)]
LLM: Final = [Case("local", _llm)]
TTS: Final = [Case("local", _tts, missing=available)]
