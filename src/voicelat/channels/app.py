"""The channels' process as an ASGI application: webhooks, media, and what the console asks.

Webhooks are open to the world and signed by Twilio; links to media are signed by us; everything
else needs the token.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from voicelat.channels import webhooks
from voicelat.channels.carrier import Carrier
from voicelat.channels.inbox import Inbox
from voicelat.channels.journal import Journal
from voicelat.channels.media import MAX_BYTES, MediaStore, Signer, Stored, safe_type
from voicelat.channels.provider import Health, Provider, ProviderName, SendFailed, Told
from voicelat.errors import ConnectError, UsageError

__all__ = ["Channels", "Twilio"]

_LOG = logging.getLogger("voicelat.channels")

_EMPTY: Final = '<?xml version="1.0" encoding="UTF-8"?><Response/>'
_MAX_FORM: Final = 64 * 1024
_MAX_JSON: Final = 64 * 1024
_HEALTH_S: Final = 5.0
"""A provider's state is asked for at most so often, however many look."""
_LONGEST_POLL_S: Final = 30.0
_STOPPED: Final = "it stopped, and is started again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Twilio:
    """What webhooks are checked against."""

    account_sid: str
    auth_token: str
    public_base_url: str | None
    """None: what the request itself says, which is right only without a proxy."""


