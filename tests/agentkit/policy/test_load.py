from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.agentkit.policy import Limits, Price, load_policy, read_policy
from voicelat.agentkit.tools import AGENTS, ToolSet
from voicelat.errors import InvalidFile

SMALL = """\
version: 1
environments:
  dev:
    allow:
      - name: reading
        agents: [Voice]
        tools: [crm.get]
    approve:
      - name: often
        tools: [crm.get]
        ask: {when: customer_id != "c1"}
"""


def test_a_rule_knows_its_line() -> None:
    rules = read_policy(SMALL, "p.yaml").environments["dev"]
    assert [rule.where for rule in (*rules.allow, *rules.approve)] == [
        "reading (line 5)",
        "often (line 9)",
    ]
    assert rules.approve[0].when is not None
    assert rules.approve[0].when.text == 'customer_id != "c1"'


def broken(old: str, new: str) -> str:
    assert old in SMALL
    return SMALL.replace(old, new)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "p.yaml: it is empty"),
        ("- 1", "p.yaml:1: [1] is not of type 'object'"),
        ("version: 1", "p.yaml:1: 'environments' is a required property"),
        (broken("version: 1", "version: 2"), "p.yaml:1: version: 1 was expected"),
        (broken("[Voice]", "[Vioce]"), "p.yaml:6: environments.dev.allow.0.agents.0: 'Vioce'"),
        (broken("        agents: [Voice]\n", ""), "p.yaml:5: environments.dev.allow.0: 'agents'"),
        (broken("crm.get", "crm"), "p.yaml:7: environments.dev.allow.0.tools.0: 'crm'"),
        (broken("tools: [crm.get]", "tools: []"), "p.yaml:7:"),
        (broken("ask: {when: customer_id", "ask: {when: id()"), "p.yaml:9: often: "),
        (broken("ask: {when", "ask: {then"), "p.yaml:11: environments.dev.approve.0.ask"),
        (broken("  dev:", "  dev: {}\n  dev:"), "p.yaml:4: dev comes twice"),
        (broken("allow:", "allow: &rules"), "p.yaml:"),
        (broken("allow:", "? [a]\n    : 1\n    allow:"), "p.yaml:4: a key must be a word"),
        (broken("allow:", "<<: {}\n    allow:"), "p.yaml:4: a key must be a word"),
        (broken("allow:", "allow"), "p.yaml:"),
        ("a: [" * 30, "p.yaml:"),
        ("[" * 5000, "p.yaml"),
        ("version: \0", "p.yaml"),
        ("x" * 1_000_001, "p.yaml: a policy has at most"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, says: str) -> None:
    if "&rules" in text:
        text += "    deny: *rules\n"
        says = "p.yaml:12: write it out"
    with pytest.raises(InvalidFile) as refused:
        read_policy(text, "p.yaml")
    assert str(refused.value).startswith(says)
    assert "\n" not in str(refused.value)


@given(
    st.text(alphabet=st.sampled_from("abz12:-[]{}#&*!|>'\"%@ \n\t,?<="), max_size=60) | st.text()
)
def test_any_text_is_a_policy_or_an_invalid_file(text: str) -> None:
    with pytest.raises(InvalidFile):
        read_policy(text, "p.yaml")


@given(st.integers(0, len(SMALL) - 1), st.sampled_from(["", " ", ":", "'", "[", "*a", "\n", "1"]))
def test_a_damaged_policy_is_a_policy_or_an_invalid_file(at: int, put: str) -> None:
    text = SMALL[:at] + put + SMALL[at + 1 :]
    try:
        policy = read_policy(text, "p.yaml")
    except InvalidFile as refused:
        assert "\n" not in str(refused)
    else:
        assert policy.environments


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="No such file"):
        load_policy(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InvalidFile, match="UTF-8"):
        load_policy(tmp_path / "bytes.yaml")


def test_rules_for_everywhere_hold_in_each_environment() -> None:
    text = SMALL + "  prod: {}\neverywhere:\n  deny: [{name: stop}]\n"
    policy = read_policy(text, "p.yaml")
    assert [rule.name for rule in policy.environments["prod"].deny] == ["stop"]
    assert [rule.name for rule in policy.environments["dev"].deny] == ["stop"]


def test_a_policy_may_add_to_the_packaged_one() -> None:
    extra = SMALL.replace("version: 1", "version: 1\nextends: builtin")
    extra += "    limits: {turns: 3}\nprices:\n  openai:small: {input: 1, output: 4}\n"
    policy = read_policy(extra, "p.yaml")
    builtin = load_policy()
    assert policy.environments.keys() == builtin.environments.keys()
    assert policy.environments["prod"] == builtin.environments["prod"]
    dev = policy.environments["dev"]
    assert dev.allow[:-1] == builtin.environments["dev"].allow
    assert dev.limits[-1] == Limits(line=13, turns=3)
    assert policy.prices["openai:small"] == Price(1, 4)
    assert policy.cost_usd("openai:small", 1_000_000, 500_000) == 3.0
    assert policy.cost_usd("scripted", 10, 10) == 0.0
    assert policy.cost_usd("openai:other", 10, 10) is None


def test_the_packaged_policy_allows_what_agents_have_and_no_more() -> None:
    tools = ToolSet.builtin()
    for environment in load_policy().environments.values():
        for rule in environment.allow:
            assert rule.agents is not None
            (agent,) = rule.agents
            assert rule.tools == frozenset(tool.id for tool in tools.of(agent))


def test_the_packaged_policy_speaks_of_every_tool_that_may_be_asked_about() -> None:
    for environment in load_policy().environments.values():
        for tool in ToolSet.builtin():
            for agent in tool.agents:
                assert any(rule.covers(agent, tool.id) for rule in environment.approve), tool.id


def test_a_policy_may_name_every_agent() -> None:
    for agent in AGENTS:
        (rule,) = read_policy(broken("[Voice]", f"[{agent}]"), "p.yaml").environments["dev"].allow
        assert rule.agents == frozenset({agent})


def test_yaml_that_runs_code_is_only_text() -> None:
    text = SMALL.replace("version: 1", "version: !!python/object/apply:os.system ['true']")
    with pytest.raises(InvalidFile, match="1"):
        read_policy(text, "p.yaml")
