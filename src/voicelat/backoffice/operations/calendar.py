"""``calendar.*``: one calendar for each tenant, in which nothing overlaps."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from typing import Annotated, Final

from pydantic import Field
from sqlalchemy import select

from voicelat.backoffice.config import Opening
from voicelat.backoffice.fields import Arguments, Id, Phone, Result, ShortText, Time
from voicelat.backoffice.operation import (
    Desk,
    Operation,
    Read,
    Write,
    Written,
    new_id,
    snapshot,
)
from voicelat.backoffice.operations.leads import known_lead
from voicelat.backoffice.problem import Problem
from voicelat.backoffice.tables import Event

__all__ = ["OPERATIONS", "opening_hours"]

MAX_RANGE: Final = timedelta(days=14)
"""Of one search: every slot in it is answered, and a model has to read them."""
MAX_EVENT: Final = timedelta(days=31)


class FindSlots(Arguments):
    """When to look, and for how long an appointment."""

    start: Time = Field(alias="from")
    to: Time
    minutes: Annotated[int, Field(ge=15, le=480)]


class Slot(Result):
    """A free time."""

    start: Time
    end: Time


class Slots(Result):
    """Every free slot in the range, one after the other."""

    slots: list[Slot]


class Create(Arguments):
    """An appointment."""

    title: ShortText
    start: Time
    end: Time
    attendee_name: ShortText | None
    attendee_phone: Phone | None
    lead_id: Id | None


class Created(Result):
    """The new appointment."""

    event_id: str


def find_slots(desk: Desk, asked: FindSlots) -> Slots:
    """The free times of a range."""
    if not timedelta(0) < asked.to - asked.start <= MAX_RANGE:
        raise Problem(
            "invalid", "the range is not one", f"let `to` be 1 to {MAX_RANGE.days} days later"
        )
    taken = [(event.starts_at, event.ends_at) for event in _events(desk, asked.start, asked.to)]
    length = timedelta(minutes=asked.minutes)
    free = []
    for opens, closes in opening_hours(desk.opening, asked.start, asked.to):
        start = opens
        while start + length <= closes:
            end = start + length
            clash = max((e for s, e in taken if s < end and e > start), default=None)
            if clash is None:
                free.append(Slot(start=start, end=end))
            start = end if clash is None else max(clash, end)
    return Slots(slots=free)


def create(desk: Desk, asked: Create) -> Written:
    """Make an appointment where nothing else is."""
    if not timedelta(0) < asked.end - asked.start <= MAX_EVENT:
        raise Problem(
            "invalid", "the end does not fit", f"let it be up to {MAX_EVENT.days} days after start"
        )
    if asked.lead_id is not None:
        known_lead(desk, asked.lead_id)
    if _events(desk, asked.start, asked.end):
        raise Problem("invalid", "that time is taken", "choose one of calendar.find_slots")
    event = Event(
        tenant=desk.tenant,
        event_id=new_id("event"),
        title=asked.title,
        starts_at=asked.start,
        ends_at=asked.end,
        attendee_name=asked.attendee_name,
        attendee_phone=asked.attendee_phone,
        lead_id=asked.lead_id,
    )
    desk.db.add(event)
    return Written(
        Created(event_id=event.event_id), f"events/{event.event_id}", None, snapshot(event)
    )


def _events(desk: Desk, start: datetime, end: datetime) -> list[Event]:
    """Everything in the calendar that touches the range."""
    return list(
        desk.db.scalars(
            select(Event).where(
                Event.tenant == desk.tenant,
                Event.starts_at < end,
                Event.starts_at > start - MAX_EVENT,
                Event.ends_at > start,
            )
        )
    )


def opening_hours(
    opening: Opening, start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """The open stretches of the range: from when to when."""
    day = start.astimezone(opening.zone).date()
    while day <= end.astimezone(opening.zone).date():
        midnight = datetime.combine(day, time(), opening.zone)
        # Wall-clock arithmetic, as shops open: a day of daylight saving begins at nine, too.
        opens = midnight + timedelta(hours=opening.first_hour)
        closes = midnight + timedelta(hours=opening.last_hour)
        if day.weekday() in opening.weekdays:
            yield (
                max(opens.astimezone(start.tzinfo), start),
                min(closes.astimezone(end.tzinfo), end),
            )
        day += timedelta(days=1)


OPERATIONS: Final[tuple[Operation, ...]] = (
    Read("calendar.find_slots", FindSlots, Slots, find_slots),
    Write("calendar.create", Create, Created, create),
)
