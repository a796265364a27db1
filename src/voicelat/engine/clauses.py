"""Cuts a reply into clauses while it is still being written, so that speech can start early."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["ClauseSplitter"]

# A clause ends at punctuation behind a letter or a bracket: behind a digit a comma or a dot may
# be part of a number, and only the next character tells. Hebrew ends its sentences the same way.
_END: Final = re.compile(
    r"(?<=[^\W\d_])[,;:.!?\u2026]+(?=\s|$)"
    r"|(?<=[)\"'\u05f4])[,;:.!?\u2026]+(?=\s|$)"
    r"|(?<=\d)[,;:.!?\u2026]+(?=\s)"
)
_ABBREVIATION: Final = re.compile(r"\b(?:mr|mrs|ms|dr|st|no|vs|e\.g|i\.e|a\.m|p\.m|[a-z])\.$", re.I)

# What is left of "..." or '."' when a piece ended behind its first mark.
_STRAY: Final = re.compile(r"^[,;:.!?\u2026)\"'\u05f4]+(?=\s|$)")


class ClauseSplitter:
    """Feed it the model's pieces, take clauses out. No word is lost or moved.

    ``max_words``: stop at the first clause end that reaches so many words, and say nothing
    after it. None: no limit.
    """

    def __init__(self, max_words: int | None = None) -> None:
        self._rest = ""
        self._max_words = max_words
        self._words = 0
        self.full = False
        """The word limit was reached: no more clauses will come."""

    def push(self, piece: str) -> list[str]:
        """Take a piece of text. Returns the clauses it completed."""
        self._rest += piece
        clauses: list[str] = []
        start = 0
        while not self.full and (end := self._next_end(start)) is not None:
            self._keep(clauses, self._rest[start:end])
            start = end
        self._rest = self._rest[start:]
        return clauses

    def flush(self) -> list[str]:
        """The text is complete: the rest is a clause too."""
        clauses: list[str] = []
        self._keep(clauses, self._rest)
        self._rest = ""
        return clauses

    def _next_end(self, start: int) -> int | None:
        for match in _END.finditer(self._rest, start):
            if not _ABBREVIATION.search(self._rest, start, match.end()):
                return match.end()
        return None

    def _keep(self, clauses: list[str], clause: str) -> None:
        clause = _STRAY.sub("", clause.strip()).lstrip()
        if self.full or not any(map(str.isalnum, clause)):  # punctuation alone has no sound
            return
        clauses.append(clause)
        self._words += len(clause.split())
        self.full = self._max_words is not None and self._words >= self._max_words
