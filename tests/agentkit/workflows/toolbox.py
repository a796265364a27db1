"""Doubles of the neighbours, by their contract: the tools, and steps that only remember."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from voicelat.agentkit.workflows.steps import Tool
from voicelat.errors import UsageError

__all__ = ["TOOLBOX", "FakeEvent", "FakeTool", "MemorySteps", "Toolbox"]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class KeyValue(Model):
    key: str
    value: str


class Slot(Model):
    start: str
    end: str


class Customer(Model):
    customer_id: str
    name: str
    phone: str | None


class TranscriptTurn(Model):
    turn: int
    speaker: str
    text: str
    at: str


class Message(Model):
    message_id: str
    direction: str
    text: str
    at: str
    status: str


class LogCreate(Model):
    call_id: str
    from_number: str | None
    to_number: str | None
    started_at: str
    ended_at: str | None
    outcome: str | None


class LogCreated(Model):
    call_id: str
    created: bool


class CallId(Model):
    call_id: str


class Transcript(Model):
    call_id: str
    turns: list[TranscriptTurn]


class Summary(Model):
    call_id: str
    summary: str
    action_items: list[str]
    language: str


class SummaryKept(Model):
    summary_id: str


class FindSlots(Model):
    from_: str = Field(alias="from")
    to: str
    minutes: int


class Slots(Model):
    slots: list[Slot]


class CreateEvent(Model):
    title: str
    start: str
    end: str
    attendee_name: str | None
    attendee_phone: str | None
    lead_id: str | None


class EventCreated(Model):
    event_id: str


class Lead(Model):
    name: str | None
    phone: str | None
    external_id: str | None
    provider: str | None
    notes: str | None
    source: str


class LeadKept(Model):
    lead_id: str
    created: bool


class LeadTag(Model):
    lead_id: str
    tag: str


class LeadTags(Model):
    lead_id: str
    tags: list[str]


class Send(Model):
    to_lead_id: str | None
    to_phone: str | None
    text: str | None
    template: str | None
    template_variables: list[str]
    language: str


class Sent(Model):
    message_id: str
    status: str


class FetchThread(Model):
    lead_id: str | None
    phone: str | None
    limit: int


class Thread(Model):
    thread_id: str | None
    messages: list[Message]


class Search(Model):
    query: str
    limit: int


class Customers(Model):
    customers: list[Customer]


class CustomerId(Model):
    customer_id: str


class CustomerCard(Model):
    customer_id: str
    name: str
    phone: str | None
    email: str | None
    notes: str
    fields: list[KeyValue]


class Update(Model):
    customer_id: str
    changes: list[KeyValue]


class Updated(Model):
    customer_id: str
    before: list[KeyValue]
    after: list[KeyValue]


class LeadId(Model):
    lead_id: str


@dataclass(frozen=True)
class FakeTool:
    id: str
    arguments: type[BaseModel]
    result: type[BaseModel]
    agents: frozenset[str]


ALL = frozenset({"Voice", "WhatsApp", "Backoffice"})


class Toolbox:
    """The catalog of the contract."""

    def __init__(self, *tools: FakeTool) -> None:
        self._tools = {tool.id: tool for tool in tools}

    def get(self, tool_id: str) -> Tool:
        if tool_id not in self._tools:
            raise UsageError(f"no tool {tool_id!r}; there are {', '.join(self._tools)}")
        return self._tools[tool_id]


TOOLBOX = Toolbox(
    FakeTool("calls.log_create", LogCreate, LogCreated, ALL),
    FakeTool("stt.get_last_transcript", CallId, Transcript, ALL),
    FakeTool("summary.generate", Summary, SummaryKept, ALL),
    FakeTool("calendar.find_slots", FindSlots, Slots, ALL),
    FakeTool("calendar.create", CreateEvent, EventCreated, ALL),
    FakeTool("leads.upsert", Lead, LeadKept, ALL),
    FakeTool("leads.tag", LeadTag, LeadTags, ALL),
    FakeTool("whatsapp.send", Send, Sent, ALL),
    FakeTool("whatsapp.fetch_thread", FetchThread, Thread, ALL),
    FakeTool("crm.search_customer", Search, Customers, ALL),
    FakeTool("crm.get", CustomerId, CustomerCard, ALL),
    FakeTool("crm.update", Update, Updated, ALL),
    FakeTool("leads.delete", LeadId, LeadId, frozenset({"Backoffice"})),
)


@dataclass(frozen=True)
class FakeEvent:
    text: str = "hello"
    kind: str = "turn"
    id: str = "e1"
    call_id: str | None = "CA1"
    thread_id: str | None = None
    turn: int | None = 1
    language: str | None = None
    at_utc: str = "2026-11-25T10:00:00+00:00"
    data: dict[str, Any] = field(default_factory=dict)


class MemorySteps:
    """Answers in turn, results by tool, and a memory of everything that was asked."""

    def __init__(
        self, *answers: str | dict[str, Any], results: Mapping[str, dict[str, Any]] | None = None
    ) -> None:
        self._answers = list(answers)
        self._results = results or {}
        self.asked: list[tuple[str, str, type[BaseModel] | None]] = []
        self.called: list[tuple[str, dict[str, Any]]] = []
        self.notes: list[dict[str, Any]] = []

    async def ask(self, agent: str, text: str, output: type[BaseModel] | None) -> BaseModel | str:
        self.asked.append((agent, text, output))
        answer = self._answers.pop(0) if self._answers else "ok"
        if output is None:
            assert isinstance(answer, str)
            return answer
        return output.model_validate(answer)

    async def call(self, tool_id: str, arguments: dict[str, Any]) -> dict[str, Any]:
        TOOLBOX.get(tool_id).arguments.model_validate(arguments)
        self.called.append((tool_id, arguments))
        return self._results.get(tool_id, {})

    def note(self, kind: str, **facts: Any) -> None:
        self.notes.append({"kind": kind, **facts})
