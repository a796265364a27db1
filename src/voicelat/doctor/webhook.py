"""What a webhook's answer and its TwiML are worth, judged without a network."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit
from xml.etree import ElementTree

from voicelat.doctor.catalog import fault, ok
from voicelat.doctor.result import CheckResult
from voicelat.errors import ConnectError
from voicelat.loadtest.target import Answer, stream_of
from voicelat.metrics.durations import duration
from voicelat.providers.google_channel import on_loopback
from voicelat.twilio.twiml import MAX_PARAMETER_CHARS

__all__ = ["judged_answer", "judged_server", "judged_stream_url", "judged_twiml", "shows_debugger"]

_SLOW_MS: Final = 1000
_TYPES: Final = ("text/xml", "application/xml", "text/html")
"""Flask's default is the last; Twilio takes it."""
_DEVELOPMENT: Final = re.compile(r"werkzeug|wsgiserver|simplehttp|basehttp|flask", re.IGNORECASE)
_DEBUGGER: Final = (
    b"Werkzeug Debugger",
    b"__debugger__",
    b"Traceback (most recent call last)",
    b"DEBUG = True",
    b"DEBUG_MODE",
)


def judged_answer(answer: Answer) -> Iterator[CheckResult]:
    """Status, time, type and connection."""
    evidence = f"HTTP {answer.status}"
    where = answer.headers.get("Location")
    if 300 <= answer.status < 400:
        what = f"the webhook redirects to {where or 'nowhere'}"
        yield fault("webhook-status", what, evidence)
    elif answer.status != 200:
        hint = ": is TWILIO_AUTH_TOKEN its token?" if answer.status in (401, 403) else ""
        yield fault("webhook-status", f"the webhook refuses Twilio's request{hint}", evidence)
    else:
        yield ok("webhook-status", "the webhook answers", evidence)
    took = f"{duration(answer.ms)}, the second of two requests"
    if answer.ms > _SLOW_MS:
        yield fault("webhook-time", "callers wait for the webhook", took)
    else:
        yield ok("webhook-time", "the webhook is quick", took)
    kind = answer.headers.get("Content-Type", "")
    if kind.partition(";")[0].strip().lower() in _TYPES:
        yield ok("webhook-type", "the answer is marked as TwiML", kind)
    else:
        what = "the answer is not marked as TwiML"
        yield fault("webhook-type", what, f"Content-Type: {kind or 'none'}")
    if answer.keeps:
        yield ok("keep-alive", "the connection stays open")
    else:
        evidence = f"Connection: {answer.headers.get('Connection', 'none')}"
        yield fault("keep-alive", "the server closes the connection after an answer", evidence)


def judged_server(answer: Answer) -> CheckResult:
    """The Server header."""
    name = answer.headers.get("Server", "")
    if _DEVELOPMENT.search(name):
        what = "calls are taken by a development server"
        return fault("development-server", what, f"Server: {name}")
    return ok("development-server", "no development server shows itself", f"Server: {name or '-'}")


def shows_debugger(body: bytes) -> bool:
    """Whether an error page comes from a debugger."""
    return any(mark in body for mark in _DEBUGGER)


@dataclass(frozen=True, slots=True)
class _Document:
    root: ElementTree.Element
    verbs: list[str]


def judged_twiml(body: bytes, url: str) -> Iterator[CheckResult]:
    """The document at ``url``: whether it opens a stream that can speak, and how."""
    try:
        root = ElementTree.fromstring(body)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        yield fault("twiml", "the answer is no XML", f"{error}; it begins {body[:60]!r}")
        return
    document = _Document(root, [child.tag for child in root])
    stream = root.find("Connect/Stream")
    if root.tag != "Response":
        yield fault("twiml", f"the document is <{root.tag[:40]}>, not <Response>", url)
    elif stream is None:
        yield from _no_stream(document, body, url)
    else:
        yield ok("twiml", "the TwiML opens a stream", " ".join(document.verbs)[:200])
        yield ok("one-way-stream", "the stream can speak", "<Connect><Stream>")
        yield from judged_stream_url(stream.get("url") or "", url)
        yield _parameters(stream)
        yield _track(stream)
        yield _fallback(document)


def _no_stream(document: _Document, body: bytes, url: str) -> Iterator[CheckResult]:
    if document.root.find("Start/Stream") is not None:
        what = "the agent can only listen: <Start><Stream>"
        yield fault("one-way-stream", what, " ".join(document.verbs)[:200])
        return
    try:
        stream_of(body, url)
    except ConnectError as error:
        yield fault("twiml", str(error), " ".join(document.verbs)[:200])
    else:
        yield ok("twiml", "the TwiML redirects, and is followed", " ".join(document.verbs)[:200])


def judged_stream_url(stream: str, webhook: str) -> Iterator[CheckResult]:
    """A stream's URL, in the TwiML of ``webhook`` ("" where there is none)."""
    try:
        parts, here = urlsplit(stream), urlsplit(webhook)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        yield fault("stream-url", f"the stream's URL is none: {error}", repr(stream[:200]))
        return
    wrong = list(_wrong_with(stream, parts, host, here.hostname or ""))
    for what in wrong:
        yield fault("stream-url", what, repr(stream[:200]))
    if not wrong:
        at = "" if port in (None, 443) else f", on port {port}"
        yield ok("stream-url", f"the stream's URL is one Twilio takes{at}", stream)


def _wrong_with(stream: str, parts: SplitResult, host: str, webhook_host: str) -> Iterator[str]:
    here = bool(host) and on_loopback(host)
    if not host:
        yield "the stream's URL has no host"
    if parts.scheme != "wss" and not (parts.scheme == "ws" and here):
        yield f"the stream's URL begins with {parts.scheme or 'nothing'}:, not wss:"
    if "?" in stream:
        yield "the stream's URL has a query string, which Twilio refuses"
    if "#" in stream or "@" in parts.netloc:
        yield "the stream's URL has a fragment or a password"
    if "//" in parts.path:
        yield "the stream's path has a double slash: the base URL ended with one"
    if any(letter.isspace() for letter in stream):
        yield "the stream's URL has blanks in it"
    if here and webhook_host and not on_loopback(webhook_host):
        yield f"the stream is on {host}, which Twilio cannot reach"


def _parameters(stream: ElementTree.Element) -> CheckResult:
    given = [(one.get("name", ""), one.get("value", "")) for one in stream.findall("Parameter")]
    names = Counter(name for name, _ in given)
    wrong = [f"{name[:40]!r} is there {count} times" for name, count in names.items() if count > 1]
    wrong += ["one has no name"] if "" in names else []
    wrong += [
        f"{name[:40]!r} has {len(name) + len(value)} characters"
        for name, value in given
        if len(name) + len(value) >= MAX_PARAMETER_CHARS
    ]
    if wrong:
        return fault("stream-parameters", "not all parameters arrive", "; ".join(wrong))
    return ok("stream-parameters", "parameters arrive", f"{len(given)} of them")


def _track(stream: ElementTree.Element) -> CheckResult:
    track = stream.get("track")
    if track not in (None, "inbound_track"):
        what = "a stream that can speak has the inbound track only"
        return fault("stream-track", what, f"track={track[:40]!r}")
    return ok("stream-track", "the track is one Twilio takes", track or "not given")


def _fallback(document: _Document) -> CheckResult:
    after = document.verbs[document.verbs.index("Connect") + 1 :]
    if not after:
        what = "nothing is said when the stream dies"
        return fault("spoken-fallback", what, "no verb behind </Connect>")
    return ok("spoken-fallback", "something is said when the stream dies", " ".join(after)[:200])
