"""Cuts a reply into clauses while it is still being written, so that speech can start early.

A clause is given away with the piece of text that makes its end certain: behind a letter that
is its punctuation itself, behind a digit the character after it. Nothing waits for a next token
only to be told that a sentence had ended.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["ClauseSplitter", "word_count"]

# A clause ends at punctuation behind a letter or a bracket: behind a digit a comma or a dot may
# be part of a number, and only the next character tells. Hebrew ends its sentences the same way;
# its points and its maqaf stand among the brackets because they are no letters.
_END: Final = re.compile(
    r"(?<=[^\W\d_])[,;:.!?\u2026]+(?=\s|$)"
    r"|(?<=[)\"'\u05f4\u0591-\u05c7])[,;:.!?\u2026]+(?=\s|$)"
    r"|(?<=\d)[;!?\u2026]+(?=\s|$)"
    r"|(?<=\d)[,;:.!?\u2026]+(?=\s)"
)
_ABBREVIATION: Final = re.compile(r"\b(?:mr|mrs|ms|dr|st|no|vs|e\.g|i\.e|a\.m|p\.m|[a-z])\.$", re.I)

# What is left of "..." or '."' when a piece ended behind its first mark.
_STRAY: Final = re.compile(r"^[,;:.!?\u2026)\"'\u05f4]+(?=\s|$)")

# What stands between white space, maqafs and dashes. If it has a letter or digit, it is a word as
# a listener counts: "2.30" and "don't" are one, "yes—no" is two.
_TOKEN: Final = re.compile(r"[^\s\u05be\u2013\u2014]+")
_WHOLE_WORDS: Final = re.compile(r".*\s", re.DOTALL)

_HEBREW: Final = re.compile("[\u05d0-\u05ea]")

_ENGLISH: Final = (
    "and or but so because since while when if unless until although which who where "
    "before after for with without to at in on from by about as than"
)
_HEBREW_ONES: Final = "או אבל כי אם אז כדי אשר לכן גם עם בלי על אל של אצל בגלל למרות אחרי לפני כאשר"
_BREAKS: Final = frozenset([*_ENGLISH.split(), *_HEBREW_ONES.split()])
"""Words a speaker takes breath before. Hebrew's "and" is a prefix: see `_opens`."""

_MIN_LETTERS: Final = 4
_MIN_LETTERS_HEBREW: Final = 3
"""A clause with fewer is a syllable ("Oh", "No", "לא"): a voice makes a click of it, and it is
over before the next clause is made. Hebrew leaves out most vowels: three of its letters are two
syllables."""


def word_count(text: str) -> int:
    """How many words a listener hears in ``text``, in any script; marks alone are none."""
    return len(_words(text))


class ClauseSplitter:
    """Feed it the model's pieces, take clauses out. No word is moved, and none is lost before
    the limit.

    ``max_words`` is the limit, None: no limit. It falls between clauses: one that would exceed
    it is not begun once half of the limit has been said. Before that it is said whole, unless
    the reply would become half as long again as the limit: then it is cut where a speaker would
    take breath. So a reply never has more than one and a half times ``max_words``, and seldom
    more than ``max_words``.

    ``first_words``: the first clause is given away after so many words if it has no end by
    then, so that speech does not wait for a comma. None: it waits.
    """

    def __init__(self, max_words: int | None = None, first_words: int | None = None) -> None:
        self._rest = ""
        self._max_words = max_words
        self._first_words = first_words
        self._said = 0
        """Words given away."""
        self._closed = 0
        """Those of them in clauses that are whole."""
        self.full = False
        """The word limit was reached: no more clauses will come."""

    def push(self, piece: str) -> list[str]:
        """Take a piece of text. Returns the clauses it completed."""
        self._rest += piece
        clauses: list[str] = []
        while not self.full and (end := self._next_end()) is not None:
            self._keep(clauses, end)
        if not self.full:
            self._look_ahead(clauses)
        return clauses

    def flush(self) -> list[str]:
        """The text is complete: the rest is a clause too."""
        clauses: list[str] = []
        self._keep(clauses, len(self._rest))
        return clauses

    def _next_end(self) -> int | None:
        for match in _END.finditer(self._rest):
            end = match.end()
            if not _ABBREVIATION.search(self._rest, 0, end) and _can_be_said(self._rest[:end]):
                return end
        return None

    def _look_ahead(self, clauses: list[str]) -> None:
        """What is known of a clause before its end: that it is too long."""
        found = _WHOLE_WORDS.match(self._rest)  # behind them, a word may go on
        if found is None:
            return
        whole, limit, first = found.group(), self._max_words, self._first_words
        words = word_count(whole)
        if limit is not None and self._said + words > self._patience(limit):
            self._keep(clauses, len(self._rest))
        elif first is not None and self._said == 0 and words >= first:
            end = _breath(whole, first if limit is None else min(first, limit))
            clauses.append(whole[:end].strip())
            self._said += word_count(whole[:end])
            self._rest = self._rest[end:]

    def _patience(self, limit: int) -> int:
        """The words at which a clause that has not ended must be given up, or cut."""
        return limit if 2 * self._closed >= limit else limit * 3 // 2

    def _keep(self, clauses: list[str], end: int) -> None:
        """The rest up to ``end`` is a clause."""
        clause = _STRAY.sub("", self._rest[:end].strip()).lstrip()
        self._rest = self._rest[end:]
        if self.full or not any(map(str.isalnum, clause)):  # punctuation alone has no sound
            return
        limit = self._max_words
        words = word_count(clause)
        if limit is not None and self._said + words > limit:
            self.full = True
            if 2 * self._closed >= limit:
                return
            if self._said + words > limit * 3 // 2:
                clause = clause[: _breath(clause, limit - self._said)].strip()
        if clause:
            clauses.append(clause)
        self._said += word_count(clause)
        self._closed = self._said
        self.full = self.full or (limit is not None and self._said >= limit)


def _can_be_said(clause: str) -> bool:
    """Whether there is enough of it to be worth a voice's while."""
    letters = sum(map(str.isalnum, clause))
    return letters >= (_MIN_LETTERS_HEBREW if _HEBREW.search(clause) else _MIN_LETTERS)


def _breath(text: str, words: int) -> int:
    """Where a speaker would take breath in the first ``words`` words of ``text``: behind the
    last mark of their second half, or before its last joining word, or behind them all."""
    found = _words(text)[: words + 1]
    if words <= 0 or not found:
        return 0
    ends = range(max(1, words // 2), min(words, len(found)) + 1)
    for count in reversed(ends):
        if found[count - 1].group()[-1] in ",;:.!?\u2026":
            return found[count - 1].end()
    for count in reversed(ends):
        last, following = found[count - 1], found[count].group() if count < len(found) else ""
        if _opens(following) and not _opens(last.group()):
            return last.end()
    return found[min(words, len(found)) - 1].end()


def _words(text: str) -> list[re.Match[str]]:
    return [match for match in _TOKEN.finditer(text) if any(map(str.isalnum, match.group()))]


def _opens(word: str) -> bool:
    """Whether ``word`` begins a new thought."""
    return word.casefold() in _BREAKS or (len(word) > 3 and word.startswith("\u05d5"))
