"""The words of a turn: finals so far, the partial behind them, and when they last changed."""

from __future__ import annotations

import re
from copy import copy

__all__ = ["TurnText", "after_words", "words_of"]

# Apostrophes, and geresh and gershayim in Hebrew abbreviations, stand inside words.
# The keys * and # are words: a caller who presses one has said something.
_WORD = re.compile(r"[^\W_]+(?:['\u2019\u05f3\u05f4\"][^\W_]+)*|[*#]")


def words_of(text: str) -> tuple[str, ...]:
    """The words of ``text`` without case and punctuation, for comparing transcripts.

    A recogniser that only adds a comma or a capital has not changed its mind.
    """
    return tuple(_WORD.findall(text.casefold()))


def after_words(text: str, count: int) -> str:
    """``text`` without its first ``count`` words."""
    ends = [match.end() for match in _WORD.finditer(text)]
    if count >= len(ends):
        return ""
    return text[ends[count - 1] :].lstrip(" ,.;:!?") if count else text


class TurnText:
    """What the recogniser has said about one turn."""

    __slots__ = ("_confidences", "_finals", "_partial", "_words", "changed_ms", "heard_ms")

    def __init__(self) -> None:
        self._finals: list[str] = []
        self._confidences: list[float | None] = []
        """One for each of the finals."""
        self._partial = ""
        self._words: tuple[str, ...] = ()
        self.changed_ms: int | None = None
        """When the words last changed. None: no words yet."""
        self.heard_ms: int | None = None
        """When the recogniser last said anything, changed or not."""

    def copy(self) -> TurnText:
        """The same words, to go on from."""
        other = copy(self)
        other._finals = self._finals.copy()
        other._confidences = self._confidences.copy()
        return other

    @property
    def text(self) -> str:
        """All of it, finals first."""
        if not self._finals:
            return self._partial
        return " ".join([*self._finals, self._partial] if self._partial else self._finals)

    @property
    def closed(self) -> str:
        """The finals: what the recogniser will not change any more."""
        return " ".join(self._finals)

    @property
    def open(self) -> str:
        """The partial behind the finals, "" when a final was the last word."""
        return self._partial

    @property
    def words(self) -> tuple[str, ...]:
        """The same as comparable words."""
        return self._words

    @property
    def confidence(self) -> float | None:
        """How sure the recogniser is of all of it, 0..1: the mean over its words.

        None when it does not tell, or has not yet: a partial may still become anything.
        """
        if self._partial or not self._words:
            return None
        total, count = 0.0, 0
        for text, confidence in zip(self._finals, self._confidences, strict=True):
            words = len(words_of(text))
            if words and confidence is None:
                return None
            total += words * (confidence or 0.0)
            count += words
        return round(total / count, 6) if count else None  # 0.7 is not below 0.7

    def put(self, text: str, now_ms: int, *, final: bool, confidence: float | None = None) -> bool:
        """Take a partial or a final. Returns whether the words changed."""
        if final:
            self._partial = ""
            if text:
                self._finals.append(text)
                self._confidences.append(confidence)
        else:
            self._partial = text
        return self._note(now_ms)

    def put_digit(self, digit: str, now_ms: int) -> None:
        """Take a key press; keys pressed one after another make one number."""
        if self._finals and self._finals[-1].isdigit():
            self._finals[-1] += digit
        else:
            self._finals.append(digit)
            self._confidences.append(1.0)
        self._note(now_ms)

    def seal(self) -> None:
        """Keep the partial as it is: what comes next is behind it."""
        if self._partial:
            self._finals.append(self._partial)
            self._confidences.append(None)
            self._partial = ""

    def absorb(self, later: TurnText) -> None:
        """Put the words of ``later`` behind these."""
        self.seal()
        self._finals += later._finals
        self._confidences += later._confidences
        self._partial = later._partial
        self._words = words_of(self.text)
        self.changed_ms = later.changed_ms if later.changed_ms is not None else self.changed_ms
        self.heard_ms = later.heard_ms if later.heard_ms is not None else self.heard_ms

    def _note(self, now_ms: int) -> bool:
        self.heard_ms = now_ms
        words = words_of(self.text)
        if words == self._words:
            return False
        self._words = words
        self.changed_ms = now_ms
        return True
