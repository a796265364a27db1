"""The providers of a server, opened once and shared by its calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

from voicelat.audio.vad import EnergyVad, VoiceDetector
from voicelat.engine.tts_cache import TtsCache
from voicelat.providers.protocols import LanguageModel, SpeechToText, TextToSpeech
from voicelat.providers.turn_model import TurnModel

__all__ = ["Stack"]


class Stack:
    """Ears, responder, voice and voice detector, with the phrases in hand.

    ``detector`` makes one voice detector per call; None takes the energy detector.
    ``turn_model`` is asked about every pause; None asks nobody.
    Use it as ``async with Stack(...) as stack`` or call `warm` and `aclose`.
    """

    def __init__(
        self,
        stt: SpeechToText,
        llm: LanguageModel,
        tts: TextToSpeech,
        *,
        detector: Callable[[], VoiceDetector] | None = None,
        turn_model: TurnModel | None = None,
        language: str = "en-US",
    ) -> None:
        self.stt = stt
        self.llm = llm
        self.tts = tts
        self.detector: Callable[[], VoiceDetector] = detector or EnergyVad
        self.turn_model = turn_model
        self.turn_threads = ThreadPoolExecutor(1, thread_name_prefix="voicelat-turns")
        """Where the turn model works: apart, so that a slow one delays nothing but its hints."""
        self.language = language
        self.phrases = TtsCache(tts, language)

    @property
    def names(self) -> dict[str, str]:
        """Role -> provider name, for the records."""
        names = {"stt": self.stt.name, "llm": self.llm.name, "tts": self.tts.name}
        if self.turn_model is not None:
            names["turn_model"] = self.turn_model.name
        return names

    async def warm(self, phrases: Iterable[str] = ()) -> None:
        """Load models, open connections, put phrases in hand. Before the first call.

        Raises ProviderError when a provider cannot be used at all.
        """
        # The first detector loads what all of them share: not on the event loop.
        loading: list[Awaitable[object]] = [asyncio.to_thread(self.detector)]
        providers = (self.stt.warm(), self.llm.warm(), self.tts.warm())
        if self.turn_model is not None:
            loading.append(asyncio.to_thread(self.turn_model.warm))
        await asyncio.gather(*loading, *providers)
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
        self.turn_threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.gather(self.stt.aclose(), self.llm.aclose(), self.tts.aclose())

    async def __aenter__(self) -> Stack:
        await self.warm()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()
