"""What stands before every request: who may ask from where, and what a browser may do with answers.

The page has no scripts but its own and nobody may frame it. A request that changes something needs
the session's cookie, its CSRF token in a header, and the page's own origin; and the host must be
one that is meant, so that no name on the internet can be made to lead here.
"""

from __future__ import annotations

import hmac
import time
from collections import defaultdict, deque
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["CSP", "Guard", "Throttle", "csrf_holds"]

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self'; font-src 'self'; connect-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'"
)
_HEADERS: Final = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=()",
}
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_BODY: Final = 256 * 1024
_TOO_LARGE: Final = f"at most {_MAX_BODY} bytes"
_MOST_KEYS: Final = 10_000


class Guard:
    """Checks host, origin and size of every request, and puts the headers on every answer.

    ``public_url``: the console as browsers reach it. ``own_url``: as it listens, for this machine.
    """

    def __init__(self, app: ASGIApp, *, public_url: str, own_url: str) -> None:
        self._app = app
        self._origins = {_origin(url) for url in (public_url, *_names_of_loopback(own_url))}
        self._hosts = {urlsplit(origin).netloc for origin in self._origins}
        self._hsts = public_url.startswith("https://")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                put = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    put.setdefault(name, value)
                if scope["path"].startswith("/api/"):
                    put.setdefault("cache-control", "no-store")
                if self._hsts:
                    put.setdefault("strict-transport-security", "max-age=31536000")
            await send(message)

        got = 0

        async def counted() -> Message:
            """A body says how long it is, or it is sent in pieces and does not."""
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > _MAX_BODY:
                raise HTTPException(413, _TOO_LARGE)
            return message

        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, guarded)
            return
        await self._app(scope, counted, guarded)

    def _refusal(self, scope: Scope, headers: Headers) -> JSONResponse | None:
        if headers.get("host", "").lower() not in self._hosts:
            return _error(421, "wrong_host", "this is not where the console is", _HOST_FIX)
        if not scope["path"].isprintable() or b"%00" in scope["query_string"]:
            return _error(400, "invalid", "the address has characters that none of ours has", "")
        if scope["method"] in _SAFE:
            return None
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
        foreign = origin is not None and origin.lower() not in self._origins
        if foreign or site not in ("same-origin", "none"):
            return _error(403, "csrf", "another site asked for this", "")
        return self._no_body(headers)

    @staticmethod
    def _no_body(headers: Headers) -> JSONResponse | None:
        """Why no body is taken that comes with these."""
        length = headers.get("content-length", "0")
        known = length.isascii() and length.isdigit() and len(length) < 10
        if not known or int(length) > _MAX_BODY:
            return _error(413, "too_large", _TOO_LARGE, "")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if (int(length) or "transfer-encoding" in headers) and kind != "application/json":
            return _error(415, "invalid", "send JSON, with its content type", "")
        return None


class Throttle:
    """Counts what failed: at most so many within so long, for each key.

    Count a try as failed before it is made, and take it back when it went right: else a hundred
    tries at once are all made before the first has failed.
    """

    def __init__(self, most: int = 5, within_s: float = 900.0) -> None:
        self._most = most
        self._within_s = within_s
        self._failed: dict[str, deque[float]] = defaultdict(deque)

    def wait_s(self, key: str) -> int | None:
        """How long whoever has this key has to wait; None: not at all."""
        now = time.monotonic()
        times = self._failed.get(key)
        while times and times[0] <= now - self._within_s:
            times.popleft()
        if not times or len(times) < self._most:
            return None
        return max(0, round(times[0] + self._within_s - now)) + 1

    def failed(self, key: str) -> None:
        """It went wrong once more."""
        self._failed[key].append(time.monotonic())
        if len(self._failed) > _MOST_KEYS:
            self._failed.pop(next(iter(self._failed)))

    def undo(self, key: str) -> None:
        """It did not go wrong after all; what went wrong before still counts."""
        if times := self._failed.get(key):
            times.pop()

    def worked(self, key: str) -> None:
        """It went right: what failed before is forgotten."""
        self._failed.pop(key, None)


def csrf_holds(sent: str | None, kept: str) -> bool:
    """Whether a request brought its session's token."""
    return sent is not None and hmac.compare_digest(sent.encode(), kept.encode())


_HOST_FIX: Final = "set CONSOLE_PUBLIC_URL to the address browsers use"


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _names_of_loopback(url: str) -> list[str]:
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    names = ("localhost", "127.0.0.1", "[::1]")
    return [url, *(f"{parts.scheme}://{name}{port}" for name in names)]


def _error(status: int, code: str, says: str, fix: str) -> JSONResponse:
    return JSONResponse({"error": code, "says": says, "fix": fix}, status_code=status)
