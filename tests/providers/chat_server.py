"""A server on loopback that speaks OpenAI's wire format, well or badly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

__all__ = ["ChatServer", "chunk"]

_HEAD = "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{length}\r\n\r\n"


def chunk(text: str | None = None, *, finish: str | None = None) -> str:
    """One server-sent event of a streamed completion."""
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return f"data: {json.dumps({**body, 'choices': [choice]})}\n\n"


class ChatServer:
    """Say what it answers by its attributes, read what it was asked from the others."""

    def __init__(self) -> None:
        self.pieces: list[str] = [
            chunk("Good "),
            chunk("morning."),
            chunk(finish="stop"),
            "data: [DONE]\n\n",
        ]
        """The events of an answer, as they go on the wire."""
        self.status = "200 OK"
        self.error: dict[str, Any] = {"message": "no\n luck"}
        """The body's ``error`` for any other status."""
        self.stall: int | None = None
        """Before which piece to fall silent for good; 0 is before the head."""
        self.die: int | None = None
        """Before which piece to drop the connection."""
        self.asked: list[tuple[str, dict[str, Any]]] = []
        """(path, body) of each request."""
        self.keys: list[str] = []
        self.connections = 0
        self.gone = asyncio.Event()
        """A connection was closed by the client."""
        self.port = 0

    @property
    def url(self) -> str:
        """What to give as ``base_url``."""
        return f"http://127.0.0.1:{self.port}/v1"

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[ChatServer]:
        """Serve while the context lasts."""
        handlers: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            handlers.add(task)
            try:
                await self._serve(reader, writer)
            except ConnectionError:
                self.gone.set()
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in handlers:
                task.cancel()
            await asyncio.gather(*handlers, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while head := await _head(reader):
            path = head[0].split()[1]
            fields = dict(line.lower().split(": ", 1) for line in head[1:])
            size = int(fields.get("content-length", 0))
            self.asked.append((path, json.loads(await reader.readexactly(size) or b"{}")))
            self.keys.append(fields["authorization"])
            if self.stall == 0:
                await self._silence(reader)
            if self.status != "200 OK" or "models" in path:
                self._plain(writer, path)
            elif not await self._stream(reader, writer):
                return
        self.gone.set()

    def _plain(self, writer: asyncio.StreamWriter, path: str) -> None:
        model = {"id": path.rsplit("/", 1)[-1], "object": "model", "created": 1, "owned_by": "me"}
        body = json.dumps(model if self.status == "200 OK" else {"error": self.error}).encode()
        length = f"Content-Length: {len(body)}"
        head = _HEAD.format(status=self.status, kind="application/json", length=length)
        writer.write(head.encode() + body)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Send the pieces. Returns whether the connection can go on."""
        chunked = "Transfer-Encoding: chunked"
        head = _HEAD.format(status=self.status, kind="text/event-stream", length=chunked)
        writer.write(head.encode())
        for number, piece in enumerate(self.pieces, start=1):
            if number == self.stall:
                await self._silence(reader)
            if number == self.die:
                writer.transport.abort()
                return False
            data = piece.encode("utf-8", "surrogateescape")
            writer.write(b"%x\r\n%b\r\n" % (len(data), data))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    async def _silence(self, reader: asyncio.StreamReader) -> None:
        await reader.read()
        raise ConnectionResetError


async def _head(reader: asyncio.StreamReader) -> list[str]:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return []
    return head.decode().split("\r\n")[:-2]
