"""What exported modules call: a tool call of the workflow itself, and values that were seen.

The SDK's `Runner` runs agents; for a call that no model decides on, it has nothing. `call_tool` is
that, and goes where everything goes: to the steps of the run that the module is in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from pydantic import BaseModel

from voicelat.agentkit.workflows.graph import absent, same
from voicelat.agentkit.workflows.output import Pair
from voicelat.agentkit.workflows.run import message
from voicelat.agentkit.workflows.steps import Steps
from voicelat.agentkit.workflows.template import TemplateFailed, look
from voicelat.errors import UsageError

__all__ = [
    "Pair",
    "absent",
    "call_tool",
    "current_steps",
    "keep",
    "look",
    "message",
    "same",
    "taking",
    "text",
]

_STEPS: Final[ContextVar[Steps]] = ContextVar("steps")


async def call_tool(tool_id: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The tool's result: decided, approved where it must be, made once. Raises UsageError outside
    of a run."""
    return await current_steps().call(tool_id, arguments)


def keep(seen: dict[str, Any], node: str, answer: Any) -> None:
    """What a node gave, for later ones to look at: a model's fields, a result, or a text."""
    if isinstance(answer, BaseModel):
        answer = answer.model_dump(mode="json")
    seen["nodes"][node] = {"text": answer} if isinstance(answer, str) else answer


def text(*parts: Any) -> str:
    """The parts as one text. Raises TemplateFailed for null: there is no text for it."""
    if any(part is None for part in parts):
        raise TemplateFailed("null inside a text: give the place a default")
    return "".join(
        part if isinstance(part, str) else json.dumps(part, ensure_ascii=False) for part in parts
    )


def current_steps() -> Steps:
    """The steps of the run this code is in. Raises UsageError outside of one."""
    steps = _STEPS.get(None)
    if steps is None:
        raise UsageError("this runs inside the agents' process only: load it with load_module")
    return steps


@contextmanager
def taking(steps: Steps) -> Iterator[None]:
    """While this lasts, code in this task takes these steps."""
    token = _STEPS.set(steps)
    try:
        yield
    finally:
        _STEPS.reset(token)
