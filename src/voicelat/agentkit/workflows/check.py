"""What is wrong with a graph, before it runs: every way through it is walked here."""

from __future__ import annotations

import keyword
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from voicelat.agentkit.workflows.graph import (
    Ask,
    Branch,
    Call,
    Classify,
    End,
    Node,
    Workflow,
    following,
)
from voicelat.agentkit.workflows.steps import AGENTS, EVENT_FIELDS, Catalog
from voicelat.agentkit.workflows.template import Hole, holes
from voicelat.errors import UsageError

__all__ = ["Problem", "problems", "topological"]

Path = tuple[str | int, ...]
_TEMPLATED: Final = {Classify: ("input",), Ask: ("input",), Call: ("arguments",), End: ("result",)}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    path: Path
    """Where in the file: keys and indices."""
    says: str


def problems(
    workflow: Workflow, catalog: Catalog | None = None, agents: Sequence[str] = AGENTS
) -> list[Problem]:
    """Everything wrong with it. Without a ``catalog``, tools are not looked at."""
    found = list(_edges(workflow))
    if found:
        return found  # the rest walks along the edges
    if (cycle := _cycle(workflow)) is not None:
        says = f"a cycle ({' -> '.join(cycle)}): a workflow must come to an end by itself"
        return [Problem(("nodes", cycle[0]), says)]
    before = _before(workflow)
    for name, node in workflow.nodes.items():
        path: Path = ("nodes", name)
        if name not in before:
            found.append(Problem(path, f"nothing leads to node {name!r}: link it or remove it"))
            continue
        found += _agent(path, node, agents)
        found += _branch(path, node, workflow)
        if isinstance(node, Call) and catalog is not None:
            found += _tool(path, node, catalog)
        found += _references(path, node, workflow, before[name], catalog)
    longest = _longest(workflow)
    if longest > workflow.max_steps:
        says = f"the longest way takes {longest} steps: raise max_steps ({workflow.max_steps})"
        found.append(Problem(("max_steps",), says))
    return found


def topological(workflow: Workflow) -> list[str]:
    """The nodes from the start on, each after all that lead to it. The graph has no cycle."""
    order: list[str] = []
    done: set[str] = set()

    def visit(name: str) -> None:
        if name not in done:
            done.add(name)
            for _, then in reversed(following(workflow.nodes[name])):
                visit(then)
            order.append(name)

    visit(workflow.start)
    return order[::-1]


def _edges(workflow: Workflow) -> Iterator[Problem]:
    if workflow.start not in workflow.nodes:
        yield Problem(("start",), _unknown_node(workflow.start, workflow))
    for name, node in workflow.nodes.items():
        for _, then in following(node):
            if then not in workflow.nodes:
                yield Problem(("nodes", name), f"node {name!r}: {_unknown_node(then, workflow)}")


def _unknown_node(name: str, workflow: Workflow) -> str:
    return f"there is no node {name!r}; there are {', '.join(sorted(workflow.nodes))}"


def _cycle(workflow: Workflow) -> list[str] | None:
    """The nodes of a cycle, its first one at both ends; None: there is none."""
    walked: list[str] = []
    safe: set[str] = set()

    def visit(name: str) -> list[str] | None:
        if name in safe:
            return None
        if name in walked:
            return [*walked[walked.index(name) :], name]
        walked.append(name)
        for _, then in following(workflow.nodes[name]):
            if (cycle := visit(then)) is not None:
                return cycle
        safe.add(walked.pop())
        return None

    cycles = (visit(name) for name in workflow.nodes)
    return next((cycle for cycle in cycles if cycle is not None), None)


@dataclass(frozen=True, slots=True)
class _Before:
    """Nodes that ran before one: on some way to it, and on every way to it."""

    some: frozenset[str]
    every: frozenset[str]


def _before(workflow: Workflow) -> dict[str, _Before]:
    """For every node that can be reached."""
    order = topological(workflow)
    ways: dict[str, list[_Before]] = {name: [] for name in order}
    ways[workflow.start].append(_Before(frozenset(), frozenset()))
    result: dict[str, _Before] = {}
    for name in order:
        here = _Before(
            frozenset().union(*(way.some for way in ways[name])),
            frozenset.intersection(*(way.every for way in ways[name])),
        )
        result[name] = here
        for _, then in following(workflow.nodes[name]):
            ways[then].append(_Before(here.some | {name}, here.every | {name}))
    return result


def _longest(workflow: Workflow) -> int:
    steps: dict[str, int] = {}
    for name in reversed(topological(workflow)):
        after = (steps[then] for _, then in following(workflow.nodes[name]))
        steps[name] = 1 + max(after, default=0)
    return steps[workflow.start]


def _agent(path: Path, node: Node, agents: Sequence[str]) -> Iterator[Problem]:
    for field in (isinstance(node, Ask) and node.output) or ():
        if keyword.iskeyword(field) or hasattr(BaseModel, field):
            says = f"{field!r} has a meaning of its own in Python: call the field otherwise"
            yield Problem((*path, "output", field), says)
    if isinstance(node, Classify | Ask) and node.agent not in agents:
        says = f"there is no agent {node.agent!r}; there are {', '.join(agents)}"
        yield Problem((*path, "agent"), says)


