"""Random valid workflows: each node leads to later ones only."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from voicelat.agentkit.workflows.graph import Workflow
from voicelat.agentkit.workflows.read import decode

__all__ = ["workflows"]

WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30
)
LITERAL = st.none() | st.booleans() | st.integers(-9, 9) | WORDS.map(lambda t: t.replace("{", ""))
TEMPLATE = st.sampled_from(
    [
        "{{event.text}}",
        "{{event.data.name}}",
        'Dear {{event.data.name or "friend"}}, it\'s {{event.at_utc}}',
        '{{event.language or "he"}}',
        "{{event.data.a or event.data.b}}",
    ]
)
KINDS = st.sampled_from(["classify", "agent", "tool", "branch", "when"])


@st.composite
def workflows(draw: st.DrawFn, most: int = 9) -> Workflow:
    """Checked, as if it had been read from a file."""
    names = [f"n{number}" for number in range(draw(st.integers(1, most)))]
    nodes: dict[str, Any] = {"n_end": {"kind": "end", "result": {"said": draw(TEMPLATE)}}}
    # From the end: what a node leads to is there already.
    for name in reversed(names):
        later = st.sampled_from(sorted(nodes))
        nodes[name] = draw(_node(later, nodes))
    reached: set[str] = set()
    start = names[0]
    _walk(start, nodes, reached)
    data = {
        "schema": 1,
        "name": "random",
        "events": ["turn"],
        "start": start,
        "nodes": {name: nodes[name] for name in reached},
    }
    return decode(msgspec.json.encode(data), "random.json")


def _walk(name: str, nodes: dict[str, Any], reached: set[str]) -> None:
    if name in reached:
        return
    reached.add(name)
    node = nodes[name]
    ways = [node.get("next"), node.get("otherwise"), *node.get("cases", {}).values()]
    ways += [case["next"] for case in node.get("when", [])]
    for way in ways:
        if way is not None:
            _walk(way, nodes, reached)


@st.composite
def _node(draw: st.DrawFn, later: st.SearchStrategy[str], nodes: dict[str, Any]) -> dict[str, Any]:
    kind = draw(KINDS)
    text = draw(TEMPLATE)
    match kind:
        case "classify":
            intents = {"yes": draw(WORDS), "no": draw(WORDS)}
            return {"kind": kind, "agent": "Voice", "input": text, "intents": intents,
                    "next": draw(later)}  # fmt: skip
        case "agent":
            output = draw(st.sampled_from([None, {"name": "text_or_null", "items": "texts"}]))
            return {"kind": kind, "agent": "WhatsApp", "instructions": draw(WORDS), "input": text,
                    "output": output, "next": draw(later)}  # fmt: skip
        case "tool":
            arguments = {"lead_id": draw(TEMPLATE), "tag": [draw(LITERAL), {"a": draw(TEMPLATE)}]}
            return {"kind": kind, "tool": "leads.tag", "arguments": arguments, "next": draw(later)}
        case _:
            tests: list[dict[str, Any]] = [
                {"value": draw(TEMPLATE), "is": "absent", "next": draw(later)},
                {"value": draw(TEMPLATE), "one_of": ["x", 3, True], "next": draw(later)},
                {"value": draw(TEMPLATE), "equals": draw(WORDS), "next": draw(later)},
            ]
            when = draw(st.lists(st.sampled_from(tests), min_size=1, max_size=3))
            return {"kind": "branch", "when": when, "otherwise": draw(later)}
