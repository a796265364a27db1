"""Answers in the shape that was asked for: each field of a JSON schema by its name, or its type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from voicelat.agentkit.scripted.heard import Heard, intent_of

__all__ = ["filled"]

_BY_NAME: Final[Mapping[str, Callable[[Heard], Any]]] = {
    "action_items": lambda heard: heard.promises,
    "caller": lambda heard: heard.name,
    "changes": lambda heard: heard.changes,
    "earliest": lambda heard: heard.window()[0],
    "follow_up": lambda heard: heard.message_promised,
    "language": lambda heard: heard.language,
    "latest": lambda heard: heard.window()[1],
    "minutes": lambda _: 30,
    "name": lambda heard: heard.name,
    "notes": lambda heard: heard.summary,
    "phone": lambda heard: heard.phone,
    "query": lambda heard: heard.phone or heard.name or heard.text[:100],
    "summary": lambda heard: heard.summary,
    "title": lambda heard: "פגישה" if heard.language == "he-IL" else "Appointment",
}
_BY_TYPE: Final[Mapping[str, Callable[[Heard], Any]]] = {
    "string": lambda heard: heard.text[:1000],
    "integer": lambda _: 0,
    "number": lambda _: 0.0,
    "boolean": lambda _: False,
    "array": lambda _: [],
}
_PYTHON: Final[Mapping[str, type | tuple[type, ...]]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
}


def filled(schema: Mapping[str, Any], heard: Heard) -> dict[str, Any]:
    """An object of ``schema``."""
    defs = schema.get("$defs", {})
    return _object(schema, defs, heard)


def _object(node: Mapping[str, Any], defs: Mapping[str, Any], heard: Heard) -> dict[str, Any]:
    return {
        name: _value(name, child, defs, heard) for name, child in node.get("properties", {}).items()
    }


def _value(name: str, node: Mapping[str, Any], defs: Mapping[str, Any], heard: Heard) -> Any:
    options = [
        defs[each["$ref"].rpartition("/")[2]] if "$ref" in each else each
        for each in node.get("anyOf", [node])
    ]
    nullable = any(each.get("type") == "null" for each in options)
    option: dict[str, Any] = next((each for each in options if each.get("type") != "null"), {})
    if choices := option.get("enum", [option["const"]] if "const" in option else []):
        return intent_of(heard.text, [str(each) for each in choices])
    kind = option.get("type", "string")
    if kind == "object":
        return _object(option, defs, heard)
    if name in _BY_NAME:
        value = _BY_NAME[name](heard)
        if isinstance(value, _PYTHON[kind]) or (value is None and nullable):
            return value
    return None if nullable else _BY_TYPE[kind](heard)
