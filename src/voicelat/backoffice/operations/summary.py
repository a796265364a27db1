"""``summary.*``: what an agent wrote about a call."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field
from sqlalchemy import select

from voicelat.backoffice.fields import Arguments, Id, Language, LongText, Result, ShortText
from voicelat.backoffice.operation import Desk, Operation, Write, Written, new_id, snapshot
from voicelat.backoffice.operations.calls import known_call
from voicelat.backoffice.tables import Summary

__all__ = ["OPERATIONS"]


class Generate(Arguments):
    """The summary of a call that has been logged."""

    call_id: Id
    summary: LongText
    action_items: Annotated[list[ShortText], Field(max_length=50)]
    language: Language


class Generated(Result):
    """The summary that is now the call's."""

    summary_id: str


def generate(desk: Desk, asked: Generate) -> Written:
    """Keep the call's summary. The one it had stays as history."""
    known_call(desk, asked.call_id)
    old = desk.db.scalar(
        select(Summary).where(
            Summary.tenant == desk.tenant,
            Summary.call_id == asked.call_id,
            Summary.replaced_at.is_(None),
        )
    )
    before = None if old is None else snapshot(old)
    if old is not None:
        old.replaced_at = desk.now
        desk.db.flush()  # before the new one comes: a call has one current summary
    new = Summary(
        tenant=desk.tenant, summary_id=new_id("summary"), written_at=desk.now, **asked.model_dump()
    )
    desk.db.add(new)
    return Written(
        Generated(summary_id=new.summary_id),
        f"summaries/{new.summary_id}",
        before,
        snapshot(new),
    )


OPERATIONS: Final[tuple[Operation, ...]] = (
    Write("summary.generate", Generate, Generated, generate),
)
