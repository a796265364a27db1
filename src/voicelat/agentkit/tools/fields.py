"""The kinds of values tools take: what a person would call a phone number, a time, a name."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, Field, StringConstraints

from voicelat.agentkit.tools.tool import Arguments

__all__ = ["Change", "Id", "Language", "Limit", "Note", "Phone", "Seconds", "Time", "Word", "Words"]


_ISO: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})$"
)


def _real(text: str) -> str:
    """The text, where it is a time that exists."""
    datetime.fromisoformat(text)
    return text


Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:+@-]{1,100}$")]
"""Ours, Twilio's or a user's own."""
Phone = Annotated[
    str,
    StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$"),
    Field(description="E.164, such as +972501234567"),
]
Time = Annotated[
    str,
    StringConstraints(pattern=_ISO, max_length=40),
    AfterValidator(_real),
    Field(
        json_schema_extra={"format": "date-time"},
        description="ISO 8601 with its zone, such as 2026-03-01T09:30:00+02:00",
    ),
]
Language = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$", max_length=35),
    Field(description="BCP 47, such as he-IL"),
]
Word = Annotated[str, StringConstraints(min_length=1, max_length=64)]
"""A tag, a key, a template's name."""
Words = Annotated[str, StringConstraints(min_length=1, max_length=200)]
"""A name, a title, a line."""
Note = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
"""Running text."""
Seconds = Annotated[float, Field(ge=0, le=86_400)]
Limit = Annotated[int, Field(ge=1, le=50)]


class Change(Arguments):
    """One field of a customer and its value."""

    key: Word
    value: Annotated[str, StringConstraints(max_length=2000)]
