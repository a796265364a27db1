"""What of an incoming stream may be believed, as a table of moves and counted drops.

Twilio keeps its own order, so every drop here is a fault of a relay, a test client or an
attacker. None of them may disturb the call: a drop is counted under its reason, and the next
message is read as if it had not been there.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import Final, Literal

from voicelat.errors import PeerError
from voicelat.twilio.codec import decode
from voicelat.twilio.messages import (
    Connected,
    DtmfPressed,
    InboundMessage,
    Mark,
    Media,
    Start,
    Stop,
    Unknown,
)

__all__ = ["MOVES", "DropReason", "Inbox", "StreamState"]

DropReason = Literal[
    "malformed",
    "unknown_event",
    "out_of_place",
    "wrong_stream",
    "out_of_order",
    "other_track",
    "late",
    "empty",
]
"""malformed: not a message. unknown_event: not documented. out_of_place: not legal in this
state (media before start, a second start, anything after stop). wrong_stream: another
streamSid. out_of_order: a sequence number that is not above the last one. other_track: audio of
a track nobody asked for. late: audio older than what was already delivered. empty: media
without audio."""


class StreamState(Enum):
    """Where the stream is."""

    WAITING = "waiting"
    CONNECTED = "connected"
    STREAMING = "streaming"
    STOPPED = "stopped"


_W, _C, _S, _E = StreamState

MOVES: Final[dict[tuple[StreamState, type[InboundMessage]], StreamState]] = {
    (_W, Connected): _C,
    # Twilio always says connected first; test clients often leave it out, and nothing is lost.
    (_W, Start): _S,
    (_W, Stop): _E,
    (_C, Start): _S,
    (_C, Stop): _E,
    (_S, Media): _S,
    (_S, DtmfPressed): _S,
    (_S, Mark): _S,
    (_S, Stop): _E,
}
"""Every legal move. A message without one is dropped and changes nothing."""

_BYTES_PER_MS: Final = 8

_Objection = tuple[DropReason, str]


class Inbox:
    """One socket's incoming messages: put text in, get what may be acted on.

    ``tracks`` are the tracks whose audio is wanted.
    """

    def __init__(self, tracks: frozenset[str] = frozenset({"inbound"})) -> None:
        self.state = StreamState.WAITING
        self.drops: Counter[DropReason] = Counter()
        """How many messages were dropped, by reason."""
        self.last_drop: str | None = None
        """The last drop in one line, for a log; None when there was none."""
        self.gap_ms = 0
        """Audio missing between delivered messages, all wanted tracks together. Twilio throws
        audio away when a socket is read too slowly (error 31930)."""
        self.stream_sid: str | None = None
        """Of the start message; None before it."""
        self._tracks = tracks
        self._sequence = -1
        self._heard: dict[str, tuple[int, int]] = {}
        """Track -> timestamp of its last audio, and the byte position where that ends."""

    def receive(self, text: str | bytes) -> InboundMessage | None:
        """Take one message off the socket. None: dropped and counted. Never raises."""
        try:
            message = decode(text)
        except PeerError as error:
            objection: _Objection | None = ("malformed", str(error))
        else:
            objection = self._objection(message)
        if objection is not None:
            reason, why = objection
            self.drops[reason] += 1
            self.last_drop = f"{reason}: {why}"
            return None
        self._accept(message)
        return message

    def _objection(self, message: InboundMessage) -> _Objection | None:
        if isinstance(message, Unknown):
            return "unknown_event", repr(message.event[:40])
        name = type(message).__name__.lower()
        if (self.state, type(message)) not in MOVES:
            return "out_of_place", f"{name} while {self.state.value}"
        if isinstance(message, Connected):
            return None
        if self.stream_sid is not None and message.stream_sid != self.stream_sid:
            return "wrong_stream", f"{name} of {message.stream_sid[:40]!r}"
        # A stop is believed whatever its number: the price of not believing it is a call
        # that never ends.
        if (
            message.sequence is not None
            and message.sequence <= self._sequence
            and not isinstance(message, Stop)
        ):
            return "out_of_order", f"{name} {message.sequence} after {self._sequence}"
        return self._media_objection(message) if isinstance(message, Media) else None

    def _media_objection(self, media: Media) -> _Objection | None:
        if media.track not in self._tracks:
            return "other_track", repr(media.track[:40])
        if not media.payload:
            return "empty", "media without audio"
        last_ms, _ = self._heard.get(media.track, (0, 0))
        if media.timestamp_ms is not None and media.timestamp_ms < last_ms:
            return "late", f"audio of {media.timestamp_ms} ms after {last_ms} ms"
        return None

    def _accept(self, message: InboundMessage) -> None:
        self.state = MOVES[self.state, type(message)]
        if isinstance(message, Connected | Unknown):
            return
        if message.sequence is not None:
            self._sequence = message.sequence
        if isinstance(message, Start):
            self.stream_sid = message.stream_sid
        elif isinstance(message, Media) and message.timestamp_ms is not None:
            begin = message.timestamp_ms * _BYTES_PER_MS
            _, end = self._heard.get(message.track, (0, begin))
            # Timestamps are whole milliseconds and odd sizes are not: less than one is rounding.
            self.gap_ms += max(0, begin - end) // _BYTES_PER_MS
            self._heard[message.track] = (message.timestamp_ms, begin + len(message.payload))
