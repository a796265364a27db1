from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.agentkit.policy import (
    Decision,
    Environment,
    Limits,
    Policy,
    Predicate,
    Rate,
    Rule,
    ToolAsk,
    Usage,
    Use,
    decide,
    load_policy,
    read_policy,
)

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
AGENTS = ["Voice", "WhatsApp", "Backoffice"]
TOOLS = ["crm.get", "crm.update", "leads.delete", "whatsapp.send"]


def ask(
    tool: str = "crm.get", agent: str = "Voice", env: str = "prod", **arguments: Any
) -> ToolAsk:
    return ToolAsk(
        env=env,
        agent=agent,
        tool=tool,
        arguments=arguments,
        run_id="run-1",
        call_id="CA1",
        at_utc=NOW,
        cost_usd=0.0,
        turns=1,
        seconds=1.0,
    )


def rule(name: str, **about: Any) -> Rule:
    return Rule(**{"name": name, "line": 7, "agents": None, "tools": None, **about})


def policy(**parts: Any) -> Policy:
    allow = (rule("all", agents=frozenset(AGENTS), tools=frozenset(TOOLS)),)
    approve = (rule("free", approval="never"),)
    rules = Environment(**{"allow": allow, "approve": approve, **parts})
    return Policy(environments={"prod": rules}, prices={})


def verdict(policy: Policy, asked: ToolAsk, *uses: Use) -> str:
    return decide(policy, asked, Usage(uses)).verdict


def used(
    tool: str = "crm.get", ago_s: float = 1, run: str = "run-1", call: str | None = "CA1"
) -> Use:
    return Use("Voice", tool, run, call, NOW - timedelta(seconds=ago_s))


def test_what_is_allowed_and_free_is_allowed() -> None:
    assert decide(policy(), ask(), Usage()) == Decision("allow", "all", "allowed by all (line 7)")


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (ask(tool="crm.delete"), "no rule allows crm.delete to Voice in prod"),
        (ask(agent="Nobody"), "no rule allows crm.get to Nobody in prod"),
        (ask(env="staging"), "no environment staging; there is prod"),
    ],
)
def test_an_unknown_tool_agent_or_environment_is_denied(asked: ToolAsk, says: str) -> None:
    decision = decide(policy(), asked, Usage())
    assert (decision.verdict, decision.why) == ("deny", says)


def test_a_denial_wins_and_names_its_rule_and_line() -> None:
    stop = policy(deny=(rule("stop", tools=frozenset({"crm.get"})),))
    assert decide(stop, ask(), Usage()) == Decision("deny", "stop", "denied by stop (line 7)")


def test_a_tool_that_no_approval_rule_speaks_of_is_asked_about() -> None:
    assert verdict(policy(approve=()), ask()) == "ask"


def test_the_strictest_approval_rule_counts() -> None:
    always = rule("always")
    never = rule("never", approval="never")
    for order in ((always, never), (never, always)):
        assert decide(policy(approve=order), ask(), Usage()).rule == "always"


def test_a_condition_decides_whether_a_person_is_asked() -> None:
    often = policy(approve=(rule("long", when=Predicate.parse("len(text) > 3")),))
    assert verdict(often, ask(text="abc")) == "allow"
    assert verdict(often, ask(text="abcd")) == "ask"


def test_arguments_that_a_condition_cannot_read_are_asked_about() -> None:
    unreadable = {"when": Predicate.parse("len(text) > 3")}
    for parts in (
        {"approve": (rule("long", **unreadable),)},
        {"deny": (rule("no", **unreadable),)},
    ):
        for arguments in ({}, {"text": None}, {"text": 5}):
            decision = decide(policy(**parts), ask(**arguments), Usage())
            assert decision.verdict == "ask"
            assert "cannot be read" in decision.why


