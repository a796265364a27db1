"""A scenario: how callers behave and how bad their line is, as a small TOML file.

Every knob has a default, and the defaults together are a plain call: no interruptions, a clean
line, a caller who thinks for a moment before each question. Shares are probabilities from 0 to 1.
"""

from __future__ import annotations

import reprlib
import tomllib
import typing
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct, inspect

from voicelat.errors import InvalidFile

__all__ = ["Line", "Patience", "Scenario", "Talk", "knobs", "read_scenario"]

Share = Annotated[float, Meta(ge=0, le=1)]
Ms = Annotated[int, Meta(ge=0, le=600_000)]
Range = tuple[Ms, Ms]
"""From and to, both included; a caller takes any value between."""


class Talk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What callers do."""

    questions: Annotated[int, Meta(ge=1, le=10_000)] = 5
    """Questions a call, where --turns says no other number."""
    think_ms: Range = (300, 1500)
    """Silence before a question. Never the same, so that callers do not march in step."""
    pauses: Share = 0.0
    """Share of questions with a pause in the middle, as people have when they look for a word."""
    pause_ms: Range = (200, 600)
    """How long it is."""
    barge_ins: Share = 0.0
    """Share of replies that are interrupted."""
    barge_after_ms: Range = (400, 1500)
    """After how much of the reply."""
    silences: Share = 0.0
    """Share of questions before which the caller says nothing for a while."""
    silence_ms: Range = (3000, 6000)
    """For how long."""
    hang_ups: Share = 0.0
    """Share of calls that end in the middle of a word. That question is owed no reply."""
    abrupt: Share = 0.5
    """Share of those whose socket just dies, without Twilio's stop message."""


class Line(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What lies between the caller and Twilio."""

    noise_db: Annotated[float, Meta(ge=-70, le=-20)] | None = None
    """Level of the noise on the line in dBFS, everywhere nobody speaks. Left out: digital
    silence. A quiet office is near -60, a street -40; mu-law has no steps for less than -70."""
    jitter_ms: Annotated[int, Meta(ge=0, le=2000)] = 0
    """Packets come up to this much late, in order."""
    loss: Share = 0.0
    """Share of packets that never come."""


class Patience(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long callers wait."""

    greeting_ms: Ms = 10_000
    """For the agent to speak first. 0: the caller does."""
    reply_ms: Ms = 10_000
    """For a reply; without one by then the question counts as never answered."""
    quiet_ms: Annotated[int, Meta(ge=200, le=60_000)] = 600
    """How long the agent must be silent before the caller takes it to be done."""


class Scenario(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it."""

    talk: Talk = Talk()
    line: Line = Line()
    patience: Patience = Patience()


_TABLES: Final[dict[str, type[Struct]]] = {"talk": Talk, "line": Line, "patience": Patience}


def knobs(table: type[Struct]) -> dict[str, str]:
    """Every knob of a table -> what it may be, as the end of "must be …"."""
    info = inspect.type_info(table)
    assert isinstance(info, inspect.StructType)
    return {field.name: _allowed(field.type) for field in info.fields}


def _allowed(kind: inspect.Type) -> str:
    match kind:
        case inspect.UnionType():
            (known,) = (one for one in kind.types if not isinstance(one, inspect.NoneType))
            return f"{_allowed(known)}, or left out"
        case inspect.TupleType():
            return f"[from, to], each {_allowed(kind.item_types[0])}"
        case inspect.IntType(ge=low, le=high):
            return f"a whole number from {low} to {high}"
        case inspect.FloatType(ge=low, le=high):
            return f"a number from {low} to {high}"
        case _:
            raise TypeError(f"a knob cannot be {kind}")


def read_scenario(path: Path) -> Scenario:
    """The scenario in a TOML file. Raises `InvalidFile`, which names the knob that is wrong and
    what it may be."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidFile(path, error.strerror or str(error)) from None
    except RecursionError:
        raise InvalidFile(path, "is not TOML: nested too deeply") from None
    except ValueError as error:  # not TOML, not UTF-8, or a number Python will not read
        raise InvalidFile(path, f"is not TOML: {error}") from None
    for name, table in tables.items():
        if name not in _TABLES:
            raise InvalidFile(path, f"unknown table {name!r}; known: {', '.join(_TABLES)}")
        if not isinstance(table, dict):
            raise InvalidFile(path, f"{name} must be a table: [{name}]")
        for knob, value in table.items():
            _check(path, name, knob, value)
    return msgspec.convert(tables, Scenario)


def _check(path: Path, table: str, knob: str, value: Any) -> None:
    """Raises `InvalidFile` for a knob there is not, or a value it cannot have."""
    allowed = knobs(_TABLES[table])
    if knob not in allowed:
        raise InvalidFile(path, f"unknown knob {knob!r} in [{table}]; known: {', '.join(allowed)}")
    annotation = typing.get_type_hints(_TABLES[table], include_extras=True)[knob]
    told = f"{table}.{knob} = {reprlib.repr(value)}"
    try:
        known = msgspec.convert(value, annotation)
    except msgspec.ValidationError:
        raise InvalidFile(path, f"{told}: must be {allowed[knob]}") from None
    if isinstance(known, tuple) and known[0] > known[1]:
        raise InvalidFile(path, f"{told}: from is above to")
