"""The TwiML that hands a call over."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from voicelat.errors import UsageError
from voicelat.twilio.twiml import connect_stream


def test_a_stream_with_a_token_and_a_spoken_safety_net() -> None:
    text = connect_stream(
        "wss://bot.example/media",
        parameters={"token": "a&b", "lang": "he"},
        status_callback="https://bot.example/stream-status",
        fallback_say="Please call <again>.",
        language="en-US",
    )
    assert text == (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<Response><Connect><Stream url="wss://bot.example/media"'
        ' statusCallback="https://bot.example/stream-status">'
        '<Parameter name="token" value="a&amp;b" /><Parameter name="lang" value="he" />'
        "</Stream></Connect>"
        '<Say language="en-US">Please call &lt;again&gt;.</Say></Response>'
    )


def test_nothing_follows_the_stream_without_a_safety_net() -> None:
    response = ET.fromstring(connect_stream("wss://bot.example/media"))
    assert [child.tag for child in response] == ["Connect"]


def test_hebrew_survives() -> None:
    text = connect_stream("wss://bot.example/m", fallback_say="נסו שוב", language="he-IL")
    say = ET.fromstring(text).find("Say")
    assert say is not None
    assert say.text == "נסו שוב"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://bot.example/media", "31922"),
        ("ws://bot.example/media", "31922"),
        ("bot.example/media", "31922"),
        ("wss:///media", "no host"),
        ("wss://[bot/media", "IPv6"),
        ("wss://bot.example/media?token=x", "31920"),
        ("wss://bot.example/media?", "31920"),
    ],
)
def test_a_url_twilio_would_refuse_is_refused_here(url: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        connect_stream(url)


def test_plain_sockets_only_when_asked_for() -> None:
    text = connect_stream("ws://127.0.0.1:8000/media", insecure=True)
    assert 'url="ws://127.0.0.1:8000/media"' in text


def test_a_parameter_must_stay_under_500_characters() -> None:
    connect_stream("wss://bot.example/m", parameters={"token": "x" * 494})
    with pytest.raises(UsageError, match="under 500") as caught:
        connect_stream("wss://bot.example/m", parameters={"token": "x" * 495})
    assert "xxx" not in str(caught.value)
    with pytest.raises(UsageError, match="needs a name"):
        connect_stream("wss://bot.example/m", parameters={"": "x"})


@pytest.mark.parametrize("text", ["\x00", "\x0b", "\ud800", "\ufffe"])
def test_text_that_xml_cannot_carry_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="control characters"):
        connect_stream("wss://bot.example/m", fallback_say=text)


def test_a_status_callback_must_be_a_web_address() -> None:
    with pytest.raises(UsageError, match="status_callback"):
        connect_stream("wss://bot.example/m", status_callback="/stream-status")
