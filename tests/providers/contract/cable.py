"""A TCP cable between a provider and its far side: counts connections, can be cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

__all__ = ["Cable"]


class Cable:
    """Forwards ``port`` on loopback to ``far_port``, whatever is spoken over it."""

    def __init__(self) -> None:
        self.port = 0
        self.open = 0
        """Connections there are now."""
        self.total = 0
        """Connections there have been."""
        self.plugged = True
        """Whether new connections are taken; others are dropped at once."""
        self._far_port = 0
        self._ends: set[asyncio.WriteTransport] = set()
        self._pumps: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Drop every connection there is, in the middle of whatever it carries."""
        for end in tuple(self._ends):
            end.abort()

    def unplug(self) -> None:
        """Cut, and take no new connection."""
        self.plugged = False
        self.cut()

    @asynccontextmanager
    async def run(self, far_port: int) -> AsyncGenerator[Cable]:
        """Forward while the context lasts."""
        self._far_port = far_port
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.unplug()
            await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _connected(self, near: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pumps.add(task)
        task.add_done_callback(self._pumps.discard)
        if not self.plugged:
            writer.transport.abort()
            return
        self.open += 1
        self.total += 1
        far, far_writer = await asyncio.open_connection("127.0.0.1", self._far_port)
        ends = {writer.transport, far_writer.transport}
        self._ends |= ends
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(near, far_writer))
                both.create_task(_pump(far, writer))
        finally:
            self._ends -= ends
            for end in ends:
                end.abort()
            self.open -= 1


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    with suppress(ConnectionError, OSError, RuntimeError):
        sink.write_eof()
