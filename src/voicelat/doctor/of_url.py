"""A server somewhere, examined from outside: its webhook, its media socket, and real calls."""

from __future__ import annotations

import asyncio
import datetime as dt
import http.client
import ssl
import uuid
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from voicelat.doctor import calls, network, sockets, webhook
from voicelat.doctor.catalog import CHECKS, fault, ok, skipped
from voicelat.doctor.measures import Measure, Told, examine
from voicelat.doctor.result import CheckResult
from voicelat.doctor.services import Service
from voicelat.errors import ConnectError
from voicelat.loadtest.cast import Cast
from voicelat.loadtest.target import Reached, Target, stream_of
from voicelat.settings import Settings

__all__ = ["examine_url"]

_PATIENCE_S: Final = 10.0
_EXPIRES_SOON: Final = dt.timedelta(days=14)
_FORGED: Final = "Zm9yZ2Vk"


@dataclass(slots=True)
class _Site:
    """What is being examined, and what was found out on the way."""

    url: str
    settings: Settings
    target: Target
    calls: int
    cast: Cast | None
    reached: Reached | None = None
    unreached: str = ""
    """Why the media socket is not known."""
    service: Service = field(init=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        tls = parts.scheme in ("https", "wss")
        port = parts.port or (443 if tls else 80)
        self.service = Service("the server", parts.hostname or "", port, tls, self.is_webhook)

    @property
    def is_webhook(self) -> bool:
        return urlsplit(self.url).scheme in ("http", "https")

    @property
    def token(self) -> str | None:
        return self.settings.twilio_auth_token

    async def way_in(self) -> Reached | None:
        """The way for one more call; None, with the reason noted, when there is none."""
        try:
            self.reached = await self.target.reach()
        except ConnectError as error:
            self.reached, self.unreached = None, str(error)
        return self.reached


async def examine_url(
    url: str,
    settings: Settings,
    told: Told,
    wanted: frozenset[str] = frozenset(CHECKS),
    *,
    calls: int = 2,
    cast: Cast | None = None,
) -> None:
    """Examine a webhook (http, https) or a media socket (ws, wss).

    ``told`` is called with each result as it is there; ``wanted`` names the checks to do.
    ``calls`` scripted calls are placed at the end, by ``cast`` (None: `ordinary_callers`).
    Raises UsageError for another URL, MissingExtra without the ``loadtest`` extra, ConnectError
    when there is nobody at all.
    """
    async with Target(url, settings.twilio_auth_token) as target:
        site = _Site(url, settings, target, calls, cast)
        certified, trusted = await _certificate(site)
        if "certificate" in wanted:
            told(certified)
        if trusted:
            await examine(_MEASURES, site, told, wanted)


async def _certificate(site: _Site) -> tuple[CheckResult, bool]:
    """Connect as Twilio does, which shows first of all whether anybody is there; and whether
    anything more can be tried."""
    service = site.service
    context = ssl.create_default_context() if service.tls else None
    try:
        async with asyncio.timeout(_PATIENCE_S):
            _, writer = await asyncio.open_connection(service.host, service.port, ssl=context)
    except ssl.SSLCertVerificationError as error:
        return fault("certificate", "the certificate is not valid", error.verify_message), False
    except TimeoutError:
        raise ConnectError(f"{site.url}: no answer within {_PATIENCE_S:g} s") from None
    except (OSError, UnicodeError) as error:
        raise ConnectError(f"{site.url}: {error}") from None
    found = writer.get_extra_info("peercert")
    writer.transport.abort()
    if not service.tls:
        return skipped("certificate", "the URL is not https or wss"), True
    return judged_expiry(found, dt.datetime.now(dt.UTC)), True


def judged_expiry(certificate: dict[str, Any], now: dt.datetime) -> CheckResult:
    """How long a certificate that is valid stays so."""
    ends = dt.datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), dt.UTC)
    evidence = f"valid until {ends:%Y-%m-%d}"
    if ends - now < _EXPIRES_SOON:
        return fault("certificate", f"the certificate ends in {(ends - now).days} days", evidence)
    return ok("certificate", "the certificate is valid", evidence)


async def _webhook(site: _Site) -> list[CheckResult]:
    """Two requests: the second is judged, as that of a server that is warm."""
    if not site.is_webhook:
        return []
    await site.target.ask(site.url, _call_sid())
    answer = await site.target.ask(site.url, _call_sid())
    found = [*webhook.judged_answer(answer), webhook.judged_server(answer)]
    if answer.status == 200:
        found += webhook.judged_twiml(answer.body, site.url)
    return found


def _call_sid() -> str:
    return f"CA{uuid.uuid4().hex}"


async def _forged(site: _Site) -> list[CheckResult]:
    if not site.is_webhook:
        return []
    if site.token is None:
        return [skipped("forged-requests", "TWILIO_AUTH_TOKEN is not set here")]
    answer = await site.target.ask(site.url, _call_sid(), _FORGED)
    evidence = f"HTTP {answer.status} to a forged X-Twilio-Signature"
    if answer.status == 200 and _opens_stream(answer.body, site.url):
        return [fault("forged-requests", "a forged request gets a stream", evidence)]
    return [ok("forged-requests", "a forged request gets no stream", evidence)]


def _opens_stream(body: bytes, url: str) -> bool:
    try:
        return not isinstance(stream_of(body, url), str)
    except ConnectError:
        return False


