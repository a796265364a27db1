"""Cases in JSON lines: what happens, what must come of it, and what must not.

Anyone may write them, so a line is a case or one error with the file and its line. Keys nobody
knows are refused: a misspelt ``forbidden`` would forbid nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from voicelat.errors import InvalidFile

__all__ = [
    "STARTER",
    "Attempt",
    "Case",
    "Expected",
    "Happened",
    "Limits",
    "Reply",
    "fits",
    "read_cases",
    "starter",
]

STARTER: Final = ("voice_turn", "whatsapp", "injections")
_PATTERNS: Final = frozenset({"matches", "contains", "one_of"})


class Happened(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The event of a case."""

    id: str = ""
    """Empty in a file: made from the name of the case, so that no two cases are one event."""
    kind: Literal["turn", "call_ended", "whatsapp_message"]
    call_id: str | None = None
    thread_id: str | None = None
    turn: int | None = None
    text: str
    language: str | None = None
    at_utc: str = "2026-11-25T09:00:00+00:00"
    data: dict[str, Any] = {}


class Attempt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool call that the scripted model asks for."""

    tool: str
    arguments: dict[str, Any] = {}


class Reply(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the scripted model does when it is asked: calls first, then its answer."""

    calls: list[Attempt] = []
    answer: str | dict[str, Any] = ""
    """A text, or the fields it was asked for."""


class Expected(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool call, by its tool (``*`` stands for anything) and some of its arguments.

    An argument is equal, or fits ``{"matches": regex}``, ``{"contains": text}``,
    ``{"one_of": [...]}``.
    """

    tool: str
    """Its id."""
    arguments: dict[str, Any] = {}
    """Those that matter: others may be anything."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a run may take. None: anything."""

    latency_ms: int | None = None
    """From the event to the end of the run."""
    cost_usd: float | None = None
    """Of all models."""
    tool_calls: int | None = None
    """Asked for, refused ones included."""


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a file of cases."""

    case: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{1,80}$")]
    """Its name, once in a run."""
    workflow: str
    """The workflow that runs."""
    event: Happened
    """What happens."""
    model: Literal["any", "scripted", "live"] = "any"
    """Which model it is for; with another it is skipped."""
    script: list[Reply] = []
    """What a scripted model does, ask by ask. A live one ignores it."""
    results: dict[str, dict[str, Any]] = {}
    """Tool -> what it gives. Others give a sample of their kind."""
    person: Literal["approves", "rejects"] = "approves"
    """What a person says who is asked."""
    tools: list[Expected] = []
    """Calls that must be made, in this order; others may come in between."""
    forbidden: list[str | Expected] = []
    """Calls that must not be made. A call that is expected is not forbidden, so ``*`` means:
    nothing else."""
    ends: str | None = None
    """The end it must come to. None: any, or none."""
    limits: Limits = Limits()
    """What it may take."""
    tags: list[str] = []
    """The result sums up by them."""


def fits(expected: Expected, tool: str, arguments: dict[str, Any]) -> bool:
    """Whether a call is one that was described."""
    if not fnmatchcase(tool, expected.tool):
        return False
    return all(
        name in arguments and _fits(pattern, arguments[name])
        for name, pattern in expected.arguments.items()
    )


def starter(name: str) -> list[Case]:
    """One of the sets in `STARTER`."""
    file = files("voicelat.agentkit.evals") / "data" / f"{name}.jsonl"
    return _decoded(file.read_bytes(), f"{name}.jsonl")


def read_cases(paths: Sequence[Path]) -> list[Case]:
    """The cases of files. Raises InvalidFile (file:line) for a line that is none, and for a name
    that stands there twice."""
    cases: list[Case] = []
    for path in paths:
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise InvalidFile(path, f"cannot be read ({error.strerror})") from error
        cases += _decoded(raw, path)
    seen: set[str] = set()
    for case in cases:
        if case.case in seen:
            raise InvalidFile(", ".join(map(str, paths)), f"case {case.case!r} stands there twice")
        seen.add(case.case)
    return cases


def _decoded(raw: bytes, source: object) -> list[Case]:
    cases: list[Case] = []
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not line.strip() or line.lstrip().startswith(b"//"):
            continue
        try:
            case = msgspec.json.decode(line, type=Case)
            _check_patterns(case)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
            says = " ".join(str(error).split())
            raise InvalidFile(f"{source}:{number}", f"is no case: {says}") from error
        cases.append(case if case.event.id else _named(case))
    return cases


def _named(case: Case) -> Case:
    event = msgspec.structs.replace(case.event, id=f"eval.{case.case}")
    return msgspec.structs.replace(case, event=event)


def _check_patterns(case: Case) -> None:
    described = [*case.tools, *(one for one in case.forbidden if isinstance(one, Expected))]
    for expected in described:
        for name, pattern in expected.arguments.items():
            if isinstance(pattern, dict) and (matches := pattern.get("matches")) is not None:
                try:
                    re.compile(str(matches))
                except re.error as error:
                    raise ValueError(f"{expected.tool}, {name}: no regex ({error})") from error


def _fits(pattern: Any, value: Any) -> bool:
    if not isinstance(pattern, dict) or len(pattern) != 1 or not _PATTERNS.issuperset(pattern):
        return bool(pattern == value)
    ((kind, wanted),) = pattern.items()
    if kind == "one_of":
        return isinstance(wanted, list) and value in wanted
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if kind == "contains":
        return str(wanted) in text
    return re.search(str(wanted), text) is not None
