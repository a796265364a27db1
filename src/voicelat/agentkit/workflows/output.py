"""The models an agent must answer in, made from what a workflow declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, create_model

__all__ = ["ANSWER_TYPES", "Pair", "answer_model", "class_name", "intent_model"]


class Pair(BaseModel):
    """One named value."""

    model_config = ConfigDict(extra="forbid")
    key: str
    value: str


ANSWER_TYPES: Final[Mapping[str, tuple[Any, str]]] = {
    "text": (str, "str"),
    "text_or_null": (str | None, "str | None"),
    "integer": (int, "int"),
    "integer_or_null": (int | None, "int | None"),
    "number": (float, "float"),
    "yes_no": (bool, "bool"),
    "texts": (list[str], "list[str]"),
    "pairs": (list[Pair], "list[Pair]"),
}
"""Kind of a field -> its type, and how it is written."""


def answer_model(name: str, fields: Mapping[str, str]) -> type[BaseModel]:
    """Every field is required, none may be added: what a strict JSON schema needs."""
    types: dict[str, Any] = {field: (ANSWER_TYPES[kind][0], ...) for field, kind in fields.items()}
    made: type[BaseModel] = create_model(
        class_name(name, "Answer"), __config__=ConfigDict(extra="forbid"), **types
    )
    return made


def intent_model(name: str, intents: list[str]) -> type[BaseModel]:
    """One field, ``value``: one of the intents."""
    values: Any = Literal[tuple(intents)]
    made: type[BaseModel] = create_model(
        class_name(name, "Intent"), __config__=ConfigDict(extra="forbid"), value=(values, ...)
    )
    return made


def class_name(node: str, suffix: str) -> str:
    """``write_it`` -> ``WriteItAnswer``; another node has another name."""
    parts = [part if part[:1].isalpha() else f"_{part}" for part in node.split("_")]
    return "".join(part.capitalize() for part in parts) + suffix
