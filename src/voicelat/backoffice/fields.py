"""The kinds of value a request may carry, each with its limit and its JSON schema.

Every text refuses NUL, which PostgreSQL cannot store; all other Unicode passes untouched.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

__all__ = [
    "Arguments",
    "Email",
    "Id",
    "Language",
    "Limit",
    "LongText",
    "Phone",
    "Result",
    "Sha256",
    "ShortText",
    "Time",
    "utc_text",
]

_TEXT: Final = r"^[^\x00]*$"
_ISO: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}:[0-9]{2})"
)


class Arguments(BaseModel):
    """What a tool is called with: nothing missing, nothing more, no types bent to fit."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Result(BaseModel):
    """What a tool answers."""


def _time(value: Any) -> datetime:
    """A time with its zone, in UTC. Raises ValueError when it cannot be one."""
    if isinstance(value, datetime):
        at = value
    elif isinstance(value, str) and _ISO.fullmatch(value) is not None:
        at = datetime.fromisoformat(value)
    else:
        raise ValueError("give an ISO 8601 time with its zone, like 2026-11-25T09:30:00+02:00")
    if not 1971 <= at.year <= 2198:  # so that no arithmetic leads over the edge of a calendar
        raise ValueError("give a time of the years 1971 to 2198")
    return at.astimezone(UTC)


def utc_text(at: datetime) -> str:
    """``at`` as ISO 8601 in UTC, ending in Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


Id = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[!-~]+$")]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_TEXT)]
LongText = Annotated[str, StringConstraints(max_length=10_000, pattern=_TEXT)]
Email = Annotated[str, StringConstraints(max_length=254, pattern=r"^[^@\s\x00]+@[^@\s\x00]+$")]
Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,3}$")]
Phone = Annotated[
    str,
    StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$"),
    Field(description="E.164, like +972501234567"),
]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Limit = Annotated[int, Field(ge=1, le=100)]
Time = Annotated[
    datetime,
    BeforeValidator(_time),
    PlainSerializer(utc_text, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
