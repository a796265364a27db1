"""Every failure as one JSON answer: what is wrong and what to do. No SQL, no traceback."""

from __future__ import annotations

import logging
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voicelat.backoffice.problem import STATUS, Code, Problem

__all__ = ["BodyLimit", "add_fault_handlers"]

_LOG: Final = logging.getLogger(__name__)
_SCHEMA: Final = "the schema is at /openapi.json"
_OF_STATUS: Final[dict[int, tuple[Code, str]]] = {
    404: ("not_found", "call POST /v1/GROUP/NAME of a tool"),
    405: ("invalid", "tools are called by POST"),
    413: ("too_large", "send less at once"),
}


class BodyLimit:
    """Refuses a body while it is being read, as soon as it is longer than ``most`` bytes."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        got = 0

        async def counted() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > self._most:
                raise HTTPException(413, f"the body is longer than {self._most} bytes")
            return message

        await self._app(scope, counted, send)


def add_fault_handlers(app: FastAPI) -> None:
    """Answer every failure of the app as a `ProblemBody`."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _unfit)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(OperationalError, _busy)
    app.add_exception_handler(PoolTimeout, _busy)
    app.add_exception_handler(Exception, _internal)


def _answer(problem: Problem, status: int | None = None) -> JSONResponse:
    headers = {
        "unauthorised": {"WWW-Authenticate": "Bearer"},
        "busy": {"Retry-After": "1"},
    }.get(problem.code)
    return JSONResponse(
        problem.body.model_dump(), status_code=status or STATUS[problem.code], headers=headers
    )


async def _problem(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    return _answer(error)


async def _unfit(_request: Request, error: Exception) -> JSONResponse:
    """The first of the things that do not fit the schema."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where, name = first["loc"][0], ".".join(str(part) for part in first["loc"][1:])
    if where == "header" and first["type"] == "missing" and name.lower() == "idempotency-key":
        return _answer(
            Problem(
                "key_missing",
                "a write needs an Idempotency-Key",
                "send one of your own making, the same whenever you send the same write",
            )
        )
    return _answer(Problem("invalid", _one_line(f"{where} {name}: {first['msg']}"), _SCHEMA))


async def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code, fix = _OF_STATUS.get(error.status_code, ("invalid", _SCHEMA))
    answer = _answer(Problem(code, _one_line(str(error.detail)), fix), error.status_code)
    answer.headers.update(error.headers or {})
    return answer


async def _busy(_request: Request, error: Exception) -> JSONResponse:
    _LOG.warning("the database did not answer: %s", error)
    return _answer(Problem("busy", "the database is busy", "send the same request again"))


async def _internal(_request: Request, _error: Exception) -> JSONResponse:
    # The server logs the error itself.
    return _answer(Problem("internal", "voicelat failed; nothing was written", "please report it"))


def _one_line(says: Any) -> str:
    """The text on one line of bounded length, without what no answer can carry."""
    return " ".join(str(says).encode("utf-8", "replace").decode().split())[:300]
