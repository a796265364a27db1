"""The providers of a server, opened once and shared by its calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from voicelat.audio.vad import DetectorPool, EnergyVad, SharedVoiceDetector, VoiceDetector
from voicelat.engine.prewarm import Prewarm, PrewarmConfig
from voicelat.engine.tts_cache import TtsCache
from voicelat.providers.protocols import LanguageModel, SpeechToText, TextToSpeech, Transcriber
from voicelat.providers.turn_model import TurnModel

__all__ = ["Stack"]


class Stack:
    """Ears, responder, voice and voice detector, with the phrases in hand.

    ``detector`` makes one voice detector per call; None takes the energy detector.
    ``turn_model`` is asked about every pause; None asks nobody. ``transcriber`` hears a turn
    again that brought no text; None: nobody does. ``phrases`` is where phrases of
    ``tts`` are kept; None: in memory. ``prewarm`` says what is made ready besides the phrases
    given to `warm`, and for how long that may take; None: nothing, and as `PrewarmConfig` says.
    Use it as ``async with Stack(...) as stack`` or call `warm` and `aclose`.
    """

    def __init__(
        self,
        stt: SpeechToText,
        llm: LanguageModel,
        tts: TextToSpeech,
        *,
        detector: Callable[[], VoiceDetector | SharedVoiceDetector] | None = None,
        turn_model: TurnModel | None = None,
        transcriber: Transcriber | None = None,
        phrases: TtsCache | None = None,
        prewarm: PrewarmConfig | None = None,
        language: str = "en-US",
    ) -> None:
        self.stt = stt
        self.llm = llm
        self.tts = tts
        self.detector: Callable[[], VoiceDetector | SharedVoiceDetector] = detector or EnergyVad
        self.turn_model = turn_model
        self.transcriber = transcriber
        self.turn_threads = ThreadPoolExecutor(1, thread_name_prefix="voicelat-turns")
        """Where the turn model works: apart, so that a slow one delays nothing but its hints."""
        self.language = language
        self.phrases = phrases if phrases is not None else TtsCache(tts, language)
        self._prewarm = Prewarm(self.phrases, prewarm or PrewarmConfig())

    @property
    def names(self) -> dict[str, str]:
        """Role -> provider name, for the records."""
        names = {"stt": self.stt.name, "llm": self.llm.name, "tts": self.tts.name}
        if self.turn_model is not None:
            names["turn_model"] = self.turn_model.name
        if self.transcriber is not None:
            names["fallback"] = self.transcriber.name
        return names

    @property
    def detector_counts(self) -> Mapping[str, int]:
        """What became of the audio a shared detector was asked about; empty without one."""
        return self.detector.counts if isinstance(self.detector, DetectorPool) else {}

    async def warm(self, phrases: Iterable[str] = ()) -> None:
        """Load models, open connections, put phrases in hand. Before the first call.

        Phrases that take longer than their limit follow between the calls; those that cannot be
        said are in ``phrases.failed``. Raises ProviderError when a provider cannot be used at all.
        """
        # The first detector loads what all of them share: not on the event loop.
        loading: list[Awaitable[object]] = [asyncio.to_thread(self._load_detector)]
        providers = (self.stt.warm(), self.llm.warm(), self.tts.warm())
        if self.turn_model is not None:
            loading.append(asyncio.to_thread(self.turn_model.warm))
        if self.transcriber is not None:
            loading.append(self.transcriber.warm())
        await asyncio.gather(*loading, *providers)
        await self._prewarm.start(phrases)

    def _load_detector(self) -> None:
        first = self.detector()
        if isinstance(first, SharedVoiceDetector):
            first.close()

    def speak(self, text: str) -> AsyncGenerator[tuple[bytes, bool], None]:
        """Mu-law chunks of ``text`` and whether they were in hand already."""
        return self.phrases.speak(text)

    async def aclose(self) -> None:
        """Free everything."""
        if isinstance(self.detector, DetectorPool):
            self.detector.close()
        self.turn_threads.shutdown(wait=False, cancel_futures=True)
        await self._prewarm.aclose()
        await self.phrases.aclose()
        closing = [self.stt.aclose(), self.llm.aclose(), self.tts.aclose()]
        if self.transcriber is not None:
            closing.append(self.transcriber.aclose())
        await asyncio.gather(*closing)

    async def __aenter__(self) -> Stack:
        await self.warm()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()
