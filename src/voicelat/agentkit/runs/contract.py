"""What a run needs of its neighbours (tools, policy, API, agents, workflows), as it needs it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, Protocol

from agents import Agent, Model, RunConfig
from pydantic import BaseModel

from voicelat.agentkit.runs.event import Event
from voicelat.agentkit.runs.redact import Redaction
from voicelat.agentkit.runs.store import Store
from voicelat.errors import VoicelatError

__all__ = [
    "Asked",
    "Invoke",
    "Parts",
    "Spent",
    "Steps",
    "Told",
    "ToolFailed",
    "ToolLike",
    "ToolRefused",
    "Tools",
    "Verdict",
    "Workflow",
]


class ToolFailed(VoicelatError):
    """The API did not do what a tool asked. ``retry``: it may later."""

    def __init__(self, code: str, says: str, *, retry: bool) -> None:
        super().__init__(f"{code}: {says}")
        self.code = code
        self.says = says
        self.retry = retry


class ToolRefused(VoicelatError):
    """A tool call was not made, or not done: by policy, by a person, or by the API."""

    def __init__(self, tool: str, code: str, says: str) -> None:
        super().__init__(f"{tool}: {code}: {says}")
        self.tool = tool
        self.code = code
        self.says = says


class ToolLike(Protocol):
    """A tool's definition, as far as running it goes."""

    @property
    def id(self) -> str:
        """Its canonical id, such as ``leads.upsert``."""
        ...

    def checked(self, arguments: object) -> dict[str, Any]:
        """The arguments as they are decided on, hashed and sent. Raises VoicelatError."""
        ...

    @property
    def agents(self) -> frozenset[str]:
        """Who has it."""
        ...


class Tools(Protocol):
    """All tools there are."""

    def get(self, tool_id: str) -> Any:
        """The tool of that id. Raises UsageError for none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a run has used. It is read off what was recorded: a resumed run has spent the same."""

    answers: int = 0
    """Of models."""
    input_tokens: int = 0
    output_tokens: int = 0
    work_ms: int = 0
    """In models and in the API; the wait for people is no work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the policy is asked: may this agent make this call now?"""

    agent: str
    tool: str
    arguments: dict[str, Any]
    run_id: str
    call_id: str | None
    at_utc: str
    spent: Spent
    """By this run so far."""


class Verdict(Protocol):
    """What the policy answers."""

    @property
    def verdict(self) -> Literal["allow", "deny", "ask"]:
        """``ask``: a person decides."""
        ...

    @property
    def rule(self) -> str:
        """The rule that said so."""
        ...

    @property
    def why(self) -> str:
        """In one line."""
        ...


class CallApi(Protocol):
    """One request to the back office. Raises ToolFailed."""

    async def __call__(
        self,
        tool: ToolLike,
        arguments: dict[str, Any],
        *,
        idempotency_key: str,
        run_id: str,
        call_id: str | None,
        agent: str,
        grant: str | None,
    ) -> dict[str, Any]:
        """The tool's result."""
        ...


Invoke = Callable[[Any, dict[str, Any], str], Awaitable[str]]
"""A tool, its arguments and the SDK's id of the call -> what the model reads, as JSON."""


class Told(Protocol):
    """Takes what happened, for the run's log."""

    def __call__(
        self,
        kind: str,
        *,
        agent: str | None = None,
        tool: str | None = None,
        decision: str | None = None,
        who: str | None = None,
        latency_ms: int | None = None,
        at: str | None = None,
        facts: dict[str, Any] | None = None,
    ) -> None:
        """``at``: when, if not now."""
        ...


class Steps(Protocol):
    """What a workflow is made of. Everything in it is recorded: a resumed run repeats nothing."""

    async def ask(self, agent: str, text: str, output: type[BaseModel] | None) -> BaseModel | str:
        """One run of an agent with its tools."""
        ...

    async def call(self, tool_id: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """One tool call: decided, approved where it must be, made exactly once. Raises
        ToolRefused."""
        ...

    def note(self, kind: str, **facts: Any) -> None:
        """A line for the run's log."""
        ...


class Workflow(Protocol):
    """A workflow in one of its versions, ready to run."""

    @property
    def name(self) -> str:
        """Such as ``voice_turn``."""
        ...

    @property
    def version(self) -> str:
        """The hash of its content."""
        ...

    async def run(self, event: Event, steps: Steps) -> dict[str, Any]:
        """What came of it, as JSON."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything a run is put together from."""

    store: Store
    tools: Tools
    judge: Callable[[Asked], Verdict]
    call_api: CallApi
    sdk_agent: Callable[[str, Invoke, Model, str | None], Agent[Any]]
    """An agent by its name, speaking a language (a BCP-47 tag; None: unknown)."""
    model: Callable[[str], Model]
    """The model of an agent, by the agent's name."""
    workflow: Callable[[Event, str | None], Workflow]
    """The workflow of an event in the given version; None: the current one."""
    append_turns: AppendTurns | None = None
    """Keeps a turn's transcript in the back office. None: nobody does."""
    run_config: Callable[[], RunConfig] = lambda: RunConfig(
        tracing_disabled=True, trace_include_sensitive_data=False
    )
    """How the SDK runs agents. Its default would send traces away."""
    redaction: Redaction = field(default_factory=Redaction)
    approval_life: timedelta = timedelta(days=7)
    max_turns: int = 12
    """Answers of the model in one `Steps.ask`."""


class AppendTurns(Protocol):
    """Writes turns. Raises ToolFailed."""

    async def __call__(
        self, call_id: str, turns: list[dict[str, Any]], *, idempotency_key: str, run_id: str
    ) -> None:
        """``turns``: turn, speaker, text, at."""
        ...
