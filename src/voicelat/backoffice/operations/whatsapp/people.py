"""Whose conversation it is: leads, phones and identities, and the one thread they lead to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, and_, func, or_, select

from voicelat.backoffice.operation import Desk, new_id
from voicelat.backoffice.operations.leads import known_lead, lead_of_phone
from voicelat.backoffice.tables import Customer, Identity, Message, Thread

__all__ = [
    "PROVIDERS",
    "Person",
    "by_phone_or_lead",
    "customer_of",
    "last_in_at",
    "opened",
    "sender",
    "thread_of",
]

PROVIDERS: Final = ("whatsapp", "twilio", "baileys")
"""Of the identities by which somebody can be written to. ``whatsapp``: whoever carries it."""


@dataclass(frozen=True, slots=True)
class Person:
    """Everything by which one person's conversation can be found."""

    lead_id: str | None
    phone: str | None
    external_ids: frozenset[str]


def by_phone_or_lead(desk: Desk, lead_id: str | None, phone: str | None) -> Person:
    """Whom a lead or a phone means. Raises Problem for a lead that is not there."""
    lead = lead_of_phone(desk, phone) if lead_id is None else known_lead(desk, lead_id)
    if lead is None:
        return Person(None, phone, frozenset())
    identities = desk.db.scalars(
        select(Identity.external_id).where(
            Identity.tenant == desk.tenant,
            Identity.lead_id == lead.lead_id,
            Identity.provider.in_(PROVIDERS),
        )
    )
    return Person(lead.lead_id, phone or lead.phone, frozenset(identities))


def sender(desk: Desk, provider: str, external_id: str, phone: str | None) -> Person:
    """Who wrote: the lead of the identity, else the one of the phone, else nobody yet."""
    known = [
        desk.db.get(Identity, (desk.tenant, one, external_id)) for one in (provider, *PROVIDERS)
    ]
    lead_id = next((one.lead_id for one in known if one is not None and one.lead_id), None)
    person = by_phone_or_lead(desk, lead_id, phone)
    return Person(person.lead_id, person.phone, person.external_ids | {external_id})


def customer_of(desk: Desk, person: Person) -> str | None:
    """The customer of the person's identity, else of their phone; None: they are none yet."""
    by_identity = desk.db.scalar(
        select(Identity.customer_id)
        .where(
            Identity.tenant == desk.tenant,
            Identity.provider.in_(PROVIDERS),
            Identity.external_id.in_(person.external_ids),
            Identity.customer_id.is_not(None),
        )
        .order_by(Identity.provider, Identity.external_id)
        .limit(1)
    )
    if by_identity is not None or person.phone is None:
        return by_identity
    return desk.db.scalar(
        select(Customer.customer_id)
        .where(Customer.tenant == desk.tenant, Customer.phone == person.phone)
        .order_by(Customer.customer_id)
        .limit(1)
    )


def thread_of(desk: Desk, person: Person) -> Thread | None:
    """The person's conversation; None when there is none.

    One that belongs to a lead is found by that lead alone: a number may get a new owner, who must
    not see what the last one wrote.
    """
    # Only by what is known: compared with None, a column would match whatever is unknown as well.
    names: list[ColumnElement[bool]] = [Thread.external_id.in_(person.external_ids)]
    if person.phone is not None:
        names.append(Thread.phone == person.phone)
    known = and_(Thread.lead_id.is_(None), or_(*names))
    if person.lead_id is not None:
        known = or_(known, Thread.lead_id == person.lead_id)
    return desk.db.scalar(
        select(Thread)
        .where(Thread.tenant == desk.tenant, known)
        .order_by(Thread.lead_id.is_(None), Thread.thread_id)
        .limit(1)
    )


def opened(desk: Desk, person: Person) -> Thread:
    """The person's conversation, begun where there is none."""
    thread = thread_of(desk, person)
    if thread is None:
        thread = Thread(tenant=desk.tenant, thread_id=new_id("thread"))
        desk.db.add(thread)
    thread.lead_id = thread.lead_id or person.lead_id
    thread.phone = thread.phone or person.phone
    thread.external_id = thread.external_id or min(person.external_ids, default=None)
    desk.db.flush()
    return thread


def last_in_at(desk: Desk, thread_id: str) -> datetime | None:
    """When the person last wrote; None: never. WhatsApp lets one write freely for a day from it."""
    return desk.db.scalar(
        select(func.max(Message.at)).where(
            Message.tenant == desk.tenant,
            Message.thread_id == thread_id,
            Message.direction == "in",
        )
    )
