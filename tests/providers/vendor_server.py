"""A WebSocket vendor on loopback for ``examples/websocket_stt.py``, well or badly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

from tests.providers.contract.bench import Trouble
from tests.providers.contract.cable import Cable
from tests.providers.scripted_recogniser import heard_in
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

__all__ = ["VendorServer"]

_REFUSALS: Final = {
    Trouble.REFUSE_KEY: HTTPStatus.UNAUTHORIZED,
    Trouble.BUSY: HTTPStatus.TOO_MANY_REQUESTS,
    Trouble.REJECT: HTTPStatus.BAD_REQUEST,
}


class VendorServer:
    """A `FarSide`."""

    def __init__(self) -> None:
        self.cable = Cable()
        self.trouble = Trouble.NONE
        self.requests = 0
        self._changed = asyncio.Event()

    def tell(self, trouble: Trouble) -> None:
        """Behave like this from now on."""
        self.trouble = trouble
        self._changed.set()

    async def busy(self) -> None:
        """Return once a socket is open."""
        while not self.requests:
            await self._change()

    async def idle(self) -> None:
        """Return once none is."""
        while self.requests:
            await self._change()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[VendorServer]:
        """Serve while the context lasts, on the cable's port."""
        async with serve(self._serve, "127.0.0.1", 0, process_request=self._gate) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            async with self.cable.run(port):
                yield self

    def _gate(self, socket: ServerConnection, request: Request) -> Response | None:
        refusal = _REFUSALS.get(self.trouble)
        return socket.respond(refusal, "no\n") if refusal else None

    async def _serve(self, socket: ServerConnection) -> None:
        self.requests += 1
        self._changed.set()
        try:
            await self._recognise(socket)
        except (ConnectionClosed, ConnectionResetError):
            return
        finally:
            self.requests -= 1
            self._changed.set()

    async def _recognise(self, socket: ServerConnection) -> None:
        audio = bytearray()
        said = 0
        async for message in socket:
            if self.trouble is Trouble.SILENT:
                continue
            asked = isinstance(message, str)
            if isinstance(message, bytes):
                audio += message
            words, _ = heard_in(bytes(audio), over=asked)
            text = " ".join(word.text for word in words)
            if len(words) > said:
                said = len(words)
                if self.trouble is Trouble.GARBAGE:
                    await socket.send("{not json")
                await socket.send(json.dumps({"text": text, "final": False}))
                if self.trouble is Trouble.DIE:
                    socket.transport.abort()
            if asked:
                while self.trouble is Trouble.HOLD:
                    await self._while_held(socket)
                await socket.send(json.dumps({"text": text, "final": True}))
                audio.clear()
                said = 0

    async def _while_held(self, socket: ServerConnection) -> None:
        """Wait for another trouble, or for the end of the socket."""
        changing = asyncio.create_task(self._change())
        gone = asyncio.create_task(socket.wait_closed())
        try:
            await asyncio.wait([changing, gone], return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                raise ConnectionResetError
        finally:
            changing.cancel()
            gone.cancel()
