"""The way to a server under test: its media socket, or the webhook that names it.

A webhook is called as Twilio calls it: a signed form, whose answer is TwiML that is followed to
its ``<Connect><Stream>``. Once per call, since servers put one-time tokens into it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree

from voicelat.errors import ConnectError, MissingExtra, UsageError
from voicelat.twilio.signature import signature_of

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Answer", "Reached", "Target", "stream_of"]

_WEBHOOK_S: Final = 15
"""Twilio's own patience with a webhook."""
_MAX_TWIML: Final = 65_536
"""Bytes. Twilio takes no more of a document either."""
_REDIRECTS: Final = 5
_SAID: Final = 80
_SIGNATURE: Final = "X-Twilio-Signature"
_FORM: Final = {
    "AccountSid": "AC00000000000000000000000000000000",
    "From": "+15550100",
    "To": "+15550199",
    "CallStatus": "ringing",
    "Direction": "inbound",
    "ApiVersion": "2010-04-01",
}


@dataclass(frozen=True, slots=True)
class Reached:
    """Where a call's media socket is, and what to bring."""

    url: str
    call_sid: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    """For the ``start`` message."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """For the handshake."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a webhook answered to one request, whatever it was."""

    status: int
    headers: Mapping[str, str]
    """Names of any case."""
    body: bytes
    """A little more than Twilio would read of it, at most."""
    ms: float
    """From the request to the end of the body."""
    keeps: bool
    """Whether the connection stays open for the next request."""


class Target:
    """A ``ws(s)://`` socket or an ``http(s)://`` webhook. ``auth_token`` is Twilio's; None signs
    nothing. Use it as ``async with``. Raises UsageError for any other URL."""

    def __init__(self, url: str, auth_token: str | None = None) -> None:
        scheme = urlsplit(url).scheme
        if scheme not in ("ws", "wss", "http", "https") or not urlsplit(url).hostname:
            raise UsageError(
                f"{url}: give a socket (ws://HOST/media, wss://...) or a webhook "
                "(http://HOST/voice, https://...)"
            )
        self._url = url
        self._is_webhook = scheme in ("http", "https")
        self._token = auth_token
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Target:
        if self._is_webhook:
            try:
                import aiohttp
            except ImportError:
                raise MissingExtra("loadtest", "calling a webhook (aiohttp)") from None
            timeout = aiohttp.ClientTimeout(total=_WEBHOOK_S)
            self._http = aiohttp.ClientSession(timeout=timeout)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._http is not None:
            await self._http.close()

    async def reach(self) -> Reached:
        """The way for one new call. Raises ConnectError when the webhook cannot be reached,
        refuses, or answers with anything but a stream."""
        call_sid = f"CA{uuid.uuid4().hex}"
        if not self._is_webhook:
            return Reached(self._url, call_sid, {}, self._signed(self._url))
        url = self._url
        for _ in range(_REDIRECTS):
            found = stream_of(await self._post(url, call_sid), url)
            if isinstance(found, str):
                url = _joined(url, found)
                continue
            stream_url, parameters = found
            return Reached(stream_url, call_sid, parameters, self._signed(stream_url))
        raise ConnectError(f"{self._url}: redirected more than {_REDIRECTS} times")

    async def ask(self, url: str, call_sid: str, signature: str | None = None) -> Answer:
        """Call a webhook once, without following anything. ``signature``: None is Twilio's, made
        with the auth token. Raises ConnectError when no answer comes."""
        assert self._http is not None, "use it as `async with`, on a webhook"
        import aiohttp

        form = {**_FORM, "CallSid": call_sid}
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        try:
            headers = self._signed(url, form) if signature is None else {_SIGNATURE: signature}
            async with self._http.post(
                url, data=form, headers=headers, allow_redirects=False
            ) as answer:
                body = await _body(answer.content)
                ms = (loop.time() - begun_s) * 1000
        except (aiohttp.ClientError, ValueError) as error:
            raise ConnectError(f"{url}: {error}") from None
        except TimeoutError:
            raise ConnectError(f"{url}: no answer within {_WEBHOOK_S} s") from None
        old = answer.version is not None and answer.version < aiohttp.HttpVersion11
        keeps = not old and answer.headers.get("Connection", "").lower() != "close"
        return Answer(answer.status, answer.headers, body, ms, keeps)

    async def _post(self, url: str, call_sid: str) -> bytes:
        answer = await self.ask(url, call_sid)
        if answer.status != 200:
            hint = " (signed with another auth token?)" if answer.status == 403 else ""
            raise ConnectError(f"{url}: HTTP {answer.status}{hint}")
        if len(answer.body) > _MAX_TWIML:
            raise ConnectError(f"{url}: more than {_MAX_TWIML} bytes of TwiML")
        return answer.body

    def _signed(self, url: str, form: Mapping[str, str] | None = None) -> dict[str, str]:
        if self._token is None:
            return {}
        return {_SIGNATURE: signature_of(self._token, url, form or {})}


def _joined(url: str, redirect: str) -> str:
    try:
        return urljoin(url, redirect)
    except ValueError as error:
        raise ConnectError(f"{url}: redirects to {redirect[:_SAID]!r}: {error}") from None


def _is_socket(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("ws", "wss")
    except ValueError:
        return False


async def _body(content: aiohttp.StreamReader) -> bytes:
    """All of it, or a little more than may be: it may come in pieces."""
    body = b""
    while len(body) <= _MAX_TWIML and (piece := await content.read(_MAX_TWIML + 1)):
        body += piece
    return body


def stream_of(twiml: bytes, url: str) -> tuple[str, dict[str, str]] | str:
    """The stream's URL and parameters in a TwiML document, or the URL it redirects to.

    Raises ConnectError, with what the document does instead.
    """
    try:
        response = ElementTree.fromstring(twiml)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ConnectError(f"{url}: no TwiML: {error}") from None
    stream = response.find("Connect/Stream")
    if stream is not None:
        found = stream.get("url") or ""
        if not _is_socket(found):
            raise ConnectError(f"{url}: <Stream url={found!r}> is no ws:// or wss:// address")
        return found, {
            parameter.get("name", ""): parameter.get("value", "")
            for parameter in stream.findall("Parameter")
        }
    redirect = response.findtext("Redirect")
    if redirect is not None:
        return redirect.strip()
    if response.find("Start/Stream") is not None:
        raise ConnectError(f"{url}: <Start><Stream> only listens: a voice agent needs <Connect>")
    said = " ".join("".join(element.itertext()) for element in response.iter("Say")).strip()
    does = f"says {said[:_SAID]!r}" if said else "has no <Connect><Stream>"
    raise ConnectError(f"{url}: the TwiML {does}")
