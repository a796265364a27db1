"""A tool as a form: what a console shows a person who fills in or edits its arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from voicelat.agentkit.tools.tool import Tool

__all__ = ["Field", "Kind", "form_of"]

Kind = Literal["text", "integer", "number", "switch", "choice", "time", "texts", "table", "group"]
"""``texts`` are several lines of text, a ``table`` has a row per object, a ``group`` is one."""

_KINDS: dict[str, Kind] = {"integer": "integer", "number": "number", "boolean": "switch"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One line of the form."""

    name: str
    """The argument's key."""
    label: str
    kind: Kind
    required: bool
    """Left empty, an argument that is not required is null."""
    choices: tuple[str, ...]
    """Of a choice; else empty."""
    help: str
    """What it must look like; "" where there is nothing to say."""
    columns: tuple[Field, ...] = ()
    """Of a table, or the lines of a group; else empty."""


def form_of(tool: Tool) -> list[Field]:
    """One field per argument, in the order of the definition."""
    schema = tool.schema
    return list(_fields(schema, schema.get("$defs", {})))


def _fields(schema: dict[str, Any], defs: dict[str, Any]) -> tuple[Field, ...]:
    return tuple(_field(name, node, defs) for name, node in schema["properties"].items())


def _field(name: str, node: dict[str, Any], defs: dict[str, Any]) -> Field:
    options = [_found(each, defs) for each in node.get("anyOf", [node])]
    kinds = [each for each in options if each.get("type") != "null"]
    shape: dict[str, Any] = kinds[0] if len(kinds) == 1 else {"type": "string"}
    items: dict[str, Any] = shape.get("items", shape)
    inner = _found(items, defs)
    return Field(
        name=name,
        label=name.replace("_", " ").capitalize(),
        kind=_kind(shape, inner),
        required=len(kinds) == len(options),
        choices=tuple(map(str, shape.get("enum", [shape["const"]] if "const" in shape else ()))),
        help=node.get("description") or shape.get("description", ""),
        columns=_fields(inner, defs) if inner.get("type") == "object" else (),
    )


def _kind(shape: dict[str, Any], inner: dict[str, Any]) -> Kind:
    if "enum" in shape or "const" in shape:
        return "choice"
    if shape.get("type") == "array":
        return "table" if inner.get("type") == "object" else "texts"
    if shape.get("type") == "object":
        return "group"
    if shape.get("format") == "date-time":
        return "time"
    return _KINDS.get(shape.get("type", ""), "text")


def _found(node: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    return defs[node["$ref"].rpartition("/")[2]] if "$ref" in node else node