class Channels:
    """``app`` is the application; its lifespan runs inbox and carrier.

    ``token``: what whoever asks must have; None: nothing (loopback only). ``twilio``: None: its
    webhooks are not taken. ``missing``: providers that are not set up, and what is missing.
    """

    def __init__(
        self,
        journal: Journal,
        inbox: Inbox,
        carrier: Carrier,
        media: MediaStore,
        signer: Signer,
        *,
        token: str | None,
        twilio: Twilio | None,
        missing: dict[ProviderName, str],
        peers: tuple[Any, ...] = (),
    ) -> None:
        self._journal = journal
        self._inbox = inbox
        self._carrier = carrier
        self._media = media
        self._signer = signer
        self._token = token
        self._twilio = twilio
        self._missing = missing
        self._peers = peers
        self._health: dict[str, tuple[float, Health]] = {}
        self.refused = 0
        """Webhooks that nobody of Twilio signed."""
        guarded = self._guarded
        self.app = Starlette(
            routes=[
                Route(webhooks.INCOMING, self._incoming, methods=["POST"]),
                Route(webhooks.STATUS, self._status_callback, methods=["POST"]),
                Route("/media/{signed}", self._signed_media),
                Route("/healthz", self._healthz),
                Route("/v1/status", guarded(self._status)),
                Route("/v1/provider", guarded(self._use), methods=["POST"]),
                Route("/v1/logout", guarded(self._logout), methods=["POST"]),
                Route("/v1/events", guarded(self._events)),
                Route("/v1/media", guarded(self._add_media), methods=["POST"]),
                Route("/v1/erase", guarded(self._erase), methods=["POST"]),
                Route("/v1/media/{media_id}", guarded(self._one_medium)),
            ],
            lifespan=self._lifespan,
            exception_handlers={HTTPException: _as_json},
        )

    @asynccontextmanager
    async def _lifespan(self, _app: object) -> AsyncIterator[None]:
        providers = self._carrier.providers
        work = [
            asyncio.create_task(_kept_up("the inbox", lambda: self._inbox.run(providers))),
            asyncio.create_task(_kept_up("the carrier", self._carrier.run)),
        ]
        try:
            yield
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            for one in (*providers.values(), *self._peers):
                await one.aclose()
            await asyncio.to_thread(self._journal.close)

    # -- webhooks -----------------------------------------------------------------------------

    async def _incoming(self, request: Request) -> Response:
        form = await self._genuine_form(request)
        try:
            told = webhooks.incoming(form, datetime.now(UTC))
        except webhooks.BadWebhook as error:
            return _error(422, "invalid", str(error))
        return await self._took(told, Response(_EMPTY, media_type="text/xml"))

    async def _status_callback(self, request: Request) -> Response:
        form = await self._genuine_form(request)
        try:
            told = webhooks.receipt(form, request.query_params.get("message"), datetime.now(UTC))
        except webhooks.BadWebhook as error:
            return _error(422, "invalid", str(error))
        nothing = Response(status_code=204)
        return nothing if told is None else await self._took(told, nothing)

    async def _took(self, told: Told, answer: Response) -> Response:
        """The answer, once it is kept. Twilio tries again where it is not."""
        try:
            await self._inbox.take("twilio", told)
        except ConnectError as error:
            _LOG.error("a webhook cannot be kept: %s", error)
            return _error(503, "busy", "the channels' database does not answer")
        return answer

    async def _genuine_form(self, request: Request) -> dict[str, str]:
        """The form. Raises HTTPException for one that Twilio did not sign."""
        twilio = self._twilio
        if twilio is None:
            raise _Refusal(503, "not_set_up", "Twilio is not set up here")
        form = await _form(request)
        base = twilio.public_base_url or f"{request.url.scheme}://{request.url.netloc}"
        query = f"?{request.url.query}" if request.url.query else ""
        url = f"{base.rstrip('/')}{request.url.path}{query}"
        if not webhooks.genuine(url, form, request.headers, twilio.auth_token, twilio.account_sid):
            self.refused += 1
            where = f"{base.rstrip('/')}{request.url.path}"
            raise _Refusal(403, "forged", f"the signature is not Twilio's for {where}")
        return form

    # -- what the console asks ----------------------------------------------------------------

    async def _status(self, _request: Request) -> Response:
        return JSONResponse(await self.status())

    async def status(self) -> dict[str, Any]:
        """How everything stands, as JSON."""
        carried = self._carrier.providers
        healths = await asyncio.gather(*(self._stands(name) for name in carried))
        shown = [
            {"name": name, "configured": True, **asdict(health)}
            for name, health in zip(carried, healths, strict=True)
        ]
        for name, says in self._missing.items():
            down = Health(
                state="down", says="it is not set up", fix=says, account=None, qr=None, warnings=()
            )
            shown.append({"name": name, "configured": False, **asdict(down)})
        day = datetime.now(UTC) - timedelta(days=1)
        out = await asyncio.to_thread(self._journal.outbound, day)
        inbound = await asyncio.to_thread(self._journal.inbound)
        return {
            "provider": await self._carrier.provider(),
            "providers": sorted(shown, key=lambda one: str(one["name"])),
            "under_way": out.get("under_way", 0),
            "uncertain": out.get("uncertain", 0),
            "failed": out.get("failed", 0),
            "inbound": inbound.get("kept", 0) + inbound.get("filed", 0),
            "refused": inbound.get("refused", 0),
            "forged": self.refused,
            "waits_for": self._carrier.waits_for,
        }

    async def _stands(self, name: ProviderName) -> Health:
        now = asyncio.get_running_loop().time()
        asked = self._health.get(name)
        if asked is None or now - asked[0] > _HEALTH_S:
            asked = (now, await self._carrier.providers[name].health())
            self._health[name] = asked
        return asked[1]

    async def _use(self, request: Request) -> Response:
        wanted = (await _json(request)).get("provider")
        if wanted not in (None, "twilio", "baileys"):
            return _error(422, "invalid", "provider must be twilio, baileys or null")
        try:
            await self._carrier.use(wanted)
        except UsageError as error:
            return _error(409, "not_set_up", str(error))
        return await self._status(request)

    async def _logout(self, request: Request) -> Response:
        wanted = (await _json(request)).get("provider")
        found: Provider | None = next(
            (one for name, one in self._carrier.providers.items() if name == wanted), None
        )
        if found is None:
            return _error(409, "not_set_up", "there is no such provider here")
        try:
            await found.logout()
        except SendFailed as failed:
            return _error(409, failed.code, failed.says)
        self._health.clear()
        return await self._status(request)

    async def _events(self, request: Request) -> Response:
        """What happened behind ``after``; waits ``wait_s`` for it where there is nothing yet."""
        after = _number(request, "after", 2**62)
        until = asyncio.get_running_loop().time() + min(
            _number(request, "wait_s", 3600), _LONGEST_POLL_S
        )
        while True:
            news = await asyncio.to_thread(self._journal.news, after)
            if news or asyncio.get_running_loop().time() >= until:
                return JSONResponse({"events": news, "next": news[-1]["id"] if news else after})
            await asyncio.sleep(0.2)

    async def _healthz(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    # -- media --------------------------------------------------------------------------------

    async def _signed_media(self, request: Request) -> Response:
        media_id = self._signer.media_id(request.path_params["signed"])
        return await self._medium(media_id)

    async def _one_medium(self, request: Request) -> Response:
        return await self._medium(request.path_params["media_id"])

    async def _medium(self, media_id: str | None) -> Response:
        stored = None if media_id is None else await asyncio.to_thread(self._media.find, media_id)
        if stored is None:
            return _error(404, "not_found", "there is no such medium, or the link is too old")
        return _file_of(self._media, stored)

    async def _add_media(self, request: Request) -> Response:
        content = await _body(request, MAX_BYTES)
        kind = safe_type(request.headers.get("content-type", ""))
        name = request.query_params.get("file_name")
        stored = await asyncio.to_thread(self._media.add, content, kind, name)
        return JSONResponse(msgspec.to_builtins(stored))

    async def _erase(self, request: Request) -> Response:
        asked = await _json(request)
        media, messages = _ids(asked, "media_ids"), _ids(asked, "message_ids")
        return JSONResponse(
            {
                "media": await asyncio.to_thread(self._media.erase, media),
                "sends": await asyncio.to_thread(self._journal.erase, messages),
            }
        )

    def _guarded(
        self, endpoint: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            sent = request.headers.get("authorization", "").encode()
            if self._token is not None and not hmac.compare_digest(
                sent, f"Bearer {self._token}".encode()
            ):
                return _error(401, "unauthorised", "send CHANNELS_TOKEN as a bearer token")
            try:
                return await endpoint(request)
            except ConnectError as error:
                return _error(503, "busy", str(error))

        return guarded


async def _kept_up(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Whatever goes wrong in it, messages go on being carried; it is told, and never silent."""
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001 - the last line of defence of a process that must go on
            _LOG.exception("%s: %s", name, _STOPPED)
        await asyncio.sleep(1)


def _file_of(media: MediaStore, stored: Stored) -> Response:
    name = stored.file_name or stored.media_id
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, no-store",
    }
    return FileResponse(
        media.path(stored.media_id),
        media_type=stored.content_type,
        filename=name,
        headers=headers,
        content_disposition_type="inline" if stored.inline else "attachment",
    )


async def _body(request: Request, most: int) -> bytes:
    body = bytearray()
    with suppress(ClientDisconnect):
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise _Refusal(413, "too_large", f"at most {most} bytes")
    return bytes(body)


async def _form(request: Request) -> dict[str, str]:
    """Fields that are given twice are no form of Twilio's."""
    request._body = await _body(request, _MAX_FORM)  # what `form` reads
    form = await request.form()
    pairs = [
        (name, value) for name, value in form.multi_items() if not isinstance(value, UploadFile)
    ]
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _Refusal(422, "invalid", "a field is given twice")
    return fields


async def _json(request: Request) -> dict[str, Any]:
    try:
        read = msgspec.json.decode(await _body(request, _MAX_JSON))
    except (msgspec.DecodeError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise _Refusal(422, "invalid", "the body must be a JSON object")
    return read


def _ids(asked: dict[str, Any], name: str) -> list[str]:
    ids = asked.get(name)
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise _Refusal(422, "invalid", f"{name} must be a list of ids")
    return ids


def _number(request: Request, name: str, most: int) -> int:
    said = request.query_params.get(name, "0")
    if not (said.isascii() and said.isdigit() and len(said) < 20 and int(said) <= most):
        raise _Refusal(422, "invalid", f"{name} must be a whole number up to {most}")
    return int(said)


class _Refusal(HTTPException):
    """An answer that ends a request, from wherever it is found to be wrong."""

    def __init__(self, status: int, code: str, says: str) -> None:
        super().__init__(status, says)
        self.code = code


def _error(status: int, code: str, says: str) -> Response:
    return JSONResponse({"error": code, "says": says, "fix": ""}, status_code=status)


async def _as_json(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = error.code if isinstance(error, _Refusal) else "http"
    return _error(error.status_code, code, error.detail)
