"""The two small machines and their legal moves, as data.

Caller x Agent: caller speaking while the agent speaks *is* barge-in. The diagram in the docs is
drawn from these tables.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["AGENT_MOVES", "CALLER_MOVES", "Agent", "AgentMove", "Caller", "CallerMove"]


class Caller(StrEnum):
    """What the caller is doing."""

    SILENT = "silent"
    SPEAKING = "speaking"
    PAUSED = "paused"
    """Silent inside a turn that is not over yet."""


class Agent(StrEnum):
    """What the agent is doing."""

    IDLE = "idle"
    THINKING = "thinking"
    """A reply is in the making, perhaps speculatively; no audio of it has been sent."""
    SPEAKING = "speaking"
    """Audio has been sent and not all of it is known to be played."""


class CallerMove(StrEnum):
    """What moves the caller."""

    VOICE = "voice"
    PAUSE = "pause"
    WORDS = "words"
    """Words came without voice: the recogniser hears what the detector missed, or a key."""
    TURN_OVER = "turn over"
    IGNORED = "ignored"
    """Too short to be an utterance or an interruption."""


class AgentMove(StrEnum):
    """What moves the agent."""

    START = "start"
    SENT = "sent"
    CANCEL = "cancel"
    PLAYED = "played"


CALLER_MOVES: Final = {
    (Caller.SILENT, CallerMove.VOICE): Caller.SPEAKING,
    (Caller.SILENT, CallerMove.WORDS): Caller.PAUSED,
    (Caller.SPEAKING, CallerMove.PAUSE): Caller.PAUSED,
    (Caller.SPEAKING, CallerMove.IGNORED): Caller.SILENT,
    (Caller.PAUSED, CallerMove.VOICE): Caller.SPEAKING,
    (Caller.PAUSED, CallerMove.TURN_OVER): Caller.SILENT,
    (Caller.PAUSED, CallerMove.IGNORED): Caller.SILENT,
}

AGENT_MOVES: Final = {
    (Agent.IDLE, AgentMove.START): Agent.THINKING,
    (Agent.THINKING, AgentMove.SENT): Agent.SPEAKING,
    (Agent.THINKING, AgentMove.CANCEL): Agent.IDLE,
    (Agent.THINKING, AgentMove.PLAYED): Agent.IDLE,  # nothing in it was audible
    (Agent.SPEAKING, AgentMove.CANCEL): Agent.IDLE,
    (Agent.SPEAKING, AgentMove.PLAYED): Agent.IDLE,
}
