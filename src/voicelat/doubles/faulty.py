"""A TCP proxy on loopback that commits one fault when it is told to.

It stands before a service (or before our own media socket) and passes bytes on until then, so what
breaks is a real connection of a real protocol.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, Literal, get_args

__all__ = ["FAULTS", "Fault", "FaultyLine"]

Fault = Literal["refused", "slow", "stall", "reset", "garbage", "half-close"]
"""refused: connections that are there are cut, and no new one is taken. slow: what the service
says comes `HOLD_S` late. stall: nothing passes any more. reset: connections are reset, new ones are
taken. garbage: random bytes come in the middle of what the service says. half-close: the service
says no more and says so, and still listens."""

FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)

HOLD_S: Final = 1.5
_GARBAGE: Final = 600


class FaultyLine:
    """The proxy to ``host``:``port``. `commit` a fault, `mend` it."""

    def __init__(
        self, host: str, port: int, *, toward: Literal["client", "service"] = "client"
    ) -> None:
        self.port = 0
        """Where it listens on loopback while it runs."""
        self.taken = 0
        """Connections taken so far."""
        self._upstream = host, port
        self._toward = toward
        """Whose incoming bytes the fault is in."""
        self._fault: Fault | None = None
        self._mended = asyncio.Event()
        self._mended.set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._services: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._rng = random.Random(1)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[FaultyLine]:
        """Listen while the context lasts."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def commit(self, fault: Fault) -> None:
        """From now on."""
        self._fault = fault
        if fault in ("slow", "stall"):
            self._mended.clear()
        elif fault in ("refused", "reset"):
            for writer in (*self._clients, *self._services):
                _reset(writer)
        else:
            for writer in list(self._clients if self._toward == "client" else self._services):
                with suppress(OSError, RuntimeError):
                    if fault == "garbage":
                        writer.write(self._rng.randbytes(_GARBAGE))
                    else:
                        writer.write_eof()

    def mend(self) -> None:
        """No more."""
        self._fault = None
        self._mended.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._carry(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # a broken line is what this is for
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._fault == "refused":
            _reset(writer)
            return
        self.taken += 1
        there, service = await asyncio.open_connection(*self._upstream)
        self._clients.add(writer)
        self._services.add(service)
        try:
            await asyncio.gather(
                self._pass(reader, service, faulty=self._toward == "service"),
                self._pass(there, writer, faulty=self._toward == "client"),
            )
        finally:
            self._clients.discard(writer)
            self._services.discard(service)
            service.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, faulty: bool
    ) -> None:
        while data := await reader.read(65_536):
            if faulty and self._fault == "slow":
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._mended.wait(), HOLD_S)
            elif self._fault == "stall":
                await self._mended.wait()
            with suppress(RuntimeError):  # we said that this side is over
                writer.write(data)
            await writer.drain()
        with suppress(OSError, RuntimeError):
            writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    """As a machine that went: RST, not FIN."""
    line = writer.get_extra_info("socket")
    with suppress(OSError):
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
