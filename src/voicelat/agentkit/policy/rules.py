"""The rules of a policy, what it is asked, and what it answers. Made from a file by `load`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from voicelat.agentkit.policy.predicate import Predicate

__all__ = [
    "Approval",
    "Decision",
    "Environment",
    "Limits",
    "Period",
    "Policy",
    "Price",
    "Rate",
    "Rule",
    "ToolAsk",
    "Usage",
    "Use",
]

Approval = Literal["always", "never"]
Period = Literal["minute", "hour", "day", "call", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which calls a rule is about. ``None`` for agents or tools: all of them."""

    name: str
    line: int | None
    """In its file. None: it was not read from one."""
    agents: frozenset[str] | None
    tools: frozenset[str] | None
    when: Predicate | None = None
    """A condition on the arguments. None: whatever they are."""
    approval: Approval = "always"
    """Of an approval rule: whether a person is asked where it holds."""

    def covers(self, agent: str, tool: str) -> bool:
        """Whether it is about such calls at all."""
        return (self.agents is None or agent in self.agents) and (
            self.tools is None or tool in self.tools
        )

    @property
    def where(self) -> str:
        """For people: its name, and its line."""
        return self.name if self.line is None else f"{self.name} (line {self.line})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """At most so many calls that ``rule`` covers, together, in a period."""

    rule: Rule
    at_most: int
    per: Period


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one run. None: no limit."""

    line: int | None = None
    cost_usd: float | None = None
    turns: int | None = None
    """Answers of the model."""
    seconds: float | None = None
    """Of work: the wait for a person is not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The rules of one environment."""

    allow: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()
    approve: tuple[Rule, ...] = ()
    rates: tuple[Rate, ...] = ()
    limits: tuple[Limits, ...] = ()
    """Each of them holds."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens."""

    input: float
    output: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Everything agents may do, by environment."""

    environments: Mapping[str, Environment]
    prices: Mapping[str, Price]
    """By the name of a model, as it was chosen: ``scripted``, ``openai:NAME``."""

    def cost_usd(self, model: str, input_tokens: int, output_tokens: int) -> float | None:
        """What a model's answers cost. None: its price is not known."""
        if (price := self.prices.get(model)) is None:
            return None
        return (input_tokens * price.input + output_tokens * price.output) / 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAsk:
    """May this agent make this call now?"""

    env: str
    agent: str
    tool: str
    arguments: Mapping[str, Any]
    run_id: str
    call_id: str | None
    at_utc: datetime
    cost_usd: float | None
    """What the run has cost so far, as the other two. None: not known."""
    turns: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Use:
    """A call that an agent made before."""

    agent: str
    tool: str
    run_id: str
    call_id: str | None
    at_utc: datetime


@dataclass(frozen=True, slots=True)
class Usage:
    """The calls made before this one, in this environment: at least those of the last day, of
    the run and of the phone call. The one that is asked about is not among them.
    """

    uses: tuple[Use, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, and the rule it comes from."""

    verdict: Literal["allow", "deny", "ask"]
    """``ask``: a person decides."""
    rule: str
    """Its name; in angle brackets, one that every policy has."""
    why: str


UNKNOWN_ENVIRONMENT: Final = "<unknown environment>"
NOT_ALLOWED: Final = "<deny by default>"
NO_APPROVAL_RULE: Final = "<ask by default>"
LIMITS: Final = "<limits of a run>"