@pytest.mark.parametrize("per", ["minute", "hour", "day", "call", "run"])
def test_a_rate_counts_what_was_made_in_its_period(per: Any) -> None:
    limited = policy(rates=(Rate(rule=rule("few"), at_most=2, per=per),))
    assert verdict(limited, ask(), used()) == "allow"
    assert verdict(limited, ask(), used(), used()) == "deny"
    elsewhere = used(ago_s=90_000, run="run-0", call="CA0")
    assert verdict(limited, ask(), used(), elsewhere) == "allow"


def test_a_rate_counts_only_what_its_rule_covers() -> None:
    few = rule("few", agents=frozenset({"Voice"}), tools=frozenset({"crm.get"}))
    limited = policy(rates=(Rate(rule=few, at_most=1, per="minute"),))
    assert verdict(limited, ask(), used("crm.update")) == "allow"
    assert verdict(limited, ask(), used()) == "deny"
    assert verdict(limited, ask(agent="WhatsApp"), used()) == "allow"


def test_without_a_phone_call_the_run_stands_for_it() -> None:
    limited = policy(rates=(Rate(rule=rule("few"), at_most=1, per="call"),))
    message = replace(ask(), call_id=None)
    assert verdict(limited, message, used(run="run-0", call=None)) == "allow"
    assert verdict(limited, message, used(call=None)) == "deny"


def test_a_use_of_a_clock_that_is_ahead_counts() -> None:
    limited = policy(rates=(Rate(rule=rule("few"), at_most=1, per="minute"),))
    assert verdict(limited, ask(), used(ago_s=-30)) == "deny"


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (Limits(line=9, cost_usd=0.5), "the run has used 0.6 of 0.5 USD (line 9)"),
        (Limits(turns=20), "the run has used 21 of 20 turns"),
        (Limits(seconds=300), "the run has used 301 of 300 s"),
    ],
)
def test_a_run_over_its_limits_is_denied(limits: Limits, says: str) -> None:
    over = replace(ask(), cost_usd=0.6, turns=21, seconds=301)
    decision = decide(policy(limits=(limits,)), over, Usage())
    assert (decision.verdict, decision.why) == ("deny", says)
    assert verdict(policy(limits=(limits,)), ask()) == "allow"


def test_an_unknown_cost_is_asked_about_where_cost_is_limited() -> None:
    unknown = replace(ask(), cost_usd=None)
    assert verdict(policy(limits=(Limits(cost_usd=1),)), unknown) == "ask"
    assert verdict(policy(limits=(Limits(turns=5),)), unknown) == "allow"


# -- properties -----------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
NAMES = ["text", "changes", "to_phone"]
ARGUMENTS = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), JSON, max_size=4)
PREDICATES = st.sampled_from(
    ["len(text) > 2", 'to_phone != null and "x" in text', 'changes["key"] in ["a"]', "text == true"]
).map(Predicate.parse)
SOME = st.none() | st.frozensets(st.sampled_from(AGENTS))
RULES = st.builds(
    Rule,
    name=st.sampled_from(["one", "two"]),
    line=st.none() | st.integers(1, 9),
    agents=SOME,
    tools=st.none() | st.frozensets(st.sampled_from(TOOLS)),
    when=st.none() | PREDICATES,
    approval=st.sampled_from(["always", "never"]),
)
MANY = st.lists(RULES, max_size=3).map(tuple)
ENVIRONMENTS = st.builds(
    Environment,
    allow=MANY,
    deny=MANY,
    approve=MANY,
    rates=st.lists(
        st.builds(
            Rate,
            rule=RULES,
            at_most=st.integers(0, 3),
            per=st.sampled_from(["minute", "hour", "day", "call", "run"]),
        ),
        max_size=2,
    ).map(tuple),
    limits=st.lists(
        st.builds(
            Limits, cost_usd=st.none() | st.floats(0, 2), turns=st.none() | st.integers(0, 5)
        ),
        max_size=1,
    ).map(tuple),
)
ASKS = st.builds(
    ToolAsk,
    env=st.sampled_from(["prod", "dev"]),
    agent=st.sampled_from([*AGENTS, "Nobody"]),
    tool=st.sampled_from([*TOOLS, "x.y"]),
    arguments=ARGUMENTS,
    run_id=st.just("run-1"),
    call_id=st.none() | st.just("CA1"),
    at_utc=st.datetimes(timezones=st.just(UTC), min_value=datetime(2000, 1, 1)),
    cost_usd=st.none() | st.floats(),
    turns=st.integers(0, 9),
    seconds=st.floats(0, 1000),
)
STRICT = {"deny": 0, "ask": 1, "allow": 2}


