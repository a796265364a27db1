"""OpenAI's providers in the contract suite, at servers of ours that speak its wire format."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Final

from tests.providers.chat_server import ChatServer
from tests.providers.contract.bench import PATIENCE_S, Bench, Case, Trouble
from tests.providers.contract.cable import Cable

from voicelat.providers.openai_llm import OpenAiLlm
from voicelat.providers.protocols import LanguageModel


class _ChatFarSide(ChatServer):
    """A `FarSide`."""

    def __init__(self) -> None:
        super().__init__()
        self.cable = Cable()
        self.requests = 0
        self._well = list(self.pieces)
        self._late = False
        self._changed = asyncio.Event()

    def tell(self, trouble: Trouble) -> None:
        self.status = {
            Trouble.REFUSE_KEY: "401 Unauthorized",
            Trouble.BUSY: "429 Too Many Requests",
            Trouble.REJECT: "400 Bad Request",
        }.get(trouble, "200 OK")
        self.stall = {Trouble.HOLD: 2, Trouble.LATE: 0, Trouble.SILENT: 0}.get(trouble)
        self.die = 2 if trouble is Trouble.DIE else None
        self._late = trouble is Trouble.LATE
        self.pieces = list(self._well)
        if trouble is Trouble.GARBAGE:
            self.pieces.insert(1, "data: {not json\n\n")
        self._changed.set()

    async def busy(self) -> None:
        while not self.requests:
            await self._change()

    async def idle(self) -> None:
        while self.requests:
            await self._change()

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        self._count(1)
        try:
            return await super()._stream(reader, writer)
        finally:
            self._count(-1)

    async def _silence(self, reader: asyncio.StreamReader) -> None:
        self._count(1)
        try:
            while self._late:
                await self._change()
            if self.stall is not None:
                await super()._silence(reader)
        finally:
            self._count(-1)

    def _count(self, more: int) -> None:
        self.requests += more
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


@asynccontextmanager
async def _llm() -> AsyncGenerator[Bench[LanguageModel]]:
    far = _ChatFarSide()
    async with far.run(), far.cable.run(far.port) as cable:
        url = f"http://127.0.0.1:{cable.port}/v1"
        yield Bench(OpenAiLlm("test-model", "a-key", url, silence_s=PATIENCE_S), far)


@asynccontextmanager
async def _live_llm() -> AsyncGenerator[Bench[LanguageModel]]:
    model = os.environ.get("OPENAI_MODEL", "gpt-4.1-mini")
    yield Bench(OpenAiLlm(model, os.environ["OPENAI_API_KEY"]))


def _no_package() -> str | None:
    return None if find_spec("openai") else "no openai: pip install 'voicelat[openai]'"


def _no_key() -> str | None:
    return None if os.environ.get("OPENAI_API_KEY") else "no key: set OPENAI_API_KEY"


LLM: Final = [
    Case("openai", _llm, far=True, missing=_no_package),
    Case("openai-live", _live_llm, live=True, missing=lambda: _no_package() or _no_key()),
]
