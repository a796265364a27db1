"""Voice over the agent's floor, until it proves to be an interruption or a mere noise."""

from __future__ import annotations

from typing import Final

from voicelat.turn.barge_in import is_backchannel
from voicelat.turn.transcript import TurnText

__all__ = ["Overlap"]

BLIP_MEMORY_MS: Final = 1500
"""How long a voice too short to interrupt is remembered: its words come later than the voice
and can still make it an interruption ("stop")."""


class Overlap:
    """One voice over the agent, and the words that came with it."""

    __slots__ = ("blip_ms", "text", "voice_ms")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Nobody speaks over the agent."""
        self.voice_ms: int | None = None
        """Where the voice began, while it lasts."""
        self.blip_ms: int | None = None
        """Where the last voice that was too short ended."""
        self.text = TurnText()

    def take(self) -> tuple[int | None, TurnText]:
        """Hand over where the voice began, while it lasts, and its words; forget them."""
        voice_ms, text = self.voice_ms, self.text
        self.clear()
        return voice_ms, text

    def begin(self, at_ms: int) -> None:
        """Voice. What was said long before it has nothing to do with it."""
        if not self.heard_lately(at_ms):
            self.text = TurnText()
        self.voice_ms = at_ms

    def fade(self, at_ms: int) -> None:
        """The voice stopped before it was long enough."""
        self.voice_ms = None
        self.blip_ms = at_ms

    def heard_lately(self, now_ms: int) -> bool:
        """Whether there is, or just was, a voice that words could belong to."""
        recent = self.blip_ms is not None and now_ms - self.blip_ms <= BLIP_MEMORY_MS
        return self.voice_ms is not None or recent

    @property
    def only_nods(self) -> bool:
        """Whether the words so far only say "go on"."""
        return is_backchannel(self.text.text)
