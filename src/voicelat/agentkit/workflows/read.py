"""Workflow files: YAML (or JSON, which is YAML), read with the line of everything in them.

Anyone may write such a file, so there is one error for all that can be wrong with it: `InvalidFile`
with the file, the line and one sentence. Of YAML only what JSON has too is taken: no tags, no
anchors (a few of which unfold into gigabytes), no key twice.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec

from voicelat.agentkit.workflows.check import problems
from voicelat.agentkit.workflows.graph import Ask, Branch, Call, Classify, End, Node, Workflow
from voicelat.agentkit.workflows.steps import AGENTS, Catalog
from voicelat.errors import InvalidFile, MissingExtra

try:
    import yaml
except ImportError:
    raise MissingExtra("agents", "a workflow") from None

__all__ = ["BUILTIN", "builtin", "decode", "json_schema", "read_workflow", "restored"]

BUILTIN: Final = ("voice_turn", "whatsapp")
_LARGEST: Final = 256 * 1024
_KINDS: Final[dict[str, type[Node]]] = {
    "classify": Classify,
    "agent": Ask,
    "tool": Call,
    "branch": Branch,
    "end": End,
}
_UNKNOWN: Final = re.compile(r"unknown field `(.*)`")
_TAG: Final = "tag:yaml.org,2002:"
_TAGS: Final = frozenset(
    {"bool", "float", "int", "map", "merge", "null", "seq", "str", "timestamp", "value"}
)

_Where = tuple[str | int, ...]


def read_workflow(
    path: Path, catalog: Catalog | None = None, agents: Sequence[str] = AGENTS
) -> Workflow:
    """Read and check a workflow. Without a ``catalog``, tools are not looked at.

    Raises InvalidFile (file:line) for one that cannot be read, or is none.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InvalidFile(path, f"cannot be read ({error.strerror})") from error
    return decode(raw, path, catalog, agents)


def builtin(name: str, catalog: Catalog | None = None) -> Workflow:
    """One of `BUILTIN`."""
    file = files("voicelat.agentkit.workflows") / "builtin" / f"{name}.yaml"
    return decode(file.read_bytes(), f"{name}.yaml", catalog)


def decode(
    raw: bytes,
    source: object,
    catalog: Catalog | None = None,
    agents: Sequence[str] = AGENTS,
) -> Workflow:
    """The workflow in a file's contents. Raises InvalidFile (source:line)."""
    data, lines = _parsed(raw, source)
    workflow = _converted(data, lines, source)
    if found := problems(workflow, catalog, agents):
        more = f" (and {len(found) - 1} more)" if found[1:] else ""
        raise InvalidFile(_at(source, lines, found[0].path), found[0].says + more)
    return workflow


def restored(content: str, source: object) -> Workflow:
    """A workflow from its canonical form, which was checked when it was made."""
    try:
        return _sorted(msgspec.json.decode(content, type=Workflow))
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidFile(source, f"is no workflow ({error})") from error


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a workflow file, for editors and other people's tools."""
    schema = msgspec.json.schema(Workflow)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Workflow",
        **schema,
    }


def _converted(data: Any, lines: dict[_Where, int], source: object) -> Workflow:
    """Node by node, so that an error knows its line."""
    nodes = data.get("nodes") if isinstance(data, dict) else None
    if isinstance(nodes, dict):
        for name, node in nodes.items():
            kind = node.get("kind") if isinstance(node, dict) else None
            if not isinstance(kind, str) or kind not in _KINDS:
                where = _at(source, lines, ("nodes", name, "kind"))
                raise InvalidFile(where, f"node {name!r} needs a kind: {', '.join(_KINDS)}")
            _convert(node, _KINDS[kind], lines, source, ("nodes", name))
    workflow: Workflow = _convert(data, Workflow, lines, source, ())
    return _sorted(workflow)


def _sorted(workflow: Workflow) -> Workflow:
    """Key order is not content: two files of one version behave alike."""
    nodes: dict[str, Node] = {}
    for name, node in sorted(workflow.nodes.items()):
        match node:
            case Classify():
                in_order = dict(sorted(node.intents.items()))
                nodes[name] = msgspec.structs.replace(node, intents=in_order)
            case Ask(output=dict(fields)):
                nodes[name] = msgspec.structs.replace(node, output=dict(sorted(fields.items())))
            case Branch():
                in_order = dict(sorted(node.cases.items()))
                nodes[name] = msgspec.structs.replace(node, cases=in_order)
            case _:
                nodes[name] = node
    events = sorted(set(workflow.events))
    return msgspec.structs.replace(workflow, nodes=nodes, events=events)


