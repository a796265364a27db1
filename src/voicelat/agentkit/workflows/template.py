"""``{{event.text}}``, ``{{nodes.intent.value or "none"}}``: values for arguments and texts.

There is no code in a template: names that are looked up, and texts to fall back to. A template
that is nothing but its braces gives the value itself (a list stays a list, null stays null); one
inside a text gives its text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from voicelat.errors import VoicelatError

__all__ = ["Hole", "TemplateFailed", "fill", "holes", "look", "parse", "refer"]

_PLACE: Final = re.compile(r"(?:event|nodes)(?:\.[A-Za-z0-9_]{1,64}){1,8}")
_TEXT: Final = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_OR: Final = re.compile(r"\s+or\s+")
_SPACE: Final = re.compile(r"\s*")


class TemplateFailed(VoicelatError):
    """A template has no value where it needs one."""


@dataclass(frozen=True, slots=True)
class Hole:
    """One pair of braces: ``places`` to look at in order, then ``default``."""

    places: tuple[str, ...]
    default: str | None
    """None: null, where none of the places has a value."""


def parse(text: str) -> list[str | Hole]:
    """The parts of a template. Raises ValueError that says what is wrong with it."""
    parts: list[str | Hole] = []
    at = 0
    while (begin := text.find("{{", at)) >= 0:
        if begin > at:
            parts.append(text[at:begin])
        hole, at = _hole(text, begin)
        parts.append(hole)
    if at < len(text) or not parts:
        parts.append(text[at:])
    return parts


def holes(value: object) -> Iterator[tuple[tuple[str | int, ...], Hole]]:
    """Every hole in a value of JSON, with the path to its text. Raises ValueError, see `parse`."""
    if isinstance(value, str):
        for part in parse(value):
            if isinstance(part, Hole):
                yield (), part
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from (((key, *path), hole) for path, hole in holes(inner))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from (((index, *path), hole) for path, hole in holes(inner))


def fill(value: Any, seen: Mapping[str, Any]) -> Any:
    """``value`` with every hole filled from ``seen``.

    Raises TemplateFailed where a hole inside a text is null.
    """
    if isinstance(value, str):
        return _filled(parse(value), seen)
    if isinstance(value, Mapping):
        return {key: fill(inner, seen) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill(inner, seen) for inner in value]
    return value


def refer(hole: Hole, seen: Mapping[str, Any]) -> Any:
    """The value of a hole; None where there is none."""
    return look(seen, *hole.places, default=hole.default)


def look(seen: Mapping[str, Any], *places: str, default: str | None = None) -> Any:
    """The first of ``places`` that has a value, else ``default``.

    A place is a dotted path; a number in it is an index. What is not there is None.
    """
    for place in places:
        value: Any = seen
        for step in place.split("."):
            value = _inside(value, step)
        if value is not None:
            return value
    return default


def _inside(value: object, step: str) -> object:
    if isinstance(value, Mapping):
        return value.get(step)
    if isinstance(value, list) and step.isascii() and step.isdigit() and int(step) < len(value):
        return value[int(step)]
    return None


def _filled(parts: list[str | Hole], seen: Mapping[str, Any]) -> Any:
    if len(parts) == 1 and isinstance(parts[0], Hole):
        return refer(parts[0], seen)
    return "".join(
        part if isinstance(part, str) else _as_text(part, refer(part, seen)) for part in parts
    )


def _as_text(hole: Hole, value: object) -> str:
    if value is None:
        place = hole.places[-1]
        raise TemplateFailed(
            f'{place} is null inside a text: write {{{{{place} or "…"}}}} with what to say then'
        )
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _hole(text: str, begin: int) -> tuple[Hole, int]:
    """The hole that begins there, and where it ends."""
    wrong = ValueError(
        f"{text[begin : begin + 60]!r} is no template: write {{{{event.FIELD}}}},"
        ' {{nodes.NAME.FIELD}} or {{event.FIELD or "a text"}}'
    )
    places: list[str] = []
    default: str | None = None
    at = _past(_SPACE, text, begin + 2)
    while True:
        if (found := _TEXT.match(text, at)) is not None:
            default = _loads(found.group(), wrong)
            end = _past(_SPACE, text, found.end())
            break
        if (found := _PLACE.match(text, at)) is None:
            raise wrong
        places.append(found.group())
        end = _past(_SPACE, text, found.end())
        if (again := _OR.match(text, found.end())) is None:
            break
        at = again.end()
    if not text.startswith("}}", end):
        raise wrong
    return Hole(tuple(places), default), end + 2


def _loads(written: str, wrong: ValueError) -> str:
    try:
        return str(json.loads(written))
    except ValueError:
        raise wrong from None


def _past(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return at if found is None else found.end()
