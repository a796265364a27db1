"""What passes between a worker and its engine: one byte of kind, four of length, the body.

The worker's end blocks: under a monkey-patched server, blocking sockets are green ones.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import Enum
from socket import socket
from typing import Final

__all__ = ["HEADER", "Kind", "frame", "frames_from"]

HEADER: Final = struct.Struct(">cI")

_READ: Final = 65_536


class Kind(Enum):
    """What a frame is."""

    TEXT = b"T"
    """A message of the media socket, either way."""
    BYTES = b"B"
    """A binary one. Twilio sends none; whoever does is told so by the engine."""
    ENDED = b"E"
    """The engine's last word on a call, or on a question: why it ended, or the answer."""
    CALL = b"C"
    """The first on a connection: it is a call."""
    METRICS = b"M"
    """The first on a connection: it only asks what a scrape by Prometheus sees."""
    HELLO = b"H"
    """The worker's first word to its engine: settings, as JSON."""
    READY = b"R"
    """The engine takes calls."""
    FAILED = b"F"
    """It never will with these settings: why."""
    TURN = b"J"
    """A closed turn, as a line of turns.jsonl."""


def frame(kind: Kind, body: str | bytes = b"") -> bytes:
    """One frame, ready to send. Text that is no Unicode arrives with question marks in it."""
    if isinstance(body, str):
        body = body.encode("utf-8", "replace")
    return HEADER.pack(kind.value, len(body)) + body


def frames_from(sock: socket) -> Iterator[tuple[Kind, bytes]]:
    """Frames as they come, until the other end has closed, or broken off."""
    buffer = bytearray()
    while True:
        while len(buffer) >= HEADER.size:
            kind, length = HEADER.unpack_from(buffer)
            end = HEADER.size + length
            if len(buffer) < end:
                break
            body = bytes(buffer[HEADER.size : end])
            del buffer[:end]
            yield Kind(kind), body
        try:
            more = sock.recv(_READ)
        except OSError:
            return
        if not more:
            return
        buffer += more
