"""A stand-in for Twilio's messages, on loopback: what is sent is kept, and can be told of.

It answers as Twilio's REST API does to the real SDK (Messages.json, the account, media behind a
redirect), and it calls back with signed webhooks. What it should do wrong is asked of it: see
`TwilioDouble.fail` and `TwilioDouble.lose_answer`, and 63016 is one of the codes to fail with.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from twilio.request_validator import RequestValidator

from voicelat.asgi import Server

__all__ = ["Delivered", "TwilioDouble"]


@dataclass(slots=True)
class Delivered:
    """A message that was taken, as it was asked for."""

    sid: str
    form: dict[str, str]
    at: datetime
    status: str = "queued"
    body: str = ""
    """As the person reads it."""


@dataclass(slots=True)
class _Fault:
    status: int
    code: int
    says: str
    times: int


@dataclass(slots=True)
class TwilioDouble:
    """One account. Enter `run`, then point TWILIO_API_URL to ``url``.

    ``templates``: ContentSid -> its wording with places {{1}}, {{2}}.
    """

    account_sid: str = "AC" + "0" * 32
    auth_token: str = "double"
    templates: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    messages: list[Delivered] = field(default_factory=list)
    media: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Name -> type and bytes, behind `media_url`."""
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Every request for media: its path, and the credentials it brought."""
    came: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a message is taken; clear it to wait for the next."""
    _faults: list[_Fault] = field(default_factory=list)
    _losses: int = 0

    def fail(self, status: int, code: int = 20500, says: str = "a fault", times: int = 1) -> None:
        """Refuse the next messages so."""
        self._faults.append(_Fault(status, code, says, times))

    def lose_answer(self, times: int = 1) -> None:
        """Take the next messages, and hang up without an answer."""
        self._losses += times

    def media_url(self, name: str) -> str:
        """Where a medium is asked for first; it redirects to where it lies."""
        return f"{self.url}/2010-04-01/Accounts/{self.account_sid}/Messages/MM1/Media/{name}"

    @asynccontextmanager
    async def run(self, port: int = 0) -> AsyncIterator[TwilioDouble]:
        """Answer until the block is left."""
        account = "/2010-04-01/Accounts/{account}"
        app = Starlette(
            routes=[
                Route(f"{account}.json", self._account),
                Route(f"{account}/Messages.json", self._create, methods=["POST"]),
                Route(f"{account}/Messages.json", self._list),
                Route(f"{account}/Messages/{{sid}}/Media/{{name}}", self._redirect),
                Route("/kept/{name}", self._kept),
            ]
        )
        config = uvicorn.Config(app, port=port, log_config=None, timeout_graceful_shutdown=1)
        ready = asyncio.Event()
        server = Server(config, ready.set)
        work = asyncio.create_task(
            server._serve()
        )  # without its signal handlers: they are not ours
        await ready.wait()
        self.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.should_exit = True
            await work

    async def write(self, to: str, **form: str) -> httpx.Response:
        """Have somebody write: the incoming webhook at ``to``, signed. Gives its answer."""
        told = {
            "MessageSid": f"SM{secrets.token_hex(16)}",
            "AccountSid": self.account_sid,
            "From": "whatsapp:+972501234567",
            "To": "whatsapp:+15550100",
            "Body": "",
            "NumMedia": "0",
            "WaId": "972501234567",
            **form,
        }
        return await self.post_signed(to, told)

    async def call_back(self, message: Delivered, status: str, **form: str) -> httpx.Response:
        """Tell what became of a message, where its StatusCallback says."""
        message.status = status
        told = {
            "MessageSid": message.sid,
            "AccountSid": self.account_sid,
            "MessageStatus": status,
            "From": message.form.get("From", ""),
            "To": message.form["To"],
            **form,
        }
        return await self.post_signed(message.form["StatusCallback"], told)

    async def post_signed(self, url: str, form: Mapping[str, str]) -> httpx.Response:
        """A webhook with Twilio's signature."""
        signature = RequestValidator(self.auth_token).compute_signature(url, dict(form))
        async with httpx.AsyncClient(trust_env=False) as http:
            return await http.post(url, data=dict(form), headers={"X-Twilio-Signature": signature})

    async def sent(self, count: int) -> list[Delivered]:
        """All messages, once there are so many. Waits for ever."""
        while len(self.messages) < count:
            self.came.clear()
            await self.came.wait()
        return list(self.messages)

    async def _account(self, request: Request) -> Response:
        if not self._knows(request):
            return _fault(401, 20003, "Authenticate")
        return JSONResponse({"sid": self.account_sid, "status": "active", "type": "Full"})

    async def _create(self, request: Request) -> Response:
        if not self._knows(request):
            return _fault(401, 20003, "Authenticate")
        if self._faults:
            fault = self._faults[0]
            fault.times -= 1
            if fault.times <= 0:
                self._faults.pop(0)
            return _fault(fault.status, fault.code, fault.says)
        form = {name: str(value) for name, value in (await request.form()).items()}
        message = Delivered(f"SM{secrets.token_hex(16)}", form, datetime.now(UTC))
        message.body = self._read(form)
        self.messages.append(message)
        self.came.set()
        if self._losses:
            self._losses -= 1
            request.scope["extensions"] = {}
            return _HangUp()
        return JSONResponse(self._shown(message), status_code=201)

    async def _list(self, request: Request) -> Response:
        to = request.query_params.get("To")
        found = [
            self._shown(one) for one in reversed(self.messages) if to in (None, one.form["To"])
        ]
        page = {"uri": str(request.url), "page": 0, "page_size": 50, "next_page_uri": None}
        return JSONResponse({"messages": found, **page})

    async def _redirect(self, request: Request) -> Response:
        self.requests.append((request.url.path, request.headers.get("authorization")))
        if not self._knows(request):
            return _fault(401, 20003, "Authenticate")
        return RedirectResponse(f"{self.url}/kept/{request.path_params['name']}", 307)

    async def _kept(self, request: Request) -> Response:
        self.requests.append((request.url.path, request.headers.get("authorization")))
        found = self.media.get(request.path_params["name"])
        if found is None:
            return Response(status_code=404)
        return Response(found[1], media_type=found[0])

    def _knows(self, request: Request) -> bool:
        pair = base64.b64encode(f"{self.account_sid}:{self.auth_token}".encode()).decode()
        return request.headers.get("authorization") == f"Basic {pair}"

    def _read(self, form: Mapping[str, str]) -> str:
        wording = self.templates.get(form.get("ContentSid", ""))
        if wording is None:
            return form.get("Body", "")
        import json

        for number, text in json.loads(form.get("ContentVariables", "{}")).items():
            wording = wording.replace(f"{{{{{number}}}}}", text)
        return wording

    def _shown(self, message: Delivered) -> dict[str, Any]:
        at = format_datetime(message.at)
        return {
            "sid": message.sid,
            "account_sid": self.account_sid,
            "to": message.form["To"],
            "from": message.form.get("From"),
            "body": message.body,
            "direction": "outbound-api",
            "status": message.status,
            "date_created": at,
            "date_sent": at,
            "date_updated": at,
            "num_media": "0",
            "num_segments": "1",
            "error_code": None,
            "error_message": None,
            "price": None,
            "price_unit": "USD",
            "api_version": "2010-04-01",
            "uri": f"/2010-04-01/Accounts/{self.account_sid}/Messages/{message.sid}.json",
        }


class _HangUp(Response):
    """The connection ends without an answer."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send(
            {"type": "http.response.start", "status": 201, "headers": [(b"content-length", b"9")]}
        )
        raise ConnectionResetError("asked to lose the answer")


def _fault(status: int, code: int, says: str) -> Response:
    more = f"https://www.twilio.com/docs/errors/{code}"
    return JSONResponse(
        {"status": status, "code": code, "message": says, "more_info": more}, status_code=status
    )
