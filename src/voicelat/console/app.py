"""The console as an ASGI application: the page, and what it asks and is told.

Each route stands in one table with the least role that opens it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from voicelat.agentkit.workflows.diagram import diagram
from voicelat.agentkit.workflows.graph import Workflow
from voicelat.agentkit.workflows.store import Store as Workflows
from voicelat.console.calls import Calls
from voicelat.console.feed import Feed
from voicelat.console.guard import Guard, Throttle, csrf_holds
from voicelat.console.live import Live
from voicelat.console.peers import CallsPeer, ChannelsPeer, OfficePeer, PeerAway
from voicelat.console.runs import Changed, Runs
from voicelat.console.store import ROLES, Event, Role, Session, Store
from voicelat.errors import ConnectError, VoicelatError

__all__ = ["PAGE", "Console", "Sources"]

PAGE: Final = files("voicelat.console") / "page"
_HEARTBEAT_S: Final = 15
_LOOK_S: Final = 2.0
_STREAMS_EACH: Final = 20
_STREAMS: Final = 500
_VERIFIED_AT_ONCE: Final = 2
"""A password takes Argon2 64 MB and a processor for a while: strangers must not have them all."""
_COOKIE: Final = "voicelat"
_SECURE_COOKIE: Final = "__Host-voicelat"
_MOST_TEXT: Final = 2000
_PAGE_OF: Final = 50
_OF_STATUS: Final = {404: "not_found", 413: "too_large"}

Handler = Callable[[Request, Session], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Everything that is shown, and everybody who is asked."""

    calls: Calls
    runs: Runs
    office: OfficePeer
    channels: ChannelsPeer
    server: CallsPeer
    workflows: Workflows
    publish: Callable[[str, str, str], str]
    """Name, YAML and who -> the version. Raises UsageError where its evals say no."""
    settings: Callable[[], list[dict[str, Any]]]
    findings: Callable[[], list[dict[str, Any]]]
    """Looks now. Blocks."""
    chat: Callable[[bytes, Session], Awaitable[Response]] | None = None
    """Answers OpenAI's ChatKit component. None: it is not installed."""


