"""The last word before a tool runs: may this agent, does a person have to approve?

The reference answer is a set of tools that need a grant. Whoever has a policy passes it as a
function of its own to `voicelat.backoffice.app.create_app`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from voicelat.backoffice.config import ANY_AGENT

__all__ = ["Asked", "Gate", "Verdict", "needs_grant"]

Verdict = Literal["allow", "deny", "ask"]
"""Do it, refuse it, or do it only with a grant."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is about to be done, by whom."""

    tenant: str
    agent: str
    """Whose token it is; never what a header says."""
    tool: str
    arguments: Mapping[str, Any]
    run_id: str | None
    call_id: str | None
    at: datetime


Gate = Callable[[Asked], Verdict]


def needs_grant(pairs: Set[tuple[str, str]]) -> Gate:
    """Ask for a grant where (agent or `ANY_AGENT`, tool) is in ``pairs``; allow all else."""

    def gate(asked: Asked) -> Verdict:
        named = {(asked.agent, asked.tool), (ANY_AGENT, asked.tool)}
        return "allow" if pairs.isdisjoint(named) else "ask"

    return gate
