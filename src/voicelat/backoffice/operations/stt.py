"""``stt.*``: what was said in a call."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field
from sqlalchemy import select

from voicelat.backoffice.fields import Arguments, Id, LongText, Result, Time
from voicelat.backoffice.operation import Desk, Operation, Read, Write, Written, snapshot
from voicelat.backoffice.operations.calls import known_call
from voicelat.backoffice.tables import Call, TranscriptTurn

__all__ = ["OPERATIONS"]

Speaker = Literal["caller", "agent"]


class Turn(Arguments):
    """What one side said in one turn."""

    turn: Annotated[int, Field(ge=0, le=100_000)]
    speaker: Speaker
    text: LongText
    at: Time


class AppendTurns(Arguments):
    """Turns of a call, as they were said."""

    call_id: Id
    turns: Annotated[list[Turn], Field(min_length=1, max_length=200)]


class Appended(Result):
    """How many turns are new, and how many replaced an earlier text of theirs."""

    call_id: str
    added: int
    replaced: int


class GetLastTranscript(Arguments):
    """Which call."""

    call_id: Id


class Said(Result):
    """What one side said in one turn."""

    turn: int
    speaker: Speaker
    text: str
    at: Time


class Transcript(Result):
    """All turns of the call so far, in order, the caller's before its reply."""

    call_id: str
    turns: list[Said]


def append_turns(desk: Desk, asked: AppendTurns) -> Written:
    """Keep the turns. A call nobody has logged yet begins with its first one."""
    call = desk.db.get(Call, (desk.tenant, asked.call_id))
    if call is None:
        started_at = min(turn.at for turn in asked.turns)
        desk.db.add(Call(tenant=desk.tenant, call_id=asked.call_id, started_at=started_at))
        desk.db.flush()
    before, after = [], []
    for turn in asked.turns:
        row = desk.db.get(TranscriptTurn, (desk.tenant, asked.call_id, turn.turn, turn.speaker))
        if row is None:
            row = TranscriptTurn(
                tenant=desk.tenant, call_id=asked.call_id, turn=turn.turn, speaker=turn.speaker
            )
            desk.db.add(row)
        else:
            before.append(snapshot(row))
        row.text, row.at = turn.text, turn.at
        after.append(snapshot(row))
    return Written(
        Appended(call_id=asked.call_id, added=len(after) - len(before), replaced=len(before)),
        f"transcripts/{asked.call_id}",
        {"turns": before} if before else None,
        {"turns": after},
    )


def get_last_transcript(desk: Desk, asked: GetLastTranscript) -> Transcript:
    """What was said in the call so far."""
    known_call(desk, asked.call_id)
    rows = desk.db.scalars(
        select(TranscriptTurn)
        .where(TranscriptTurn.tenant == desk.tenant, TranscriptTurn.call_id == asked.call_id)
        .order_by(TranscriptTurn.turn, TranscriptTurn.speaker.desc())
    )
    return Transcript(
        call_id=asked.call_id,
        turns=[Said.model_validate(row, from_attributes=True) for row in rows],
    )


OPERATIONS: Final[tuple[Operation, ...]] = (
    Write("stt.append_turns", AppendTurns, Appended, append_turns),
    Read("stt.get_last_transcript", GetLastTranscript, Transcript, get_last_transcript),
)
