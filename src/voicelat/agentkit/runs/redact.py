"""What the log of a run must not keep: secrets, and what identifies a person.

Applied before anything is stored. By the name of a field (its whole value goes), and by pattern
inside every text. The log then still says that a phone number was written, not which.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["MASK", "Redaction"]

MASK: Final = "[redacted]"

_FIELDS: Final = frozenset(
    {
        *("api_key", "authorization", "grant", "password", "secret", "token"),
        *("attendee_name", "attendee_phone", "email", "from_number", "name", "phone"),
        *("to_number", "to_phone"),
    }
)

_PATTERNS: Final = (
    re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),  # an e-mail address
    re.compile(r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{12,}"),  # a key
    re.compile(r"(?i)\bbearer\s+\S+"),
    # A phone, card or account number; one inside a word is part of an id.
    re.compile(r"(?:\+|(?<!\w))\d(?:[\s().-]{0,2}\d){6,18}"),
)
_DATES: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?(?!\d)")
"""Only digits that are no date are a number of somebody's."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """The rules. ``fields``: names, in lower case, whose values go; ``patterns``: what goes from
    texts. A ``{"key": …, "value": …}`` pair counts as a field of that name."""

    fields: frozenset[str] = _FIELDS
    patterns: tuple[re.Pattern[str], ...] = _PATTERNS

    def also(self, names: str | None) -> Redaction:
        """The same with more fields: names with commas between. None: no more."""
        more = {name.strip().lower() for name in (names or "").split(",")} - {""}
        return Redaction(self.fields | more, self.patterns)

    def __call__(self, value: Any) -> Any:
        """A JSON value without what must not be kept; None, numbers and switches stay."""
        match value:
            case dict():
                return self._object(value)
            case list() | tuple():
                return [self(one) for one in value]
            case str():
                return self._text(value)
            case _:
                return value

    def _object(self, value: dict[str, Any]) -> dict[str, Any]:
        named = value.get("key")
        pair = isinstance(named, str) and named.lower() in self.fields
        return {
            self._text(str(name)): self._gone(inside)
            if str(name).lower() in self.fields or (pair and name == "value")
            else self(inside)
            for name, inside in value.items()
        }

    def _text(self, text: str) -> str:
        kept: list[str] = []
        end = 0
        for date in _DATES.finditer(text):
            kept += [self._masked(text[end : date.start()]), date.group()]
            end = date.end()
        return "".join([*kept, self._masked(text[end:])])

    def _masked(self, text: str) -> str:
        for pattern in self.patterns:
            text = pattern.sub(MASK, text)
        return text

    @staticmethod
    def _gone(value: Any) -> Any:
        """Whether there was something stays visible."""
        return value if value is None or value in ("", [], {}) else MASK