async def _debug_pages(site: _Site) -> list[CheckResult]:
    """Ask for a page that is not there, for Werkzeug's debugger, and with a broken form."""
    if not site.is_webhook:
        return []
    try:
        pages = await asyncio.to_thread(_odd_pages, site)
    except (OSError, http.client.HTTPException) as error:
        return [skipped("debug-pages", f"odd requests get no answer: {error}")]
    open_ = [name for name, body in pages.items() if webhook.shows_debugger(body)]
    if open_:
        what = "errors are answered with a debugger's page"
        return [fault("debug-pages", what, f"answering {', '.join(open_)}")]
    return [ok("debug-pages", "errors show no debugger", f"{len(pages)} odd requests")]


_MULTIPART: Final = {"Content-Type": "multipart/form-data"}
_MOST: Final = 262_144


def _odd_pages(site: _Site) -> dict[str, bytes]:
    path = urlsplit(site.url).path or "/"
    debugger = "/?__debugger__=yes&cmd=resource&f=debugger.js"
    asked: tuple[tuple[str, str, bytes | None], ...] = (
        ("GET", f"/voicelat-doctor-{uuid.uuid4().hex}", None),
        ("GET", debugger, None),
        ("POST", path, b"not a form"),
    )
    make = http.client.HTTPSConnection if site.service.tls else http.client.HTTPConnection
    pages: dict[str, bytes] = {}
    for method, where, body in asked:
        connection = make(site.service.host, site.service.port, timeout=_PATIENCE_S)
        try:
            connection.request(method, where, body, _MULTIPART if body else {})
            answer = connection.getresponse()
            pages[f"{method} {where}"] = answer.read(_MOST)
        finally:
            connection.close()
    return pages


async def _name(site: _Site) -> list[CheckResult]:
    host = site.service.host
    try:
        return [network.judged_dns(host, await network.resolve_ms(host))]
    except (OSError, UnicodeError) as error:
        return [skipped("dns", f"{host} does not resolve here: {error}")]


async def _round_trip(site: _Site) -> list[CheckResult]:
    return list(network.judged_trips([await network.trip(site.service)]))


async def _clock(site: _Site) -> list[CheckResult]:
    if not site.is_webhook:
        return []
    try:
        offset = await asyncio.to_thread(network.clock_offset, site.service)
    except (OSError, http.client.HTTPException) as error:
        return [skipped("wall-clock", f"{site.url} does not tell its time: {error}")]
    return [network.judged_clock(site.service.address, offset)]


async def _socket(site: _Site) -> list[CheckResult]:
    reached = await site.way_in()
    if reached is None:
        return [skipped("socket", f"there is no media socket to try: {site.unreached}")]
    found: list[CheckResult] = []
    if not site.is_webhook:
        found += webhook.judged_stream_url(reached.url, "")
    try:
        shaken = await sockets.shake_hands(reached)
    except ConnectError as error:
        site.reached, site.unreached = None, str(error)
        return [*found, fault("socket", "the stream's URL leads nowhere", str(error))]
    if shaken.refused is not None:
        site.reached, site.unreached = None, shaken.refused
    return [*found, *sockets.judged_handshake(reached.url, shaken)]


async def _reading(site: _Site) -> list[CheckResult]:
    reached = await _again(site)
    if reached is None:
        return [skipped("reads-audio", f"there is no media socket to try: {site.unreached}")]
    return [await sockets.judged_reading(reached)]


async def _strangers(site: _Site) -> list[CheckResult]:
    reached = await _again(site)
    if reached is None:
        return [skipped("forged-sockets", f"there is no media socket to try: {site.unreached}")]
    if site.token is None:
        return [skipped("forged-sockets", "TWILIO_AUTH_TOKEN is not set here")]
    if await sockets.stranger_is_taken(reached.url):
        evidence = "forged x-twilio-signature, no parameters"
        return [fault("forged-sockets", "a stranger's socket is taken to a call", evidence)]
    return [ok("forged-sockets", "a stranger's socket is closed")]


async def _again(site: _Site) -> Reached | None:
    """One more way in, unless the last one led nowhere."""
    return None if site.unreached else await site.way_in()


async def _calls(site: _Site) -> list[CheckResult]:
    if not site.calls:
        return [skipped("calls", "no calls were asked for (--calls 0)")]
    if await _again(site) is None:
        return [skipped("calls", f"no call can be placed: {site.unreached}")]
    cast = site.cast or await calls.ordinary_callers()
    try:
        held = await calls.hold(site.target, cast, site.calls)
    except ConnectError as error:
        return [fault("calls", "a call cannot be placed", str(error))]
    return list(calls.judged_calls(held, site.settings))


_MEASURES: Final = (
    Measure(
        (
            *("webhook-status", "webhook-time", "webhook-type", "keep-alive", "twiml"),
            *("one-way-stream", "stream-url", "stream-parameters", "stream-track"),
            *("spoken-fallback", "development-server"),
        ),
        _webhook,
    ),
    Measure(("forged-requests",), _forged),
    Measure(("debug-pages",), _debug_pages),
    Measure(("dns",), _name),
    Measure(("round-trip",), _round_trip),
    Measure(("wall-clock",), _clock),
    Measure(("socket", "compression", "stream-url"), _socket),
    Measure(("reads-audio",), _reading),
    Measure(("forged-sockets",), _strangers),
    Measure(("greeting", "voice-to-voice", "calls"), _calls),
)
