"""Policies: how much patience a pause deserves, against the waits that are set.

A policy is a small object without a clock, one per call. The machine asks it when a pause
begins and again whenever the pause's text or hint changes, multiplies its own hangover and
speak gate by the answer, and tells it of every pause after which the caller went on.
"""

from __future__ import annotations

from typing import Final, Protocol

from msgspec import Struct

__all__ = ["AS_SET", "EndpointPolicy", "Endpointing", "Fixed", "Patience", "Pause", "endpointing"]


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


class Patience(Struct, frozen=True):
    """A policy's answer, relative to the waits that are set."""

    times: float = 1.0
    """Hangover and speak gate are multiplied by this: below 1 the turn looks over."""
    least_ms: int = 0
    """Neither is shorter than this, in ms of silence since speech_end."""
    speculate: bool = True
    """Work on the reply may start before the turn is over."""


AS_SET: Final = Patience()
"""The waits as they are set."""


class Endpointing(Struct, frozen=True):
    """The waits of one pause. Both are silence since speech_end, in ms."""

    hangover_ms: int
    gate_ms: int
    speculate: bool = True


def endpointing(hangover_ms: int, gate_ms: int, patience: Patience) -> Endpointing:
    """The waits that are set, with patience."""
    times, least_ms = patience.times, patience.least_ms
    return Endpointing(
        max(round(hangover_ms * times), least_ms),
        max(round(gate_ms * times), least_ms),
        patience.speculate,
    )


class EndpointPolicy(Protocol):
    """Decides how long to wait. One object per call: it may learn from the caller's pauses."""

    def judge(self, pause: Pause) -> Patience:
        """The patience this pause deserves. Same pause and same past, same answer."""
        ...

    def resumed(self, pause_ms: int) -> None:
        """The caller went on in the same turn after a pause of ``pause_ms``."""
        ...


class Fixed(Struct, frozen=True):
    """The same waits for every pause: those that are set."""

    def judge(self, pause: Pause) -> Patience:
        """The waits as they are set, whatever the pause."""
        return AS_SET

    def resumed(self, pause_ms: int) -> None:
        """Nothing is learned from it."""
