"""A tool: what it is called, what it takes, what it gives, and who has it.

It cannot do anything. Whoever runs agents decides, asks a person, and calls the internal API,
which has one endpoint per tool; so a new tool is a definition and an endpoint, and no code of a
call changes.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from voicelat.agentkit.tools.schema import strict_schema
from voicelat.errors import UsageError, VoicelatError

__all__ = ["AGENTS", "MAX_CHARS", "Arguments", "InvalidArguments", "Result", "Tool", "tool"]

AGENTS: Final = ("Voice", "WhatsApp", "Backoffice")
"""The agents there are. A waiting approval is kept with its agent's name: never rename one."""

MAX_CHARS: Final = 65_536
"""The longest arguments a model may write, as JSON."""

_ID: Final = re.compile(r"[a-z][a-z0-9]*\.[a-z][a-z0-9]*(_[a-z0-9]+)*")
_WIRE_CHARS: Final = 64
"""A model's API takes names of ``[a-zA-Z0-9_-]{1,64}``: no dots."""
_SHOWN: Final = 3


class InvalidArguments(VoicelatError):
    """A model wrote arguments that the tool does not take. Never repeats their values."""


class Arguments(BaseModel):
    """What a tool takes. Exactly these keys, in exactly these types: "5" is no number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Result(BaseModel):
    """What a tool gives. More than is declared here never reaches a model."""

    model_config = ConfigDict(extra="ignore", frozen=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One thing agents may ask for. Raises UsageError for a definition that cannot work."""

    id: str
    """``group.name``, such as ``leads.upsert``: in policies, scopes, logs and the console."""
    about: str
    """Two sentences for the model and the console: what it does, and when to use it."""
    arguments: type[BaseModel]
    result: type[BaseModel]
    writes: bool
    """Whether anything is different afterwards."""
    agents: frozenset[str]
    """Who has it. Having it is not being allowed to use it: that is the policy's."""

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise UsageError(
                f"no tool id: {self.id!r}; write group.name in lower case, such as invoices.issue"
                " (the group without underscores)"
            )
        if len(self.wire) > _WIRE_CHARS:
            raise UsageError(f"tool id {self.id!r} has more than {_WIRE_CHARS} characters")
        if unknown := sorted(self.agents - set(AGENTS)):
            raise UsageError(
                f"tool {self.id}: no agent {unknown[0]!r}; agents are {', '.join(AGENTS)}"
            )
        _ = self.schema

    @property
    def wire(self) -> str:
        """Its name for a model. A group has no underscore, so the first one stands for the dot."""
        return self.id.replace(".", "_", 1)

    @property
    def path(self) -> str:
        """Where the internal API has it."""
        return f"/v1/{self.id.replace('.', '/', 1)}"

    @property
    def schema(self) -> dict[str, Any]:
        """The strict JSON schema of its arguments."""
        return strict_schema(self.arguments, f"tool {self.id}")

    def read(self, text: str) -> dict[str, Any]:
        """Arguments as a model wrote them. Raises InvalidArguments for what is no JSON object of
        the schema; a key that comes twice is none, because two readers may take different ones.
        """
        if len(text) > MAX_CHARS:
            raise InvalidArguments(f"the arguments have more than {MAX_CHARS} characters")
        try:
            arguments = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise InvalidArguments("the arguments are not one JSON object") from None
        return self.checked(arguments)

    def checked(self, arguments: object) -> dict[str, Any]:
        """The arguments as they are decided on, hashed and sent. Raises InvalidArguments."""
        try:
            taken = self.arguments.model_validate(arguments)
        except ValidationError as error:
            raise InvalidArguments(_told(error)) from None
        return taken.model_dump(mode="json", by_alias=True)


def tool(
    tool_id: str,
    arguments: type[Arguments],
    result: type[Result],
    *,
    writes: bool,
    agents: Iterable[str],
) -> Tool:
    """A tool whose ``about`` is the docstring of its arguments. Raises UsageError, see `Tool`."""
    about = " ".join(inspect.cleandoc(arguments.__doc__ or "").split())
    if not about:
        raise UsageError(
            f"tool {tool_id}: give {arguments.__name__} a docstring that says what the tool does"
        )
    return Tool(
        id=tool_id,
        about=about,
        arguments=arguments,
        result=result,
        writes=writes,
        agents=frozenset(agents),
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key comes twice")
    return made


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _told(error: ValidationError) -> str:
    """Where and what, in one line. An unknown key is only counted: its name may be an attack."""
    told = []
    errors = error.errors(include_url=False, include_input=False, include_context=False)
    for each in errors[:_SHOWN]:
        unknown = each["type"] == "extra_forbidden"
        where = ".".join(map(str, each["loc"][:-1] if unknown else each["loc"]))
        what = "has a key that is not in the schema" if unknown else each["msg"]
        told.append(f"{where or 'arguments'}: {what}")
    if (more := len(errors) - _SHOWN) > 0:
        told.append(f"and {more} more")
    return "; ".join(told).replace("\n", " ")
