"""What counts as an interruption, and what as one that we caused ourselves."""

from __future__ import annotations

from typing import Final

from voicelat.turn.transcript import words_of

__all__ = ["BACKCHANNELS", "REACTION_MS", "is_backchannel", "is_cutoff"]

REACTION_MS: Final = 200
"""Nobody reacts to a voice faster than this (the gap between speakers is ~200 ms: Stivers et
al. 2009). A caller who speaks sooner after our first audio was still holding the floor."""

_ENGLISH: Final = "ah aha hm hmm huh mhm mm mmhm oh ok okay right uh uhhuh um yeah yep yes sure"
_HEBREW: Final = "אה אהה אוקיי אוקי הממ המ טוב כן נכון סבבה"
BACKCHANNELS: Final = frozenset([*_ENGLISH.split(), *_HEBREW.split()])
"""Words by which a listener says "go on" without wanting the floor, English and Hebrew."""


def is_backchannel(text: str) -> bool:
    """Whether all of ``text`` is such words, at most three of them; empty text is not."""
    words = words_of(text)
    return 0 < len(words) <= 3 and BACKCHANNELS.issuperset(words)


def is_cutoff(voice_at_ms: int, first_audio_sent_ms: int) -> bool:
    """Whether voice that began at ``voice_at_ms`` was the caller going on, not reacting."""
    return voice_at_ms < first_audio_sent_ms + REACTION_MS
