"""The JSON schema of a pydantic model, as models that must keep to a schema take it.

Strict mode knows objects whose every key is required and no other is allowed: a value that may
be missing is a key that may be null, and an open ``dict`` is a list of keys and values. Limits
on the length of a text are not among its keywords: they move into the description, and pydantic
still holds every answer to them.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from voicelat.errors import UsageError

__all__ = ["strict_schema"]

_NESTED: Final = ("items", "anyOf", "properties", "$defs")
_KEPT: Final = frozenset(
    {"type", "required", "enum", "const", "$ref", "description", "pattern", "format"}
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
    | {"minItems", "maxItems"}
)
_LENGTHS: Final = {"minLength": "at least {} characters", "maxLength": "at most {} characters"}


def strict_schema(model: type[BaseModel], whose: str) -> dict[str, Any]:
    """Raises UsageError, which begins with ``whose``, where strict mode cannot say it."""
    try:
        schema = model.model_json_schema(by_alias=True)
    except PydanticUserError as error:
        raise UsageError(f"{whose}: {error.message.splitlines()[0]}") from None
    return _strict(schema, whose)


def _strict(node: dict[str, Any], where: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    lengths = []
    for key, value in node.items():
        if key in _NESTED:
            made[key] = _inside(key, value, where)
        elif key in _KEPT:
            made[key] = value
        elif key in _LENGTHS:
            lengths.append(_LENGTHS[key].format(value))
        elif key == "default":
            raise UsageError(f"{where} has a default; make it nullable without one (X | None)")
        elif key not in ("title", "additionalProperties"):
            raise UsageError(f"{where} needs {key!r}, which strict JSON schema does not have")
    if lengths:
        made["description"] = " ".join(
            [*([made["description"]] if "description" in made else []), f"({', '.join(lengths)})"]
        )
    if node.get("type") == "object":
        _close(node, made, where)
    if not node.keys() & {"type", "enum", "const", "anyOf", "$ref"}:
        raise UsageError(f"{where} may be anything; give it a type")
    return made


def _inside(key: str, value: Any, where: str) -> Any:
    match key:
        case "items":
            return _strict(value, f"{where}[]")
        case "anyOf":
            return [_strict(each, where) for each in value]
        case "$defs":
            return {name: _strict(each, f"{where}: {name}") for name, each in value.items()}
        case _:
            return {name: _strict(each, f"{where}: {name}") for name, each in value.items()}


def _close(node: dict[str, Any], made: dict[str, Any], where: str) -> None:
    """No other keys, and all of them required."""
    if node.get("additionalProperties") is not False:
        raise UsageError(
            f"{where} takes any key; derive its model from Arguments, or use a list of"
            " {key, value}"
        )
    made.setdefault("properties", {})
    made["required"] = list(made["properties"])
    made["additionalProperties"] = False
