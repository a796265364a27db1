"""Workflow files: what is wrong with one is said in one line, with the line it stands in."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.agentkit.workflows.graphs import workflows
from tests.agentkit.workflows.toolbox import TOOLBOX

from voicelat.agentkit.workflows.graph import Workflow, canonical
from voicelat.agentkit.workflows.read import (
    BUILTIN,
    builtin,
    decode,
    json_schema,
    read_workflow,
    restored,
)
from voicelat.errors import InvalidFile

GOOD = """\
schema: 1
name: small
events: [turn]
start: intent
nodes:
  intent:
    kind: classify
    agent: Voice
    intents: {lead: wants to buy, no: anything else}
    next: route
  route:
    kind: branch
    intent: intent
    cases: {lead: keep}
    otherwise: done
  keep:
    kind: tool
    tool: leads.tag
    arguments: {lead_id: "{{event.data.lead_id}}", tag: "{{nodes.intent.value}}"}
    next: done
  done: {kind: end}
"""


def said(text: str) -> str:
    with pytest.raises(InvalidFile) as raised:
        decode(text.encode(), "w.yaml", TOOLBOX)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("name", BUILTIN)
def test_the_built_in_workflows_fit_the_tools_and_the_schema(name: str) -> None:
    workflow = builtin(name, TOOLBOX)
    assert workflow.name == name
    jsonschema.validate(json.loads(canonical(workflow)), json_schema())


def test_a_bare_no_is_an_intent_and_not_false() -> None:
    workflow = decode(GOOD.encode(), "w.yaml", TOOLBOX)
    assert "no" in msgspec.to_builtins(workflow)["nodes"]["intent"]["intents"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("agent: Voice", "agent: Nobody", "w.yaml:8: there is no agent 'Nobody'"),
        ("tool: leads.tag", "tool: leads.burn", "w.yaml:18: no tool 'leads.burn'"),
        (", tag:", ", colour:", "w.yaml:19: leads.tag takes no 'colour', only lead_id, tag"),
        ('lead_id: "{{event.data.lead_id}}", ', "", "w.yaml:19: leads.tag also needs lead_id"),
        ("{lead: keep}", "{sale: keep}", "w.yaml:14: intent knows no intent 'sale'"),
        ("    otherwise: done\n", "", "w.yaml:14: nothing says what follows no"),
        ("{lead: keep}", "{lead: nowhere}", "w.yaml:11: node 'route': there is no node 'nowhere'"),
        ("start: intent", "start: begin", "w.yaml:4: there is no node 'begin'"),
        ("otherwise: done", "otherwise: intent", "a cycle (intent -> route -> intent)"),
        ("nodes.intent.value", "nodes.intent.why", "w.yaml:19: nodes.intent.why: node 'intent'"),
        ("nodes.intent.value", "nodes.done.x", "node 'done' never runs before this one"),
        ("event.data.lead_id", "event.lead", "w.yaml:19: an event has no 'lead', only at_utc"),
        ("event.data.lead_id", "event.text.x", "event.text has nothing inside"),
        ("{{nodes.intent.value}}", "{{a}}", "w.yaml:19: '{{a}}' is no template"),
        ("kind: tool", "kind: shell", "w.yaml:17: node 'keep' needs a kind: classify, agent"),
        ("    kind: tool\n", "", "w.yaml:16: node 'keep' needs a kind"),
        ("schema: 1", "schema: 2", "w.yaml:1: schema: Invalid enum value 2"),
        ("name: small", "nam: small", "w.yaml:2: Object contains unknown field `nam`"),
        ("    next: route", "    nxt: route", "w.yaml:10: nodes.intent: Object contains unknown"),
        ("lead: wants to buy", "lead: 7", "w.yaml:9: nodes.intent.intents.*: Expected `str`"),
        ("events: [turn]", "events: [turn, fax]", "w.yaml:3: events.1: Invalid enum value 'fax'"),
        ("name: small", "name: [", "is not YAML"),
        ("name: small", "name: &a small", "w.yaml:2: anchors (&, *) are not read here"),
        ("name: small", "name: !!python/name:os.system x", "w.yaml:2: "),
        ("name: small", "name: small\nname: twice", "w.yaml:3: 'name' stands here twice"),
        ("schema: 1", "schema: 1\nmax_steps: 3", "w.yaml:2: the longest way takes 4 steps"),
        ("  done: {kind", "  lost: {kind: end}\n  done: {kind", "nothing leads to node 'lost'"),
        ("intent: intent\n    cases: {lead: keep}", "cases: {lead: keep}", "w.yaml:11: a branch"),
        ("name: small", 'name: "\\ud800"', "lone surrogate"),
        ("name: small", 'name: "\\U99999999"', "is not YAML"),
    ],
)  # fmt: skip
def test_each_mistake_is_said_with_its_line(old: str, new: str, says: str) -> None:
    assert old in GOOD
    assert says in said(GOOD.replace(old, new, 1))


def test_a_place_that_may_not_have_run_needs_something_to_fall_back_to() -> None:
    late = GOOD.replace(
        "done: {kind: end}", 'done: {kind: end, result: {a: "{{nodes.keep.tags}}"}}'
    )
    assert "node 'keep' may not have run here; write {{nodes.keep.tags or \"…\"}}" in said(late)
    decode(late.replace("tags}}", 'tags or \\"\\"}}').encode(), "w.yaml", TOOLBOX)


def test_a_file_that_is_not_there_or_too_large_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="cannot be read"):
        read_workflow(tmp_path / "none.yaml")
    large = tmp_path / "large.yaml"
    large.write_text("#" * 300_000)
    with pytest.raises(InvalidFile, match="has at most"):
        read_workflow(large)


def test_deep_nesting_is_refused() -> None:
    assert "too deeply" in said("a: " + "[" * 5000)


@given(workflows(), st.randoms(use_true_random=False))
def test_the_version_knows_no_key_order_and_no_comments(workflow: Workflow, random: object) -> None:
    def shuffled(value: object) -> object:
        if isinstance(value, dict):
            keys = list(value)
            random.shuffle(keys)  # type: ignore[attr-defined]
            return {key: shuffled(value[key]) for key in keys}
        return [shuffled(one) for one in value] if isinstance(value, list) else value

    plain = shuffled(msgspec.to_builtins(workflow))
    text = "# a comment\n" + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    again = decode(text.encode(), "again.yaml", TOOLBOX)
    assert again.version == workflow.version
    assert list(again.nodes) == list(workflow.nodes)
    assert restored(canonical(workflow), "kept") == workflow


@given(workflows(), st.data())
def test_another_content_is_another_version(workflow: Workflow, data: st.DataObject) -> None:
    other = data.draw(workflows())
    assert (other.version == workflow.version) == (canonical(other) == canonical(workflow))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["schema", "name", "events", "start", "nodes", "kind", "when", "a"])
            | st.text(max_size=3),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_any_json_is_a_workflow_or_the_one_error(value: object) -> None:
    with pytest.raises(InvalidFile):
        decode(json.dumps(value, ensure_ascii=True).encode(), "w", TOOLBOX)


@given(
    st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "ignore"))
)
def test_any_bytes_are_a_workflow_or_the_one_error(raw: bytes) -> None:
    with pytest.raises(InvalidFile):
        decode(raw, "w", TOOLBOX)


@given(st.data())
def test_a_workflow_with_one_part_replaced_is_one_or_the_one_error(data: st.DataObject) -> None:
    lines = GOOD.splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    lines[at] = data.draw(st.sampled_from(lines) | st.text(max_size=30))
    try:
        decode("\n".join(lines).encode("utf-8", "ignore"), "w", TOOLBOX)
    except InvalidFile as error:
        assert "\n" not in str(error)
