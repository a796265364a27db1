"""What a channel does with messages that go out: it claims them, and says what became of each."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

from pydantic import Field, StringConstraints, model_validator
from sqlalchemy import and_, or_, select

from voicelat.backoffice.fields import Arguments, Id, Limit, Result, Time
from voicelat.backoffice.operation import (
    Desk,
    Operation,
    Write,
    Written,
    not_found,
    snapshot,
)
from voicelat.backoffice.operations.whatsapp.fields import (
    SAID,
    MediumGiven,
    ProviderName,
    Status,
)
from voicelat.backoffice.operations.whatsapp.people import PROVIDERS, last_in_at
from voicelat.backoffice.tables import Identity, Message, Thread

__all__ = ["OPERATIONS", "may_follow"]

_RANK: Final[dict[str, int]] = {
    "queued": 0,
    "sending": 1,
    "uncertain": 2,
    "sent": 3,
    "failed": 4,
    "delivered": 5,
    "read": 6,
}
"""Receipts come in any order; the furthest counts. Whoever has a message on their telephone has it,
whatever else was said before."""
_NOT_SENT: Final = ("sending", "uncertain")


class Claim(Arguments):
    """How many messages, and for how long they are the claimer's alone."""

    limit: Limit
    lease_s: Annotated[int, Field(ge=1, le=600)]


class AddressShown(Result):
    """Somebody's own id at a provider; ``whatsapp``: at whichever carries the message."""

    provider: str
    external_id: str


class ToSend(Result):
    """A message and everything its channel has to know."""

    message_id: str
    thread_id: str
    lead_id: str | None
    to_phone: str | None
    addresses: list[AddressShown]
    text: str | None
    template: str | None
    template_variables: list[str]
    language: str | None
    media: list[MediumGiven]
    attempt: int
    """1 the first time it is claimed."""
    last_in_at: Time | None
    """When the person last wrote. None: never."""
    queued_at: Time


class Claimed(Result):
    """Messages to send, oldest first."""

    messages: list[ToSend]


class SetStatus(Arguments):
    """What became of a message, by our id or by the provider's. Both: the provider's is kept."""

    message_id: Id | None
    provider: ProviderName | None
    provider_id: Id | None
    status: Status
    error_code: Annotated[str, StringConstraints(max_length=64, pattern=r"^[!-~]*$")] | None
    says: Annotated[str, StringConstraints(max_length=SAID, pattern=r"^[^\x00]*$")] | None
    at: Time

    @model_validator(mode="after")
    def _named(self) -> SetStatus:
        if self.message_id is None and self.provider_id is None:
            raise ValueError("give message_id or provider_id")
        if (self.provider is None) != (self.provider_id is None):
            raise ValueError("provider and provider_id come together")
        return self


class StatusSet(Result):
    """How the message stands; ``changed`` is false for what is old news."""

    message_id: str
    status: Status
    changed: bool


def may_follow(before: str, after: str) -> bool:
    """Whether ``after`` is news of a message that is ``before``."""
    if after == "queued":
        return before in _NOT_SENT
    return _RANK[after] > _RANK[before]


def claim(desk: Desk, asked: Claim) -> Written:
    """Take messages to send. One whose lease ran out is given again, with a higher attempt."""
    free = or_(
        Message.status == "queued",
        and_(Message.status == "sending", Message.claimed_until <= desk.now),
    )
    found = desk.db.scalars(
        select(Message)
        .where(Message.tenant == desk.tenant, Message.direction == "out", free)
        .order_by(Message.at, Message.message_id)
        .limit(asked.limit)
    ).all()
    for message in found:
        message.status = "sending"
        message.attempts += 1
        message.claimed_until = desk.now + timedelta(seconds=asked.lease_s)
    ids = [message.message_id for message in found]
    return Written(
        Claimed(messages=[_to_send(desk, message) for message in found]),
        f"messages/{ids[0]}" if ids else "messages/none",
        None,
        {"claimed": ids, "lease_s": asked.lease_s},
        idle=not ids,
    )


def set_status(desk: Desk, asked: SetStatus) -> Written:
    """Say what became of a message. Late and repeated news change nothing."""
    message = _of(desk, asked)
    before = snapshot(message)
    renamed = asked.provider_id not in (None, message.provider_id) and asked.message_id is not None
    changed = may_follow(message.status, asked.status)
    if changed:
        message.status = asked.status
        message.error_code, message.says = asked.error_code, asked.says
        message.claimed_until = None
    if renamed:
        message.provider, message.provider_id = asked.provider, asked.provider_id
    return Written(
        StatusSet.model_validate(
            {"message_id": message.message_id, "status": message.status, "changed": changed}
        ),
        f"messages/{message.message_id}",
        before,
        snapshot(message),
        idle=not (changed or renamed),
    )


def _of(desk: Desk, asked: SetStatus) -> Message:
    if asked.message_id is not None:
        message = desk.db.get(Message, (desk.tenant, asked.message_id))
    else:
        message = desk.db.scalar(
            select(Message).where(
                Message.tenant == desk.tenant,
                Message.provider == asked.provider,
                Message.provider_id == asked.provider_id,
            )
        )
    if message is None or message.direction != "out":
        name = asked.message_id or asked.provider_id or ""
        raise not_found("message that goes out", name, "claim it with whatsapp.claim first")
    return message


def _to_send(desk: Desk, message: Message) -> ToSend:
    thread = desk.db.get_one(Thread, (desk.tenant, message.thread_id))
    return ToSend(
        message_id=message.message_id,
        thread_id=message.thread_id,
        lead_id=thread.lead_id,
        to_phone=thread.phone,
        addresses=_addresses(desk, thread),
        text=message.text,
        template=message.template,
        template_variables=message.template_variables,
        language=message.language,
        media=[MediumGiven.model_validate(medium) for medium in message.media],
        attempt=message.attempts,
        last_in_at=last_in_at(desk, message.thread_id),
        queued_at=message.at,
    )


def _addresses(desk: Desk, thread: Thread) -> list[AddressShown]:
    """Where the person can be reached at a provider, by the lead's identities and the thread's."""
    whose = [Identity.external_id == thread.external_id]
    if thread.lead_id is not None:
        whose.append(Identity.lead_id == thread.lead_id)
    found = desk.db.scalars(
        select(Identity)
        .where(Identity.tenant == desk.tenant, Identity.provider.in_(PROVIDERS), or_(*whose))
        .order_by(Identity.provider, Identity.external_id)
    )
    return [AddressShown(provider=one.provider, external_id=one.external_id) for one in found]


OPERATIONS: Final[tuple[Operation, ...]] = (
    Write("whatsapp.claim", Claim, Claimed, claim),
    Write("whatsapp.set_status", SetStatus, StatusSet, set_status),
)
