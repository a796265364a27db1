"""Providers and a line that do as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final, Literal

import numpy as np

from voicelat.audio.mulaw import BYTES_PER_MS, encode
from voicelat.errors import ConnectError
from voicelat.providers.protocols import Prompt, SttStream, Transcript
from voicelat.twilio.messages import InboundMessage, OutboundMessage
from voicelat.twilio.mirror import decode_outbound, encode_inbound

__all__ = ["FOREVER", "Ears", "EarsStream", "Step", "Voice", "Wire", "Words", "tone"]

FOREVER: Final = "forever"
"""As a step: wait for ever."""

Step = float | Exception | Literal["forever"]
"""A pause in seconds, something to raise, or `FOREVER`."""


def tone(ms: int, amplitude: int = 6000) -> bytes:
    """``ms`` of a voice: 200 Hz, every 4 ms of it audible."""
    samples = np.arange(ms * BYTES_PER_MS)
    wave = amplitude * np.sin(2 * np.pi * 200 * samples / (1000 * BYTES_PER_MS) + 0.5)
    return encode(wave.astype(np.int16))


async def _do(step: Step) -> None:
    if isinstance(step, Exception):
        raise step
    if isinstance(step, float):
        await asyncio.sleep(step)
    else:
        await asyncio.Event().wait()


class _Counted:
    """Counts the generators that are open now."""

    def __init__(self) -> None:
        self.open = 0

    @contextmanager
    def opened(self) -> Iterator[None]:
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    async def warm(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


class Words(_Counted):
    """A language model that follows a script of texts and steps, the same for every prompt.

    A text that is `FOREVER` cannot be said.
    """

    name = "words"

    def __init__(self, *script: str | Step) -> None:
        super().__init__()
        self.script = script
        self.prompts: list[Prompt] = []

    async def reply(self, prompt: Prompt) -> AsyncGenerator[str, None]:
        self.prompts.append(prompt)
        with self.opened():
            for step in self.script:
                if isinstance(step, str) and step != FOREVER:
                    yield step
                else:
                    await _do(step)  # type: ignore[arg-type]


class Voice(_Counted):
    """A voice: 100 ms of tone a word. ``steps`` come before the audio of the texts they name,
    or behind its first word with ``late``."""

    name = "voice"

    def __init__(self, *, late: bool = False, **steps: Step) -> None:
        super().__init__()
        self.late = late
        self.steps = steps
        """First word of a text -> step; "any" -> step for every text."""
        self.said: list[str] = []

    async def speak(self, text: str, language: str) -> AsyncGenerator[bytes, None]:
        self.said.append(text)
        words = text.split()
        step = self.steps.get(words[0].strip(",.!?").lower(), self.steps.get("any"))
        with self.opened():
            for number, _ in enumerate(words):
                if step is not None and number == int(self.late):
                    await _do(step)
                yield tone(100)


class EarsStream:
    """One stream: what it was given, and what it is made to tell."""

    def __init__(self) -> None:
        self.given: list[bytes | bool | None] = []
        """Audio, voice hints and None for each `finalize`, in order."""
        self.closed = False
        self._told: asyncio.Queue[Transcript | Exception | None] = asyncio.Queue()

    def tell(self, event: Transcript | Exception | None) -> None:
        """Give a transcript, raise, or (None) end."""
        self._told.put_nowait(event)

    def feed(self, audio: bytes) -> None:
        self.given.append(audio)

    def voice(self, active: bool) -> None:
        self.given.append(active)

    def finalize(self) -> None:
        self.given.append(None)

    def __aiter__(self) -> AsyncIterator[Transcript]:
        return self._transcripts()

    async def _transcripts(self) -> AsyncIterator[Transcript]:
        while (event := await self._told.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    async def aclose(self) -> None:
        self.closed = True


class Ears:
    """A recogniser. ``opening`` are the steps before each `open` succeeds, one list entry per
    attempt; behind its end they succeed at once."""

    name = "ears"

    def __init__(self, *opening: Step) -> None:
        self._opening = list(opening)
        self.streams: list[EarsStream] = []

    async def warm(self) -> None:
        pass

    async def open(self, language: str) -> SttStream:
        if self._opening:
            await _do(self._opening.pop(0))
        self.streams.append(EarsStream())
        return self.streams[-1]

    async def aclose(self) -> None:
        pass


class Wire:
    """A media socket in memory, seen from Twilio's end."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, OutboundMessage]] = []
        """What the server sent, each with the loop's time in ms. Fails for what Twilio would
        not take."""
        self.closed = False
        self.broken = False
        """Whether sending fails, without anybody having said goodbye."""
        self.stuck = False
        """Whether sending and closing wait for ever."""
        self.delay_s = 0.0
        """How long sending takes."""
        self._inbox: asyncio.Queue[str | bytes | None] = asyncio.Queue()

    def deliver(self, *messages: InboundMessage | str | bytes) -> None:
        """Twilio sends these."""
        for message in messages:
            raw = message if isinstance(message, str | bytes) else encode_inbound(message)
            self._inbox.put_nowait(raw)

    def hang_up(self) -> None:
        """The socket closes."""
        self._inbox.put_nowait(None)

    async def receive(self) -> str | bytes | None:
        return None if self.closed else await self._inbox.get()

    async def send(self, text: str) -> None:
        if self.stuck:
            await asyncio.Event().wait()
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.closed or self.broken:
            raise ConnectError("the wire is cut")
        now_ms = round(asyncio.get_running_loop().time() * 1000)
        self.sent.append((now_ms, decode_outbound(text)))

    async def close(self) -> None:
        if self.stuck:
            await asyncio.Event().wait()
        self.closed = True
        self.hang_up()
