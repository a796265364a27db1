"""What a tool's endpoint is made of: its name, its two models and the function that does the work.

The function sees one tenant's desk and nothing of HTTP, tokens, keys or the audit: those are the
same for all, and live in `voicelat.backoffice.desk`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from sqlalchemy.orm import Session

from voicelat.backoffice.config import Opening
from voicelat.backoffice.fields import Arguments, Result, utc_text
from voicelat.backoffice.problem import Problem
from voicelat.backoffice.tables import Base

__all__ = [
    "Desk",
    "Operation",
    "Read",
    "Write",
    "Written",
    "dumped",
    "new_id",
    "not_found",
    "snapshot",
]

A = TypeVar("A", bound=Arguments)


@dataclass(frozen=True, slots=True)
class Desk:
    """One request's view: a session, whose data it may see, and what time it is."""

    db: Session
    tenant: str
    now: datetime
    opening: Opening


@dataclass(frozen=True, slots=True)
class Written:
    """What a write did: the answer, and the row as it was and as it is."""

    result: Result
    target: str
    """table/id of the row."""
    before: dict[str, Any] | None
    """None when there was no row."""
    after: dict[str, Any] | None
    """None when the row is gone."""
    idle: bool = False
    """Nothing was to be done: there is nothing to audit, and nothing to remember."""


@dataclass(frozen=True, slots=True)
class Read(Generic[A]):
    """A tool that only looks."""

    tool: str
    arguments: type[A]
    result: type[Result]
    run: Callable[[Desk, A], Result]


@dataclass(frozen=True, slots=True)
class Write(Generic[A]):
    """A tool that changes one thing."""

    tool: str
    arguments: type[A]
    result: type[Result]
    run: Callable[[Desk, A], Written]
    compacts: bool = False
    """Afterwards the database keeps no copy of what was there before, in no file."""


Operation = Read[Any] | Write[Any]


def new_id(kind: str) -> str:
    """An id nobody can guess, which says what it is of: ``lead_4f…``."""
    return f"{kind}_{secrets.token_hex(10)}"


def snapshot(row: Base) -> dict[str, Any]:
    """The row as JSON, for the audit; without its tenant, which the audit has anyway."""
    return {
        column.key: utc_text(value) if isinstance(value, datetime) else value
        for column in row.__mapper__.column_attrs
        if column.key != "tenant"
        for value in (getattr(row, column.key),)
    }


def not_found(kind: str, key: str, fix: str) -> Problem:
    """The problem of a row this tenant does not have, whether or not another has it."""
    return Problem("not_found", f"no {kind} {key}", fix)


def dumped(model: BaseModel) -> dict[str, Any]:
    """The model as the JSON that goes over the wire."""
    return model.model_dump(mode="json", by_alias=True)
