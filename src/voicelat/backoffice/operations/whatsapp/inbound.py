"""What a channel says of the people who write: their messages, and who they are."""

from __future__ import annotations

import hashlib
from typing import Annotated, Final

from pydantic import Field, model_validator
from sqlalchemy import select, update

from voicelat.backoffice.fields import Arguments, Id, Phone, Result, ShortText, Time
from voicelat.backoffice.operation import Desk, Operation, Write, Written, new_id, snapshot
from voicelat.backoffice.operations.whatsapp.fields import Body, MediumGiven, ProviderName
from voicelat.backoffice.operations.whatsapp.people import (
    Person,
    customer_of,
    opened,
    sender,
    thread_of,
)
from voicelat.backoffice.tables import Identity, Message, Thread

__all__ = ["OPERATIONS"]


class AppendMessage(Arguments):
    """A message that came in, as its channel received it."""

    provider: ProviderName
    external_id: ShortText
    phone: Phone | None
    profile_name: ShortText | None
    provider_id: Id
    text: Body | None
    media: Annotated[list[MediumGiven], Field(max_length=20)]
    reply_to: Id | None
    """The provider's id of the message it answers."""
    at: Time

    @model_validator(mode="after")
    def _something(self) -> AppendMessage:
        if self.text is None and not self.media:
            raise ValueError("a message has a text or media")
        return self


class MessageAppended(Result):
    """Where it is kept; ``created`` is false when it was there."""

    message_id: str
    thread_id: str
    lead_id: str | None
    customer_id: str | None
    created: bool


class LinkIdentity(Arguments):
    """An id at a provider, and what else is the same person: a phone, another id, or both."""

    provider: ProviderName
    external_id: ShortText
    phone: Phone | None
    also_external_id: ShortText | None

    @model_validator(mode="after")
    def _another(self) -> LinkIdentity:
        if self.phone is None and self.also_external_id is None:
            raise ValueError("give phone or also_external_id, or both")
        return self


class Linked(Result):
    """Whose they are, and in which conversation. None: nobody's, and none yet."""

    lead_id: str | None
    thread_id: str | None


def append_message(desk: Desk, asked: AppendMessage) -> Written:
    """Keep a message that came in. The provider's id of it makes a second delivery harmless."""
    person = sender(desk, asked.provider, asked.external_id, asked.phone)
    message = desk.db.scalar(
        select(Message).where(
            Message.tenant == desk.tenant,
            Message.provider == asked.provider,
            Message.provider_id == asked.provider_id,
        )
    )
    before = None if message is None else snapshot(message)
    if message is None:
        _remember(desk, asked.provider, asked.external_id, asked.phone, person.lead_id)
        message = Message(
            tenant=desk.tenant,
            message_id=new_id("message"),
            thread_id=opened(desk, person).thread_id,
            direction="in",
            text=asked.text,
            template=None,
            template_variables=[],
            media=[medium.model_dump() for medium in asked.media],
            status="received",
            at=asked.at,
            provider=asked.provider,
            provider_id=asked.provider_id,
            profile_name=asked.profile_name,
            reply_to=asked.reply_to,
            attempts=0,
        )
        desk.db.add(message)
    return Written(
        MessageAppended(
            message_id=message.message_id,
            thread_id=message.thread_id,
            lead_id=person.lead_id,
            customer_id=customer_of(desk, person),
            created=before is None,
        ),
        f"messages/{message.message_id}",
        before,
        snapshot(message),
    )


def link_identity(desk: Desk, asked: LinkIdentity) -> Written:
    """Make one person of two: their conversations become one. Leads stay as they are: where the two
    are different leads', nothing is linked, for a number never moves a known identity."""
    one = sender(desk, asked.provider, asked.external_id, None)
    other = (
        sender(desk, asked.provider, asked.also_external_id, asked.phone)
        if asked.also_external_id is not None
        else sender(desk, asked.provider, asked.external_id, asked.phone)
    )
    leads = {lead for lead in (one.lead_id, other.lead_id) if lead is not None}
    ids = [each for each in (asked.external_id, asked.also_external_id) if each is not None]
    threads = [each for each in (thread_of(desk, one), thread_of(desk, other)) if each is not None]
    before = {"threads": [thread.thread_id for thread in threads], "leads": sorted(leads)}
    if len(leads) > 1:
        kept = Linked(lead_id=one.lead_id, thread_id=threads[0].thread_id if threads else None)
        return Written(kept, _target(asked), before, before, idle=True)
    lead_id = next(iter(leads), None)
    for each in ids:
        _remember(desk, asked.provider, each, asked.phone, lead_id)
    thread = _joined(desk, threads)
    if thread is not None:
        person = Person(lead_id, asked.phone or other.phone or one.phone, frozenset(ids))
        thread.lead_id = thread.lead_id or person.lead_id
        thread.phone = thread.phone or person.phone
    linked = Linked(lead_id=lead_id, thread_id=None if thread is None else thread.thread_id)
    after = {"threads": [] if thread is None else [thread.thread_id], "leads": sorted(leads)}
    return Written(linked, _target(asked), before, after)


def _target(asked: LinkIdentity) -> str:
    """A row of the audit stays when a person is erased: it must not say who it was."""
    whom = hashlib.sha256(f"{asked.provider} {asked.external_id}".encode()).hexdigest()
    return f"identities/{whom[:16]}"


def _joined(desk: Desk, threads: list[Thread]) -> Thread | None:
    """The first of the conversations, with everything that was in the others."""
    if not threads:
        return None
    first = threads[0]
    for other in threads[1:]:
        if other.thread_id == first.thread_id:
            continue
        desk.db.execute(
            update(Message)
            .where(Message.tenant == desk.tenant, Message.thread_id == other.thread_id)
            .values(thread_id=first.thread_id)
        )
        first.lead_id = first.lead_id or other.lead_id
        first.phone = first.phone or other.phone
        desk.db.delete(other)
    desk.db.flush()
    return first


def _remember(
    desk: Desk, provider: str, external_id: str, phone: str | None, lead_id: str | None
) -> None:
    """Know this identity from now on. What is known of it already is not overwritten."""
    identity = desk.db.get(Identity, (desk.tenant, provider, external_id))
    if identity is None:
        identity = Identity(tenant=desk.tenant, provider=provider, external_id=external_id)
        desk.db.add(identity)
    identity.phone = identity.phone or phone
    identity.lead_id = identity.lead_id or lead_id
    desk.db.flush()


OPERATIONS: Final[tuple[Operation, ...]] = (
    Write("whatsapp.append_message", AppendMessage, MessageAppended, append_message),
    Write("whatsapp.link_identity", LinkIdentity, Linked, link_identity),
)
