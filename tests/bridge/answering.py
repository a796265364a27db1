"""A blocking WebSocket server with a thread for each call, and a bridge behind it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from queue import SimpleQueue

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from voicelat.bridge import Bridge

__all__ = ["INSTANT", "Wire", "answering"]

INSTANT: Mapping[str, str] = {
    **{f"{role}_PROVIDER": "simulated:instant" for role in ("STT", "LLM", "TTS")},
    "VAD": "energy",
    "SPEAK_GATE_MS": "0",
    "TURNS_FILE": "",
    "TTS_PREWARM": "0",
    "GREETING": "Hello.",
    "AI_MAX_WORDS_FIRST_REPLY": "3",
}


class Wire:
    """A connection of ``websockets.sync`` with the names that Flask's libraries use."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    def receive(self) -> str | bytes | None:
        try:
            return self._connection.recv()
        except ConnectionClosed:
            return None

    def send(self, text: str) -> None:
        self._connection.send(text)

    def close(self) -> None:
        self._connection.close()


@contextmanager
def answering(bridge: Bridge) -> Iterator[tuple[str, SimpleQueue[str]]]:
    """Its URL, and why each call ended."""
    ends: SimpleQueue[str] = SimpleQueue()

    def media(connection: ServerConnection) -> None:
        ends.put(bridge.serve(Wire(connection)))

    with serve(media, "127.0.0.1", 0, compression=None) as server:
        running = threading.Thread(target=server.serve_forever)
        running.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}", ends
        finally:
            bridge.close()
            server.shutdown()
            running.join()
