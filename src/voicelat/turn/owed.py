"""The final that a turn ended without: what comes late must not become the next turn's words."""

from __future__ import annotations

from typing import Final

from voicelat.turn.transcript import after_words, words_of

__all__ = ["OwedFinal"]

EXPIRES_MS: Final = 5000
"""A recogniser that has not given its final by now will not: twice the slowest published time
to a final (Google's Chirp, 2.4 s over a short "hi")."""


class OwedFinal:
    """Sorts transcripts into "still about the turn that is over" and "new"."""

    __slots__ = ("_acted", "_before", "_until_ms")

    def __init__(self) -> None:
        self._acted: tuple[str, ...] = ()
        """The words of the recogniser's open segment that were acted on."""
        self._before = 0
        """How many of them earlier, before the turn (or before it was re-opened)."""
        self._until_ms: int | None = None

    def expect(self, partial: str, now_ms: int) -> None:
        """A turn was acted on ``partial``: what was new in the recogniser's open segment."""
        self._before = len(self._acted)
        self._acted += words_of(partial)
        self._until_ms = now_ms + EXPIRES_MS

    def late_part(self, final: str) -> str:
        """The part of an owed final that is about the turn acted on last."""
        return after_words(final, self._before)

    def new_part(self, text: str, now_ms: int, *, final: bool, voice: bool) -> str | None:
        """The part of ``text`` that is not about the turn that is over; None: none of it is.

        ``voice``: the caller has spoken since. A transcript that begins like the one acted on
        continues the same segment, and what it adds is new; another one is new as a whole if
        there was voice for it, else it is the old segment, revised.
        """
        if self._until_ms is None or now_ms >= self._until_ms:
            self._settle()
            return text
        words, acted = words_of(text), self._acted
        if final:
            self._settle()
        if words == acted[: len(words)] or not voice:
            return None
        pairs = enumerate(zip(acted, words, strict=False))
        same = next((i for i, (a, b) in pairs if a != b), len(acted))
        if 2 * same < len(acted):
            self._settle()
            return text
        if not final:  # the segment goes on, however long it is by now
            self._until_ms = now_ms + EXPIRES_MS
        return after_words(text, len(acted)) or None

    def _settle(self) -> None:
        self._acted = ()
        self._until_ms = None
