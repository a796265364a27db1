"""Simulated providers in the contract suite."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from tests.providers.contract.bench import Bench, Case

from voicelat.providers.protocols import LanguageModel, SpeechToText, TextToSpeech
from voicelat.providers.simulated import SimulatedLlm, SimulatedStt, SimulatedTts, profile

_INSTANT: Final = profile("instant")


@asynccontextmanager
async def _stt() -> AsyncGenerator[Bench[SpeechToText]]:
    yield Bench(SimulatedStt(_INSTANT))


@asynccontextmanager
async def _llm() -> AsyncGenerator[Bench[LanguageModel]]:
    yield Bench(SimulatedLlm(_INSTANT))


@asynccontextmanager
async def _tts() -> AsyncGenerator[Bench[TextToSpeech]]:
    yield Bench(SimulatedTts(_INSTANT))


STT: Final = [Case("simulated", _stt)]
LLM: Final = [Case("simulated", _llm)]
TTS: Final = [Case("simulated", _tts)]
