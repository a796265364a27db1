"""``privacy.erase``: what is kept of a person or a call, or of everybody before a day, is gone.

Audit rows stay, for they say who did what and when; what was before and after is taken out of them,
and stored answers are emptied, so that nothing personal is left in any table.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pydantic import model_validator
from sqlalchemy import ColumnElement, and_, delete, or_, select, update

from voicelat.backoffice.fields import Arguments, Id, Phone, Result, Time
from voicelat.backoffice.operation import Desk, Operation, Write, Written
from voicelat.backoffice.operations.whatsapp.people import PROVIDERS
from voicelat.backoffice.tables import (
    Audit,
    Base,
    Call,
    Customer,
    CustomerField,
    Event,
    Identity,
    Key,
    Lead,
    LeadTag,
    Message,
    Recording,
    Summary,
    Thread,
    TranscriptTurn,
)

__all__ = ["OPERATIONS"]

_EMPTIED: Final[dict[str, Any]] = {"erased": True}


class Erase(Arguments):
    """Whose data, or which call's, or everybody's before a time: one of them."""

    phone: Phone | None
    lead_id: Id | None
    customer_id: Id | None
    call_id: Id | None
    before: Time | None

    @model_validator(mode="after")
    def _one(self) -> Erase:
        given = (self.phone, self.lead_id, self.customer_id, self.call_id, self.before)
        if sum(one is not None for one in given) != 1:
            raise ValueError("give one of phone, lead_id, customer_id, call_id and before")
        return self


class Erased(Result):
    """How many rows of each table are gone, and what lies elsewhere and has to go, too."""

    erased: dict[str, int]
    call_ids: list[str]
    message_ids: list[str]
    provider_ids: list[str]
    """Of the messages, as ``PROVIDER:ID``: the agents' runs are named by them."""
    media_ids: list[str]
    recording_urls: list[str]


def erase(desk: Desk, asked: Erase) -> Written:
    """Erase it, for good."""
    leads, customers, phones = _who(desk, asked)
    calls = _calls(desk, asked, phones)
    messages = _messages(desk, asked, leads, phones, customers)
    media = [medium["media_id"] for message in messages for medium in message.media]
    of_calls = (Recording, Summary, TranscriptTurn)
    recordings = _column(desk, Recording.recording_id, Recording.call_id.in_(calls))
    summaries = _column(desk, Summary.summary_id, Summary.call_id.in_(calls))
    events = _column(
        desk,
        Event.event_id,
        or_(Event.lead_id.in_(leads), Event.attendee_phone.in_(phones)),
    )
    urls = _column(desk, Recording.url, Recording.call_id.in_(calls))
    message_ids = [message.message_id for message in messages]
    gone: dict[str, int] = {}

    def remove(table: type[Base], which: ColumnElement[bool]) -> None:
        mine: ColumnElement[bool] = table.tenant == desk.tenant  # type: ignore[attr-defined]
        done = desk.db.execute(delete(table).where(mine, which))
        count: int = done.rowcount  # type: ignore[attr-defined]
        gone[table.__tablename__] = gone.get(table.__tablename__, 0) + count

    for table in of_calls:
        remove(table, table.call_id.in_(calls))
    remove(Call, Call.call_id.in_(calls))
    remove(Message, Message.message_id.in_(message_ids))
    if asked.before is None and asked.call_id is None:
        remove(Identity, _identities(leads, customers, phones))
        remove(Event, or_(Event.lead_id.in_(leads), Event.attendee_phone.in_(phones)))
        remove(Thread, or_(Thread.lead_id.in_(leads), Thread.phone.in_(phones)))
        remove(LeadTag, LeadTag.lead_id.in_(leads))
        remove(Lead, Lead.lead_id.in_(leads))
        remove(CustomerField, CustomerField.customer_id.in_(customers))
        remove(Customer, Customer.customer_id.in_(customers))
    targets = {
        *(f"calls/{one}" for one in calls),
        *(f"recordings/{one}" for one in recordings),
        *(f"summaries/{one}" for one in summaries),
        *(f"transcripts/{one}" for one in calls),
        *(f"events/{one}" for one in events),
        *(f"messages/{one}" for one in message_ids),
        *(f"leads/{one}" for one in leads),
        *(f"customers/{one}" for one in customers),
    }
    gone["audit"] = _forget_before_and_after(desk, asked, targets, calls)
    told = Erased(
        erased={name: count for name, count in gone.items() if count},
        call_ids=calls,
        message_ids=message_ids,
        provider_ids=[f"{one.provider}:{one.provider_id}" for one in messages if one.provider_id],
        media_ids=media,
        recording_urls=urls,
    )
    what = next(
        name for name in ("phone", "lead_id", "customer_id", "call_id", "before")
        if getattr(asked, name) is not None
    )  # fmt: skip
    return Written(told, f"privacy/{what}", None, {"erased": told.erased})


