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
from voicelat.engine.config import EngineConfig
from voicelat.engine.deadlines import Watch
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
    filler: bool = False
    """No content: an opener, or a stock phrase."""


class ReplyTask:
    """Makes the reply (``turn``, ``attempt``): the model's to ``prompt``, or a stock ``phrase``.

    Progress is posted as events at once; the parts wait in `take` until the gate is open.
    ``wake`` is called when a part was added. ``config`` has the deadlines; None takes the
    defaults. A provider that keeps none of them fails the reply then and there, whether or not
    it can be cancelled; if the caller has heard the beginning, the apology is said behind it.
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
        config: EngineConfig | None = None,
    ) -> None:
        self.turn = turn
        self.attempt = attempt
        self.filler = isinstance(source, str)
        self.open = False
        """The gate: whether parts may be taken."""
        self.announced: set[bool] = set()
        """Whether a frame that will announce the first audible filler, or content, is queued."""
        self.over = False
        """Whether nothing more will come of it: its last part was taken, or it failed unheard."""
        self._stack = stack
        self._source = source
        self._post = post
        self._wake = wake
        self._parts: deque[Part] = deque()
        self._said: list[str] = []
        self._audible = False
        self._opened: bool | None = None
        """Whether it began with the opener. None: it has not begun."""
        self._settled = False
        """Whether its last part is decided: whoever still works on it works for nobody."""
        self._config = config or EngineConfig()
        self._model, self._voice, self._whole = (Watch(self._give_up) for _ in range(3))
        self._intake = AudioIntake(stack.tts.name)
        self._task = asyncio.create_task(self._make(), name=f"reply {turn}.{attempt}")
        self._task.add_done_callback(self._ended)

    def take(self) -> Part | None:
        """The next part, None while the gate is shut or nothing is ready."""
        if self.open and self._opened is None:
            self._opened = self._open_with_phrase()
        return self._parts.popleft() if self.open and self._parts else None

    def cancel(self) -> asyncio.Task[None]:
        """Drop the reply. Returns the task, so that its end can be awaited."""
        self.open = False
        self._parts.clear()
        self._let_go()
        self._task.cancel()
        return self._task

    def _open_with_phrase(self) -> bool:
        """Say the opener, if it is in hand and the reply is not."""
        phrase = self._config.opener
        if not phrase or self.filler or self._settled or self._audible:
            return False
        audio = self._stack.phrases.lookup(phrase)
        start = None if audio is None else first_audible(audio)
        if audio is None or start is None:
            return False
        if not self._said:
            self._post(on.SpeechRequested(self.turn, self.attempt))
        self._said.insert(0, phrase)
        self._post(on.SpeechReady(self.turn, self.attempt, cached=True))
        sound = audio[max(0, start - _LEAD_IN_BYTES) :]
        self._parts.extendleft((Part(clause=phrase), Part(audio=sound, filler=True)))
        return True

    async def _make(self) -> None:
        limit_ms = self._config.whole_reply_ms
        self._whole.expect(limit_ms, f"the reply was not complete after {limit_ms} ms")
        if isinstance(self._source, str):
            self._post(on.ReplyTextStarted(self.turn, self.attempt))
            await self._say(self._source)
            return
        clauses: asyncio.Queue[str | None] = asyncio.Queue()
        writer = asyncio.create_task(self._write(self._source, clauses))
        try:
            while (clause := await clauses.get()) is not None and not self._settled:
                await self._say(clause)
            if writer.done():
                writer.result()
            self._settle(None)  # a model may take its time to close
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def _write(self, prompt: Prompt, clauses: asyncio.Queue[str | None]) -> None:
        """Read the model and cut its text into clauses, None behind the last."""
        splitter = ClauseSplitter(prompt.max_words, self._config.first_clause_words)
        started = False
        whole: list[str] = []
        hand_over = clauses.put_nowait if self._config.by_clause else whole.append
        first_ms, stall_ms = self._config.llm_first_token_ms, self._config.llm_stall_ms
        name = self._stack.llm.name
        self._model.expect(first_ms, f"{name}: no text in {first_ms} ms")
        try:
            async with aclosing(self._stack.llm.reply(prompt)) as pieces:
                async for piece in pieces:
                    await asyncio.sleep(0)  # a model may never wait: the calls must not
                    text = text_of(piece)
                    if self._settled:
                        return
                    if text:
                        self._model.expect(stall_ms, f"{name}: no more text in {stall_ms} ms")
                    if text and not started:
                        self._post(on.ReplyTextStarted(self.turn, self.attempt))
                        started = True
                    for clause in splitter.push(text):
                        hand_over(clause)
                    if splitter.full:
                        self._model.stop()
                        _give_whole(whole, clauses)
                        clauses.put_nowait(None)
                        return
            for clause in splitter.flush():
                hand_over(clause)
            _give_whole(whole, clauses)
        finally:
            self._model.stop()
            clauses.put_nowait(None)

    async def _say(self, clause: str) -> None:
        if not self._said:
            self._post(on.SpeechRequested(self.turn, self.attempt))
        self._said.append(clause)
        first_ms, stall_ms = self._config.tts_first_byte_ms, self._config.tts_stall_ms
        name = self._stack.tts.name
        self._voice.expect(first_ms, f"{name}: no audio in {first_ms} ms")
        async with aclosing(self._stack.speak(clause)) as chunks:
            async for given, cached in chunks:
                if self._settled:
                    return
                if audio := self._intake.take(given):
                    self._voice.expect(stall_ms, f"{name}: no more audio in {stall_ms} ms")
                self._add_audio(audio, cached=cached)
                await asyncio.sleep(0)  # as above
        self._voice.stop()
        self._add(Part(clause=clause))

    def _add_audio(self, audio: bytes, *, cached: bool) -> None:
        if not self._audible:
            start = first_audible(audio)
            if start is None:
                return
            self._audible = True
            audio = audio[max(0, start - _LEAD_IN_BYTES) :]
            self._post(on.SpeechReady(self.turn, self.attempt, cached))
        self._add(Part(audio=audio, filler=self.filler))

    def _add(self, *parts: Part) -> None:
        if not self._settled:
            self._parts += parts
            self._wake()

    # -- the end ------------------------------------------------------------------------------

    def _give_up(self, why: str) -> None:
        """Something is late. It may ignore its cancellation too: nothing waits for that."""
        self._settle(why)
        self._task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        self._settle(None if error is None else str(error) or repr(error))

    def _settle(self, failure: str | None) -> None:
        """The reply is complete, or (``failure``) it will never be."""
        if self._settled:
            return
        if failure is None:
            self._add(Part(done=True, clause=" ".join(self._said)))
        elif self._audible or self._opened:
            self._add(*self._apology(), Part(failure=failure))
        else:
            self.over = True
            self._post(on.ReplyFailed(self.turn, self.attempt, failure))
        self._let_go()

    def _apology(self) -> list[Part]:
        """Words for a reply that breaks off, if they are in hand: what failed may be the voice."""
        phrase = self._config.apology_phrase
        audio = None if self.filler else self._stack.phrases.lookup(phrase)
        return [Part(audio), Part(clause=phrase)] if audio else []

    def _let_go(self) -> None:
        self._settled = True
        for watch in (self._model, self._voice, self._whole):
            watch.stop()
        self._task.remove_done_callback(self._ended)


def _give_whole(held: list[str], clauses: asyncio.Queue[str | None]) -> None:
    """The clauses that were held back, as one."""
    if held:
        clauses.put_nowait(" ".join(held))
