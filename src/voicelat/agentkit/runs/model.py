"""A model whose every answer is a recorded step: a resumed run is told what it was told before."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any, Final

import openai
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
from agents.items import TResponseStreamEvent
from dbos import DBOS
from dbos import error as dbos_error
from openai.types.responses.response_prompt_param import ResponsePromptParam
from pydantic import TypeAdapter

from voicelat.agentkit.runs.contract import Told
from voicelat.errors import InternalError

__all__ = ["DurableModel"]

_RESPONSE: Final = TypeAdapter(ModelResponse)
_TIMEOUT_S: Final = 120.0
_ATTEMPTS: Final = 6
"""With waits of 1, 2, 4, 8 and 16 s between them: half a minute of a service that is away."""


class DurableModel(Model):
    """Asks ``inner`` inside a step of the run it is called in. ``told`` gets each answer's facts,
    replayed ones too."""

    def __init__(self, inner: Model, agent: str, told: Told) -> None:
        self._inner = inner
        self._agent = agent
        self._told = told

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
        """The model's answer, or the one it gave when the run was here before."""

        async def answer() -> dict[str, Any]:
            began = time.monotonic()
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
            took_ms = round((time.monotonic() - began) * 1000)
            return {"response": _RESPONSE.dump_python(response, mode="json"), "took_ms": took_ms}

        recorded = await DBOS.run_step_async(
            {
                "name": f"model of {self._agent}",
                "retries_allowed": True,
                "max_attempts": _ATTEMPTS,
                "should_retry": _may_pass,
                "timeout_seconds": _TIMEOUT_S,
            },
            answer,
        )
        response = _RESPONSE.validate_python(recorded["response"])
        usage = response.usage
        tokens = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        self._told("model", agent=self._agent, latency_ms=recorded["took_ms"], facts=tokens)
        return response

    def stream_response(self, *_: Any, **__: Any) -> AsyncIterator[TResponseStreamEvent]:
        """Jobs do not stream."""
        raise InternalError("an agent's run in the background has nobody to stream to")


def _may_pass(error: BaseException) -> bool:
    """Whether asking again may help: not for a wrong key or a request that cannot be."""
    return isinstance(
        error,
        OSError
        | openai.APIConnectionError
        | openai.InternalServerError
        | openai.RateLimitError
        | dbos_error.DBOSStepTimeoutError,
    )
