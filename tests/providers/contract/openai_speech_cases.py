"""OpenAI's ears and voice in the contract suite, at a server of ours that speaks its format."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Final, TypeVar

import numpy as np
from tests.providers.contract.bench import PATIENCE_S, Bench, Case, Trouble
from tests.providers.contract.cable import Cable
from tests.providers.openai_server import OpenAiServer

from voicelat.audio.mulaw import BYTES_PER_MS
from voicelat.providers.openai_stt import OpenAiStt
from voicelat.providers.openai_tts import OpenAiTts
from voicelat.providers.protocols import SpeechToText, TextToSpeech

P = TypeVar("P", SpeechToText, TextToSpeech)

_WORD_MS: Final = 300
_TONE: Final = (np.sin(np.arange(24 * _WORD_MS) / 20) * 8000).astype("<i2").tobytes()


class _FarSide(OpenAiServer):
    """A `FarSide`. Its words are as many as the audio is long, its audio as long as the words."""

    def __init__(self) -> None:
        super().__init__()
        self.cable = Cable()
        self.requests = 0
        self.live.hear = lambda audio: " ".join(["word"] * (len(audio) // (100 * BYTES_PER_MS)))
        self._garbage = False

    def said(self, text: str) -> list[bytes]:
        return [_TONE] * len(text.split())

    def tell(self, trouble: Trouble) -> None:
        self.status = {
            Trouble.REFUSE_KEY: "401 Unauthorized",
            Trouble.BUSY: "429 Too Many Requests",
            Trouble.REJECT: "400 Bad Request",
        }.get(trouble, "200 OK")
        self.stall = {Trouble.HOLD: 2, Trouble.LATE: 1, Trouble.SILENT: 1}.get(trouble)
        self.die = 2 if trouble is Trouble.DIE else None
        self._garbage = trouble is Trouble.GARBAGE
        self.live.hold = trouble is Trouble.HOLD
        self.live.mute = trouble is Trouble.SILENT
        self.live.garbage = "{" if trouble is Trouble.GARBAGE else None
        self.live.die_after = [2] * 100 if trouble is Trouble.DIE else []
        self.changed.set()

    async def busy(self) -> None:
        """Ears are when they have a commit: their socket is open all the time."""
        ears = bool(self.live.sessions)
        await self.until(lambda: bool(self.live.commits) if ears else self.requests > 0)

    async def idle(self) -> None:
        await self.until(lambda: self.requests == 0)

    async def _send(
        self,
        pieces: list[bytes],
        kind: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        self._count(1)
        try:
            if self._garbage:
                writer.write(b"what?\r\n\r\n")
                return False
            return await super()._send(pieces, kind, reader, writer)
        finally:
            self._count(-1)

    async def _open_live(
        self, head: bytes, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._count(1)
        try:
            await super()._open_live(head, path, reader, writer)
        finally:
            self._count(-1)

    async def _silence(self, reader: asyncio.StreamReader) -> None:
        """Until told otherwise, or until the client leaves."""
        leaving = asyncio.ensure_future(reader.read())
        released = asyncio.ensure_future(self.until(lambda: self.stall is None))
        await asyncio.wait({leaving, released}, return_when=asyncio.FIRST_COMPLETED)
        gone = leaving.done()
        leaving.cancel()
        released.cancel()
        if gone:
            raise ConnectionResetError

    def _count(self, more: int) -> None:
        self.requests += more
        self.changed.set()


@asynccontextmanager
async def _bench(make: Callable[[str], P]) -> AsyncGenerator[Bench[P]]:
    far = _FarSide()
    async with far.run(), far.cable.run(far.port) as cable:
        yield Bench(make(f"http://127.0.0.1:{cable.port}/v1"), far)


def _ears(url: str) -> SpeechToText:
    return OpenAiStt("test-model", "a-key", url, final_s=PATIENCE_S)


def _voice(url: str) -> TextToSpeech:
    return OpenAiTts("test-model", None, "a-key", url, silence_s=PATIENCE_S)


@asynccontextmanager
async def _live_stt() -> AsyncGenerator[Bench[SpeechToText]]:
    key = os.environ["OPENAI_API_KEY"]
    voice = OpenAiTts(api_key=key)
    text = "Good morning, are you open today?"
    speech = b"".join([chunk async for chunk in voice.speak(text, "en-US")])
    await voice.aclose()
    yield Bench(OpenAiStt(api_key=key), speech=speech)


@asynccontextmanager
async def _live_tts() -> AsyncGenerator[Bench[TextToSpeech]]:
    yield Bench(OpenAiTts(api_key=os.environ["OPENAI_API_KEY"]))


def _no_package() -> str | None:
    return None if find_spec("openai") else "no openai: pip install 'voicelat[openai]'"


def _no_key() -> str | None:
    return None if os.environ.get("OPENAI_API_KEY") else "no key: set OPENAI_API_KEY"


STT: Final = [
    Case("openai", lambda: _bench(_ears), far=True),
    Case("openai-live", _live_stt, live=True, missing=lambda: _no_package() or _no_key()),
]
TTS: Final = [
    Case("openai", lambda: _bench(_voice), far=True, missing=_no_package),
    Case("openai-live", _live_tts, live=True, missing=lambda: _no_package() or _no_key()),
]
