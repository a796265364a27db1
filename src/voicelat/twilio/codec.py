"""Our end of the media socket: tolerant of what Twilio says, strict in what we say.

Tolerant, because events and fields appear without notice and numbers come as strings: only
what we act on is required. Anything else is one `PeerError` with a one-line reason.
"""

from __future__ import annotations

from binascii import b2a_base64
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct, field

from voicelat.errors import PeerError, UsageError
from voicelat.twilio.messages import (
    Connected,
    DtmfPressed,
    InboundMessage,
    Mark,
    Media,
    MediaFormat,
    Start,
    Stop,
    Unknown,
)

__all__ = [
    "MAX_MESSAGE_BYTES",
    "MAX_TIMESTAMP_MS",
    "decode",
    "encode_clear",
    "encode_mark",
    "encode_media",
]

MAX_MESSAGE_BYTES: Final = 64 * 1024
"""Longest text taken, in characters. Twilio's media messages have about 350; 64 Ki hold six
seconds of audio in one message, far beyond any re-framing a relay would do."""

MAX_TIMESTAMP_MS: Final = 24 * 60 * 60 * 1000
"""Twilio ends every call after 24 hours. Recordings are placed by timestamps, so one that is
out of this world would write gigabytes of silence."""

_REASON_CHARS: Final = 200

_Count = Annotated[int, Meta(ge=0, le=2**53)]
_Sid = Annotated[str, Meta(min_length=1)]


class _Wire(Struct, frozen=True, tag_field="event", rename="camel"):
    stream_sid: _Sid
    sequence_number: _Count | None = None


class _ConnectedWire(Struct, frozen=True, tag_field="event", tag="connected"):
    protocol: str = "Call"
    version: str = "1.0.0"

    def message(self) -> Connected:
        return Connected(self.protocol, self.version)


class _FormatBody(Struct, frozen=True, rename="camel"):
    encoding: Literal["audio/x-mulaw"] = "audio/x-mulaw"
    sample_rate: Literal[8000] = 8000
    channels: Literal[1] = 1


class _StartBody(Struct, frozen=True, rename="camel"):
    account_sid: str | None = None
    call_sid: str | None = None
    tracks: tuple[str, ...] = ("inbound",)
    media_format: _FormatBody = _FormatBody()
    custom_parameters: dict[str, str] = {}


class _StartWire(_Wire, frozen=True, tag="start"):
    start: _StartBody = field(default_factory=_StartBody)

    def message(self) -> Start:
        body = self.start
        audio = body.media_format
        return Start(
            stream_sid=self.stream_sid,
            sequence=self.sequence_number,
            account_sid=body.account_sid,
            call_sid=body.call_sid,
            tracks=body.tracks,
            media_format=MediaFormat(audio.encoding, audio.sample_rate, audio.channels),
            custom_parameters=body.custom_parameters,
        )


class _MediaBody(Struct, frozen=True):
    payload: bytes
    track: str = "inbound"
    chunk: _Count | None = None
    timestamp: Annotated[int, Meta(ge=0, le=MAX_TIMESTAMP_MS)] | None = None


class _MediaWire(_Wire, frozen=True, tag="media", kw_only=True):
    media: _MediaBody

    def message(self) -> Media:
        body = self.media
        return Media(
            self.stream_sid,
            body.payload,
            body.track,
            self.sequence_number,
            body.chunk,
            body.timestamp,
        )


class _DtmfBody(Struct, frozen=True):
    digit: Annotated[str, Meta(min_length=1, max_length=1)]
    track: str = "inbound_track"


class _DtmfWire(_Wire, frozen=True, tag="dtmf", kw_only=True):
    dtmf: _DtmfBody

    def message(self) -> DtmfPressed:
        body = self.dtmf
        return DtmfPressed(self.stream_sid, body.digit, body.track, self.sequence_number)


class _MarkBody(Struct, frozen=True):
    name: str


class _MarkWire(_Wire, frozen=True, tag="mark", kw_only=True):
    mark: _MarkBody

    def message(self) -> Mark:
        return Mark(self.stream_sid, self.mark.name, self.sequence_number)


class _StopBody(Struct, frozen=True, rename="camel"):
    account_sid: str | None = None
    call_sid: str | None = None


class _StopWire(_Wire, frozen=True, tag="stop"):
    stop: _StopBody = field(default_factory=_StopBody)

    def message(self) -> Stop:
        body = self.stop
        return Stop(self.stream_sid, body.account_sid, body.call_sid, self.sequence_number)


class _Event(Struct, frozen=True):
    event: str


_KNOWN: Final = frozenset({"connected", "start", "media", "dtmf", "mark", "stop"})

# strict=False is what takes "5" for 5.
_DECODER: Final = msgspec.json.Decoder(
    _ConnectedWire | _StartWire | _MediaWire | _DtmfWire | _MarkWire | _StopWire, strict=False
)
_EVENT_DECODER: Final = msgspec.json.Decoder(_Event)
_ENCODER: Final = msgspec.json.Encoder()


def decode(text: str | bytes) -> InboundMessage:
    """Read one message from Twilio, JSON and base64 in one go.

    Extra fields are ignored; an event nobody documented becomes `Unknown`. Raises `PeerError`
    for everything else that is not a message: garbage, truncated or oversized text, bad base64,
    a missing field, a wrong type, a negative number, audio that is not 8 kHz mono mu-law.
    """
    if len(text) > MAX_MESSAGE_BYTES:
        raise PeerError(f"message of {len(text)} bytes, the limit is {MAX_MESSAGE_BYTES}")
    try:
        message: InboundMessage = _DECODER.decode(text).message()
    except msgspec.ValidationError as error:
        return _unknown(text, str(error))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise PeerError(f"not JSON: {error}"[:_REASON_CHARS]) from None
    return message


def encode_media(stream_sid: str, payload: bytes) -> str:
    """Audio for the caller. Raises `UsageError` when there is none, or no stream."""
    if not payload:
        raise UsageError("media without audio: send nothing instead")
    sid = _quoted(stream_sid, "streamSid")
    audio = b2a_base64(payload, newline=False).decode("ascii")
    return f'{{"event":"media","streamSid":{sid},"media":{{"payload":"{audio}"}}}}'


def encode_mark(stream_sid: str, name: str) -> str:
    """A mark behind all audio sent so far. Raises `UsageError` when a name is empty."""
    sid = _quoted(stream_sid, "streamSid")
    return f'{{"event":"mark","streamSid":{sid},"mark":{{"name":{_quoted(name, "mark name")}}}}}'


def encode_clear(stream_sid: str) -> str:
    """Empty Twilio's buffer. Raises `UsageError` when there is no stream."""
    return f'{{"event":"clear","streamSid":{_quoted(stream_sid, "streamSid")}}}'


def _quoted(value: str, what: str) -> str:
    if not value:
        raise UsageError(f"empty {what}: Twilio would refuse the message")
    try:
        return _ENCODER.encode(value).decode()
    except UnicodeEncodeError:
        raise UsageError(f"{what} {value!r} is not valid Unicode") from None


def _unknown(text: str | bytes, why: str) -> Unknown:
    """The slow path: is it an event we do not know, or one we know and cannot read?"""
    try:
        event = _EVENT_DECODER.decode(text).event
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        event = None
    if event is None or event in _KNOWN:
        raise PeerError(why[:_REASON_CHARS])
    return Unknown(event)