def _who(desk: Desk, asked: Erase) -> tuple[list[str], list[str], list[str]]:
    """Leads, customers and phones that are the same person."""
    phones = [asked.phone] if asked.phone else []
    leads = [asked.lead_id] if asked.lead_id else []
    customers = [asked.customer_id] if asked.customer_id else []
    if asked.before is not None or asked.call_id is not None:
        return [], [], []
    for table, key, ids in (
        (Lead, Lead.lead_id, leads),
        (Customer, Customer.customer_id, customers),
    ):
        found = desk.db.scalars(
            select(table.phone).where(table.tenant == desk.tenant, key.in_(ids))
        )
        phones += [phone for phone in found if phone is not None and phone not in phones]
    leads += [
        one for one in _column(desk, Lead.lead_id, Lead.phone.in_(phones)) if one not in leads
    ]
    if asked.lead_id is None:
        customers += [
            one
            for one in _column(desk, Customer.customer_id, Customer.phone.in_(phones))
            if one not in customers
        ]
    return leads, customers, phones


def _calls(desk: Desk, asked: Erase, phones: list[str]) -> list[str]:
    if asked.call_id is not None:
        return [asked.call_id]
    if asked.before is not None:
        return _column(desk, Call.call_id, Call.started_at < asked.before)
    return _column(
        desk, Call.call_id, or_(Call.from_number.in_(phones), Call.to_number.in_(phones))
    )


def _messages(
    desk: Desk, asked: Erase, leads: list[str], phones: list[str], customers: list[str]
) -> list[Message]:
    mine = Message.tenant == desk.tenant
    if asked.before is not None:
        return list(desk.db.scalars(select(Message).where(mine, Message.at < asked.before)))
    if asked.call_id is not None:
        return []
    ids = _column(desk, Identity.external_id, _identities(leads, customers, phones))
    threads = _column(
        desk,
        Thread.thread_id,
        or_(Thread.lead_id.in_(leads), Thread.phone.in_(phones), Thread.external_id.in_(ids)),
    )
    return list(desk.db.scalars(select(Message).where(mine, Message.thread_id.in_(threads))))


def _identities(leads: list[str], customers: list[str], phones: list[str]) -> ColumnElement[bool]:
    return and_(
        Identity.provider.in_(PROVIDERS),
        or_(
            Identity.lead_id.in_(leads),
            Identity.customer_id.in_(customers),
            Identity.phone.in_(phones),
        ),
    )


def _column(desk: Desk, column: Any, which: ColumnElement[bool]) -> list[str]:
    found: Iterable[str] = desk.db.scalars(
        select(column).where(column.class_.tenant == desk.tenant, which)
    )
    return list(found)


def _forget_before_and_after(desk: Desk, asked: Erase, targets: set[str], calls: list[str]) -> int:
    """The audit keeps who, when and which tool; keys keep that they were used."""
    mine = Audit.tenant == desk.tenant
    # The answer to a claim holds other messages than the one it is named by.
    which = or_(Audit.target.in_(targets), Audit.call_id.in_(calls), Audit.tool == "whatsapp.claim")
    if asked.before is not None:
        which = Audit.at < asked.before
    rows = desk.db.scalars(select(Audit).where(mine, which)).all()
    for row in rows:
        row.before, row.after = None, dict(_EMPTIED)
        if row.idempotency_key is not None:
            desk.db.execute(
                update(Key)
                .where(
                    Key.tenant == desk.tenant,
                    Key.agent == row.agent,
                    Key.key == row.idempotency_key,
                )
                .values(answer=dict(_EMPTIED))
            )
    return len(rows)


OPERATIONS: Final[tuple[Operation, ...]] = (
    Write("privacy.erase", Erase, Erased, erase, compacts=True),
)
