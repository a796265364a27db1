"""Providers that take as long as real ones do, and understand nothing.

A `Profile` has one latency per stage, log-normal from a median and a P95 that somebody
published. The same seed gives the same latencies. Words are made up: as many as the voice was
long, so that everything behind a recogniser can be tried without one.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from voicelat.audio.framing import FRAME_BYTES, FRAME_MS
from voicelat.audio.level import is_audible
from voicelat.audio.mulaw import BYTES_PER_MS, encode
from voicelat.errors import UsageError
from voicelat.providers.protocols import Prompt, Transcript

__all__ = [
    "PROFILES",
    "Latency",
    "Profile",
    "SimulatedLlm",
    "SimulatedStt",
    "SimulatedTranscriber",
    "SimulatedTts",
    "profile",
]

_SENTENCE: Final = "one moment please I would like to book a table for two people tonight at"
_SPOKEN: Final = _SENTENCE.split()
_REPLY: Final = "Certainly, I have noted that for you. Is there anything else I can do?"
_MS_PER_WORD: Final = 400
"""150 words a minute, the middle of what is given for conversation."""


@dataclass(frozen=True, slots=True)
class Latency:
    """A log-normal latency, and where its figures are from."""

    median_ms: float
    p95_ms: float
    source: str

    def sample(self, rng: random.Random) -> float:
        """One latency in seconds."""
        if self.median_ms <= 0:
            return 0.0
        sigma = math.log(self.p95_ms / self.median_ms) / 1.6449
        return rng.lognormvariate(math.log(self.median_ms), sigma) / 1000


_BENCH: Final = "pipecat-ai/stt-benchmark, time to final segment"
_STAND_IN: Final = "fixed: the stand-in services that voice frameworks were compared on"
_NONE: Final = Latency(0, 0, "none, by definition")
_OPENAI_STT: Final = Latency(637, 965, f"OpenAI's transcription: {_BENCH}")


@dataclass(frozen=True, slots=True)
class Profile:
    """The stages of one stack."""

    name: str
    stt_final: Latency
    """End of voice -> final."""
    stt_partial: Latency
    """Audio -> the partial that covers it."""
    stt_partial_every_ms: int
    llm_first_token: Latency
    llm_tokens_per_s: float
    """0: all at once."""
    tts_first_byte: Latency
    tts_speed: float
    """Times real time. 0: all at once."""
    transcribe: Latency = _OPENAI_STT
    """A whole utterance -> its text, by the fallback transcriber."""


_TWILIO: Final = "Twilio's guide to core latency (2025-11), target and limit"
_ASSUMED: Final = "assumed: no published figure; the stand-in of docs/benchmarks.md"

PROFILES: Final = {
    profile.name: profile
    for profile in (
        Profile(
            "google-openai-google",
            stt_final=Latency(878, 1155, f"Google latest_long: {_BENCH}"),
            stt_partial=Latency(150, 250, _ASSUMED),
            stt_partial_every_ms=100,
            llm_first_token=Latency(375, 750, _TWILIO),
            llm_tokens_per_s=60,
            tts_first_byte=Latency(200, 400, "reported for Google streaming synthesis"),
            tts_speed=5,
        ),
        Profile(
            "deepgram-openai-cartesia",
            stt_final=Latency(247, 298, f"Deepgram: {_BENCH}"),
            stt_partial=Latency(150, 250, _ASSUMED),
            stt_partial_every_ms=100,
            llm_first_token=Latency(375, 750, _TWILIO),
            llm_tokens_per_s=60,
            tts_first_byte=Latency(100, 250, _TWILIO),
            tts_speed=5,
        ),
        Profile(
            "stand-in",
            stt_final=Latency(150, 150, _STAND_IN),
            stt_partial=Latency(150, 150, _STAND_IN),
            stt_partial_every_ms=100,
            llm_first_token=Latency(300, 300, _STAND_IN),
            llm_tokens_per_s=60,
            tts_first_byte=Latency(120, 120, _STAND_IN),
            tts_speed=5,
            transcribe=Latency(637, 965, f"OpenAI: {_BENCH}"),
        ),
        Profile(
            "instant",
            stt_final=_NONE,
            stt_partial=_NONE,
            stt_partial_every_ms=100,
            llm_first_token=_NONE,
            llm_tokens_per_s=0,
            tts_first_byte=_NONE,
            tts_speed=0,
            transcribe=_NONE,
        ),
    )
}


def profile(name: str) -> Profile:
    """A profile by name. Raises UsageError that lists the names."""
    try:
        return PROFILES[name]
    except KeyError:
        known = ", ".join(sorted(PROFILES))
        raise UsageError(f"no latency profile {name!r}; there are {known}") from None


class SimulatedStt:
    """Ears that hear one made-up word per 400 ms of voice."""

    def __init__(self, profile: Profile, seed: int = 0) -> None:
        self.name = f"simulated:{profile.name}"
        self._profile = profile
        self._seed = seed
        self._calls = 0

    async def warm(self) -> None:
        """Nothing to load."""

    async def open(self, language: str) -> SimulatedSttStream:
        """See `SpeechToText`. The language does not matter."""
        self._calls += 1
        return SimulatedSttStream(self._profile, random.Random(self._seed * 7919 + self._calls))

    def computing(self) -> bool:
        """See `ComputesHere`. Its latencies are timers."""
        return False

    async def aclose(self) -> None:
        """Nothing to free."""


class SimulatedSttStream:
    """One call's stream: see `SttStream`."""

    def __init__(self, profile: Profile, rng: random.Random) -> None:
        self._profile = profile
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self._out: asyncio.Queue[Transcript | None] = asyncio.Queue()
        self._due: set[asyncio.TimerHandle] = set()
        self._pending_final: asyncio.TimerHandle | None = None
        self._active = False
        self._voiced_ms = 0
        self._reported_ms = 0
        self._closed = False

    def feed(self, audio: bytes) -> None:
        """Count voiced audio; tell a partial now and then."""
        if not self._active:
            return
        self._voiced_ms += len(audio) // BYTES_PER_MS
        if self._voiced_ms - self._reported_ms >= self._profile.stt_partial_every_ms:
            self._reported_ms = self._voiced_ms
            self._tell(Transcript(self._words(), final=False), self._profile.stt_partial)

    def voice(self, active: bool) -> None:
        """Voice: go on. Silence: the final is on its way unless voice comes back."""
        self._active = active
        if self._pending_final is not None:
            self._pending_final.cancel()
            self._pending_final = None
        if not active and self._voiced_ms:
            self._tell(Transcript(self._words(), final=False), self._profile.stt_partial)
            delay = self._profile.stt_final.sample(self._rng)
            self._pending_final = self._loop.call_later(delay, self._finish)

    def finalize(self) -> None:
        """Simulated ears cannot be hurried: the final comes when it comes."""

    def close_segment(self) -> None:
        """The final for what was heard so far comes now, if anything was; then nothing more."""
        if self._voiced_ms:
            if self._pending_final is not None:
                self._pending_final.cancel()
            self._finish()
        self._out.put_nowait(None)

    def _finish(self) -> None:
        self._pending_final = None
        for handle in self._due:
            handle.cancel()
        self._due.clear()
        self._out.put_nowait(Transcript(self._words(), final=True, confidence=0.9))
        self._voiced_ms = self._reported_ms = 0

    def _tell(self, transcript: Transcript, latency: Latency) -> None:
        delay = latency.sample(self._rng)
        if delay == 0:
            self._out.put_nowait(transcript)
            return

        def tell() -> None:
            self._due.discard(handle)
            self._out.put_nowait(transcript)

        handle = self._loop.call_later(delay, tell)
        self._due.add(handle)

    def _words(self) -> str:
        return _words(self._voiced_ms)

    def __aiter__(self) -> AsyncIterator[Transcript]:
        return self._transcripts()

    async def _transcripts(self) -> AsyncIterator[Transcript]:
        while not self._closed and (transcript := await self._out.get()) is not None:
            yield transcript

    async def aclose(self) -> None:
        """See `SttStream`."""
        self._closed = True
        handles = [*self._due, *([self._pending_final] if self._pending_final else [])]
        for handle in handles:
            handle.cancel()
        self._out.put_nowait(None)


