"""May an agent make a call? Pure, total, and it says why.

The strictest answer wins, so the order of rules means nothing, and a rule more never allows
more: denied by a rule, then not allowed by any, then over a limit or a rate, then to be asked
about, and only then allowed. What cannot be read or is not known is asked about.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from voicelat.agentkit.policy.predicate import Unreadable
from voicelat.agentkit.policy.rules import (
    LIMITS,
    NO_APPROVAL_RULE,
    NOT_ALLOWED,
    UNKNOWN_ENVIRONMENT,
    Decision,
    Environment,
    Limits,
    Period,
    Policy,
    Rate,
    Rule,
    ToolAsk,
    Usage,
    Use,
)

__all__ = ["decide"]

_STRICTEST: Final = ("deny", "ask", "allow")
_WINDOWS: Final[dict[Period, timedelta]] = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}


def decide(policy: Policy, ask: ToolAsk, usage: Usage) -> Decision:
    """Never raises, whatever JSON the arguments are. ``ask.at_utc`` and those of the usage need
    their zone. Call it before a person is asked, and again before the call is made.
    """
    if (rules := policy.environments.get(ask.env)) is None:
        known = ", ".join(policy.environments) or "none"
        return Decision("deny", UNKNOWN_ENVIRONMENT, f"no environment {ask.env}; there is {known}")
    said = list(_said(rules, ask, usage))
    return min(said, key=lambda decision: _STRICTEST.index(decision.verdict))


def _said(rules: Environment, ask: ToolAsk, usage: Usage) -> Iterator[Decision]:
    """Everything there is to say about a call; the strictest counts, the first of its kind."""
    yield from _denials(rules, ask)
    yield _allowance(rules, ask)
    for limits in rules.limits:
        yield from _over_limits(limits, ask)
    for rate in rules.rates:
        yield from _over_rate(rate, ask, usage)
    yield from _approvals(rules, ask)


def _denials(rules: Environment, ask: ToolAsk) -> Iterator[Decision]:
    for rule in rules.deny:
        if rule.covers(ask.agent, ask.tool):
            if (holds := _holds(rule, ask)) is True:
                yield Decision("deny", rule.name, f"denied by {rule.where}")
            elif isinstance(holds, str):
                yield _unreadable(rule, holds)


def _allowance(rules: Environment, ask: ToolAsk) -> Decision:
    for rule in rules.allow:
        if rule.covers(ask.agent, ask.tool):
            return Decision("allow", rule.name, f"allowed by {rule.where}")
    why = f"no rule allows {ask.tool} to {ask.agent} in {ask.env}"
    return Decision("deny", NOT_ALLOWED, why)


def _approvals(rules: Environment, ask: ToolAsk) -> Iterator[Decision]:
    spoken = False
    for rule in rules.approve:
        if rule.covers(ask.agent, ask.tool):
            spoken = True
            if isinstance(holds := _holds(rule, ask), str):
                yield _unreadable(rule, holds)
            elif holds and rule.approval == "always":
                when = f", because {rule.when.text}" if rule.when else ""
                yield Decision("ask", rule.name, f"to be approved by {rule.where}{when}")
    if not spoken:
        why = f"no approval rule speaks of {ask.tool}; add one, or a person is asked"
        yield Decision("ask", NO_APPROVAL_RULE, why)


def _holds(rule: Rule, ask: ToolAsk) -> bool | str:
    """Whether a rule's condition is true; why it cannot be read where it cannot."""
    if rule.when is None:
        return True
    try:
        return rule.when.holds(ask.arguments)
    except Unreadable as error:
        return str(error)


def _unreadable(rule: Rule, why: str) -> Decision:
    return Decision("ask", rule.name, f"{rule.where} cannot be read: {why}")


def _over_limits(limits: Limits, ask: ToolAsk) -> Iterator[Decision]:
    where = "" if limits.line is None else f" (line {limits.line})"
    if limits.cost_usd is not None and ask.cost_usd is None:
        why = f"what the run has cost is not known, and limited{where}; give the model's price"
        yield Decision("ask", LIMITS, why)
    for used, most, unit in (
        (ask.cost_usd, limits.cost_usd, "USD"),
        (ask.turns, limits.turns, "turns"),
        (ask.seconds, limits.seconds, "s"),
    ):
        if used is not None and most is not None and not used <= most:
            why = f"the run has used {used:g} of {most:g} {unit}{where}"
            yield Decision("deny", LIMITS, why)


def _over_rate(rate: Rate, ask: ToolAsk, usage: Usage) -> Iterator[Decision]:
    if not rate.rule.covers(ask.agent, ask.tool):
        return
    made = sum(_counts(rate, ask, use) for use in usage.uses)
    if made >= rate.at_most:
        why = f"{made} of {rate.at_most} calls per {rate.per} were made, by {rate.rule.where}"
        yield Decision("deny", rate.rule.name, why)


def _counts(rate: Rate, ask: ToolAsk, use: Use) -> bool:
    if not rate.rule.covers(use.agent, use.tool):
        return False
    match rate.per:
        case "run":
            return use.run_id == ask.run_id
        case "call":
            # Without a phone call, the run stands for it.
            if ask.call_id is None:
                return use.run_id == ask.run_id
            return use.call_id == ask.call_id
        case window:
            # One from the future counts: clocks of two machines differ.
            return use.at_utc > ask.at_utc - _WINDOWS[window]
