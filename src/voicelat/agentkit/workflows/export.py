"""A workflow as a Python module, in the shape Agent Builder gave its exports.

``WorkflowInput``, agents at the top, ``run_workflow`` with ``if`` and ``elif`` inside ``trace``:
who knows such a module can read this one, and edit it. `module` runs it again. The text is laid
out as ruff lays it out: everything with a comma at its end stays on lines of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

from voicelat.agentkit.workflows.check import topological
from voicelat.agentkit.workflows.graph import (
    Ask,
    Branch,
    Call,
    Case,
    Classify,
    End,
    Node,
    Workflow,
    following,
)
from voicelat.agentkit.workflows.output import ANSWER_TYPES, class_name
from voicelat.agentkit.workflows.run import instructions
from voicelat.agentkit.workflows.template import Hole, parse

__all__ = ["export"]

_DEEPEST: Final = 3
"""Branches inside branches, before a node gets a function of its own."""
_INDENT: Final = "    "
_HANDS: Final = ("Pair", "absent", "call_tool", "keep", "look", "message", "same", "text")


def export(workflow: Workflow) -> str:
    """The module. The workflow has been checked."""
    order = topological(workflow)
    own = _with_functions(workflow, order)
    lines: list[str] = []
    for name in order:
        lines += _declared(name, workflow.nodes[name])
    lines += _entrance(workflow, own)
    for name in order:
        if name in own:
            lines += ["", "", f"async def {name}_step(seen: dict[str, Any]) -> dict[str, Any]:"]
            lines += _indented(_body(name, workflow, own))
    return "\n".join([*_head(workflow, "\n".join(lines)), *lines]) + "\n"


def _head(workflow: Workflow, body: str) -> Iterator[str]:
    """What comes first: only what ``body`` uses is imported."""
    about = " ".join("".join(c if c.isprintable() else " " for c in workflow.about).split())
    if about:
        yield f"# {about}"
    yield f"# Workflow {workflow.name}, version {workflow.version}."
    yield ""
    yield "from __future__ import annotations"
    yield ""
    yield f"from typing import {', '.join(_used(['Any', 'Literal'], body))}"
    yield ""
    runs = "Runner.run" in body
    yield f"from agents import {'Agent, RunConfig, Runner, trace' if runs else 'trace'}"
    yield f"from pydantic import {', '.join(_used(['BaseModel', 'ConfigDict'], body))}"
    if hands := _used(_HANDS, body):
        yield ""
        yield "from voicelat.agentkit.workflows.hands import ("
        yield from (f"    {name}," for name in hands)
        yield ")"
    if runs:
        metadata = {"__trace_source__": "voicelat", "version": workflow.version}
        yield ""
        config = [
            "trace_include_sensitive_data=False,",
            *_with_comma(_with_prefix("trace_metadata=", _value(metadata))),
        ]
        yield from ["RUN_CONFIG = RunConfig(", *_indented(config), ")"]


def _used(names: Iterable[str], body: str) -> list[str]:
    return [name for name in names if re.search(rf"\b{name}\b[\[(),\]]", body)]


def _entrance(workflow: Workflow, own: set[str]) -> list[str]:
    return [
        "",
        "",
        "class WorkflowInput(BaseModel):",
        "    input_as_text: str",
        "    event: dict[str, Any] = {}",
        "",
        "",
        "async def run_workflow(workflow_input: WorkflowInput) -> dict[str, Any]:",
        f"    with trace({_quoted(workflow.name)}):",
        "        workflow = workflow_input.model_dump()",
        "        seen: dict[str, Any] = {",
        '            "event": {**workflow["event"], "text": workflow["input_as_text"]},',
        '            "nodes": {},',
        "        }",
        *_indented(_body(workflow.start, workflow, own), 2),
    ]


# -- what stands at the top --------------------------------------------------------------------


def _declared(name: str, node: Node) -> list[str]:
    """An agent, with the model it answers in."""
    if not isinstance(node, Classify | Ask):
        return []
    output, lines = _output(name, node)
    arguments = [f"name={_quoted(node.agent)},", *_instructions(node)]
    if output is not None:
        arguments.append(f"output_type={output},")
    return [*lines, "", f"{name}_agent = Agent(", *_indented(arguments), ")"]


def _output(name: str, node: Classify | Ask) -> tuple[str | None, list[str]]:
    """The name and the lines of the model; None: the agent answers in free text."""
    if isinstance(node, Classify):
        output = class_name(name, "Intent")
        intents = [f"{_quoted(intent)}," for intent in sorted(node.intents)]
        fields = ["value: Literal[", *_indented(intents), "]"]
    elif node.output is not None:
        output = class_name(name, "Answer")
        fields = [f"{one}: {ANSWER_TYPES[kind][1]}" for one, kind in sorted(node.output.items())]
    else:
        return None, []
    body = ['model_config = ConfigDict(extra="forbid")', *fields]
    return output, ["", "", f"class {output}(BaseModel):", *_indented(body), ""]


def _instructions(node: Classify | Ask) -> list[str]:
    """A line of them at a time."""
    lines = [_quoted(line) for line in re.findall(r"[^\n]*\n|[^\n]+", instructions(node))]
    return ["instructions=(", *_indented(lines), "),"]


# -- what runs ---------------------------------------------------------------------------------


def _with_functions(workflow: Workflow, order: list[str]) -> set[str]:
    """Nodes with a function of their own: where ways meet, and where it gets deep."""
    ways = Counter(then for name in order for _, then in following(workflow.nodes[name]))
    own = {name for name, count in ways.items() if count > 1}
    depth = dict.fromkeys(order, 0)
    for name in order:
        node = workflow.nodes[name]
        here = 0 if name in own else depth[name]
        for _, then in following(node):
            depth[then] = here + isinstance(node, Branch)
            if depth[then] > _DEEPEST:
                own.add(then)
    return own


def _body(name: str, workflow: Workflow, own: set[str]) -> list[str]:
    """What the node does and all that follows it, up to the next function."""
    match workflow.nodes[name]:
        case End(result=result):
            given = {"workflow": workflow.name, "end": name}
            return _with_prefix("return ", _value({**given, "result": result}))
        case Branch() as node:
            return _branch(name, node, workflow, own)
        case Call() as node:
            call = [f"{_quoted(node.tool)},", *_with_comma(_value(node.arguments))]
            lines = _keep(name, ["await call_tool(", *_indented(call), ")"])
            return [*lines, *_then(node.next, workflow, own)]
        case node:
            return [*_asked(name, node), *_then(node.next, workflow, own)]


def _then(name: str, workflow: Workflow, own: set[str]) -> list[str]:
    return [f"return await {name}_step(seen)"] if name in own else _body(name, workflow, own)


def _keep(name: str, answer: list[str]) -> list[str]:
    inside = ["seen,", f"{_quoted(name)},", *_with_comma(answer)]
    return ["keep(", *_indented(inside), ")"]


def _asked(name: str, node: Classify | Ask) -> list[str]:
    return [
        *_with_prefix(f"{name}_input = ", _value(node.input)),
        f"{name}_result = await Runner.run(",
        f"    {name}_agent,",
        "    input=[",
        "        {",
        '            "role": "user",',
        '            "content": [',
        "                {",
        '                    "type": "input_text",',
        f'                    "text": message({name}_input),',
        "                },",
        "            ],",
        "        },",
        "    ],",
        "    run_config=RUN_CONFIG,",
        ")",
        *_keep(name, [f"{name}_result.final_output"]),
    ]


def _branch(name: str, node: Branch, workflow: Workflow, own: set[str]) -> list[str]:
    lines: list[str] = []
    if node.intent is not None:
        place = f"{{{{nodes.{node.intent}.value}}}}"
        lines += _with_prefix(f"{name}_by = ", _value(place))
    for index, (intent, then) in enumerate(node.cases.items()):
        lines.append(f"{'elif' if index else 'if'} {name}_by == {_quoted(intent)}:")
        lines += _indented(_then(then, workflow, own))
    for case in node.when:
        lines += _with_comma(_with_prefix("if ", _test(case)), ":")
        lines += _indented(_then(case.next, workflow, own))
    if node.otherwise is None:
        return [*lines, 'raise AssertionError("every intent has been looked at")']
    return [*lines, *_then(node.otherwise, workflow, own)]


def _test(case: Case) -> list[str]:
    value = _with_comma(_value(case.value))
    if case.is_ is not None:
        return [f"{'' if case.is_ == 'absent' else 'not '}absent(", *_indented(value), ")"]
    literals = [case.equals] if case.one_of is None else case.one_of
    others = [f"{_literal(one)}," for one in literals]
    return ["same(", *_indented([*value, *others]), ")"]


# -- values ------------------------------------------------------------------------------------


def _value(value: Any) -> list[str]:
    """The lines of an expression that gives a value of JSON with its templates filled."""
    if isinstance(value, dict):
        entries = [
            line
            for key, inner in value.items()
            for line in _with_comma(_with_prefix(f"{_quoted(key)}: ", _value(inner)))
        ]
        return ["{", *_indented(entries), "}"] if entries else ["{}"]
    if isinstance(value, list):
        items = [line for inner in value for line in _with_comma(_value(inner))]
        return ["[", *_indented(items), "]"] if items else ["[]"]
    if not isinstance(value, str):
        return [_literal(value)]
    parts = [_part(part) for part in parse(value)]
    if len(parts) == 1:
        return parts[0]
    return ["text(", *_indented([line for part in parts for line in _with_comma(part)]), ")"]


def _part(part: str | Hole) -> list[str]:
    if isinstance(part, str):
        return [_quoted(part)]
    if not part.places:
        return [_quoted(part.default or "")]
    inside = ["seen,", *(f"{_quoted(place)}," for place in part.places)]
    if part.default is not None:
        inside.append(f"default={_quoted(part.default)},")
    return ["look(", *_indented(inside), ")"]


def _literal(value: object) -> str:
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    """A literal, in the quotes that need fewer escapes."""
    written = "".join(_escaped(character) for character in text)
    if written.count('"') > written.count("'"):
        return "'" + written.replace("'", "\\'") + "'"
    return '"' + written.replace('"', '\\"') + '"'


def _escaped(character: str) -> str:
    if character == "\\" or not character.isprintable():
        return repr(character)[1:-1]
    return character


def _indented(lines: Iterable[str], levels: int = 1) -> list[str]:
    return [_INDENT * levels + line for line in lines]


def _with_prefix(prefix: str, lines: list[str]) -> list[str]:
    return [prefix + lines[0], *lines[1:]]


def _with_comma(lines: list[str], comma: str = ",") -> list[str]:
    return [*lines[:-1], lines[-1] + comma]
