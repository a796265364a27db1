"""The providers of a server, opened once and shared by its calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing

from voicelat.audio.vad import EnergyVad, VoiceDetector
from voicelat.engine.tts_cache import TtsCache
from voicelat.providers.protocols import LanguageModel, SpeechToText, TextToSpeech

__all__ = ["Stack"]


class Stack:
    """Ears, responder, voice and voice detector, with the phrases in hand.

    ``detector`` makes one voice detector per call; None takes the energy detector.
    Use it as ``async with Stack(...) as stack`` or call `warm` and `aclose`.
    """

    def __init__(
        self,
        stt: SpeechToText,
        llm: LanguageModel,
        tts: TextToSpeech,
        *,
        detector: Callable[[], VoiceDetector] | None = None,
        language: str = "en-US",
    ) -> None:
        self.stt = stt
        self.llm = llm
        self.tts = tts
        self.detector: Callable[[], VoiceDetector] = detector or EnergyVad
        self.language = language
        self.phrases = TtsCache(tts, language)

    @property
    def names(self) -> dict[str, str]:
        """Role -> provider name, for the records."""
        return {"stt": self.stt.name, "llm": self.llm.name, "tts": self.tts.name}

    async def warm(self, phrases: Iterable[str] = ()) -> None:
        """Load models, open connections, put phrases in hand. Before the first call.

        Raises ProviderError when a provider cannot be used at all.
        """
        # The first detector loads what all of them share: not on the event loop.
        loading = asyncio.to_thread(self.detector)
        await asyncio.gather(loading, self.stt.warm(), self.llm.warm(), self.tts.warm())
        await self.phrases.prewarm(phrases)

    async def speak(self, text: str) -> AsyncGenerator[tuple[bytes, bool], None]:
        """Mu-law chunks of ``text`` and whether they were in hand already."""
        audio = self.phrases.lookup(text)
        if audio is not None:
            yield audio, True
            return
        async with aclosing(self.tts.speak(text, self.language)) as chunks:
            async for chunk in chunks:
                yield chunk, False

    async def aclose(self) -> None:
        """Free everything."""
        await asyncio.gather(self.stt.aclose(), self.llm.aclose(), self.tts.aclose())

    async def __aenter__(self) -> Stack:
        await self.warm()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()
