"""Providers that do not stop when they are told to, and a transcriber that does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from tests.engine.fakes import FOREVER, Step, Voice, Words, tone

from voicelat.providers.protocols import Prompt, Transcript

__all__ = ["Grip", "Scribe", "StubbornScribe", "StubbornVoice", "StubbornWords"]


class Grip:
    """What does not let go before it is released, however often it is cancelled."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.cancels = 0

    async def hold(self) -> None:
        """Wait for the release, and for nothing else."""
        while not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                self.cancels += 1

    async def release(self) -> None:
        """Let everything go that was held."""
        self.released.set()
        for _ in range(20):
            await asyncio.sleep(0)


class StubbornWords(Words):
    """A model that gives ``pieces`` and then holds on; released, it goes on writing."""

    def __init__(self, grip: Grip, *pieces: str) -> None:
        super().__init__()
        self.grip = grip
        self.pieces = pieces

    async def reply(self, prompt: Prompt) -> AsyncGenerator[str, None]:
        self.prompts.append(prompt)
        with self.opened():
            for piece in self.pieces:
                yield piece
            await self.grip.hold()
            while True:
                yield "Never to be said. "
                await asyncio.sleep(0.1)


class StubbornVoice(Voice):
    """A voice that gives ``ms`` of tone and then holds on; released, it goes on speaking, or
    ends the clause (``ends``). ``willing`` is the one text it says like any other voice."""

    def __init__(self, grip: Grip, ms: int = 0, *, ends: bool = False, willing: str = "") -> None:
        super().__init__()
        self.grip = grip
        self.ms = ms
        self.ends = ends
        self.willing = willing

    async def speak(self, text: str, language: str) -> AsyncGenerator[bytes, None]:
        if text == self.willing:
            async for audio in super().speak(text, language):
                yield audio
            return
        self.said.append(text)
        with self.opened():
            if self.ms:
                yield tone(self.ms)
            await self.grip.hold()
            while not self.ends:
                yield tone(100)
                await asyncio.sleep(0.1)


class Scribe:
    """A transcriber that takes ``steps``, one for each request, and then gives ``heard``."""

    name = "scribe"

    def __init__(
        self, heard: Transcript | str = "book a table", *steps: Step | BaseException
    ) -> None:
        self.heard = heard
        self.steps = list(steps)
        self.audio: list[bytes] = []
        """What it was given, one entry a request."""
        self.open = 0

    async def warm(self) -> None:
        pass

    async def transcribe(self, audio: bytes, language: str) -> Transcript:
        self.audio.append(audio)
        self.open += 1
        try:
            if self.steps:
                await self._do(self.steps.pop(0))
        finally:
            self.open -= 1
        if isinstance(self.heard, str):
            return Transcript(self.heard, final=True, confidence=0.9)
        return self.heard

    async def _do(self, step: Step | BaseException) -> None:
        if isinstance(step, BaseException):
            raise step
        if step == FOREVER:
            await asyncio.Event().wait()
        else:
            assert isinstance(step, float)
            await asyncio.sleep(step)

    async def aclose(self) -> None:
        pass


class StubbornScribe(Scribe):
    """One that holds on to every request."""

    def __init__(self, grip: Grip) -> None:
        super().__init__()
        self.grip = grip

    async def transcribe(self, audio: bytes, language: str) -> Transcript:
        self.audio.append(audio)
        await self.grip.hold()
        return Transcript("too late", final=True, confidence=1.0)