def _convert(
    data: Any, kind: type[Any], lines: dict[_Where, int], source: object, where: _Where
) -> Any:
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        says, _, inner = str(error).partition(" - at `$")
        inner = inner.rstrip("`").replace(
            "[...]", ".*"
        )  # one value of a mapping: it is not said which
        steps = [step for step in inner.replace("[", ".").split(".") if step]
        path = (*where, *(int(s[:-1]) if s[:-1].isdigit() else s for s in steps))
        shown = f"{'.'.join(map(str, path))}: " if path else ""
        unknown = _UNKNOWN.search(says)
        place = path if unknown is None else (*path, unknown[1])
        raise InvalidFile(_at(source, lines, place), f"{shown}{says}") from error


def _at(source: object, lines: dict[_Where, int], path: _Where) -> str:
    """``file:line`` of the innermost part of ``path`` that is in the file."""
    while path not in lines and path:
        path = path[:-1]
    return f"{source}:{lines.get(path, 1)}"


# -- YAML with lines ---------------------------------------------------------------------------


def _parsed(raw: bytes, source: object) -> tuple[Any, dict[_Where, int]]:
    if len(raw) > _LARGEST:
        raise InvalidFile(source, f"is {len(raw)} bytes; a workflow has at most {_LARGEST}")
    try:
        text = raw.decode("utf-8-sig")
        # PyYAML ignores a second anchor of one name and unfolds all: none is let in.
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if isinstance(token, yaml.AnchorToken | yaml.AliasToken):
                raise InvalidFile(
                    f"{source}:{token.start_mark.line + 1}", "anchors (&, *) are not read here"
                )
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: dict[_Where, int] = {}
        return _plain(tree, (), lines, source), lines
    except UnicodeDecodeError as error:
        raise InvalidFile(source, "is not UTF-8 text") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        raise InvalidFile(f"{source}:{line}", f"is not YAML: {_one_line(error.problem)}") from error
    except yaml.YAMLError as error:
        raise InvalidFile(source, f"is not YAML: {_one_line(str(error))}") from error
    except RecursionError as error:
        raise InvalidFile(source, "is nested too deeply") from error
    except (ValueError, OverflowError) as error:  # of an escape that is no character
        raise InvalidFile(source, f"is not YAML: {_one_line(str(error))}") from error


def _plain(node: Any, path: _Where, lines: dict[_Where, int], source: object) -> Any:
    """A YAML node as JSON has it; ``lines`` gets where everything stands."""
    if node is None:
        return None
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if str(node.tag).removeprefix(_TAG) not in _TAGS:
        raise InvalidFile(f"{source}:{line}", f"tags ({_one_line(node.tag)}) are not read here")
    if isinstance(node, yaml.SequenceNode):
        return [_plain(inner, (*path, i), lines, source) for i, inner in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, lines, source)
    try:
        return _scalar(str(node.tag).removeprefix(_TAG), node)
    except ValueError as error:
        raise InvalidFile(f"{source}:{line}", f"{_one_line(node.value)}: {error}") from error


def _mapping(node: Any, path: _Where, lines: dict[_Where, int], source: object) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, inner in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise InvalidFile(f"{source}:{line}", "a key is a text")
        if key.value in result:
            raise InvalidFile(f"{source}:{line}", f"{_one_line(key.value)!r} stands here twice")
        # YAML 1.1 takes a bare `no` for false: a key is its text, whatever it looks like.
        lines[(*path, key.value)] = line
        result[_text(key.value)] = _plain(inner, (*path, key.value), lines, source)
    return result


def _scalar(tag: str, node: Any) -> Any:
    constructor = yaml.constructor.SafeConstructor()
    match tag:
        case "null":
            return None
        case "bool":
            return constructor.construct_yaml_bool(node)
        case "int":
            number = int(constructor.construct_yaml_int(node))
            if abs(number) >= 2**63:
                raise ValueError("is too large a number")
            return number
        case "float":
            real = float(constructor.construct_yaml_float(node))
            if not math.isfinite(real):
                raise ValueError("JSON has no such number")
            return real
        case _:
            return _text(node.value)


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("is half a character (a lone surrogate)") from None
    return value


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())[:120]