class Console:
    """``app`` is the application. ``public_url``: as browsers reach it; ``own_url``: where it
    listens."""

    def __init__(self, store: Store, sources: Sources, *, public_url: str, own_url: str) -> None:
        self._store = store
        self._sources = sources
        self._secure = public_url.startswith("https://")
        self._cookie = _SECURE_COOKIE if self._secure else _COOKIE
        self._throttle = Throttle()
        self._by_user = Throttle(most=50)
        self._by_address = Throttle(most=30)
        self._verifying = asyncio.Semaphore(_VERIFIED_AT_ONCE)
        self._streams: Counter[str] = Counter()
        """Open ones, by session."""
        self._findings: dict[str, Any] = {"findings": [], "checked_at": None}
        routes: list[BaseRoute] = [
            Route("/healthz", self._healthz),
            Route("/api/login", self._login, methods=["POST"]),
            Route("/api/login/link", self._login_by_link, methods=["POST"]),
            *(
                Route(path, self._for(role, handler), methods=[method])
                for method, path, role, handler in self.table()
            ),
            Route("/api/{rest:path}", self._nothing),
        ]
        page = Path(str(PAGE))
        if (page / "assets").is_dir():
            routes.append(Mount("/assets", StaticFiles(directory=page / "assets")))
        routes.append(Route("/{rest:path}", self._page))
        self.app = Starlette(
            routes=routes,
            lifespan=self._lifespan,
            middleware=[Middleware(Guard, public_url=public_url, own_url=own_url)],
            exception_handlers={VoicelatError: _told, HTTPException: _told},
        )

    def table(self) -> list[tuple[str, str, Role, Handler]]:
        """Method, path, least role and handler of everything that needs a session."""
        return [
            ("GET", "/api/session", "view", self._session),
            ("POST", "/api/logout", "view", self._logout),
            ("GET", "/api/events", "view", self._events),
            ("GET", "/api/overview", "view", self._overview),
            ("GET", "/api/calls", "view", self._calls),
            ("GET", "/api/calls/{call_id}", "view", self._call),
            ("GET", "/api/calls/{call_id}/recording", "view", self._recording),
            ("GET", "/api/runs", "view", self._runs),
            ("GET", "/api/runs/{run_id}", "view", self._run),
            ("POST", "/api/runs/{run_id}/retry", "approve", self._retry),
            ("GET", "/api/approvals", "view", self._approvals),
            ("POST", "/api/approvals/{approval_id}/approve", "approve", self._approve),
            ("POST", "/api/approvals/{approval_id}/reject", "approve", self._reject),
            ("GET", "/api/whatsapp/status", "view", self._channel_status),
            ("POST", "/api/whatsapp/provider", "admin", self._use),
            ("POST", "/api/whatsapp/logout", "admin", self._channel_logout),
            ("GET", "/api/whatsapp/threads", "view", self._threads),
            ("GET", "/api/whatsapp/threads/{thread_id}/messages", "view", self._messages),
            ("GET", "/api/whatsapp/media/{media_id}", "view", self._medium),
            ("GET", "/api/workflows", "view", self._workflows),
            ("GET", "/api/workflows/{name}/{version}", "view", self._version),
            ("POST", "/api/workflows/{name}/publish", "admin", self._publish),
            ("POST", "/api/workflows/{name}/rollback", "admin", self._rollback),
            ("GET", "/api/settings", "view", self._settings),
            ("GET", "/api/findings", "view", self._found),
            ("POST", "/api/findings/run", "approve", self._find),
            ("GET", "/api/audit", "view", self._audit),
            ("POST", "/api/chatkit", "view", self._chatkit),
        ]

    @asynccontextmanager
    async def _lifespan(self, _app: object) -> AsyncIterator[None]:
        sources = self._sources
        self._feed = Feed(self._store)
        await self._feed.open()
        live = Live(self._feed, sources.calls, sources.runs, sources.channels, sources.workflows)
        work = asyncio.create_task(live.run())
        self._open = True
        try:
            yield
        finally:
            self._open = False
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            for peer in (sources.office, sources.channels, sources.server):
                await peer.aclose()

    # -- who is in ----------------------------------------------------------------------------

    def _for(self, role: Role, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """The one way in: a session, its role, and for whatever changes something its token."""

        async def handle(request: Request) -> Response:
            token = request.cookies.get(self._cookie, "")
            session = await asyncio.to_thread(self._store.session, token, _now())
            if session is None:
                return _error(401, "not_in", "you are not signed in")
            if request.method != "GET" and not csrf_holds(
                request.headers.get("x-csrf-token"), session.csrf
            ):
                await self._wrote(session, f"refused {request.url.path}", None, "no CSRF token")
                return _error(403, "csrf", "the page's token is missing; load it anew")
            if ROLES.index(session.role) < ROLES.index(role):
                await self._wrote(session, f"refused {request.url.path}", None, f"needs {role}")
                return _error(403, "forbidden", f"this needs the role {role}")
            try:
                return await handler(request, session)
            except VoicelatError as error:
                if request.method != "GET":
                    await self._wrote(session, f"refused {request.url.path}", None, str(error))
                raise

        return handle

    async def _login(self, request: Request) -> Response:
        asked = await _json(request)
        user, password = _text(asked, "user"), _text(asked, "password")
        address = _address(request)
        tries = (
            (self._throttle, f"{user} {address}"),
            (self._by_user, user),
            (self._by_address, address),
        )
        if waits := [wait_s for throttle, key in tries if (wait_s := throttle.wait_s(key))]:
            return _too_often(max(waits))
        for throttle, key in tries:
            throttle.failed(key)
        async with self._verifying:
            known = await asyncio.to_thread(self._store.knows, user, password)
        if not known:
            await asyncio.to_thread(
                self._store.decided, None, "refused login", user[:64], address, _now()
            )
            return _error(401, "wrong", "the name or the password is wrong")
        self._throttle.worked(f"{user} {address}")
        self._by_user.undo(user)
        self._by_address.undo(address)
        return await self._let_in(user)

    async def _login_by_link(self, request: Request) -> Response:
        address = _address(request)
        if (wait_s := self._by_address.wait_s(address)) is not None:
            return _too_often(wait_s)
        token = _text(await _json(request), "token")
        self._by_address.failed(address)
        user = await asyncio.to_thread(self._store.use_link, token, _now())
        if user is None:
            await asyncio.to_thread(
                self._store.decided, None, "refused link", None, address, _now()
            )
            says = "the link was used, or is too old"
            return _error(401, "wrong", says, "make another: voicelat console link NAME")
        self._by_address.undo(address)
        return await self._let_in(user)

    async def _let_in(self, user: str) -> Response:
        """A new session, whatever the browser brought: nobody can have one made ready for it."""
        token = await asyncio.to_thread(self._store.begin_session, user, _now())
        session = await asyncio.to_thread(self._store.session, token, _now())
        assert session is not None
        await self._wrote(session, "login", None, None)
        answer = JSONResponse(_session_shown(session))
        answer.set_cookie(
            self._cookie, token, httponly=True, samesite="strict", secure=self._secure, path="/"
        )
        return answer

    async def _session(self, _request: Request, session: Session) -> Response:
        return JSONResponse(_session_shown(session))

    async def _logout(self, _request: Request, session: Session) -> Response:
        await asyncio.to_thread(self._store.end_session, session.id_hash)
        answer = Response(status_code=204)
        answer.delete_cookie(self._cookie, path="/", secure=self._secure, httponly=True)
        return answer

    async def _wrote(
        self, session: Session, what: str, target: str | None, detail: str | None
    ) -> None:
        await asyncio.to_thread(self._store.decided, session.user, what, target, detail, _now())

    # -- what is told -------------------------------------------------------------------------

    async def _events(self, request: Request, session: Session) -> Response:
        said = request.headers.get("last-event-id") or request.query_params.get("after")
        after = int(said) if said and said.isascii() and said.isdigit() and len(said) < 19 else None
        if self._streams[session.id_hash] >= _STREAMS_EACH or self._streams.total() >= _STREAMS:
            return _error(429, "too_often", "too many pages are open; close some")
        return EventSourceResponse(
            self._stream(session, after),
            ping=_HEARTBEAT_S,
            headers={"X-Accel-Buffering": "no", "Cache-Control": "no-store"},
        )

    async def _stream(self, session: Session, after: int | None) -> AsyncIterator[bytes]:
        self._streams[session.id_hash] += 1
        try:
            # No news: it tells the page where it begins, should it have to come back.
            if after is None:
                yield Event(self._feed.last, "hello", {}).wire
            looks = self._feed.since(after, look_s=_LOOK_S, may_go_on=lambda: self._open)
            async for batch in looks:
                if batch is not None:
                    yield b"".join(event.wire for event in batch)
                elif not await asyncio.to_thread(self._store.still_in, session.id_hash, _now()):
                    return
        finally:
            self._streams -= Counter([session.id_hash])

    # -- calls --------------------------------------------------------------------------------

    async def _overview(self, _request: Request, _session: Session) -> Response:
        numbers = await asyncio.to_thread(self._sources.calls.overview)
        live = await self._sources.server.live()
        waiting = await asyncio.to_thread(self._sources.runs.waiting, "waiting")
        return JSONResponse({**numbers, "calls_live": live, "approvals_waiting": len(waiting)})

    async def _calls(self, request: Request, _session: Session) -> Response:
        before = request.query_params.get("before")
        return JSONResponse(
            await asyncio.to_thread(self._sources.calls.page, before, _limit(request))
        )

    async def _call(self, request: Request, _session: Session) -> Response:
        found = await asyncio.to_thread(self._sources.calls.one, request.path_params["call_id"])
        return JSONResponse(found) if found else _error(404, "not_found", "there is no such call")

    async def _recording(self, request: Request, session: Session) -> Response:
        call_id = request.path_params["call_id"]
        path = await asyncio.to_thread(self._sources.calls.recording, call_id)
        if path is None:
            return _error(404, "not_found", "this call was not recorded")
        if request.headers.get("range") in (None, "bytes=0-"):
            await self._wrote(session, "listened", call_id, None)
        return FileResponse(path, media_type="audio/wav")

    # -- agents -------------------------------------------------------------------------------

    async def _runs(self, request: Request, _session: Session) -> Response:
        query = request.query_params
        page = await asyncio.to_thread(
            self._sources.runs.page, query.get("before"), _limit(request), query.get("state")
        )
        return JSONResponse(page)

    async def _run(self, request: Request, _session: Session) -> Response:
        found = await self._sources.runs.one(request.path_params["run_id"])
        return JSONResponse(found) if found else _error(404, "not_found", "there is no such run")

    async def _retry(self, request: Request, session: Session) -> Response:
        run_id = request.path_params["run_id"]
        done = await asyncio.to_thread(self._sources.runs.retry, run_id, session.user)
        await self._wrote(session, "retry", run_id, None if done else "it is no dead run")
        if not done:
            return _error(409, "decided", "it is no dead run")
        return JSONResponse({"run_id": run_id, "state": "queued"})

    async def _approvals(self, request: Request, _session: Session) -> Response:
        state = request.query_params.get("state", "waiting")
        found = await asyncio.to_thread(self._sources.runs.waiting, state)
        return JSONResponse({"approvals": found})

    async def _approve(self, request: Request, session: Session) -> Response:
        approval_id = request.path_params["approval_id"]
        asked = await _json(request)
        arguments = asked.get("arguments")
        if arguments is not None and not isinstance(arguments, dict):
            return _error(422, "invalid", "arguments must be an object or null")
        try:
            done = await self._sources.runs.approve(
                approval_id, _text(asked, "shown_sha256"), arguments, session.user
            )
        except Changed as error:
            await self._wrote(session, "approve", approval_id, str(error))
            return _error(409, "changed", str(error))
        except ConnectError:
            raise
        except VoicelatError as error:
            await self._wrote(session, "approve", approval_id, str(error))
            return _error(409, "decided", str(error))
        await self._wrote(session, "approve", approval_id, "edited" if arguments else None)
        return JSONResponse({"approval": done})

    async def _reject(self, request: Request, session: Session) -> Response:
        approval_id = request.path_params["approval_id"]
        reason = _text(await _json(request), "reason")
        if not reason.strip():
            return _error(422, "invalid", "give a reason: the agent is told")
        try:
            done = await self._sources.runs.reject(approval_id, reason, session.user)
        except VoicelatError as error:
            await self._wrote(session, "reject", approval_id, str(error))
            return _error(409, "decided", str(error))
        await self._wrote(session, "reject", approval_id, reason)
        return JSONResponse({"approval": done})

    # -- whatsapp -----------------------------------------------------------------------------

    async def _channel_status(self, _request: Request, _session: Session) -> Response:
        try:
            return JSONResponse(await self._sources.channels.status())
        except PeerAway as away:
            off: dict[str, Any] = {"provider": None, "providers": [], "off": True}
            return JSONResponse({**off, "says": away.says, "fix": away.fix})

    async def _use(self, request: Request, session: Session) -> Response:
        wanted = (await _json(request)).get("provider")
        told = await self._sources.channels.use(wanted)
        await self._wrote(session, "provider", str(wanted), None)
        return JSONResponse(told)

    async def _channel_logout(self, request: Request, session: Session) -> Response:
        wanted = _text(await _json(request), "provider")
        told = await self._sources.channels.logout(wanted)
        await self._wrote(session, "logout of", wanted, None)
        return JSONResponse(told)

    async def _threads(self, request: Request, _session: Session) -> Response:
        before = request.query_params.get("before")
        return JSONResponse(
            await self._sources.office.call(
                "whatsapp.list_threads", before=before, limit=_limit(request)
            )
        )

    async def _messages(self, request: Request, _session: Session) -> Response:
        before = request.query_params.get("before")
        thread_id = request.path_params["thread_id"]
        return JSONResponse(
            await self._sources.office.call(
                "whatsapp.list_messages", thread_id=thread_id, before=before, limit=_limit(request)
            )
        )

    async def _medium(self, request: Request, _session: Session) -> Response:
        content, headers = await self._sources.channels.medium(request.path_params["media_id"])
        return Response(content, headers=headers)

    # -- workflows ----------------------------------------------------------------------------

    async def _workflows(self, _request: Request, _session: Session) -> Response:
        def listed() -> list[dict[str, Any]]:
            store = self._sources.workflows
            return [_workflow(store, name) for name in store.names()]

        return JSONResponse({"workflows": await asyncio.to_thread(listed)})

    async def _version(self, request: Request, _session: Session) -> Response:
        name, version = request.path_params["name"], request.path_params["version"]

        def drawn() -> dict[str, Any]:
            store = self._sources.workflows
            kind, content = store.content(name, version)
            if kind == "module":  # it is shown, and not loaded: that would run it
                return {"yaml": content, "svg": None, "mermaid": None}
            found = store.version(name, version)
            assert isinstance(found, Workflow)
            return {
                "yaml": yaml.safe_dump(
                    msgspec.json.decode(content), sort_keys=False, allow_unicode=True
                ),
                "svg": diagram(found, "svg"),
                "mermaid": diagram(found, "mermaid"),
            }

        return JSONResponse(await asyncio.to_thread(drawn))

    async def _publish(self, request: Request, session: Session) -> Response:
        name = request.path_params["name"]
        text = (await _json(request)).get("yaml")
        if not isinstance(text, str):
            return _error(422, "invalid", "yaml must be a text")
        try:
            version = await asyncio.to_thread(self._sources.publish, name, text, session.user)
        except VoicelatError as error:
            await self._wrote(session, "publish", name, str(error))
            return _error(409, "gate", str(error))
        await self._wrote(session, "publish", name, version)
        return JSONResponse({"version": version})

    async def _rollback(self, request: Request, session: Session) -> Response:
        name = request.path_params["name"]
        version = _text(await _json(request), "version")
        await asyncio.to_thread(
            lambda: self._sources.workflows.rollback(name, version, who=session.user)
        )
        await self._wrote(session, "rollback", name, version)
        return JSONResponse({"version": version})

    # -- the rest -----------------------------------------------------------------------------

    async def _settings(self, _request: Request, _session: Session) -> Response:
        return JSONResponse({"settings": self._sources.settings()})

    async def _found(self, _request: Request, _session: Session) -> Response:
        return JSONResponse(self._findings)

    async def _find(self, _request: Request, session: Session) -> Response:
        found = await asyncio.to_thread(self._sources.findings)
        self._findings = {"findings": found, "checked_at": _now().isoformat()}
        await self._wrote(session, "findings", None, None)
        return JSONResponse(self._findings)

    async def _audit(self, _request: Request, _session: Session) -> Response:
        return JSONResponse({"decisions": await asyncio.to_thread(self._store.decisions)})

    async def _chatkit(self, request: Request, session: Session) -> Response:
        if self._sources.chat is None:
            says = "ChatKit's server library is not installed"
            return _error(404, "not_found", says, "pip install 'voicelat[chatkit]'")
        return await self._sources.chat(await request.body(), session)

    async def _healthz(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _nothing(self, _request: Request) -> Response:
        return _error(404, "not_found", "there is no such thing to ask")

    async def _page(self, request: Request) -> Response:
        """The page, whatever of its paths was asked for."""
        index = PAGE / "index.html"
        if request.method != "GET" or not index.is_file():
            says = "the page is not in this installation; build it: make console"
            return _error(404, "not_found", says)
        return Response(
            index.read_bytes(), media_type="text/html", headers={"Cache-Control": "no-cache"}
        )


def _workflow(store: Workflows, name: str) -> dict[str, Any]:
    versions = store.versions(name)
    return {
        "name": name,
        "current": next((one.version for one in versions if one.current), None),
        "versions": [
            {
                "version": one.version,
                "action": one.action,
                "published_at": one.at_utc,
                "who": one.who,
                "current": one.current,
            }
            for one in versions
        ],
    }


def _session_shown(session: Session) -> dict[str, Any]:
    return {
        "user": session.user,
        "role": session.role,
        "csrf": session.csrf,
        "expires_at": session.ends_at,
    }


async def _json(request: Request) -> dict[str, Any]:
    try:
        body = await request.body()
        read = None if b"\\u0000" in body else msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise PeerAway(422, "invalid", "the body must be a JSON object")
    return read


def _text(asked: dict[str, Any], name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_TEXT:
        raise PeerAway(422, "invalid", f"{name} must be a text")
    return value


def _limit(request: Request) -> int:
    said = request.query_params.get("limit", "")
    return min(max(int(said), 1), 100) if said.isascii() and said.isdigit() else _PAGE_OF


def _address(request: Request) -> str:
    return f"at {request.client.host if request.client else '?'}"


def _too_often(wait_s: int) -> JSONResponse:
    refused = _error(429, "too_often", f"too many tries; wait {wait_s} s")
    refused.headers["retry-after"] = str(wait_s)
    return refused


def _error(status: int, code: str, says: str, fix: str = "") -> JSONResponse:
    return JSONResponse({"error": code, "says": says, "fix": fix}, status_code=status)


async def _told(_request: Request, error: Exception) -> Response:
    """What went wrong, as the page shows it."""
    match error:
        case PeerAway():
            return _error(error.status, error.code, error.says, error.fix)
        case ConnectError():
            return _error(503, "away", str(error))
        case HTTPException():
            code = _OF_STATUS.get(error.status_code, "invalid")
            return _error(error.status_code, code, error.detail)
    return _error(409, "refused", str(error))


def _now() -> datetime:
    return datetime.now(UTC)
