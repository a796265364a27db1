"""``whatsapp.*``: conversations. Messages to send are queued here; a channel delivers them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints, model_validator
from sqlalchemy import and_, or_, select

from voicelat.backoffice.fields import (
    Arguments,
    Id,
    Language,
    Limit,
    Phone,
    Result,
    ShortText,
    Time,
)
from voicelat.backoffice.operation import (
    Desk,
    Operation,
    Read,
    Write,
    Written,
    new_id,
    snapshot,
)
from voicelat.backoffice.operations.leads import known_lead, lead_of_phone
from voicelat.backoffice.problem import Problem
from voicelat.backoffice.tables import Identity, Message, Thread

__all__ = ["OPERATIONS"]

PROVIDER: Final = "whatsapp"
"""Of the identities by which a lead without a phone can be written to."""
Body = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"^[^\x00]*$")]


class Send(Arguments):
    """A message to one lead or one phone: a text, or a template with its variables."""

    to_lead_id: Id | None
    to_phone: Phone | None
    text: Body | None
    template: ShortText | None
    template_variables: Annotated[list[ShortText], Field(max_length=20)]
    language: Language

    @model_validator(mode="after")
    def _one_of_each(self) -> Send:
        if (self.to_lead_id is None) == (self.to_phone is None):
            raise ValueError("give to_lead_id or to_phone, and null for the other")
        if (self.text is None) == (self.template is None):
            raise ValueError("give text or template, and null for the other")
        if self.template is None and self.template_variables:
            raise ValueError("template_variables go with a template; give [] with a text")
        return self


class Queued(Result):
    """The message that waits to be delivered."""

    message_id: str
    status: Literal["queued"]


class FetchThread(Arguments):
    """Whose conversation, and how many of its latest messages."""

    lead_id: Id | None
    phone: Phone | None
    limit: Limit

    @model_validator(mode="after")
    def _one_of_both(self) -> FetchThread:
        if (self.lead_id is None) == (self.phone is None):
            raise ValueError("give lead_id or phone, and null for the other")
        return self


class MessageShown(Result):
    """A message. A template shows as its name and variables."""

    message_id: str
    direction: Literal["in", "out"]
    text: str
    at: Time
    status: str


class Conversation(Result):
    """The latest messages, oldest first; no thread_id when nobody has written yet."""

    thread_id: str | None
    messages: list[MessageShown]


class AppendMessage(Arguments):
    """A message that came in, as its channel received it."""

    external_id: ShortText
    phone: Phone | None
    provider_id: Id
    text: Body
    at: Time


class MessageAppended(Result):
    """Where it is kept; ``created`` is false when it was there."""

    message_id: str
    thread_id: str
    created: bool


@dataclass(frozen=True, slots=True)
class _Person:
    """Everything by which one person's conversation can be found."""

    lead_id: str | None
    phone: str | None
    external_ids: frozenset[str]


def send(desk: Desk, asked: Send) -> Written:
    """Queue a message."""
    person = _person(desk, asked.to_lead_id, asked.to_phone)
    if person.phone is None and not person.external_ids:
        raise Problem(
            "invalid",
            f"lead {person.lead_id} has no phone and no WhatsApp identity",
            "add one with leads.upsert",
        )
    message = Message(
        tenant=desk.tenant,
        message_id=new_id("message"),
        thread_id=_opened(desk, person).thread_id,
        direction="out",
        text=asked.text,
        template=asked.template,
        template_variables=asked.template_variables,
        language=asked.language,
        status="queued",
        at=desk.now,
    )
    desk.db.add(message)
    return Written(
        Queued(message_id=message.message_id, status="queued"),
        f"messages/{message.message_id}",
        None,
        snapshot(message),
    )


def fetch_thread(desk: Desk, asked: FetchThread) -> Conversation:
    """The conversation with a lead or a phone."""
    thread = _thread(desk, _person(desk, asked.lead_id, asked.phone))
    if thread is None:
        return Conversation(thread_id=None, messages=[])
    latest = desk.db.scalars(
        select(Message)
        .where(Message.tenant == desk.tenant, Message.thread_id == thread.thread_id)
        .order_by(Message.at.desc(), Message.message_id.desc())
        .limit(asked.limit)
    )
    return Conversation(
        thread_id=thread.thread_id,
        messages=[_shown(message) for message in reversed(list(latest))],
    )


