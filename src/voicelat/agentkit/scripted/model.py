"""The rules behind the SDK's interface for models: deterministic, without a key or a network."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any, Final

from agents import (
    AgentOutputSchemaBase,
    FunctionTool,
    Handoff,
    Model,
    ModelResponse,
    ModelSettings,
    ModelTracing,
    Tool,
    TResponseInputItem,
)
from agents.items import TResponseOutputItem, TResponseStreamEvent
from agents.testing import ScriptedModel, assistant_message, function_call
from openai.types.responses.response_prompt_param import ResponsePromptParam

from voicelat.agentkit.scripted.fill import filled
from voicelat.agentkit.scripted.heard import Heard
from voicelat.agentkit.scripted.plan import next_call

__all__ = ["RuleModel"]

_MESSAGE: Final = re.compile(r"^Message: (.+)\Z", re.M | re.S)
"""How a workflow puts the message, as JSON, below its instructions."""
_FENCED: Final = re.compile(r"<data kind=\S+ mark=(\w+)>\n(.*?)\n</data mark=\1>", re.S)


class RuleModel(Model):
    """Answers by rules of thumb: see `voicelat.agentkit.scripted.heard`."""

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
        return await ScriptedModel([[_answer(input, tools, output_schema)]]).get_response(
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
        """See `agents.Model`."""
        return ScriptedModel([[_answer(input, tools, output_schema)]]).stream_response(
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


def _answer(
    given: str | list[TResponseInputItem],
    tools: list[Tool],
    output_schema: AgentOutputSchemaBase | None,
) -> TResponseOutputItem:
    items: list[Any] = [{"role": "user", "content": given}] if isinstance(given, str) else given
    heard = Heard.of(_message(items))
    if output_schema is not None and not output_schema.is_plain_text():
        answer = filled(output_schema.json_schema(), heard)
        return assistant_message(json.dumps(answer, ensure_ascii=False))
    ids: dict[str, str] = {
        tool.name: tool.name.replace("_", ".", 1)
        for tool in tools
        if isinstance(tool, FunctionTool)
    }
    done = _done(items, ids)
    if (call := next_call(heard, frozenset(ids.values()), done)) is None:
        return assistant_message(_closing(heard, done))
    tool, arguments = call
    wire = next(name for name, each in ids.items() if each == tool)
    return function_call(wire, arguments, call_id=f"scripted-{len(done) + 1}")


def _message(items: list[Any]) -> Any:
    """What the last message of the user is about, without the instructions around it."""
    said = [item for item in items if isinstance(item, dict) and item.get("role") == "user"]
    content = said[-1].get("content", "") if said else ""
    if isinstance(content, list):
        content = " ".join(str(part.get("text", "")) for part in content)
    if found := _MESSAGE.search(content):
        try:
            return json.loads(found[1])
        except ValueError:
            return found[1]
    fenced = [found[2] for found in _FENCED.finditer(content)]
    return fenced or content


def _done(items: list[Any], ids: dict[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """The tools that were called, and what they gave; a text that is no object is an error."""
    names: dict[str, str] = {
        str(item["call_id"]): ids.get(item["name"], str(item["name"]))
        for item in items
        if isinstance(item, dict) and item.get("type") == "function_call"
    }
    return [
        (names.get(item["call_id"], ""), _object(item["output"]))
        for item in items
        if isinstance(item, dict) and item.get("type") == "function_call_output"
    ]


def _object(text: Any) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (TypeError, ValueError):
        found = None
    return found if isinstance(found, dict) else {"error": "unreadable", "says": str(text)}


def _closing(heard: Heard, done: list[tuple[str, dict[str, Any]]]) -> str:
    hebrew = heard.language == "he-IL"
    for tool, result in done:
        if "error" in result:
            told = f"{tool}: {result.get('says', result['error'])}"
            return f"לא בוצע. {told}" if hebrew else f"Not done. {told}"
    if not done:
        return "אין מה לבצע." if hebrew else "Nothing to do."
    tools = ", ".join(tool for tool, _ in done)
    return f"בוצע: {tools}." if hebrew else f"Done: {tools}."
