"""What agents may do: a file of rules, and one pure function that reads them."""

from voicelat.agentkit.policy.decide import decide
from voicelat.agentkit.policy.load import BUILTIN, load_policy, read_policy
from voicelat.agentkit.policy.predicate import InvalidPredicate, Predicate, Unreadable
from voicelat.agentkit.policy.rules import (
    Decision,
    Environment,
    Limits,
    Policy,
    Price,
    Rate,
    Rule,
    ToolAsk,
    Usage,
    Use,
)

__all__ = [
    "BUILTIN",
    "Decision",
    "Environment",
    "InvalidPredicate",
    "Limits",
    "Policy",
    "Predicate",
    "Price",
    "Rate",
    "Rule",
    "ToolAsk",
    "Unreadable",
    "Usage",
    "Use",
    "decide",
    "load_policy",
    "read_policy",
]
