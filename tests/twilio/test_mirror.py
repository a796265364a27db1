"""Both ends of the socket against each other."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.errors import PeerError
from voicelat.twilio.codec import (
    MAX_TIMESTAMP_MS,
    decode,
    encode_clear,
    encode_mark,
    encode_media,
)
from voicelat.twilio.messages import (
    Clear,
    Connected,
    DtmfPressed,
    InboundMessage,
    Mark,
    Media,
    OutMark,
    OutMedia,
    Start,
    Stop,
    Unknown,
)
from voicelat.twilio.mirror import OutboundError, decode_outbound, encode_inbound

_SID = st.text(min_size=1, max_size=40)
_COUNT = st.none() | st.integers(0, 2**53)
_TIME = st.none() | st.integers(0, MAX_TIMESTAMP_MS)
_TEXT = st.text(max_size=40)

INBOUND: st.SearchStrategy[InboundMessage] = st.one_of(
    st.builds(Connected, _TEXT, _TEXT),
    st.builds(
        Start,
        stream_sid=_SID,
        sequence=_COUNT,
        account_sid=st.none() | _TEXT,
        call_sid=st.none() | _TEXT,
        tracks=st.lists(_TEXT, max_size=4).map(tuple),
        custom_parameters=st.dictionaries(_TEXT, _TEXT, max_size=3),
    ),
    st.builds(Media, _SID, st.binary(max_size=400), _TEXT, _COUNT, _COUNT, _TIME),
    st.builds(DtmfPressed, _SID, st.sampled_from("0123456789*#ABCD"), _TEXT, _COUNT),
    st.builds(Mark, _SID, _TEXT, _COUNT),
    st.builds(Stop, _SID, st.none() | _TEXT, st.none() | _TEXT, _COUNT),
    st.just(Unknown("weather")),
)


@given(INBOUND)
def test_whatever_twilio_says_is_read_as_said(message: InboundMessage) -> None:
    assert decode(encode_inbound(message)) == message


@given(sid=_SID, name=_SID, payload=st.binary(min_size=1).filter(lambda audio: audio[0] > 0x80))
def test_whatever_we_say_is_read_as_said(sid: str, name: str, payload: bytes) -> None:
    assert decode_outbound(encode_media(sid, payload)) == OutMedia(sid, payload)
    assert decode_outbound(encode_mark(sid, name)) == OutMark(sid, name)
    assert decode_outbound(encode_clear(sid)) == Clear(sid)


def test_numbers_are_written_as_strings_as_twilio_does() -> None:
    wire = json.loads(encode_inbound(Media("MZ0", b"\xff", "inbound", 3, 1, 20)))
    assert wire == {
        "event": "media",
        "sequenceNumber": "3",
        "media": {"track": "inbound", "chunk": "1", "timestamp": "20", "payload": "/w=="},
        "streamSid": "MZ0",
    }
    start = json.loads(encode_inbound(Start("MZ0", 1, "AC0", "CA0")))
    assert start["start"]["mediaFormat"] == {
        "encoding": "audio/x-mulaw",
        "sampleRate": 8000,
        "channels": 1,
    }


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "malformed"),
        ("\ud800", "malformed"),
        ('{"event":"hello","streamSid":"MZ0"}', "malformed"),
        ('{"event":"media","media":{"payload":"/w=="}}', "malformed"),
        ('{"event":"media","streamSid":7,"media":{"payload":"/w=="}}', "malformed"),
        ('{"event":"mark","streamSid":"MZ0","mark":{"name":""}}', "malformed"),
        ('{"event":"mark","streamSid":"MZ0"}', "malformed"),
        ('{"event":"clear"}', "malformed"),
        ('{"event":"media","streamSid":"MZ0","media":{"payload":""}}', "empty_payload"),
        ('{"event":"media","streamSid":"MZ0","media":{"payload":"/w="}}', "bad_base64"),
        ('{"event":"media","streamSid":"MZ0","media":{"payload":"/w==\\n"}}', "bad_base64"),
        ('{"event":"media","streamSid":"MZ0","media":{"payload":"קול="}}', "bad_base64"),
        ('{"event":"media","streamSid":"MZ0","media":{"payload":"UklGRg=="}}', "file_header"),
    ],
)
def test_a_servers_fault_is_named(text: str, fault: str) -> None:
    with pytest.raises(OutboundError) as caught:
        decode_outbound(text)
    assert caught.value.fault == fault
    assert isinstance(caught.value, PeerError)


@given(st.one_of(st.text(), st.binary()))
def test_any_text_of_a_server_is_a_message_or_a_fault(text: str | bytes) -> None:
    try:
        decode_outbound(text)
    except OutboundError as error:
        assert "\n" not in str(error)