def append_message(desk: Desk, asked: AppendMessage) -> Written:
    """Keep a message that came in. The provider's id of it makes a second delivery harmless."""
    message = desk.db.scalar(
        select(Message).where(
            Message.tenant == desk.tenant, Message.provider_id == asked.provider_id
        )
    )
    before = None if message is None else snapshot(message)
    if message is None:
        message = Message(
            tenant=desk.tenant,
            message_id=new_id("message"),
            thread_id=_opened(desk, _sender(desk, asked)).thread_id,
            direction="in",
            text=asked.text,
            template=None,
            template_variables=[],
            status="received",
            at=asked.at,
            provider_id=asked.provider_id,
        )
        desk.db.add(message)
    return Written(
        MessageAppended(
            message_id=message.message_id, thread_id=message.thread_id, created=before is None
        ),
        f"messages/{message.message_id}",
        before,
        snapshot(message),
    )


def _person(desk: Desk, lead_id: str | None, phone: str | None) -> _Person:
    """Whom a lead or a phone means. Raises Problem for a lead that is not there."""
    lead = lead_of_phone(desk, phone) if lead_id is None else known_lead(desk, lead_id)
    if lead is None:
        return _Person(None, phone, frozenset())
    identities = desk.db.scalars(
        select(Identity.external_id).where(
            Identity.tenant == desk.tenant,
            Identity.lead_id == lead.lead_id,
            Identity.provider == PROVIDER,
        )
    )
    return _Person(lead.lead_id, phone or lead.phone, frozenset(identities))


def _sender(desk: Desk, asked: AppendMessage) -> _Person:
    """Who wrote: the lead of the WhatsApp identity, else the one of the phone, else nobody yet."""
    identity = desk.db.get(Identity, (desk.tenant, PROVIDER, asked.external_id))
    person = _person(desk, None if identity is None else identity.lead_id, asked.phone)
    return _Person(person.lead_id, person.phone, person.external_ids | {asked.external_id})


def _thread(desk: Desk, person: _Person) -> Thread | None:
    """The person's conversation; None when there is none.

    One that belongs to a lead is found by that lead alone: a number may get a new owner, who must
    not see what the last one wrote.
    """
    unowned = and_(
        Thread.lead_id.is_(None),
        or_(Thread.phone == person.phone, Thread.external_id.in_(person.external_ids)),
    )
    owned = Thread.lead_id == person.lead_id
    return desk.db.scalar(
        select(Thread)
        .where(Thread.tenant == desk.tenant, or_(owned, unowned))
        .order_by(Thread.lead_id.is_(None), Thread.thread_id)
        .limit(1)
    )


def _opened(desk: Desk, person: _Person) -> Thread:
    """The person's conversation, begun where there is none."""
    thread = _thread(desk, person)
    if thread is None:
        thread = Thread(tenant=desk.tenant, thread_id=new_id("thread"))
        desk.db.add(thread)
    thread.lead_id = thread.lead_id or person.lead_id
    thread.phone = thread.phone or person.phone
    thread.external_id = thread.external_id or min(person.external_ids, default=None)
    desk.db.flush()
    return thread


def _shown(message: Message) -> MessageShown:
    text = message.text
    if text is None:
        text = f"[{message.template}] {' · '.join(message.template_variables)}".rstrip()
    return MessageShown.model_validate(
        {
            "message_id": message.message_id,
            "direction": message.direction,
            "text": text,
            "at": message.at,
            "status": message.status,
        }
    )


OPERATIONS: Final[tuple[Operation, ...]] = (
    Write("whatsapp.send", Send, Queued, send),
    Read("whatsapp.fetch_thread", FetchThread, Conversation, fetch_thread),
    Write("whatsapp.append_message", AppendMessage, MessageAppended, append_message),
)
