"""The socket, as the turn loop needs it: texts in, texts out."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from voicelat.errors import ConnectError

if TYPE_CHECKING:
    from websockets.asyncio.connection import Connection

__all__ = ["Transport", "WebsocketsTransport", "hang_up"]

HANG_UP_S: Final = 2.0
"""Enough for a closing handshake around the world; a peer that is gone gives none."""


class Transport(Protocol):
    """Any socket that carries Media Streams text messages."""

    async def receive(self) -> str | bytes | None:
        """The next message, None once the socket is closed, however it was closed."""
        ...

    async def send(self, text: str) -> None:
        """Send one message. Raises ConnectError when the socket is closed."""
        ...

    async def close(self) -> None:
        """Close the socket. Safe to call twice."""
        ...


async def hang_up(transport: Transport) -> None:
    """Close ``transport``, but do not wait for a peer that is gone."""
    with suppress(TimeoutError):
        async with asyncio.timeout(HANG_UP_S):
            await transport.close()


class WebsocketsTransport:
    """A connection of the ``websockets`` package, server or client side."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def receive(self) -> str | bytes | None:
        """See `Transport`."""
        from websockets.exceptions import ConnectionClosed

        try:
            return await self._connection.recv()
        except ConnectionClosed:
            return None

    async def send(self, text: str) -> None:
        """See `Transport`."""
        from websockets.exceptions import ConnectionClosed

        try:
            await self._connection.send(text)
        except ConnectionClosed as error:
            raise ConnectError(f"the media socket is closed: {error}") from None

    async def close(self) -> None:
        """See `Transport`."""
        await self._connection.close()
