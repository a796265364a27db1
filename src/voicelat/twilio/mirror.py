"""Twilio's end of the media socket: what a simulated caller, and a test, needs.

The mirror image of `voicelat.twilio.codec`: it writes what Twilio writes (numbers as strings,
payloads in base64) and reads what a server answers, with none of the codec's tolerance.
"""

from __future__ import annotations

from binascii import Error as BadBase64
from binascii import a2b_base64, b2a_base64
from typing import Annotated, Any, Final, Literal, assert_never

import msgspec
from msgspec import Meta, Struct

from voicelat.errors import PeerError
from voicelat.twilio.messages import (
    Clear,
    Connected,
    DtmfPressed,
    InboundMessage,
    Mark,
    Media,
    OutboundMessage,
    OutMark,
    OutMedia,
    Start,
    Stop,
    Unknown,
)

__all__ = ["Fault", "OutboundError", "decode_outbound", "encode_inbound"]

Fault = Literal["malformed", "bad_base64", "empty_payload", "file_header"]
"""What is wrong with a server's message: not a message Twilio takes, a payload that is not
base64 or has no audio, or a sound file where raw mu-law belongs."""


class OutboundError(PeerError):
    """A server sent what Twilio would not take (its error 31924) or would play as noise."""

    def __init__(self, fault: Fault, why: str) -> None:
        super().__init__(why)
        self.fault: Fault = fault


class _MediaBody(Struct, frozen=True):
    payload: str


class _MediaWire(Struct, frozen=True, tag_field="event", tag="media", rename="camel"):
    stream_sid: str
    media: _MediaBody


class _MarkBody(Struct, frozen=True):
    name: Annotated[str, Meta(min_length=1)]


class _MarkWire(Struct, frozen=True, tag_field="event", tag="mark", rename="camel"):
    stream_sid: str
    mark: _MarkBody


class _ClearWire(Struct, frozen=True, tag_field="event", tag="clear", rename="camel"):
    stream_sid: str


_DECODER: Final = msgspec.json.Decoder(_MediaWire | _MarkWire | _ClearWire)
_ENCODER: Final = msgspec.json.Encoder()
_REASON_CHARS: Final = 200


def decode_outbound(text: str | bytes) -> OutboundMessage:
    """Read one message from a server. Raises `OutboundError`, which names the fault."""
    try:
        wire = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise OutboundError("malformed", f"{error}"[:_REASON_CHARS]) from None
    match wire:
        case _MediaWire():
            return OutMedia(wire.stream_sid, _audio(wire.media.payload))
        case _MarkWire():
            return OutMark(wire.stream_sid, wire.mark.name)
        case _ClearWire():
            return Clear(wire.stream_sid)
        case _:
            assert_never(wire)


def encode_inbound(message: InboundMessage) -> str:
    """Write a message as Twilio does. `codec.decode` of it gives the message back."""
    if isinstance(message, Connected):
        return _json(
            {"event": "connected", "protocol": message.protocol, "version": message.version}
        )
    if isinstance(message, Unknown):
        return _json({"event": message.event})
    event, body = _named_body(message)
    return _json(
        {
            "event": event,
            "sequenceNumber": _digits(message.sequence),
            event: body,
            "streamSid": message.stream_sid,
        }
    )


def _named_body(
    message: Start | Media | DtmfPressed | Mark | Stop,
) -> tuple[str, dict[str, Any]]:
    match message:
        case Start():
            return "start", _start_body(message)
        case Media():
            return "media", {
                "track": message.track,
                "chunk": _digits(message.chunk),
                "timestamp": _digits(message.timestamp_ms),
                "payload": b2a_base64(message.payload, newline=False).decode("ascii"),
            }
        case DtmfPressed():
            return "dtmf", {"track": message.track, "digit": message.digit}
        case Mark():
            return "mark", {"name": message.name}
        case Stop():
            return "stop", {"accountSid": message.account_sid, "callSid": message.call_sid}
        case _:
            assert_never(message)


def _start_body(message: Start) -> dict[str, Any]:
    audio = message.media_format
    return {
        "accountSid": message.account_sid,
        "streamSid": message.stream_sid,
        "callSid": message.call_sid,
        "tracks": message.tracks,
        "mediaFormat": {
            "encoding": audio.encoding,
            "sampleRate": audio.sample_rate,
            "channels": audio.channels,
        },
        "customParameters": message.custom_parameters,
    }


def _audio(payload: str) -> bytes:
    try:
        audio = a2b_base64(payload, strict_mode=True)
    except (BadBase64, ValueError) as error:
        raise OutboundError("bad_base64", f"payload is not base64: {error}") from None
    if not audio:
        raise OutboundError("empty_payload", "media without audio")
    if audio.startswith((b"RIFF", b"ID3", b"OggS")):
        raise OutboundError("file_header", "payload begins with a file header, not with mu-law")
    return audio


def _digits(number: int | None) -> str | None:
    return None if number is None else str(number)


def _json(fields: dict[str, Any]) -> str:
    return _ENCODER.encode(fields).decode()
