"""Which pauses of a caller were the end of a turn: from labels, or from who spoke next.

A *hold* is a pause after which the caller goes on in the same turn, a *shift* one after which
the other side speaks. A true turn is its holds and the shift that ends it.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

__all__ = ["MIN_PAUSE_MS", "TruePause", "TrueTurn", "Truth"]

MIN_PAUSE_MS = 100
"""Shorter silences are gaps between words (livekit/eot-bench labels pauses from 100 ms on)."""


class TruePause(Struct, frozen=True):
    """One pause inside or behind a turn. The steps are indices into the trace's steps."""

    stop_step: int
    """The step whose `SpeechStopped` begins it."""
    start_step: int | None
    """The step whose `SpeechStarted` ends it. None for a shift: nobody is cut off any more."""
    until_step: int
    """The first step behind the pause: what the recogniser says before it belongs to it."""
    hold: bool

    @property
    def kind(self) -> Literal["hold", "shift"]:
        """In the field's words."""
        return "hold" if self.hold else "shift"


class TrueTurn(Struct, frozen=True):
    """A turn as it really was: its judged pauses in order, the last one its shift."""

    first_step: int
    """The step whose `SpeechStarted` begins it."""
    pauses: tuple[TruePause, ...]


class Truth(Struct, frozen=True):
    """All true turns of one call."""

    turns: tuple[TrueTurn, ...]
    by: Literal["labels", "derived"]
    left_out: dict[str, int]
    """Speech that is in no turn, by why: ``while the agent spoke``, ``no label``, ..."""
