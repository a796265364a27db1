"""One request to a voice that any number of listeners share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Final

from voicelat.engine.intake import AudioIntake
from voicelat.errors import ProviderError
from voicelat.providers.protocols import TextToSpeech

__all__ = ["Synthesis"]

_LIMIT_S: Final = 15.0
"""A phrase takes a second. A voice that hangs would hang for everybody who joins."""


class Synthesis:
    """``text`` in the making. Begins at once; ``on_end`` is called when nothing more will come.

    It goes on while somebody holds it, and is ``abandoned`` when the last one lets go.
    """

    def __init__(
        self,
        tts: TextToSpeech,
        text: str,
        language: str,
        *,
        on_end: Callable[[Synthesis], None] | None = None,
    ) -> None:
        self.text = text
        self.failure: BaseException | None = None
        """Why it ended before its time. None: it did not, or goes on."""
        self.abandoned = False
        self._on_end = on_end
        self._provider = tts.name
        self._chunks: list[bytes] = []
        self._holders = 0
        self._over = False
        self._news = asyncio.Event()
        self.task = asyncio.create_task(self._run(tts, text, language), name="synthesis")
        self.task.add_done_callback(self._ended)

    @property
    def audio(self) -> bytes:
        """What there is by now, as mu-law."""
        return b"".join(self._chunks)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep it going while the block runs."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders and not self._over:
                self.abandoned = True
                self.task.cancel()

    async def listen(self) -> AsyncGenerator[bytes, None]:
        """Its audio from the beginning, as it comes. Raises what the voice raised."""
        with self.held():
            at = 0
            while True:
                while at < len(self._chunks):
                    at += 1
                    yield self._chunks[at - 1]
                if self._over:
                    break
                await self._news.wait()
        if self.failure is not None:
            raise self.failure

    async def ended(self) -> None:
        """Wait for its end, whatever that is."""
        while not self._over:
            await self._news.wait()

    async def _run(self, tts: TextToSpeech, text: str, language: str) -> None:
        intake = AudioIntake(self._provider)
        try:
            async with asyncio.timeout(_LIMIT_S), aclosing(tts.speak(text, language)) as chunks:
                async for chunk in chunks:
                    self._chunks.append(intake.take(chunk))
                    self._tell()
                    await asyncio.sleep(0)  # a voice may never wait: the calls must not
        except TimeoutError:
            why = f"made no phrase in {_LIMIT_S:g} s"
            raise ProviderError(self._provider, why, "retry") from None

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self.failure = ProviderError(self._provider, "was stopped", "retry")
        else:
            self.failure = task.exception()
        self._over = True
        if self._on_end is not None:
            self._on_end(self)
        self._tell()

    def _tell(self) -> None:
        """Wake who waits: whoever waits next waits for the next."""
        self._news.set()
        self._news = asyncio.Event()
