"""The application: one endpoint for each tool, grants, the audit and a health check.

Tools are ``POST /v1/GROUP/NAME`` with their arguments as a JSON object; the tool's id is the scope
that opens it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Header, Query, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from sqlalchemy import select, text

from voicelat.backoffice import tokens
from voicelat.backoffice.config import Config
from voicelat.backoffice.database import Database
from voicelat.backoffice.desk import Answer, Context, Office
from voicelat.backoffice.faults import BodyLimit, add_fault_handlers
from voicelat.backoffice.fields import Arguments, Id, Limit
from voicelat.backoffice.gate import Gate, needs_grant
from voicelat.backoffice.grants import GrantAsked, Granted
from voicelat.backoffice.operation import Operation, Read, snapshot
from voicelat.backoffice.operations import OPERATIONS
from voicelat.backoffice.problem import STATUS, Problem, ProblemBody
from voicelat.backoffice.tables import Audit
from voicelat.backoffice.tokens import APPROVE, AUDIT, Access

__all__ = ["create_app"]

_HeaderText = Annotated[str | None, Header(max_length=200, pattern=r"^[!-~]+$")]
_Key = Annotated[str, Header(alias="Idempotency-Key", max_length=200, pattern=r"^[!-~]+$")]
_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ProblemBody} for status in sorted({*STATUS.values()})
}


class AuditPage(BaseModel):
    """Audit rows, oldest first. ``next`` is the ``after`` of the next page; None at the end."""

    rows: list[dict[str, Any]]
    next: int | None


def utc_now() -> datetime:
    """The time of the system, in UTC."""
    return datetime.now(UTC)


def create_app(
    config: Config, *, gate: Gate | None = None, now: Callable[[], datetime] = utc_now
) -> FastAPI:
    """The back office over a database that is up to date afterwards.

    ``gate`` replaces the rule of `Config.needs_grant`. Raises UsageError for a URL or a database
    that cannot be used, ConnectError when it cannot be reached.
    """
    database = Database(config.database, config.busy_wait_ms)
    database.upgrade()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        database.close()

    # No pages of documentation: they load their script from somebody else's servers.
    app = FastAPI(
        title="voicelat back office",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(BodyLimit, most=config.max_body_bytes)
    add_fault_handlers(app)
    office = Office(config, database, gate or needs_grant(config.needs_grant), now)
    for operation in OPERATIONS:
        _add_tool(app, office, operation)
    _add_grants(app, office)
    _add_audit(app, office)
    _add_health(app, database)
    return app


def _holder_of(office: Office, scope: str) -> Callable[..., Access]:
    """The one dependency that lets anybody in: a valid token with this scope."""

    def holder(
        sent: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))],
    ) -> Access:
        with office.database.read() as db:
            access = tokens.find(db, None if sent is None else sent.credentials, office.now())
        if scope not in access.scopes:
            raise Problem(
                "missing_scope",
                f"the token of {access.agent} lacks the scope {scope}",
                "use a token that has it",
            )
        return access

    return holder


def _context(
    x_run_id: _HeaderText = None,
    x_call_id: _HeaderText = None,
    x_agent: _HeaderText = None,
    x_approval_grant: _HeaderText = None,
) -> Context:
    return Context(x_run_id, x_call_id, x_agent, x_approval_grant)


async def _sent(request: Request) -> Any:
    """The body's JSON as it came, for hashes: a model would have changed it.

    None for an empty body, which its model refuses next.
    """
    return await request.json() if await request.body() else None


_Sent = Annotated[Any, Depends(_sent)]
_Context = Annotated[Context, Depends(_context)]


def _add_tool(app: FastAPI, office: Office, operation: Operation) -> None:
    holder = Depends(_holder_of(office, operation.tool))
    if isinstance(operation, Read):

        def look(
            arguments: Arguments, sent: _Sent, context: _Context, access: Access = holder
        ) -> JSONResponse:
            return _response(office.read(access, operation, arguments, sent, context))

        endpoint: Callable[..., JSONResponse] = look
    else:

        def write(
            arguments: Arguments,
            sent: _Sent,
            context: _Context,
            key: _Key,
            access: Access = holder,
        ) -> JSONResponse:
            return _response(office.write(access, operation, arguments, sent, context, key))

        endpoint = write
    endpoint.__annotations__["arguments"] = operation.arguments
    app.post(
        f"/v1/{operation.tool.replace('.', '/')}",
        operation_id=operation.tool.replace(".", "_"),
        tags=[operation.tool.partition(".")[0]],
        description=operation.run.__doc__,
        response_model=operation.result,
        responses=_PROBLEMS,
    )(endpoint)


def _add_grants(app: FastAPI, office: Office) -> None:
    holder = Depends(_holder_of(office, APPROVE))

    @app.post("/v1/grants", response_model=Granted, responses=_PROBLEMS)
    def grants(asked: GrantAsked, context: _Context, access: Access = holder) -> JSONResponse:
        """Mint a grant for one write that a person approved."""
        return _response(office.grant(access, asked, context))


def _add_audit(app: FastAPI, office: Office) -> None:
    holder = Depends(_holder_of(office, AUDIT))

    @app.get("/v1/audit", responses=_PROBLEMS)
    def audit(
        after: Annotated[int, Query(ge=0, le=2**62)] = 0,
        limit: Limit = 100,
        run_id: Annotated[Id | None, Query()] = None,
        access: Access = holder,
    ) -> AuditPage:
        """What was written, oldest first; by one run alone where one is named."""
        of_run = () if run_id is None else (Audit.run_id == run_id,)
        with office.database.read() as db:
            rows = db.scalars(
                select(Audit)
                .where(Audit.tenant == access.tenant, Audit.audit_id > after, *of_run)
                .order_by(Audit.audit_id)
                .limit(limit + 1)
            ).all()
        more = len(rows) > limit
        rows = rows[:limit]
        return AuditPage(
            rows=[snapshot(row) for row in rows], next=rows[-1].audit_id if more else None
        )


def _add_health(app: FastAPI, database: Database) -> None:
    @app.get("/healthz", responses={503: {"model": ProblemBody}})
    def healthz() -> dict[str, str]:
        """Whether the database answers."""
        with database.read() as db:
            db.execute(text("SELECT 1"))
        return {"status": "ok"}


def _response(answer: Answer) -> JSONResponse:
    replayed = {"Idempotency-Replayed": "true"} if answer.replayed else None
    return JSONResponse(answer.result, headers=replayed)
