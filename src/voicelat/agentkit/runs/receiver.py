"""The receiver: takes events over HTTP and has each kept before it says so."""

from __future__ import annotations

import hmac
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

import anyio.to_thread
import msgspec
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from voicelat.agentkit.runs.event import Event

__all__ = ["Receiver"]

_LOG = logging.getLogger("voicelat.agents")

MAX_BODY: Final = 1_048_576
_MAX_EVENTS: Final = 1000


class Taker(Protocol):
    """Where events go: a worker."""

    def start(self) -> None:
        """Begin to work."""
        ...

    def stop(self, grace_s: float = 5.0) -> None:
        """Let what can end, end."""
        ...

    def enqueue(self, event: Event) -> None:
        """Keep an event. May block."""
        ...


class _Batch(msgspec.Struct):
    events: list[msgspec.Raw]


class Receiver:
    """``app`` is its ASGI application: ``POST /v1/events`` and ``GET /healthz``.

    Its lifespan starts and stops the worker. ``token``: what a sender must have; None: nothing.
    """

    def __init__(
        self,
        worker: Taker,
        token: str | None,
        *,
        grace_s: float = 5.0,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._worker = worker
        self._token = token
        self._grace_s = grace_s
        self._on_stop = on_stop
        self.accepted = 0
        """Events kept, sent for the first time or again."""
        self.refused = 0
        """Those that are none."""
        self.app = Starlette(
            routes=[
                Route("/v1/events", self._events, methods=["POST"]),
                Route("/healthz", self._healthz),
            ],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _app: object) -> AsyncIterator[None]:
        await anyio.to_thread.run_sync(self._worker.start)
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(self._worker.stop, self._grace_s)
            self._on_stop()

    async def _healthz(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok", "accepted": self.accepted, "refused": self.refused})

    async def _events(self, request: Request) -> Response:
        if self._token is not None and not _knows(request, self._token):
            return _error(401, "unauthorised", "send AGENTS_TOKEN as a bearer token")
        try:
            body = await _body(request)
            batch = None if body is None else msgspec.json.decode(body, type=_Batch)
        except ClientDisconnect:
            return Response(status_code=400)
        except (msgspec.DecodeError, RecursionError) as error:
            return _error(422, "invalid", f"the body is no list of events: {error}")
        if batch is None or len(batch.events) > _MAX_EVENTS:
            return _error(413, "too_large", f"at most {MAX_BODY} bytes and {_MAX_EVENTS} events")
        try:
            refused = await anyio.to_thread.run_sync(self._keep, batch.events)
        except SQLAlchemyError as error:
            _LOG.error("events cannot be kept: %s", error)
            return _error(503, "busy", "the agents' database does not answer")
        return JSONResponse({"accepted": len(batch.events) - refused, "refused": refused})

    def _keep(self, events: list[msgspec.Raw]) -> int:
        """Enqueue what is an event; returns how many are none."""
        refused = 0
        for raw in events:
            try:
                event = msgspec.json.decode(raw, type=Event)
            except (msgspec.DecodeError, RecursionError) as error:
                _LOG.warning("refused an event: %s", error)
                refused += 1
                continue
            self._worker.enqueue(event)
        self.refused += refused
        self.accepted += len(events) - refused
        return refused


def _knows(request: Request, token: str) -> bool:
    sent = request.headers.get("authorization", "")
    return hmac.compare_digest(sent.encode(), f"Bearer {token}".encode())


async def _body(request: Request) -> bytes | None:
    """The body; None when it is too large, however it was announced."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            return None
    return bytes(body)


def _error(status: int, code: str, says: str) -> Response:
    told: dict[str, Any] = {"error": code, "says": says}
    return JSONResponse(told, status_code=status)
