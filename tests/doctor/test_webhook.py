"""Webhook answers and TwiML: what Twilio would not take is found, whatever it is made of."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doctor.told import faults

from voicelat.doctor.webhook import (
    judged_answer,
    judged_server,
    judged_stream_url,
    judged_twiml,
    shows_debugger,
)
from voicelat.loadtest.target import Answer

WEBHOOK = "https://bot.example/voice"
GOOD = '<Stream url="wss://bot.example/media"/>'


def answer(
    status: int = 200, ms: float = 40, keeps: bool = True, headers: dict[str, str] | None = None
) -> Answer:
    shown = {"Content-Type": "text/xml; charset=utf-8", **(headers or {})}
    return Answer(status, shown, b"", ms, keeps)


def twiml(connected: str, after: str = "<Say>Sorry.</Say>") -> bytes:
    return f"<Response><Connect>{connected}</Connect>{after}</Response>".encode()


@pytest.mark.parametrize("kind", ["text/xml; charset=utf-8", "application/xml", "text/html"])
def test_a_good_answer_is_not_accused(kind: str) -> None:
    assert faults(judged_answer(answer(headers={"Content-Type": kind}))) == []


@pytest.mark.parametrize(
    ("planted", "check"),
    [
        (answer(403), "webhook-status"),
        (answer(500), "webhook-status"),
        (answer(307, headers={"Location": "/voice/"}), "webhook-status"),
        (answer(ms=2400), "webhook-time"),
        (answer(headers={"Content-Type": "application/json"}), "webhook-type"),
        (answer(headers={"Content-Type": "text/plain"}), "webhook-type"),
        (answer(headers={"Content-Type": ""}), "webhook-type"),
        (answer(keeps=False), "keep-alive"),
    ],
)
def test_a_planted_fault_of_an_answer_is_found(planted: Answer, check: str) -> None:
    assert faults(judged_answer(planted)) == [check]


@pytest.mark.parametrize("name", ["Werkzeug/3.1.3 Python/3.11", "WSGIServer/0.2 CPython/3.11"])
def test_a_development_server_is_found(name: str) -> None:
    assert judged_server(answer(headers={"Server": name})).outcome == "fault"


@pytest.mark.parametrize("name", ["uvicorn", "gunicorn", "nginx/1.27", ""])
def test_a_server_for_production_is_not_accused(name: str) -> None:
    assert judged_server(answer(headers={"Server": name})).outcome == "ok"


def test_a_debuggers_page_is_told_from_an_error_page() -> None:
    assert shows_debugger(b"<title>KeyError // Werkzeug Debugger</title>")
    assert shows_debugger(b"Traceback (most recent call last):\n  File")
    assert not shows_debugger(b'{"detail": "Not Found"}')


def test_good_twiml_is_not_accused() -> None:
    assert faults(judged_twiml(twiml(GOOD), WEBHOOK)) == []


LONG = "x" * 500


@pytest.mark.parametrize(
    ("planted", "check"),
    [
        (b"", "twiml"),
        (b"{}", "twiml"),
        (b"<html/>", "twiml"),
        (b"<Response/>", "twiml"),
        (b"<Response><Say>We are closed.</Say></Response>", "twiml"),
        (b'<Response><Start><Stream url="wss://x/y"/></Start></Response>', "one-way-stream"),
        (twiml('<Stream url="wss://bot.example/media?token=1"/>'), "stream-url"),
        (twiml('<Stream url="https://bot.example/media"/>'), "stream-url"),
        (twiml('<Stream url="ws://bot.example/media"/>'), "stream-url"),
        (twiml('<Stream url="wss://bot.example//media"/>'), "stream-url"),
        (twiml('<Stream url="wss://localhost/media"/>'), "stream-url"),
        (twiml('<Stream url="wss://bot.example/media "/>'), "stream-url"),
        (twiml('<Stream url="wss://a:b@bot.example/media"/>'), "stream-url"),
        (twiml('<Stream url="/media"/>'), "stream-url"),
        (twiml("<Stream/>"), "stream-url"),
        (
            twiml(f'{GOOD[:-2]}><Parameter name="a" value="{LONG}"/></Stream>'),
            "stream-parameters",
        ),
        (
            twiml(f'{GOOD[:-2]}><Parameter name="a"/><Parameter name="a"/></Stream>'),
            "stream-parameters",
        ),
        (twiml(f'{GOOD[:-2]}><Parameter value="a"/></Stream>'), "stream-parameters"),
        (twiml(f'{GOOD[:-2]} track="both_tracks"/>'), "stream-track"),
        (twiml(GOOD, after=""), "spoken-fallback"),
    ],
)
def test_a_planted_fault_of_the_twiml_is_found(planted: bytes, check: str) -> None:
    assert set(faults(judged_twiml(planted, WEBHOOK))) == {check}


def test_a_redirect_is_no_fault() -> None:
    planted = b"<Response><Redirect>/other</Redirect></Response>"
    assert faults(judged_twiml(planted, WEBHOOK)) == []


def test_a_server_on_loopback_may_stream_without_tls() -> None:
    assert faults(judged_stream_url("ws://127.0.0.1:80/media", "http://127.0.0.1:80/voice")) == []


@given(st.binary())
def test_any_bytes_are_judged(body: bytes) -> None:
    assert list(judged_twiml(body, WEBHOOK))


TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"))


@given(url=TEXT, track=TEXT, parameters=st.lists(st.tuples(TEXT, TEXT)), tag=TEXT)
def test_any_stream_is_judged(
    url: str, track: str, parameters: list[tuple[str, str]], tag: str
) -> None:
    root = ElementTree.Element("Response")
    connect = ElementTree.SubElement(root, "Connect")
    stream = ElementTree.SubElement(connect, "Stream", {"url": url, "track": track})
    for name, value in parameters:
        ElementTree.SubElement(stream, "Parameter", {"name": name, "value": value})
    root.text = tag
    results = list(judged_twiml(ElementTree.tostring(root), WEBHOOK))
    assert {"stream-url", "stream-parameters", "stream-track"} <= {one.check for one in results}


@given(st.integers(100, 599), st.dictionaries(TEXT, TEXT), st.floats(0, 1e6))
def test_any_answer_is_judged(status: int, headers: dict[str, str], ms: float) -> None:
    told = Answer(status, headers, b"", ms, True)
    assert len([*judged_answer(told), judged_server(told)]) == 5
