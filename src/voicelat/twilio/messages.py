"""Every documented Media Streams message, flat, under Python's names.

Source: Twilio's "Media Streams - WebSocket Messages". Twilio to us: `InboundMessage`; us to
Twilio: `OutboundMessage`. Audio is raw mu-law, 8 kHz, mono. What Twilio numbers with strings
are ints here, and ``None`` where a sender leaves them out.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = [
    "Clear",
    "Connected",
    "DtmfPressed",
    "InboundMessage",
    "Mark",
    "Media",
    "MediaFormat",
    "OutMark",
    "OutMedia",
    "OutboundMessage",
    "Start",
    "Stop",
    "Unknown",
]


class Connected(Struct, frozen=True):
    """The socket is up. Always first, and the only message without a ``stream_sid``."""

    protocol: str = "Call"
    version: str = "1.0.0"


class MediaFormat(Struct, frozen=True):
    """What the audio is. Twilio documents this one value; anything else is refused."""

    encoding: str = "audio/x-mulaw"
    sample_rate: int = 8000
    channels: int = 1


class Start(Struct, frozen=True):
    """The stream begins: the zero of the call clock. Nothing may be sent before it."""

    stream_sid: str
    sequence: int | None = None
    account_sid: str | None = None
    call_sid: str | None = None
    tracks: tuple[str, ...] = ("inbound",)
    media_format: MediaFormat = MediaFormat()
    custom_parameters: dict[str, str] = {}
    """What the TwiML's ``<Parameter>`` elements carried."""


class Media(Struct, frozen=True):
    """A piece of audio, of any size (20 ms is a habit of Twilio's, not a promise)."""

    stream_sid: str
    payload: bytes
    track: str = "inbound"
    sequence: int | None = None
    chunk: int | None = None
    """Counts from 1 within the stream."""
    timestamp_ms: int | None = None
    """When the audio begins, from the start of the stream."""


class DtmfPressed(Struct, frozen=True):
    """The caller pressed a key."""

    stream_sid: str
    digit: str
    track: str = "inbound_track"
    sequence: int | None = None


class Mark(Struct, frozen=True):
    """A mark of ours came back: all before it was played, or thrown away by a `Clear`."""

    stream_sid: str
    name: str
    sequence: int | None = None


class Stop(Struct, frozen=True):
    """The stream, or the call, is over."""

    stream_sid: str
    account_sid: str | None = None
    call_sid: str | None = None
    sequence: int | None = None


class Unknown(Struct, frozen=True):
    """An event nobody documented yet. Twilio adds such without notice: ignore and count."""

    event: str


class OutMedia(Struct, frozen=True):
    """Audio for the caller: any size but none, no file header, played in order."""

    stream_sid: str
    payload: bytes


class OutMark(Struct, frozen=True):
    """Asks for a `Mark` of this name once all audio before it was played."""

    stream_sid: str
    name: str


class Clear(Struct, frozen=True):
    """Empties Twilio's buffer. Every mark still pending comes back at once."""

    stream_sid: str


InboundMessage = Connected | Start | Media | DtmfPressed | Mark | Stop | Unknown
OutboundMessage = OutMedia | OutMark | Clear
