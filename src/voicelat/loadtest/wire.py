"""What the lines (asyncio, here) and the driver (Locust on gevent, there) say to each other.

JSON lines over a socket pair. The driver decides when a call is placed; the lines hold it, because
an audio clock of 20 ms must not share an event loop with a web page and statistics.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

__all__ = [
    "Collect",
    "Drive",
    "Ended",
    "Finish",
    "Message",
    "Over",
    "Place",
    "Plan",
    "Split",
    "Turn",
    "encode",
]


class Drive(msgspec.Struct, frozen=True, tag="drive", kw_only=True):
    """To the driver, first: what to drive."""

    callers: int = 1
    duration_s: float | None = None
    ramp_s: float = 1.0
    arrivals_per_s: float | None = None
    web: tuple[str, int] | None = None
    workers: int = 0
    """Above 0: be the master of so many."""
    address: tuple[str, int] | None = None
    """Of the master: to listen on, or (``workers`` is 0) to work for. None: work alone."""
    plan: bytes | None = None
    """For the workers."""


class Place(msgspec.Struct, frozen=True, tag="place"):
    """To the lines: place this call now."""

    number: int


class Turn(msgspec.Struct, frozen=True, tag="turn"):
    """To the driver: a question is closed. ``ms``: None without an answer."""

    ms: float | None


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """To the driver: a call is over, or could not be placed (``failed`` says why)."""

    number: int
    duration_ms: int = 0
    failed: str | None = None
    rows: bytes | None = None
    """For the master: what it was like. None where there is no master."""


class Plan(msgspec.Struct, frozen=True, tag="plan"):
    """To the lines of a worker: the master's calls."""

    plan: bytes


class Collect(msgspec.Struct, frozen=True, tag="collect"):
    """To the lines of the master: a worker's call."""

    rows: bytes


class Finish(msgspec.Struct, frozen=True, tag="finish"):
    """To the lines: the time is over, hang up. To the driver: somebody wants it to be."""


class Over(msgspec.Struct, frozen=True, tag="over", kw_only=True):
    """To the lines, last: nothing more will come."""

    not_placed: int = 0
    workers_lost: int = 0
    says: str | None = None
    """Why, when it is not because all is done."""


Message = Drive | Place | Turn | Ended | Plan | Collect | Finish | Over

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Message)


def encode(message: Message) -> bytes:
    """One line."""
    return _ENCODER.encode(message) + b"\n"


class Split:
    """Puts messages together from what a socket gives."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that are whole now."""
        self._rest += data
        *lines, rest = self._rest.split(b"\n")
        self._rest = bytearray(rest)
        for line in lines:
            yield _DECODER.decode(line)
