"""Approved templates, from a file: what WhatsApp lets one say to somebody who has not just written.

version: 1
free_text: notice          # says a free text when it may no longer be sent as one; or none
templates:
  notice:
    en: {content_sid: HX123, text: "A message from us: {1}"}
    he: {content_sid: HX456, text: "הודעה מאיתנו: {1}"}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jsonschema
import yaml

from voicelat.channels.provider import Template
from voicelat.errors import InvalidFile, VoicelatError

__all__ = ["NoTemplate", "Templates", "read_templates"]

_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["version", "templates"],
    "properties": {
        "version": {"const": 1},
        "free_text": {"type": "string"},
        "templates": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": r"^[a-z]{2,3}([-_][A-Za-z0-9]{1,8})*$"},
                "additionalProperties": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["text"],
                    "properties": {
                        "content_sid": {"type": "string", "pattern": "^HX[0-9a-zA-Z]{1,64}$"},
                        "text": {"type": "string", "minLength": 1, "maxLength": 4096},
                    },
                },
            },
        },
    },
}
_PLACE: Final = re.compile(r"\{([0-9]{1,2})\}")


class NoTemplate(VoicelatError):
    """There is no template of that name, or it does not take what it was given."""


@dataclass(frozen=True, slots=True)
class _Wording:
    content_sid: str | None
    text: str

    @property
    def places(self) -> int:
        return max((int(number) for number in _PLACE.findall(self.text)), default=0)


@dataclass(frozen=True, slots=True)
class Templates:
    """All there are, by name and language. Made by `read_templates`; without a file: none."""

    wordings: Mapping[str, Mapping[str, _Wording]]
    free_text: str | None = None
    """The one that says any text."""

    def filled(self, name: str, language: str | None, variables: tuple[str, ...]) -> Template:
        """The template in that language, else in its main one, else in the first there is. Raises
        NoTemplate."""
        found = self.wordings.get(name)
        if found is None:
            known = ", ".join(self.wordings) or "none"
            raise NoTemplate(f"no template {name} in WHATSAPP_TEMPLATES; there are: {known}")
        chosen = _language(found, language)
        wording = found[chosen]
        if wording.places != len(variables):
            raise NoTemplate(
                f"template {name} ({chosen}) has {wording.places} places, and {len(variables)} "
                "variables were given"
            )
        return Template(
            name=name,
            language=chosen,
            content_sid=wording.content_sid,
            variables=variables,
            text=_PLACE.sub(lambda place: variables[int(place[1]) - 1], wording.text),
        )

    def saying(self, text: str, language: str | None) -> Template | None:
        """The template that says any text; None: there is none."""
        if self.free_text is None:
            return None
        # A variable of a template may have no line breaks and no runs of spaces.
        return self.filled(self.free_text, language, (" ".join(text.split()),))


def read_templates(path: Path | None) -> Templates:
    """The file's templates; none without a file. Raises InvalidFile."""
    if path is None:
        return Templates({})
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFile(path, f"cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise InvalidFile(path, f"is not YAML: {' '.join(str(error).split())}") from None
    problem = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(_SCHEMA).iter_errors(read)
    )
    if problem is not None:
        where = ".".join(str(part) for part in problem.absolute_path) or "the file"
        raise InvalidFile(path, f"{where}: {problem.message}")
    found = Templates(
        {
            name: {
                language: _Wording(wording.get("content_sid"), wording["text"])
                for language, wording in languages.items()
            }
            for name, languages in read["templates"].items()
        },
        read.get("free_text"),
    )
    _check(path, found)
    return found


def _check(path: Path, found: Templates) -> None:
    for name, languages in found.wordings.items():
        for language, wording in languages.items():
            numbers = {int(number) for number in _PLACE.findall(wording.text)}
            if numbers != set(range(1, len(numbers) + 1)):
                raise InvalidFile(
                    path, f"templates.{name}.{language}: number the places {{1}}, {{2}}"
                )
    if found.free_text is None:
        return
    if found.free_text not in found.wordings:
        raise InvalidFile(path, f"free_text: there is no template {found.free_text}")
    if any(one.places != 1 for one in found.wordings[found.free_text].values()):
        raise InvalidFile(path, f"free_text: {found.free_text} must have exactly one place, {{1}}")


def _language(found: Mapping[str, _Wording], language: str | None) -> str:
    if language is not None:
        wanted = language.replace("_", "-").lower()
        known = {one.replace("_", "-").lower(): one for one in found}
        main = wanted.partition("-")[0]
        for one in (wanted, main):
            if one in known:
                return known[one]
        for one, original in known.items():
            if one.partition("-")[0] == main:
                return original
    return next(iter(found))
