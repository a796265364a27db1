"""What the fields of a record are as columns, for tables and SQL alike."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, get_args

from msgspec import inspect

from voicelat.metrics.record import Stamp, TurnRecord

__all__ = ["COLUMNS", "Column", "Kind", "instant", "started_at"]

Kind = Literal["int", "float", "bool", "text", "json"]
"""``json``: what holds more than one value."""


@dataclass(frozen=True, slots=True)
class Column:
    """One field of `TurnRecord`."""

    name: str
    kind: Kind


_KINDS: Final[dict[type[inspect.Type], Kind]] = {
    inspect.IntType: "int",
    inspect.FloatType: "float",
    inspect.BoolType: "bool",
    inspect.StrType: "text",
}


def _kind(kind: inspect.Type) -> Kind:
    if isinstance(kind, inspect.UnionType):
        return _kind(next(one for one in kind.types if not isinstance(one, inspect.NoneType)))
    if isinstance(kind, inspect.LiteralType):
        return "int" if isinstance(kind.values[0], int) else "text"
    return _KINDS.get(type(kind), "json")


def _columns() -> tuple[Column, ...]:
    info = inspect.type_info(TurnRecord)
    assert isinstance(info, inspect.StructType)
    return tuple(Column(field.name, _kind(field.type)) for field in info.fields)


COLUMNS: Final = _columns()
"""One for each field of a record, in its order."""


def started_at(record: TurnRecord) -> datetime | None:
    """When its call began, in UTC; None when ``started_utc`` is unknown or is no time."""
    if record.started_utc is None:
        return None
    try:
        when = datetime.fromisoformat(record.started_utc)
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def instant(record: TurnRecord) -> datetime | None:
    """When the caller was done, in UTC; where that is unknown, the first instant that is known of
    the turn. None when the call's start or every stamp is."""
    start = started_at(record)
    stamps = record.stamps
    known = (getattr(stamps, name) for name in ("speech_end", *get_args(Stamp)))
    at_ms: int | None = next((at for at in known if at is not None), None)
    if start is None or at_ms is None:
        return None
    try:
        return start + timedelta(milliseconds=at_ms)
    except OverflowError:
        return None