class SimulatedTranscriber:
    """A fallback that hears one made-up word per 400 ms of audible sound."""

    def __init__(self, profile: Profile, seed: int = 0) -> None:
        self.name = f"simulated:{profile.name}"
        self._profile = profile
        self._rng = random.Random(seed)

    async def warm(self) -> None:
        """Nothing to load."""

    async def transcribe(self, audio: bytes, language: str) -> Transcript:
        """See `Transcriber`. The language does not matter; silence has no words."""
        await asyncio.sleep(self._profile.transcribe.sample(self._rng))
        frames = (audio[at : at + FRAME_BYTES] for at in range(0, len(audio), FRAME_BYTES))
        voiced_ms = FRAME_MS * sum(map(is_audible, frames))
        return Transcript(_words(voiced_ms) if voiced_ms else "", final=True, confidence=0.9)

    async def aclose(self) -> None:
        """Nothing to free."""


class SimulatedLlm:
    """A responder that always says the same, at a model's pace."""

    def __init__(self, profile: Profile, seed: int = 0) -> None:
        self.name = f"simulated:{profile.name}"
        self._profile = profile
        self._rng = random.Random(seed)

    async def warm(self) -> None:
        """Nothing to load."""

    async def reply(self, prompt: Prompt) -> AsyncGenerator[str, None]:
        """See `LanguageModel`."""
        await asyncio.sleep(self._profile.llm_first_token.sample(self._rng))
        pace = self._profile.llm_tokens_per_s
        for word in _REPLY.split():
            yield f"{word} "
            if pace:
                await asyncio.sleep(1 / pace)

    async def aclose(self) -> None:
        """Nothing to free."""


class SimulatedTts:
    """A voice of soft noise in the rhythm of words."""

    def __init__(self, profile: Profile, seed: int = 0) -> None:
        self.name = f"simulated:{profile.name}"
        self._profile = profile
        self._rng = random.Random(seed)
        self._word = _murmur(seed)

    async def warm(self) -> None:
        """Nothing to load."""

    async def speak(self, text: str, language: str) -> AsyncGenerator[bytes, None]:
        """See `TextToSpeech`. One word, one murmur of 400 ms."""
        words = text.split()
        if not words:
            return
        await asyncio.sleep(self._profile.tts_first_byte.sample(self._rng))
        speed = self._profile.tts_speed
        for _ in words:
            yield self._word
            if speed:
                await asyncio.sleep(_MS_PER_WORD / 1000 / speed)

    async def aclose(self) -> None:
        """Nothing to free."""


def _words(voiced_ms: int) -> str:
    count = max(1, voiced_ms // _MS_PER_WORD)
    return " ".join(_SPOKEN[n % len(_SPOKEN)] for n in range(count))


def _murmur(seed: int) -> bytes:
    """One word's worth of audible mu-law: noise under a hump, silence behind it."""
    length = _MS_PER_WORD * BYTES_PER_MS
    noise = np.random.default_rng(seed).normal(0.0, 3000.0, length)
    hump = np.zeros(length)
    voiced = length * 4 // 5
    hump[:voiced] = 0.3 + 0.7 * np.sin(np.linspace(0.0, math.pi, voiced))
    return encode((noise * hump).clip(-32768, 32767).astype(np.int16))
