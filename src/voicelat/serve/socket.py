"""A Starlette WebSocket as a `Transport`."""

from __future__ import annotations

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from voicelat.errors import ConnectError

__all__ = ["AsgiTransport"]


class AsgiTransport:
    """One accepted WebSocket; see `voicelat.engine.transport.Transport`."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self.close_code: int | None = None
        """Of RFC 6455, whoever closed; None while the socket is open."""

    async def receive(self) -> str | bytes | None:
        """See `Transport`."""
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            self.close_code = message.get("code")
            return None
        text: str | bytes | None = message.get("text")
        return text if text is not None else message.get("bytes", b"")

    async def send(self, text: str) -> None:
        """See `Transport`."""
        try:
            await self._socket.send_text(text)
        except (WebSocketDisconnect, RuntimeError):
            # Starlette raises RuntimeError for a send after the close it has already seen. Why
            # is not ours to repeat: this becomes the label of a metric.
            raise ConnectError("the media socket is closed") from None

    async def close(self) -> None:
        """See `Transport`."""
        states = (self._socket.client_state, self._socket.application_state)
        if WebSocketState.DISCONNECTED in states:
            return
        try:
            await self._socket.close()
        except (WebSocketDisconnect, RuntimeError):
            return  # closed from the other side in between
