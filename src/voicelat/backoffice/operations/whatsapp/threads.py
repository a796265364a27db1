"""What people look at: the conversations, latest first, and the messages of one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import StringConstraints
from sqlalchemy import Select, and_, func, or_, select

from voicelat.backoffice.fields import Arguments, Id, Limit, Result, Time, utc_text
from voicelat.backoffice.operation import Desk, Operation, Read, not_found
from voicelat.backoffice.operations.whatsapp.fields import MediumGiven, preview
from voicelat.backoffice.operations.whatsapp.people import (
    Person,
    customer_of,
    last_in_at,
)
from voicelat.backoffice.problem import Problem
from voicelat.backoffice.tables import Customer, Lead, Message, Thread

__all__ = ["OPERATIONS"]

Cursor = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[!-~]+$")]
"""Where a page ends: the time and the id of its last row, with a ~ between them."""


class ListThreads(Arguments):
    """Which page of conversations. ``before``: the ``next`` of the page before; None: the first."""

    before: Cursor | None
    limit: Limit


class ThreadShown(Result):
    """A conversation, with whom, and its latest message."""

    thread_id: str
    lead_id: str | None
    customer_id: str | None
    name: str | None
    phone: str | None
    external_id: str | None
    last_text: str
    last_at: Time
    last_direction: Literal["in", "out"]
    last_status: str
    last_in_at: Time | None


class Threads(Result):
    """A page, latest first. ``next`` is the ``before`` of the next page; None at the end."""

    threads: list[ThreadShown]
    next: str | None


class ListMessages(Arguments):
    """Which conversation, and which page of it."""

    thread_id: Id
    before: Cursor | None
    limit: Limit


class FullMessage(Result):
    """A message with all that became of it."""

    message_id: str
    direction: Literal["in", "out"]
    text: str | None
    template: str | None
    template_variables: list[str]
    media: list[MediumGiven]
    at: Time
    status: str
    error_code: str | None
    says: str | None
    provider: str | None
    profile_name: str | None
    reply_to: str | None


class Messages(Result):
    """A page, newest last. ``next`` leads further back; None at the beginning."""

    messages: list[FullMessage]
    next: str | None


def list_threads(desk: Desk, asked: ListThreads) -> Threads:
    """The conversations in which something was written."""
    latest = (
        select(
            Message.message_id,
            func.row_number()
            .over(
                partition_by=Message.thread_id,
                order_by=(Message.at.desc(), Message.message_id.desc()),
            )
            .label("place"),
        )
        .where(Message.tenant == desk.tenant)
        .subquery()
    )
    query = (
        select(Message)
        .join(latest, latest.c.message_id == Message.message_id)
        .where(Message.tenant == desk.tenant, latest.c.place == 1)
    )
    rows, following = _page(desk, query, asked.before, asked.limit)
    return Threads(threads=[_thread_shown(desk, message) for message in rows], next=following)


def list_messages(desk: Desk, asked: ListMessages) -> Messages:
    """The messages of one conversation."""
    if desk.db.get(Thread, (desk.tenant, asked.thread_id)) is None:
        raise not_found("thread", asked.thread_id, "list them with whatsapp.list_threads")
    query = select(Message).where(
        Message.tenant == desk.tenant, Message.thread_id == asked.thread_id
    )
    rows, following = _page(desk, query, asked.before, asked.limit)
    shown = [FullMessage.model_validate(message, from_attributes=True) for message in rows]
    return Messages(messages=shown[::-1], next=following)


def _page(
    desk: Desk, query: Select[Message], before: str | None, limit: int
) -> tuple[list[Message], str | None]:
    """Rows, latest first, and where the next page begins."""
    if before is not None:
        at, message_id = _read(before)
        earlier = and_(Message.at == at, Message.message_id < message_id)
        query = query.where(or_(Message.at < at, earlier))
    query = query.order_by(Message.at.desc(), Message.message_id.desc()).limit(limit + 1)
    rows = list(desk.db.scalars(query))
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    return rows[:limit], f"{utc_text(last.at)}~{last.message_id}"


def _read(cursor: str) -> tuple[datetime, str]:
    at, _, message_id = cursor.partition("~")
    try:
        parsed = datetime.fromisoformat(at)
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None or not message_id:
        raise Problem("invalid", "before is no page's next", "give the next of the page before")
    return parsed, message_id


def _thread_shown(desk: Desk, message: Message) -> ThreadShown:
    thread = desk.db.get_one(Thread, (desk.tenant, message.thread_id))
    ids = frozenset({thread.external_id} if thread.external_id else ())
    customer_id = customer_of(desk, Person(thread.lead_id, thread.phone, ids))
    return ThreadShown.model_validate(
        {
            "thread_id": thread.thread_id,
            "lead_id": thread.lead_id,
            "customer_id": customer_id,
            "name": _name(desk, thread, customer_id),
            "phone": thread.phone,
            "external_id": thread.external_id,
            "last_text": preview(message),
            "last_at": message.at,
            "last_direction": message.direction,
            "last_status": message.status,
            "last_in_at": last_in_at(desk, thread.thread_id),
        }
    )


def _name(desk: Desk, thread: Thread, customer_id: str | None) -> str | None:
    """Of the customer, else of the lead, else as they call themselves at WhatsApp."""
    if customer_id is not None:
        return desk.db.get_one(Customer, (desk.tenant, customer_id)).name
    if thread.lead_id is not None:
        lead = desk.db.get_one(Lead, (desk.tenant, thread.lead_id))
        if lead.name is not None:
            return lead.name
    return desk.db.scalar(
        select(Message.profile_name)
        .where(
            Message.tenant == desk.tenant,
            Message.thread_id == thread.thread_id,
            Message.profile_name.is_not(None),
        )
        .order_by(Message.at.desc())
        .limit(1)
    )


OPERATIONS: Final[tuple[Operation, ...]] = (
    Read("whatsapp.list_threads", ListThreads, Threads, list_threads),
    Read("whatsapp.list_messages", ListMessages, Messages, list_messages),
)
