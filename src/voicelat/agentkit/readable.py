"""A model whose tool calls can be read by the SDK, whatever was written.

The SDK (0.24) fails the whole run on arguments that are nested too deep for Python's parser or
hold half of a surrogate pair, before a tool sees them: a caller could end a run by having a
model write them. Here they are replaced by a text that no tool takes, so the model is told.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Final

from agents import (
    AgentOutputSchemaBase,
    Handoff,
    Model,
    ModelResponse,
    ModelSettings,
    ModelTracing,
    Tool,
    TResponseInputItem,
)
from agents.items import TResponseOutputItem, TResponseStreamEvent
from openai.types.responses import ResponseFunctionToolCall
from openai.types.responses.response_prompt_param import ResponsePromptParam

from voicelat.errors import InternalError

__all__ = ["ReadableCalls"]

_UNREADABLE: Final = '"unreadable"'
_MAX_DEPTH: Final = 100


class ReadableCalls(Model):
    """Asks ``inner``, whose errors are not touched."""

    def __init__(self, inner: Model) -> None:
        self._inner = inner

    async def get_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],  # noqa: A002 - the SDK's name
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None,
        conversation_id: str | None,
        prompt: ResponsePromptParam | None,
    ) -> ModelResponse:
        """See `agents.Model`."""
        response = await self._inner.get_response(
            system_instructions,
            input,
            model_settings,
            tools,
            output_schema,
            handoffs,
            tracing,
            previous_response_id=previous_response_id,
            conversation_id=conversation_id,
            prompt=prompt,
        )
        response.output = [_readable(item) for item in response.output]
        return response

    def stream_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],  # noqa: A002 - the SDK's name
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None,
        conversation_id: str | None,
        prompt: ResponsePromptParam | None,
    ) -> AsyncIterator[TResponseStreamEvent]:
        """Agents work beside a call, and nobody reads along."""
        raise InternalError("an agent's answer is not streamed")

    async def close(self) -> None:
        """Close ``inner``."""
        await self._inner.close()


def _readable(item: TResponseOutputItem) -> TResponseOutputItem:
    if isinstance(item, ResponseFunctionToolCall) and not _can_be_read(item.arguments):
        return item.model_copy(update={"arguments": _UNREADABLE})
    return item


def _can_be_read(arguments: str) -> bool:
    depth = 0
    for character in arguments:
        depth += (character in "[{") - (character in "]}")
        if depth > _MAX_DEPTH:
            return False
    try:
        arguments.encode()
        json.dumps(json.loads(arguments), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    except ValueError:
        return True  # no JSON at all, which the SDK can bear and a tool refuses
    return True
