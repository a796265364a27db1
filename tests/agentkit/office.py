"""A back office in memory that keeps the contract of the internal API: scopes, idempotency keys,
grants, errors. It does nothing with what it is told but remember it.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from voicelat.agentkit.grants import arguments_sha256

__all__ = ["ANSWERS", "Office", "Written"]

AT = "2026-03-01T09:00:00+02:00"
ANSWERS: Mapping[str, dict[str, Any]] = {
    "calls.log_create": {"call_id": "CA1", "created": True},
    "calls.attach_recording": {"recording_id": "r1"},
    "stt.get_last_transcript": {
        "call_id": "CA1",
        "turns": [
            {"turn": 1, "speaker": "caller", "text": "My name is Dana.", "at": AT},
            {"turn": 1, "speaker": "agent", "text": "I will send you a message.", "at": AT},
        ],
    },
    "summary.generate": {"summary_id": "s1"},
    "calendar.find_slots": {"slots": [{"start": AT, "end": "2026-03-01T09:30:00+02:00"}]},
    "calendar.create": {"event_id": "e1"},
    "leads.upsert": {"lead_id": "l1", "created": True},
    "leads.tag": {"lead_id": "l1", "tags": ["hot"]},
    "leads.delete": {"lead_id": "l1"},
    "whatsapp.send": {"message_id": "m1", "status": "queued"},
    "whatsapp.fetch_thread": {"thread_id": None, "messages": []},
    "crm.search_customer": {
        "customers": [{"customer_id": "c1", "name": "Dana", "phone": None, "card": "4111"}]
    },
    "crm.get": {
        "customer_id": "c1",
        "name": "Dana",
        "phone": None,
        "email": None,
        "notes": "",
        "fields": [],
    },
    "crm.update": {"customer_id": "c1", "before": [], "after": []},
    "invoices.issue": {"invoice_id": "i1"},
}
READS = ("get", "find", "fetch", "search")


@dataclass(frozen=True)
class Written:
    """One write that was done."""

    agent: str
    tool: str
    arguments: dict[str, Any]
    granted: bool


@dataclass
class Office:
    """``tokens``: token -> (agent, scopes)."""

    tokens: dict[str, tuple[str, frozenset[str]]]
    needs_grant: Callable[[str, str, dict[str, Any]], bool] = lambda *_: False
    written: list[Written] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    """Path, headers and body of each."""
    first: list[Response | None] = field(default_factory=list)
    """Answered before anything is done, one per request. None: the connection is cut."""
    answers: dict[str, dict[str, Any]] = field(default_factory=lambda: dict(ANSWERS))
    _done: dict[tuple[str, str], tuple[bytes, dict[str, Any]]] = field(default_factory=dict)
    _grants: dict[str, dict[str, Any]] = field(default_factory=dict)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[str]:
        """Serve while the context lasts; yields the address."""
        app = Starlette(routes=[Route("/v1/{path:path}", self._answer, methods=["POST"])])
        config = uvicorn.Config(app, port=0, log_level="error", lifespan="off", ws="none")
        server = uvicorn.Server(config)
        listening = socket.create_server(("127.0.0.1", 0))  # connections wait until it serves
        serving = asyncio.create_task(server.serve([listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving

    async def _answer(self, request: Request) -> Response:
        body = await request.body()
        self.requests.append((request.url.path, dict(request.headers), body))
        if self.first:
            answer = self.first.pop(0)
            if answer is None:
                raise ConnectionResetError
            return answer
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.tokens:
            return _no(401, "unauthorised", "this token is not known")
        agent, scopes = self.tokens[token]
        tool = request.path_params["path"].replace("/", ".")
        if tool == "grants":
            return self._grant(body, scopes)
        if tool not in scopes or tool not in self.answers:
            return _no(403, "missing_scope", f"the token has no scope {tool}")
        if tool.partition(".")[2].startswith(READS):
            return JSONResponse(self.answers[tool])
        return self._write(agent, tool, body, request.headers)

    def _grant(self, body: bytes, scopes: frozenset[str]) -> Response:
        if "approvals.grant" not in scopes:
            return _no(403, "missing_scope", "the token has no scope approvals.grant")
        grant = f"grant-{len(self._grants)}"
        self._grants[grant] = json.loads(body)
        return JSONResponse({"grant": grant})

    def _write(self, agent: str, tool: str, body: bytes, headers: Mapping[str, str]) -> Response:
        if not (key := headers.get("idempotency-key")):
            return _no(400, "key_missing", "a write needs an Idempotency-Key")
        if found := self._done.get((agent, key)):
            if found[0] != body:
                return _no(409, "key_reused", "this key was used for another write")
            return JSONResponse(found[1])
        arguments = json.loads(body)
        granted = False
        if self.needs_grant(agent, tool, arguments):
            grant = self._grants.pop(headers.get("x-approval-grant", ""), None)
            if grant is None:
                return _no(403, "needs_grant", f"{tool} needs an approval")
            if (grant["tool"], grant["arguments_sha256"]) != (tool, arguments_sha256(arguments)):
                return _no(403, "grant_invalid", "the grant is for something else")
            granted = True
        self.written.append(Written(agent, tool, arguments, granted))
        self._done[agent, key] = (body, self.answers[tool])
        return JSONResponse(self.answers[tool])


def _no(status: int, code: str, says: str) -> Response:
    return JSONResponse({"error": code, "says": says, "fix": "Ask for it."}, status)
