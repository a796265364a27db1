"""One reply in the making: text becomes clauses, clauses become audio, audio waits for the gate."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from typing import NamedTuple

from voicelat.audio.level import first_audible
from voicelat.audio.mulaw import BYTES_PER_MS
from voicelat.engine.clauses import ClauseSplitter
from voicelat.engine.intake import AudioIntake, text_of
from voicelat.engine.stack import Stack
from voicelat.providers.protocols import Prompt
from voicelat.turn import events as on

__all__ = ["Part", "ReplyTask"]

_LEAD_IN_BYTES = 10 * BYTES_PER_MS
"""Silence kept before the first sound, so that its onset is not cut."""


class Part(NamedTuple):
    """A piece of a reply on its way to the playout: audio, then the clause it completed."""

    audio: bytes = b""
    clause: str = ""
    done: bool = False
    failure: str | None = None


class ReplyTask:
    """Makes the reply (``turn``, ``attempt``): the model's to ``prompt``, or a stock ``phrase``.

    Progress is posted as events at once; the parts wait in `take` until the gate is open.
    ``wake`` is called when a part was added.
    """

    def __init__(
        self,
        stack: Stack,
        turn: int,
        attempt: int,
        source: Prompt | str,
        *,
        post: Callable[[on.Event], None],
        wake: Callable[[], None],
    ) -> None:
        self.turn = turn
        self.attempt = attempt
        self.filler = isinstance(source, str)
        self.open = False
        """The gate: whether parts may be taken."""
        self.announced = False
        """Whether a frame that will announce the first audible audio is queued."""
        self.over = False
        """Whether nothing more will come of it: its last part was taken, or it failed unheard."""
        self._stack = stack
        self._source = source
        self._post = post
        self._wake = wake
        self._parts: deque[Part] = deque()
        self._said: list[str] = []
        self._audible = False
        self._intake = AudioIntake(stack.tts.name)
        self._task = asyncio.create_task(self._make(), name=f"reply {turn}.{attempt}")
        self._task.add_done_callback(self._ended)

    def take(self) -> Part | None:
        """The next part, None while the gate is shut or nothing is ready."""
        return self._parts.popleft() if self.open and self._parts else None

    def cancel(self) -> asyncio.Task[None]:
        """Drop the reply. Returns the task, so that its end can be awaited."""
        self.open = False
        self._parts.clear()
        self._task.remove_done_callback(self._ended)
        self._task.cancel()
        return self._task

    async def _make(self) -> None:
        if isinstance(self._source, str):
            self._post(on.ReplyTextStarted(self.turn, self.attempt))
            await self._say(self._source)
            return
        clauses: asyncio.Queue[str | None] = asyncio.Queue()
        writer = asyncio.create_task(self._write(self._source, clauses))
        try:
            while (clause := await clauses.get()) is not None:
                await self._say(clause)
            await writer
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def _write(self, prompt: Prompt, clauses: asyncio.Queue[str | None]) -> None:
        """Read the model and cut its text into clauses, None behind the last."""
        splitter = ClauseSplitter(prompt.max_words)
        started = False
        try:
            async with aclosing(self._stack.llm.reply(prompt)) as pieces:
                async for piece in pieces:
                    await asyncio.sleep(0)  # a model may never wait: the calls must not
                    if not started:
                        self._post(on.ReplyTextStarted(self.turn, self.attempt))
                        started = True
                    for clause in splitter.push(text_of(piece)):
                        clauses.put_nowait(clause)
                    if splitter.full:
                        break
            for clause in splitter.flush():
                clauses.put_nowait(clause)
        finally:
            clauses.put_nowait(None)

    async def _say(self, clause: str) -> None:
        if not self._said:
            self._post(on.SpeechRequested(self.turn, self.attempt))
        self._said.append(clause)
        async with aclosing(self._stack.speak(clause)) as chunks:
            async for audio, cached in chunks:
                self._add_audio(self._intake.take(audio), cached=cached)
                await asyncio.sleep(0)  # as above
        self._add(Part(clause=clause))

    def _add_audio(self, audio: bytes, *, cached: bool) -> None:
        if not self._audible:
            start = first_audible(audio)
            if start is None:
                return
            self._audible = True
            audio = audio[max(0, start - _LEAD_IN_BYTES) :]
            self._post(on.SpeechReady(self.turn, self.attempt, cached))
        self._add(Part(audio=audio))

    def _add(self, part: Part) -> None:
        self._parts.append(part)
        self._wake()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._add(Part(done=True, clause=" ".join(self._said)))
            return
        why = str(error) or repr(error)
        if self._audible:
            self._add(Part(failure=why))
        else:
            self.over = True
            self._post(on.ReplyFailed(self.turn, self.attempt, why))
