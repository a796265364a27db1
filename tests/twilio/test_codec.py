"""Our end of the socket: whatever comes in is a message or a PeerError, nothing else."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.errors import PeerError, UsageError
from voicelat.twilio.codec import (
    MAX_MESSAGE_BYTES,
    MAX_TIMESTAMP_MS,
    decode,
    encode_clear,
    encode_mark,
    encode_media,
)
from voicelat.twilio.messages import (
    Connected,
    DtmfPressed,
    Mark,
    Media,
    MediaFormat,
    Start,
    Stop,
    Unknown,
)

SID = "MZ18ad3ab5a668481ce02b83e7395059f0"

# As printed in Twilio's "Media Streams - WebSocket Messages".
CONNECTED = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
START = {
    "event": "start",
    "sequenceNumber": "1",
    "start": {
        "accountSid": "AC0",
        "streamSid": SID,
        "callSid": "CA0",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": "abc", "שם": "דנה"},
    },
    "streamSid": SID,
}
MEDIA = {
    "event": "media",
    "sequenceNumber": "3",
    "media": {"track": "inbound", "chunk": "1", "timestamp": "5", "payload": "f39/"},
    "streamSid": SID,
}
DTMF = {
    "event": "dtmf",
    "streamSid": SID,
    "sequenceNumber": "5",
    "dtmf": {"track": "inbound_track", "digit": "1"},
}
MARK = {"event": "mark", "sequenceNumber": "4", "streamSid": SID, "mark": {"name": "my label"}}
STOP = {
    "event": "stop",
    "sequenceNumber": "5",
    "stop": {"accountSid": "AC0", "callSid": "CA0"},
    "streamSid": SID,
}
ALL = [CONNECTED, START, MEDIA, DTMF, MARK, STOP]


def media(**changes: Any) -> str:
    body = MEDIA["media"]
    assert isinstance(body, dict)
    return json.dumps({**MEDIA, "media": {**body, **changes}})


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (CONNECTED, Connected("Call", "1.0.0")),
        (
            START,
            Start(
                stream_sid=SID,
                sequence=1,
                account_sid="AC0",
                call_sid="CA0",
                tracks=("inbound",),
                media_format=MediaFormat("audio/x-mulaw", 8000, 1),
                custom_parameters={"token": "abc", "שם": "דנה"},
            ),
        ),
        (MEDIA, Media(SID, b"\x7f\x7f\x7f", "inbound", 3, 1, 5)),
        (DTMF, DtmfPressed(SID, "1", "inbound_track", 5)),
        (MARK, Mark(SID, "my label", 4)),
        (STOP, Stop(SID, "AC0", "CA0", 5)),
    ],
)
def test_every_documented_message_is_read(wire: dict[str, Any], message: object) -> None:
    assert decode(json.dumps(wire)) == message
    assert decode(json.dumps(wire, ensure_ascii=False).encode()) == message


def test_numbers_may_come_as_numbers() -> None:
    wire = json.dumps({**MEDIA, "sequenceNumber": 3})
    assert decode(wire) == decode(json.dumps(MEDIA))
    assert decode(media(chunk=1, timestamp=5)) == decode(json.dumps(MEDIA))


def test_what_nobody_acts_on_may_be_missing() -> None:
    assert decode(f'{{"event":"media","streamSid":"{SID}","media":{{"payload":"f39/"}}}}') == Media(
        SID, b"\x7f\x7f\x7f"
    )
    assert decode(f'{{"event":"start","streamSid":"{SID}"}}') == Start(SID)
    assert decode(f'{{"event":"stop","streamSid":"{SID}"}}') == Stop(SID)
    assert decode('{"event":"connected"}') == Connected()


@pytest.mark.parametrize("wire", ALL, ids=lambda wire: str(wire["event"]))
def test_fields_twilio_adds_are_ignored(wire: dict[str, Any]) -> None:
    more = {**wire, "new": {"deep": [1, None]}}
    body = wire.get(wire["event"])
    if isinstance(body, dict):
        more[wire["event"]] = {**body, "new": 1}
    assert decode(json.dumps(more)) == decode(json.dumps(wire))


def test_events_twilio_adds_are_unknown_and_not_an_error() -> None:
    assert decode('{"event":"weather","streamSid":"MZ0","weather":{}}') == Unknown("weather")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "truncated"),
        ("hello", "malformed"),
        ("[]", "object"),
        ("{}", "event"),
        ('{"event":7}', "event"),
        (json.dumps(MEDIA)[:-9], "truncated"),
        (b"\xff\xfe", "malformed"),
        (b'{"event":"\xff"}', "utf-8"),
        ("\ud800", "utf-8"),
        ("[" * 60_000, "object"),
        ('{"x":' + "[" * 60_000, "recursion"),
        ('{"event":"media","streamSid":"MZ0"}', "media"),
        ('{"event":"media","media":{"payload":"f39/"}}', "streamSid"),
        ('{"event":"media","streamSid":"","media":{"payload":"f39/"}}', "streamSid"),
        ('{"event":"mark","streamSid":"MZ0","mark":{}}', "name"),
        ('{"event":"dtmf","streamSid":"MZ0","dtmf":{"digit":"12"}}', "digit"),
        (media(payload="f39"), "base64"),
        (media(payload="!!!!"), "base64"),
        (media(payload="f39/\n"), "base64"),
        (media(payload=7), "payload"),
        (media(payload=None), "payload"),
        (media(timestamp="-5"), "timestamp"),
        (media(timestamp="soon"), "timestamp"),
        (media(timestamp=MAX_TIMESTAMP_MS + 1), "timestamp"),
        (media(timestamp="9" * 400), "timestamp"),
        (media(chunk=-1), "chunk"),
        (media(payload="f39/" * (MAX_MESSAGE_BYTES // 4)), "limit"),
    ],
)
def test_what_is_not_a_message_is_a_peer_error_in_one_line(text: str | bytes, reason: str) -> None:
    with pytest.raises(PeerError, match=f"(?i){reason}") as caught:
        decode(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 200


@pytest.mark.parametrize(
    "audio",
    [{"encoding": "audio/l16"}, {"sampleRate": 16000}, {"channels": 2}],
)
def test_audio_that_is_not_telephone_audio_is_refused(audio: dict[str, Any]) -> None:
    with pytest.raises(PeerError, match="mediaFormat"):
        decode(json.dumps({**START, "start": {"mediaFormat": audio}}))


@given(st.one_of(st.text(), st.binary()))
def test_any_text_is_a_message_or_a_peer_error(text: str | bytes) -> None:
    try:
        decode(text)
    except PeerError as error:
        assert "\n" not in str(error)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    wire=st.sampled_from(ALL),
    key=st.sampled_from(["event", "streamSid", "sequenceNumber", "media", "start", "stop", "mark"]),
    value=_JSON,
    cut=st.integers(0, 20),
)
def test_any_mutated_message_is_a_message_or_a_peer_error(
    wire: dict[str, Any], key: str, value: Any, cut: int
) -> None:
    text = json.dumps({**wire, key: value})
    try:
        decode(text[: len(text) - cut])
    except PeerError as error:
        assert "\n" not in str(error)


@given(key=st.sampled_from(["track", "chunk", "timestamp", "payload"]), value=_JSON)
def test_any_media_that_is_read_has_sane_values(key: str, value: Any) -> None:
    try:
        message = decode(media(**{key: value}))
    except PeerError:
        return
    assert isinstance(message, Media)
    assert message.timestamp_ms is None or 0 <= message.timestamp_ms <= MAX_TIMESTAMP_MS
    assert message.chunk is None or message.chunk >= 0


@given(sid=st.text(min_size=1), payload=st.binary(min_size=1))
def test_media_is_written_as_json_with_base64(sid: str, payload: bytes) -> None:
    assert json.loads(encode_media(sid, payload)) == {
        "event": "media",
        "streamSid": sid,
        "media": {"payload": base64.b64encode(payload).decode()},
    }


@given(sid=st.text(min_size=1), name=st.text(min_size=1))
def test_marks_and_clears_escape_their_names(sid: str, name: str) -> None:
    assert json.loads(encode_mark(sid, name)) == {
        "event": "mark",
        "streamSid": sid,
        "mark": {"name": name},
    }
    assert json.loads(encode_clear(sid)) == {"event": "clear", "streamSid": sid}


def test_what_twilio_would_refuse_is_not_written() -> None:
    with pytest.raises(UsageError, match="without audio"):
        encode_media(SID, b"")
    with pytest.raises(UsageError, match="empty streamSid"):
        encode_media("", b"\xff")
    with pytest.raises(UsageError, match="empty mark name"):
        encode_mark(SID, "")
    with pytest.raises(UsageError, match="Unicode"):
        encode_mark(SID, "\ud800")
    with pytest.raises(UsageError, match="empty streamSid"):
        encode_clear("")
