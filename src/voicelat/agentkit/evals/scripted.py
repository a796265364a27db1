"""Steps for evals without a key, a network or a database: the case says what the model does.

What matters most is what happens when the model does the worst it can: an injected instruction is
obeyed here, always, and what stops it must be the policy. So every call is decided by the real
policy, and only the model and the data are made up.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from voicelat.agentkit.evals.cases import Case
from voicelat.agentkit.workflows.steps import Catalog, Steps, Tool
from voicelat.errors import UsageError, VoicelatError

__all__ = ["Called", "Decide", "ScriptedSteps", "Verdict", "Watched", "sample"]

Verdict = Literal["allow", "deny", "ask"]
Decide = Callable[[str, str, dict[str, Any]], Verdict]
"""Agent, tool id, arguments -> what the policy says."""
_SAMPLES: Final[dict[type, Any]] = {bool: False, int: 0, float: 0.0, str: "sample"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """A tool call that was asked for."""

    agent: str
    """In whose name."""
    tool: str
    """Its id."""
    arguments: dict[str, Any]
    """As they were given."""
    verdict: Verdict
    """Of the policy: ``allow``, ``deny``, or ``ask`` a person."""
    done: bool
    """Whether it was made. Of a call that people were asked about: whether they said yes."""


class Watched(Steps, Protocol):
    """Steps that remember what was called."""

    @property
    def called(self) -> list[Called]:
        """Every call that was asked for, in order."""
        ...

    @property
    def cost_usd(self) -> float | None:
        """Of all models. None: unknown."""
        ...


class Stopped(VoicelatError):
    """A run cannot go on: a call of its own was refused, or its script is over."""


class ScriptedSteps:
    """The `Steps` of one case."""

    cost_usd: float | None = 0.0

    def __init__(self, case: Case, catalog: Catalog, decide: Decide) -> None:
        self.called: list[Called] = []
        self.notes: list[dict[str, Any]] = []
        self._case = case
        self._catalog = catalog
        self._decide = decide
        self._asks = 0
        self._agent: str | None = None

    async def ask(self, agent: str, text: str, output: type[BaseModel] | None) -> BaseModel | str:
        """The next reply of the script. What it calls and may not, it does not get."""
        self._agent = agent
        if self._asks == len(self._case.script):
            raise Stopped(f"the script ends before the model is asked a {self._asks + 1}. time")
        reply = self._case.script[self._asks]
        self._asks += 1
        for attempt in reply.calls:
            self._call(agent, attempt.tool, attempt.arguments)
        if output is None:
            return str(reply.answer)
        return output.model_validate(reply.answer)

    async def call(self, tool_id: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """One call of the workflow itself. Raises Stopped where it is refused."""
        tool = self._catalog.get(tool_id)
        agent = self._agent if self._agent in tool.agents else min(tool.agents, default="")
        result = self._call(agent or "", tool_id, arguments)
        if result is None:
            raise Stopped(f"{tool_id} was refused")
        return result

    def note(self, kind: str, **facts: Any) -> None:
        """Kept in ``notes``."""
        self.notes.append({"kind": kind, **facts})

    def _call(self, agent: str, tool_id: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        """The result; None: it was not made."""
        verdict = self._verdict(agent, tool_id, arguments)
        done = verdict == "allow" or (verdict == "ask" and self._case.person == "approves")
        self.called.append(
            Called(agent=agent, tool=tool_id, arguments=arguments, verdict=verdict, done=done)
        )
        if not done:
            return None
        given = self._case.results.get(tool_id)
        return sample(self._catalog.get(tool_id).result) if given is None else given

    def _verdict(self, agent: str, tool_id: str, arguments: dict[str, Any]) -> Verdict:
        """No agent has a tool that is not its own, nor calls one with what it does not take."""
        try:
            tool: Tool = self._catalog.get(tool_id)
            tool.arguments.model_validate(arguments)
        except (UsageError, ValidationError):
            return "deny"
        return self._decide(agent, tool_id, arguments) if agent in tool.agents else "deny"


def sample(model: type[BaseModel]) -> dict[str, Any]:
    """Something a tool might give: texts are ``sample``, lists are empty, null where it may be."""
    return {
        field.alias or name: _sample(field.annotation) for name, field in model.model_fields.items()
    }


def _sample(annotation: Any) -> Any:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return inner[0]
    if origin in (Union, types.UnionType):
        return None if type(None) in inner else _sample(inner[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return sample(annotation)
    return [] if origin is list else _SAMPLES.get(annotation)