def _branch(path: Path, node: Node, workflow: Workflow) -> Iterator[Problem]:
    if not isinstance(node, Branch):
        return
    if (node.intent is None) == (not node.when) or bool(node.cases) == bool(node.when):
        yield Problem(path, "a branch has either `intent` and `cases`, or `when`")
    elif node.intent is not None:
        yield from _cases(path, node, workflow)
    elif node.otherwise is None:
        yield Problem(path, "no test may hold: give the branch an `otherwise`")
    for index, case in enumerate(node.when):
        tests = (case.is_, case.equals, case.one_of)
        if sum(test is not None for test in tests) != 1:
            says = "a test has one of `is`, `equals` and `one_of`"
            yield Problem((*path, "when", index), says)


def _cases(path: Path, node: Branch, workflow: Workflow) -> Iterator[Problem]:
    asked = workflow.nodes.get(node.intent or "")
    if not isinstance(asked, Classify):
        yield Problem((*path, "intent"), f"{node.intent!r} is no classify node")
        return
    for intent in node.cases:
        if intent not in asked.intents:
            says = f"{node.intent} knows no intent {intent!r}, only {', '.join(asked.intents)}"
            yield Problem((*path, "cases", intent), says)
    missing = sorted(set(asked.intents) - set(node.cases))
    if missing and node.otherwise is None:
        says = f"nothing says what follows {', '.join(missing)}: add a case or `otherwise`"
        yield Problem((*path, "cases"), says)


def _tool(path: Path, node: Call, catalog: Catalog) -> Iterator[Problem]:
    try:
        tool = catalog.get(node.tool)
    except UsageError as error:
        yield Problem((*path, "tool"), str(error))
        return
    fields = {field.alias or name: field for name, field in tool.arguments.model_fields.items()}
    for name in node.arguments:
        if name not in fields:
            says = f"{node.tool} takes no {name!r}, only {', '.join(fields)}"
            yield Problem((*path, "arguments", name), says)
    needed = [name for name, field in fields.items() if field.is_required()]
    if missing := [name for name in needed if name not in node.arguments]:
        says = f"{node.tool} also needs {', '.join(missing)} (null for unknown)"
        yield Problem((*path, "arguments"), says)


def _references(
    path: Path, node: Node, workflow: Workflow, before: _Before, catalog: Catalog | None
) -> Iterator[Problem]:
    """Templates that cannot be read, and places that cannot have a value."""
    for where, value, tested in _templates(node):
        try:
            found = list(holes(value))
        except ValueError as error:
            yield Problem((*path, *where), str(error))
            continue
        for inner, hole in found:
            for place in hole.places:
                says = _place(place, workflow, before.some, catalog)
                if says is None and not tested:
                    says = _certain(place, hole, before.every)
                if says is not None:
                    yield Problem((*path, *where, *inner), says)


def _templates(node: Node) -> Iterator[tuple[Path, object, bool]]:
    """(path, value, whether it is only tested) of everything templates may stand in."""
    for field in _TEMPLATED.get(type(node), ()):
        yield (field,), getattr(node, field), False
    if isinstance(node, Branch):
        for index, case in enumerate(node.when):
            yield ("when", index, "value"), case.value, True


def _place(
    place: str, workflow: Workflow, some: frozenset[str], catalog: Catalog | None
) -> str | None:
    """Why a place can never have a value; None: it can."""
    root, name, *rest = place.split(".")
    if root == "event":
        return _event_place(name, rest)
    if name not in workflow.nodes:
        return f"{place}: {_unknown_node(name, workflow)}"
    if name not in some:
        return f"{place}: node {name!r} never runs before this one"
    fields = _fields(workflow.nodes[name], catalog)
    if fields is None or (rest and rest[0] in fields):
        return None
    shown = ", ".join(f"nodes.{name}.{field}" for field in fields) or "nothing"
    return f"{place}: node {name!r} gives {shown}"


def _event_place(name: str, rest: list[str]) -> str | None:
    if name not in EVENT_FIELDS:
        return f"an event has no {name!r}, only {', '.join(EVENT_FIELDS)}"
    return f"event.{name} has nothing inside" if rest and name != "data" else None


def _fields(node: Node, catalog: Catalog | None) -> list[str] | None:
    """What a node gives; None: not known here."""
    match node:
        case Classify():
            return ["value"]
        case Ask(output=output):
            return ["text"] if output is None else list(output)
        case Call(tool=tool_id):
            return None if catalog is None else _result_fields(tool_id, catalog)
        case _:
            return []


def _result_fields(tool_id: str, catalog: Catalog) -> list[str] | None:
    try:
        result = catalog.get(tool_id).result
    except UsageError:
        return None  # said where the tool is called
    return [field.alias or name for name, field in result.model_fields.items()]


def _certain(place: str, hole: Hole, every: frozenset[str]) -> str | None:
    root, name, *_ = place.split(".")
    if root == "event" or name in every:
        return None
    if hole.default is not None or hole.places[-1] != place:
        return None
    return f'{place}: node {name!r} may not have run here; write {{{{{place} or "…"}}}}'
