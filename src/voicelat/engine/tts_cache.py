"""Phrases whose audio is in hand before anybody needs it.

Calls only ever look into memory. Slower tiers, a folder or Redis, are asked while phrases are
being warmed, and written to in the background: whatever they do, no call waits for them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import aclosing
from typing import Any, Final

from voicelat.engine.cache_tiers import MB, MemoryTier, Tier
from voicelat.engine.phrases import normalised, phrase_key
from voicelat.engine.synthesis import Synthesis
from voicelat.errors import ProviderError
from voicelat.providers.protocols import IdentifiedVoice, TextToSpeech

__all__ = ["TtsCache"]

_AT_ONCE: Final = 4
"""Phrases made at the same time: what services allow, and more than one core needs."""

_CLOSE_S: Final = 1.0
"""How long the end waits for phrases that are being written to the tiers."""


class TtsCache:
    """Audio by text, for one voice and language. Filled at start-up, looked up for each clause.

    ``max_bytes`` bounds what is in memory (8 bytes a millisecond). ``shared`` is where phrases
    are looked for before they are made, and kept for others; None: nowhere. ``variant`` names what
    shapes the sound besides the voice's ``voice_id`` (or name): rate and pitch, if it is silent
    about them. Audio of another voice or variant is never used.

    A phrase the voice cannot say is kept in ``failed`` with the reason, and is not a cache hit.
    """

    def __init__(
        self,
        tts: TextToSpeech,
        language: str,
        *,
        max_bytes: int = 64 * MB,
        shared: Tier | None = None,
        variant: str = "",
    ) -> None:
        self._tts = tts
        self._language = language
        self._identified = tts if isinstance(tts, IdentifiedVoice) else None
        self._variant = variant
        self._shared = shared
        self._wanted: dict[str, str] = {}
        """Normalised -> as written: what is worth keeping."""
        self._owed: dict[str, None] = {}
        """Those of them that never were in hand, and may still come to be."""
        self._making: dict[str, Synthesis] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._writes: set[asyncio.Task[None]] = set()
        self._yielding: asyncio.Task[Any] | None = None
        self._speaking = 0
        self._spoke_s: float | None = None
        self._asked_s: float | None = None
        self._counts: Counter[str] = Counter()
        self.memory = MemoryTier(max_bytes)
        self.failed: dict[str, str] = {}
        self.hits = 0
        self.misses = 0

    @property
    def hit_rate(self) -> float | None:
        """Hits per lookup, None before the first."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else None

    @property
    def missing(self) -> tuple[str, ...]:
        """Wanted phrases that never were in hand, and may still come to be."""
        return tuple(self._wanted[text] for text in self._owed)

    def counts(self) -> dict[str, int]:
        """What became of phrases: ``made``, ``failed``, and what each tier counts."""
        shared = self._shared.counts() if self._shared is not None else {}
        return {**self._counts, **self.memory.counts(), **shared}

    # -- warm-up ------------------------------------------------------------------------------

    def want(self, phrases: Iterable[str]) -> None:
        """Phrases worth keeping: when a call has one made, it is kept."""
        for phrase in phrases:
            if (text := normalised(phrase)) and text not in self._wanted:
                self._wanted[text] = phrase
                self._owed[text] = None

    async def prewarm(self, phrases: Iterable[str]) -> None:
        """Put phrases in hand that are not yet: from the shared tier, or by the voice.

        What cannot be had is in ``failed``; nothing is raised.
        """
        phrases = tuple(phrases)
        self.want(phrases)
        wanted = dict.fromkeys(text for phrase in phrases if (text := normalised(phrase)))
        limit = asyncio.Semaphore(_AT_ONCE)

        async def obtain(text: str) -> None:
            async with limit:
                await self._obtain(text)

        async with asyncio.TaskGroup() as group:
            for text in wanted:
                group.create_task(obtain(text), name="phrase")

    async def warm_up(self, text: str) -> str | None:
        """Have the voice say ``text`` to nobody, so that its connection or model stays ready.

        Returns why it failed, None when it did not; nothing is raised.
        """
        synthesis = self._synthesis(text)
        with synthesis.held():
            await synthesis.ended()
        self._counts["warm-up failed" if synthesis.failure else "warm-up"] += 1
        return _why(synthesis.failure) if synthesis.failure else None

    async def giving_way(self, work: Coroutine[Any, Any, object]) -> bool:
        """Do ``work`` until a call needs the voice. False when it was cut short by one."""
        task = self._keep(asyncio.create_task(work, name="phrases in the background"))
        self._yielding = task
        try:
            await asyncio.wait({task})
        finally:
            self._yielding = None
            task.cancel()
        if task.cancelled():
            self._counts["gave way"] += 1
            return False
        task.result()
        return True

    def quiet_s(self) -> float:
        """Seconds since a call was given speech; 0 while one is, infinite when none ever was."""
        return 0.0 if self._speaking else _since(self._spoke_s)

    def unused_s(self) -> float:
        """Seconds since the voice was last asked for anything, infinite when it never was."""
        return _since(self._asked_s)

    async def _obtain(self, text: str) -> None:
        key = self._key(text)
        if self.memory.look(key) is not None:
            return
        if self._shared is not None and (audio := await self._shared.get(key)) is not None:
            self.memory.keep(key, audio)
            self._in_hand(text)
            return
        # A call may have had it made, or begun to, while the tier was asked.
        if self.memory.look(key) is None:
            synthesis = self._joined(text, key)
            with synthesis.held():
                await synthesis.ended()

    # -- calls --------------------------------------------------------------------------------

    def lookup(self, text: str) -> bytes | None:
        """The whole audio of ``text`` as mu-law, None when it is not in hand."""
        audio = self.memory.look(self._key(text))
        if audio is None:
            self.misses += 1
        else:
            self.hits += 1
        return audio

    async def speak(self, text: str) -> AsyncGenerator[tuple[bytes, bool], None]:
        """Mu-law chunks of ``text`` and whether they were in hand already.

        A phrase that is being made is joined, not made twice. Raises ProviderError.
        """
        self._speaking += 1
        try:
            audio = self.lookup(text)
            if audio is not None:
                yield audio, True
                return
            if self._yielding is not None:
                self._yielding.cancel()
            async with aclosing(self._voiced(text)) as chunks:
                async for chunk in chunks:
                    yield chunk, False
        finally:
            self._speaking -= 1
            self._spoke_s = asyncio.get_running_loop().time()

    def _voiced(self, text: str) -> AsyncGenerator[bytes, None]:
        if (plain := normalised(text)) not in self._wanted:
            self._asked_s = asyncio.get_running_loop().time()
            return self._tts.speak(text, self._language)
        return self._joined(plain, self._key(plain)).listen()

    # -- the making ---------------------------------------------------------------------------

    def _key(self, text: str) -> str:
        voice = self._tts.name if self._identified is None else self._identified.voice_id
        return phrase_key(f"{voice}\n{self._variant}", self._language, text)

    def _joined(self, text: str, key: str) -> Synthesis:
        """The making of a wanted phrase: one for everybody who asks meanwhile."""
        making = self._making.get(key)
        if making is None or making.abandoned:

            def settle(ended: Synthesis) -> None:
                self._settle(text, key, ended)

            making = self._making[key] = self._synthesis(self._wanted[text], settle)
        return making

    def _synthesis(self, text: str, on_end: Callable[[Synthesis], None] | None = None) -> Synthesis:
        self._asked_s = asyncio.get_running_loop().time()
        synthesis = Synthesis(self._tts, text, self._language, on_end=on_end)
        self._keep(synthesis.task)
        return synthesis

    def _settle(self, text: str, key: str, ended: Synthesis) -> None:
        if self._making.get(key) is ended:
            del self._making[key]
        audio, failure = ended.audio, ended.failure
        if ended.abandoned:
            self._counts["abandoned"] += 1
        elif failure is None and audio:
            self._counts["made"] += 1
            self.memory.keep(key, audio)
            self._in_hand(text)
            self._share(key, audio)
        else:
            self._counts["failed"] += 1
            self.failed[ended.text] = _why(failure)
            if not isinstance(failure, ProviderError) or failure.advice != "retry":
                self._owed.pop(text, None)

    def _in_hand(self, text: str) -> None:
        self._owed.pop(text, None)
        self.failed.pop(self._wanted[text], None)

    def _share(self, key: str, audio: bytes) -> None:
        if self._shared is not None:
            task = asyncio.create_task(self._shared.put(key, audio), name="share a phrase")
            self._writes.add(task)
            task.add_done_callback(self._writes.discard)

    def _keep(self, task: asyncio.Task[Any]) -> asyncio.Task[Any]:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        """Stop the voice. What is made already is still written to the shared tier."""
        for task in self._tasks:
            task.cancel()
        if tasks := {*self._tasks, *self._writes}:
            _, late = await asyncio.wait(tasks, timeout=_CLOSE_S)
            self._counts["not shared"] += len(late & self._writes)
            for task in late:
                task.cancel()
        if self._shared is not None:
            await self._shared.aclose()


def _why(failure: BaseException | None) -> str:
    if failure is None:
        return "the voice gave no audio for it"
    return str(failure) or repr(failure)


def _since(at_s: float | None) -> float:
    return float("inf") if at_s is None else asyncio.get_running_loop().time() - at_s
