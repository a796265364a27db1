"""Written English to what a voice should say, clause by clause.

The pronunciation dictionary behind the voice reads money, percentages and plain numbers; it
drops the digits of "2:30" and reads "555-0123" as a hyphenated word. Those are spelled here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from re import Match, Pattern
from typing import Final

__all__ = ["Clause", "clauses", "foreign_letters", "spoken"]

_SHORT_CLAUSE: Final = 4
"""Clauses of fewer words join the next one: said alone they sound like a list being read."""
_LONG_CLAUSE: Final = 25
"""More words without a mark are cut at a space, so that no single synthesis takes 0.5 s."""
_LONG_WORD: Final = 24
"""Longer runs of letters are no word; the model for unknown words takes 128 letters at most."""

_PAUSE_MS: Final = {",": 120, ";": 160, ":": 160, ".": 250, "!": 250, "?": 250}


@dataclass(frozen=True, slots=True)
class Clause:
    """What is synthesized in one go, and the silence that belongs behind it."""

    text: str
    pause_ms: int


def foreign_letters(text: str) -> str:
    """The letters of ``text`` that are not Latin, each once, in order; "" when there are none."""
    letters = dict.fromkeys(char for char in _plain(text) if char.isalpha())
    return "".join(x for x in letters if not unicodedata.name(x, "").startswith("LATIN"))


def spoken(text: str) -> str:
    """``text`` as words, digits and marks that the pronunciation dictionary reads right."""
    plain = "".join(char for char in _plain(text) if char.isascii())
    for pattern, replacement in _RULES:
        plain = pattern.sub(replacement, plain)
    return " ".join(plain.split())


def clauses(text: str) -> list[Clause]:
    """Cut spoken text where a speaker would breathe. Nothing to say: an empty list.

    The first clause ends at the first mark, however short: it is what the caller waits for.
    """
    found: list[Clause] = []
    waiting = ""
    for piece in _BREAK.split(spoken(text)):
        whole = f"{waiting} {piece}".strip()
        ends_sentence = piece.endswith((".", "!", "?"))
        if found and not ends_sentence and len(whole.split()) < _SHORT_CLAUSE:
            waiting = whole
            continue
        waiting = ""
        found += _cut(whole)
    return found + _cut(waiting)


def _plain(text: str) -> str:
    """Typographic marks as ASCII ones, accents apart from their letters."""
    return unicodedata.normalize("NFKD", text.translate(_MARKS))


def _cut(clause: str) -> list[Clause]:
    if not any(char.isalnum() for char in clause):
        return []
    words = clause.split()
    parts = [words[at : at + _LONG_CLAUSE] for at in range(0, len(words), _LONG_CLAUSE)]
    return [Clause(" ".join(part), _PAUSE_MS.get(part[-1][-1], 0)) for part in parts]


def _time(match: Match[str]) -> str:
    hour, minutes, half = int(match[1]), match[2], match[3]
    noon = f" {half[0]}m".lower() if half else ""
    if minutes == "00":
        return f"{hour}{noon}" if noon else f"{hour} o'clock"
    return f"{hour} {minutes if minutes[0] != '0' else f'oh {minutes[1]}'}{noon}"


def _digits(match: Match[str]) -> str:
    groups = re.findall(r"\d+", match[0])
    return ", ".join(" ".join(group) for group in groups)


_MARKS: Final = str.maketrans(
    {
        "\u2014": ", ",
        "\u2013": "-",
        "\u2026": ".",
        "\u2019": "'",
        "\u2018": "'",
        "\u02bc": "'",
        "\u00a0": " ",
    }
    | dict.fromkeys("()[]{}|", ", ")
    | dict.fromkeys('\u201c\u201d"*_#<>', " ")
)
_RULES: Final[list[tuple[Pattern[str], str | Callable[[Match[str]], str]]]] = [
    # 2:30 p.m. -> 2 30 pm; 9:05 -> 9 oh 5; 9:00 -> 9 o'clock
    (re.compile(r"\b(\d{1,2}):(\d\d)(?:\s*([ap])\.?m\b\.?)?", re.IGNORECASE), _time),
    # 10 a.m. -> 10 am: the dots are no ends of sentences
    (re.compile(r"\b([ap])\.m\b\.?", re.IGNORECASE), r"\1m"),
    # 555-0123, +1 (212) 555-0123, 0501234567 -> digit by digit, a breath between groups
    (re.compile(r"\+?\b(?:\d{1,4}[-., ]{1,3}){0,3}\d{3}-\d{4}\b"), _digits),
    (re.compile(r"\b\d{5,}\b(?!,\d)"), _digits),
    # 8-6 -> 8 to 6, but not 2026-11-05
    (re.compile(r"(?<![\d-])(\d{1,3})\s*-\s*(\d{1,3})(?![\d-])"), r"\1 to \2"),
    (re.compile(r"\s+(?=[,;:.!?])"), ""),
    (re.compile(rf"([A-Za-z]{{{_LONG_WORD}}})(?=[A-Za-z])"), r"\1 "),
]
# Behind a mark and white space, but not behind "Dr." and the like. "3.5" has no white space.
_BREAK: Final = re.compile(r"(?<=[,;:.!?])(?<!\bMr\.)(?<!\bMrs\.)(?<!\bMs\.)(?<!\bDr\.)\s+")
