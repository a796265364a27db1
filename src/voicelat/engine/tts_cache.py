"""Phrases whose audio is in hand before anybody needs it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from voicelat.errors import ProviderError
from voicelat.providers.protocols import TextToSpeech

__all__ = ["TtsCache"]


class TtsCache:
    """Audio by text, for one voice and language. Filled at start-up, looked up for each clause.

    A phrase the voice cannot say is kept in ``failed`` with the reason, and is not a cache hit.
    """

    def __init__(self, tts: TextToSpeech, language: str) -> None:
        self._tts = tts
        self._language = language
        self._audio: dict[str, bytes] = {}
        self.failed: dict[str, str] = {}
        self.hits = 0
        self.misses = 0

    async def prewarm(self, phrases: Iterable[str]) -> None:
        """Synthesise phrases that are not in hand yet, all at once."""
        wanted = {phrase for phrase in phrases if phrase and _key(phrase) not in self._audio}
        await asyncio.gather(*(self._synthesise(phrase) for phrase in wanted))

    def lookup(self, text: str) -> bytes | None:
        """The whole audio of ``text`` as mu-law, None when it is not in hand."""
        audio = self._audio.get(_key(text))
        if audio is None:
            self.misses += 1
        else:
            self.hits += 1
        return audio

    async def _synthesise(self, phrase: str) -> None:
        try:
            chunks = [chunk async for chunk in self._tts.speak(phrase, self._language)]
        except ProviderError as error:
            self.failed[phrase] = str(error)
            return
        audio = b"".join(chunks)
        if audio:
            self._audio[_key(phrase)] = audio
        else:
            self.failed[phrase] = "the voice gave no audio for it"


def _key(text: str) -> str:
    return " ".join(text.split())
