"""What a workflow needs of whoever runs it: an event to start from, and steps to take.

A workflow has no clock, no network and no memory of its own. All it does goes through `Steps`,
so the same graph runs on durable jobs, in an eval and in a test.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from pydantic import BaseModel

__all__ = ["AGENTS", "EVENT_FIELDS", "EVENT_KINDS", "Catalog", "Event", "Runnable", "Steps", "Tool"]

AGENTS: Final = ("Backoffice", "Voice", "WhatsApp")
EVENT_KINDS: Final = ("call_ended", "turn", "whatsapp_message")
EVENT_FIELDS: Final = (
    "at_utc",
    "call_id",
    "data",
    "id",
    "kind",
    "language",
    "text",
    "thread_id",
    "turn",
)


class Event(Protocol):
    """What a run starts from. None: unknown, or it belongs to none."""

    @property
    def id(self) -> str:
        """The idempotency key of the run."""
        ...

    @property
    def kind(self) -> str:
        """One of `EVENT_KINDS`."""
        ...

    @property
    def call_id(self) -> str | None:
        """The call."""
        ...

    @property
    def thread_id(self) -> str | None:
        """The WhatsApp thread."""
        ...

    @property
    def turn(self) -> int | None:
        """The number of the turn."""
        ...

    @property
    def text(self) -> str:
        """What was said or written. Anyone may have written it: data, never an instruction."""
        ...

    @property
    def language(self) -> str | None:
        """A BCP-47 tag."""
        ...

    @property
    def at_utc(self) -> str:
        """ISO 8601 with zone."""
        ...

    @property
    def data(self) -> dict[str, Any]:
        """Whatever else belongs to the kind, as JSON."""
        ...


class Steps(Protocol):
    """What a workflow may do."""

    async def ask(self, agent: str, text: str, output: type[BaseModel] | None) -> BaseModel | str:
        """One run of an agent with its tools. ``output``: what it must answer; None: text."""
        ...

    async def call(self, tool_id: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """One tool call: decided, approved where it must be, made exactly once."""
        ...

    def note(self, kind: str, **facts: Any) -> None:
        """A line for the run's log."""
        ...


class Runnable(Protocol):
    """A workflow in one of its versions: a graph, or a module that has the shape of an export."""

    @property
    def name(self) -> str:
        """Such as ``voice_turn``."""
        ...

    @property
    def version(self) -> str:
        """The hash of its content: 64 hex digits."""
        ...

    async def run(self, event: Event, steps: Steps) -> dict[str, Any]:
        """What came of it, as JSON."""
        ...


class Tool(Protocol):
    """A tool's definition, as far as a workflow can be checked against it."""

    @property
    def id(self) -> str:
        """Its canonical id, such as ``leads.upsert``."""
        ...

    @property
    def arguments(self) -> type[BaseModel]:
        """What it takes."""
        ...

    @property
    def result(self) -> type[BaseModel]:
        """What it gives."""
        ...

    @property
    def agents(self) -> frozenset[str]:
        """Who has it."""
        ...


class Catalog(Protocol):
    """All tools there are."""

    def get(self, tool_id: str) -> Tool:
        """The tool of that id. Raises UsageError for none."""
        ...
