"""``calls.*``: telephone calls and where their audio lies."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, StringConstraints
from sqlalchemy import select

from voicelat.backoffice.fields import Arguments, Id, Phone, Result, ShortText, Time
from voicelat.backoffice.operation import (
    Desk,
    Operation,
    Write,
    Written,
    new_id,
    not_found,
    snapshot,
)
from voicelat.backoffice.tables import Call, Recording

__all__ = ["OPERATIONS", "known_call"]

Url = Annotated[str, StringConstraints(max_length=2000, pattern=r"^https?://[!-~]+$")]


class LogCreate(Arguments):
    """A call as it is known now. Null is not known, and keeps what was."""

    call_id: Id
    from_number: Phone | None
    to_number: Phone | None
    started_at: Time
    ended_at: Time | None
    outcome: ShortText | None


class Logged(Result):
    """The call; ``created`` is false when it was there and was brought up to date."""

    call_id: str
    created: bool


class AttachRecording(Arguments):
    """A recording of a call that has been logged."""

    call_id: Id
    url: Url
    seconds: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] | None


class Attached(Result):
    """The recording; the same URL of the same call keeps its id."""

    recording_id: str


def known_call(desk: Desk, call_id: str) -> Call:
    """The tenant's call. Raises Problem when it has none of that id."""
    call = desk.db.get(Call, (desk.tenant, call_id))
    if call is None:
        raise not_found("call", call_id, "log it first with calls.log_create")
    return call


def log_create(desk: Desk, asked: LogCreate) -> Written:
    """Log a call, or bring the log of one up to date."""
    call = desk.db.get(Call, (desk.tenant, asked.call_id))
    before = None if call is None else snapshot(call)
    if call is None:
        call = Call(tenant=desk.tenant, call_id=asked.call_id)
        desk.db.add(call)
    call.started_at = asked.started_at
    call.from_number = asked.from_number or call.from_number
    call.to_number = asked.to_number or call.to_number
    call.ended_at = asked.ended_at or call.ended_at
    call.outcome = asked.outcome or call.outcome
    return Written(
        Logged(call_id=call.call_id, created=before is None),
        f"calls/{call.call_id}",
        before,
        snapshot(call),
    )


def attach_recording(desk: Desk, asked: AttachRecording) -> Written:
    """Note where a recording of the call lies."""
    known_call(desk, asked.call_id)
    recording = desk.db.scalar(
        select(Recording).where(
            Recording.tenant == desk.tenant,
            Recording.call_id == asked.call_id,
            Recording.url == asked.url,
        )
    )
    before = None if recording is None else snapshot(recording)
    if recording is None:
        recording = Recording(
            tenant=desk.tenant,
            recording_id=new_id("recording"),
            call_id=asked.call_id,
            url=asked.url,
        )
        desk.db.add(recording)
    recording.seconds = asked.seconds if asked.seconds is not None else recording.seconds
    return Written(
        Attached(recording_id=recording.recording_id),
        f"recordings/{recording.recording_id}",
        before,
        snapshot(recording),
    )


OPERATIONS: Final[tuple[Operation, ...]] = (
    Write("calls.log_create", LogCreate, Logged, log_create),
    Write("calls.attach_recording", AttachRecording, Attached, attach_recording),
)