@given(ENVIRONMENTS, ASKS)
def test_it_always_decides_and_says_why(rules: Environment, asked: ToolAsk) -> None:
    made = Policy(environments={"prod": rules}, prices={})
    decision = decide(made, asked, Usage((used(), used("crm.update"))))
    assert decision.verdict in STRICT
    assert decision.rule
    assert decision.why
    assert decision == decide(made, asked, Usage((used(), used("crm.update"))))


@given(ENVIRONMENTS, RULES, ASKS)
def test_a_denying_rule_more_never_allows_more(
    rules: Environment, more: Rule, asked: ToolAsk
) -> None:
    before = Policy(environments={"prod": rules}, prices={})
    after = Policy(environments={"prod": replace(rules, deny=(*rules.deny, more))}, prices={})
    assert STRICT[verdict(after, asked)] <= STRICT[verdict(before, asked)]


@given(ENVIRONMENTS, ASKS)
def test_a_denial_wins_over_everything(rules: Environment, asked: ToolAsk) -> None:
    stop = replace(rules, deny=(*rules.deny, rule("stop")))
    assert verdict(Policy(environments={"prod": stop, "dev": stop}, prices={}), asked) == "deny"


@given(ENVIRONMENTS, ASKS)
def test_the_order_of_rules_means_nothing(rules: Environment, asked: ToolAsk) -> None:
    turned = Environment(
        allow=rules.allow[::-1],
        deny=rules.deny[::-1],
        approve=rules.approve[::-1],
        rates=rules.rates[::-1],
        limits=rules.limits,
    )
    one = Policy(environments={"prod": rules}, prices={})
    other = Policy(environments={"prod": turned}, prices={})
    assert verdict(one, asked, used()) == verdict(other, asked, used())


@given(ENVIRONMENTS, ASKS)
def test_only_an_allowing_rule_that_names_agent_and_tool_allows(
    rules: Environment, asked: ToolAsk
) -> None:
    if verdict(Policy(environments={"prod": rules}, prices={}), asked) == "allow":
        assert any(each.covers(asked.agent, asked.tool) for each in rules.allow)


@given(ARGUMENTS, st.sampled_from(["dev", "prod"]), st.sampled_from(AGENTS))
def test_the_packaged_policy_never_sends_or_deletes_by_itself(
    arguments: dict[str, Any], env: str, agent: str
) -> None:
    asked = replace(ask("whatsapp.send", agent, env), arguments=arguments)
    assert verdict(load_policy(), asked) != "allow"
    assert verdict(load_policy(), replace(asked, tool="leads.delete")) == "deny"


def test_the_packaged_policy_lets_a_note_pass_and_asks_about_the_rest() -> None:
    for env in ("dev", "prod"):
        note = ask("crm.update", env=env, changes=[{"key": "last_call", "value": "x"}])
        assert verdict(load_policy(), note) == "allow"
        phone = ask("crm.update", env=env, changes=[{"key": "phone", "value": "x"}])
        assert verdict(load_policy(), phone) == "ask"
        link = ask(
            "whatsapp.send", env=env, to_phone="+1", to_lead_id=None, text="http://x", template=None
        )
        assert decide(load_policy(), link, Usage()).rule == "no links"


def test_a_policy_from_a_file_says_its_line() -> None:
    text = "version: 1\nenvironments:\n  prod:\n    deny:\n      - {name: stop}\n"
    decision = decide(read_policy(text, "p.yaml"), ask(), Usage())
    assert decision.why == "denied by stop (line 5)"
