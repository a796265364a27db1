"""What the machine asks its driver to do: the only things that leave it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from voicelat.metrics.record import TurnRecord

__all__ = [
    "Apologise",
    "AskToRepeat",
    "CancelReason",
    "CancelReply",
    "ClearPlayout",
    "CommitReply",
    "Effect",
    "FinalizeStt",
    "HoldReply",
    "RequestMark",
    "RunFallback",
    "StartReply",
    "TurnClosed",
]

CancelReason = Literal[
    "text_changed", "doubtful", "resumed", "reopened", "barge_in", "timeout", "stopped"
]


class StartReply(Struct, frozen=True, tag="start_reply"):
    """Begin to work on a reply. Send nothing before its `CommitReply`; while it is
    ``speculative`` the turn is not over: no side effects either."""

    turn: int
    attempt: int
    text: str
    speculative: bool


class CommitReply(Struct, frozen=True, tag="commit_reply"):
    """The speak gate is open: send what there is, and what comes."""

    turn: int
    attempt: int


class HoldReply(Struct, frozen=True, tag="hold_reply"):
    """The speak gate is shut again: keep the reply, send nothing until the next commit."""

    turn: int
    attempt: int


class CancelReply(Struct, frozen=True, tag="cancel_reply"):
    """Drop the reply and everything it still makes."""

    turn: int
    attempt: int
    why: CancelReason


class ClearPlayout(Struct, frozen=True, tag="clear_playout"):
    """Empty our playout and Twilio's buffer, in this same tick."""

    turn: int


class RequestMark(Struct, frozen=True, tag="request_mark"):
    """Send a mark: behind the audio already ``sent``, or behind all that is ``queued``."""

    turn: int
    name: str
    behind: Literal["sent", "queued"]


class FinalizeStt(Struct, frozen=True, tag="finalize_stt"):
    """Ask the recogniser for its final now."""

    turn: int


class AskToRepeat(Struct, frozen=True, tag="ask_to_repeat"):
    """No text came, or none to be sure of: play the short "could you repeat that?" as this
    attempt's reply."""

    turn: int
    attempt: int


class Apologise(Struct, frozen=True, tag="apologise"):
    """The reply failed or is late: play the short apology as this attempt's reply."""

    turn: int
    attempt: int


class RunFallback(Struct, frozen=True, tag="run_fallback"):
    """Transcribe the turn's buffered audio beside the call, never in it."""

    turn: int


class TurnClosed(Struct, frozen=True, tag="turn_closed"):
    """The turn is over and measured."""

    record: TurnRecord


Effect = (
    StartReply
    | CommitReply
    | HoldReply
    | CancelReply
    | ClearPlayout
    | RequestMark
    | FinalizeStt
    | AskToRepeat
    | Apologise
    | RunFallback
    | TurnClosed
)
