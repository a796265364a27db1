"""The server's connections, as uvicorn has them, less its patience.

Uvicorn waits for ever for a request that never comes, and for a peer that never reads: such a
peer would hold a line for as long as its TCP lives.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    import h11
    from websockets.frames import Frame

__all__ = ["CUT_OFF", "HttpConnection", "MediaConnection", "impatient"]

LINGER_S: Final = 10.0
"""How long what was sent may wait to be read once a socket has ended."""

CLOSE_S: Final = 2.0
"""How long a peer may take to answer our close; uvicorn's own patience is 10 s, in which silent
sockets would go on being held."""

MAX_UNREAD: Final = 2**20
"""Bytes we hold for a peer: above what the playout leaves behind, it is pongs nobody reads."""
MAX_FRAGMENTS: Final = 1024
"""Empty fragments count for nothing in a message's size, and are kept nevertheless."""

_SILENT_PEER: Final = 1011
_HOARDER: Final = 1008

CUT_OFF: Final = {
    1002: "cut off: broken frames",
    1007: "cut off: text that is not UTF-8",
    _HOARDER: "cut off: makes us keep too much",
    1009: "cut off: message too long",
    _SILENT_PEER: "cut off: no answer to a ping",
}
"""Close codes (RFC 6455) with which a socket ends whose peer broke the rules."""


class HttpConnection(H11Protocol):
    """A connection that is cut when no request comes in time, or only half of one. Make a kind of
    it with `impatient`."""

    request_s = 20.0
    """From the connection, or the last answer on it, to the next answer."""
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._wait_no_more()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """The connection becomes a `MediaConnection`."""
        self._wait_no_more()
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        """A request was answered."""
        super().on_response_complete()
        self._wait_no_more()
        self._wait()

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(self.request_s, self.transport.abort)

    def _wait_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()


def impatient(request_s: float) -> type[HttpConnection]:
    """The class of connections that wait so long: uvicorn wants one."""
    return type("HttpConnection", (HttpConnection,), {"request_s": request_s})


class MediaConnection(WebSocketsSansIOProtocol):
    """A WebSocket that is gone when it ends, whether its peer reads that or not."""

    async def run_asgi(self) -> None:
        """Serve the socket; a peer that does not read cannot hold what is left of it."""
        self.close_timeout = CLOSE_S
        await super().run_asgi()
        self.loop.call_later(LINGER_S, self.transport.abort)

    def keepalive_timeout(self) -> None:
        """The peer did not answer a ping: what it has not read yet it never will."""
        super().keepalive_timeout()
        self._cut(_SILENT_PEER)

    def handle_ping(self) -> None:
        """Answer a ping, but not for ever without being read."""
        super().handle_ping()
        if self.transport.get_write_buffer_size() > MAX_UNREAD:
            self._cut(_HOARDER)

    def handle_cont(self, event: Frame) -> None:
        """The next fragment of a message."""
        super().handle_cont(event)
        if len(self.frames) > MAX_FRAGMENTS:
            self._cut(_HOARDER)

    def _cut(self, code: int) -> None:
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": ""})
        self.transport.abort()
