"""What agents do: they send, and read a thread. A channel delivers what is sent."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator
from sqlalchemy import select

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
from voicelat.backoffice.operation import Desk, Operation, Read, Write, Written, new_id, snapshot
from voicelat.backoffice.operations.whatsapp.fields import Body, ContentType, preview
from voicelat.backoffice.operations.whatsapp.people import by_phone_or_lead, opened, thread_of
from voicelat.backoffice.problem import Problem
from voicelat.backoffice.tables import Message

__all__ = ["OPERATIONS"]


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
        _one_recipient(self.to_lead_id, self.to_phone)
        if (self.text is None) == (self.template is None):
            raise ValueError("give text or template, and null for the other")
        if self.template is None and self.template_variables:
            raise ValueError("template_variables go with a template; give [] with a text")
        return self


class SendMedia(Arguments):
    """A file that the channel has, to one lead or one phone."""

    to_lead_id: Id | None
    to_phone: Phone | None
    media_id: Id
    content_type: ContentType
    file_name: ShortText | None
    caption: Body | None

    @model_validator(mode="after")
    def _one_of_both(self) -> SendMedia:
        _one_recipient(self.to_lead_id, self.to_phone)
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


def send(desk: Desk, asked: Send) -> Written:
    """Queue a message."""
    return _queued(
        desk,
        asked.to_lead_id,
        asked.to_phone,
        text=asked.text,
        template=asked.template,
        template_variables=asked.template_variables,
        language=asked.language,
        media=[],
    )


def send_media(desk: Desk, asked: SendMedia) -> Written:
    """Queue a file, with a caption or without."""
    medium = {
        "media_id": asked.media_id,
        "content_type": asked.content_type,
        "bytes": None,
        "file_name": asked.file_name,
    }
    return _queued(
        desk,
        asked.to_lead_id,
        asked.to_phone,
        text=asked.caption,
        template=None,
        template_variables=[],
        language=None,
        media=[medium],
    )


def fetch_thread(desk: Desk, asked: FetchThread) -> Conversation:
    """The conversation with a lead or a phone."""
    thread = thread_of(desk, by_phone_or_lead(desk, asked.lead_id, asked.phone))
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


def _one_recipient(lead_id: str | None, phone: str | None) -> None:
    if (lead_id is None) == (phone is None):
        raise ValueError("give to_lead_id or to_phone, and null for the other")


def _queued(desk: Desk, lead_id: str | None, phone: str | None, **what: Any) -> Written:
    person = by_phone_or_lead(desk, lead_id, phone)
    if person.phone is None and not person.external_ids:
        raise Problem(
            "invalid",
            f"lead {person.lead_id} has no phone and no WhatsApp identity",
            "add one with leads.upsert",
        )
    message = Message(
        tenant=desk.tenant,
        message_id=new_id("message"),
        thread_id=opened(desk, person).thread_id,
        direction="out",
        status="queued",
        at=desk.now,
        attempts=0,
        **what,
    )
    desk.db.add(message)
    return Written(
        Queued(message_id=message.message_id, status="queued"),
        f"messages/{message.message_id}",
        None,
        snapshot(message),
    )


def _shown(message: Message) -> MessageShown:
    return MessageShown.model_validate(
        {
            "message_id": message.message_id,
            "direction": message.direction,
            "text": preview(message),
            "at": message.at,
            "status": message.status,
        }
    )


OPERATIONS: Final[tuple[Operation, ...]] = (
    Write("whatsapp.send", Send, Queued, send),
    Write("whatsapp.send_media", SendMedia, Queued, send_media),
    Read("whatsapp.fetch_thread", FetchThread, Conversation, fetch_thread),
)
