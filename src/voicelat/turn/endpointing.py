"""Policies: how much silence ends a turn, and how much must pass before the reply sounds.

A policy is a small object without a clock. The machine asks it when a pause begins and again
whenever the pause's text or hint changes.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

__all__ = ["EndpointPolicy", "Endpointing", "FixedHangover", "Pause"]


class Pause(Struct, frozen=True):
    """What is known about the pause the caller is in."""

    voiced_ms: int
    """Voice in this turn so far."""
    text: str
    """Text of this turn so far; it may still change."""
    final: bool
    """The recogniser gave its final in this pause."""
    hint: float | None
    """The last endpoint hint in this pause, 0..1. None: no end-of-turn model spoke."""


class Endpointing(Struct, frozen=True):
    """A policy's answer. Both are silence since speech_end, in ms."""

    hangover_ms: int
    gate_ms: int


class EndpointPolicy(Protocol):
    """Decides how long to wait."""

    def decide(self, pause: Pause) -> Endpointing:
        """The hangover and the speak gate for this pause. Same pause, same answer."""
        ...


class FixedHangover(Struct, frozen=True):
    """The same wait for every pause."""

    hangover_ms: int
    gate_ms: int = 0

    def decide(self, pause: Pause) -> Endpointing:
        """The configured wait, whatever the pause."""
        return Endpointing(self.hangover_ms, self.gate_ms)
