"""Tools about the calendar: when there is time, and an appointment."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from voicelat.agentkit.tools.fields import Id, Phone, Time, Words
from voicelat.agentkit.tools.tool import AGENTS, Arguments, Result, Tool

__all__ = ["TOOLS"]


class FindSlots(Arguments):
    from_: Annotated[Time, Field(alias="from")]
    to: Time
    minutes: Annotated[int, Field(ge=15, le=480)]


class Slot(Result):
    start: str
    end: str


class Slots(Result):
    slots: list[Slot]


class CreateEvent(Arguments):
    title: Words
    start: Time
    end: Time
    attendee_name: Words | None
    attendee_phone: Phone | None
    lead_id: Id | None


class EventCreated(Result):
    event_id: str


TOOLS: Final = (
    Tool(
        id="calendar.find_slots",
        about="Find when there is time for so many minutes. Use it before you offer a time.",
        arguments=FindSlots,
        result=Slots,
        writes=False,
        agents=frozenset(AGENTS),
    ),
    Tool(
        id="calendar.create",
        about="Make an appointment. Use it once a person has agreed to the time.",
        arguments=CreateEvent,
        result=EventCreated,
        writes=True,
        agents=frozenset(AGENTS),
    ),
)
