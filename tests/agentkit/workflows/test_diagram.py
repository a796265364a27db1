"""Pictures of workflows: everything in them, nothing over anything else, any script."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given
from tests.agentkit.workflows.graphs import workflows

from voicelat.agentkit.workflows.check import topological
from voicelat.agentkit.workflows.diagram import diagram, label_of
from voicelat.agentkit.workflows.graph import Workflow, following
from voicelat.agentkit.workflows.layout import layout
from voicelat.agentkit.workflows.read import BUILTIN, builtin, decode

SVG = "{http://www.w3.org/2000/svg}"


def hebrew() -> Workflow:
    text = """
    {schema: 1, name: w, about: 'קבלת פנים <b>', events: [turn], start: a, nodes: {
      a: {kind: classify, label: 'מה הלקוח רוצה? "עכשיו"', agent: Voice,
          intents: {x: 'x', y: 'y'}, next: b},
      b: {kind: branch, intent: a, cases: {x: c}, otherwise: c}, c: {kind: end}}}"""
    return decode(text.encode(), "w")


@pytest.mark.parametrize("name", BUILTIN)
def test_a_mermaid_diagram_has_every_node_and_every_way(name: str) -> None:
    workflow = builtin(name)
    lines = diagram(workflow, "mermaid").splitlines()
    assert lines[0] == "flowchart TD"
    for node in topological(workflow):
        assert any(line.strip().startswith(f"{node}_") for line in lines)
        for _, then in following(workflow.nodes[node]):
            assert any(f"{node}_ -->" in line and line.endswith(f" {then}_") for line in lines)


def test_labels_of_other_scripts_and_quotes_stay_whole() -> None:
    assert 'a_(["מה הלקוח רוצה? #34;עכשיו#34;"])' in diagram(hebrew(), "mermaid")
    drawn = ElementTree.fromstring(diagram(hebrew(), "svg"))
    said = [text.text for text in drawn.iter(f"{SVG}text")]
    assert 'מה הלקוח רוצה? "עכשיו"' in said
    assert drawn.findtext(f"{SVG}title") == "קבלת פנים <b>"
    assert "unicode-bidi: plaintext" in (drawn.findtext(f"{SVG}style") or "")


def test_ways_between_the_same_two_nodes_are_one_arrow_with_both_names() -> None:
    assert 'b_ -->|"x / otherwise"| c_' in diagram(hebrew(), "mermaid")


def test_the_svg_needs_nothing_from_elsewhere() -> None:
    drawn = diagram(builtin("voice_turn"), "svg")
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", "")
    assert "<script" not in drawn


@given(workflows())
def test_no_two_boxes_overlap_and_every_way_leads_down(workflow: Workflow) -> None:
    laid = layout(workflow)
    rows: dict[int, list[float]] = {}
    for column, layer in laid.place.values():
        rows.setdefault(layer, []).append(column)
    for row in rows.values():
        assert all(two - one > 0.999 for one, two in pairwise(sorted(row)))
    for name, then, between in laid.ways:
        down = [laid.place[name], *between, laid.place[then]]
        assert all(two[1] == one[1] + 1 for one, two in pairwise(down))
    assert set(laid.place) == set(workflow.nodes)


@given(workflows())
def test_any_workflow_is_drawn_as_xml_that_can_be_read(workflow: Workflow) -> None:
    loud = {
        n: msgspec.structs.replace(v, label='<&"\x00\u202e]]>') for n, v in workflow.nodes.items()
    }
    drawn = diagram(msgspec.structs.replace(workflow, nodes=loud), "svg")
    ElementTree.fromstring(drawn)


def test_a_box_says_what_its_node_does() -> None:
    workflow = builtin("whatsapp")
    assert label_of("lead", workflow.nodes["lead"]) == "leads.upsert"
    assert label_of("kept", workflow.nodes["kept"]) == "Lead kept"
