from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from agents import FunctionTool, Runner
from agents.testing import ScriptedModel, assistant_message, function_call
from agents.tracing import get_trace_provider
from pydantic import BaseModel

from voicelat.agentkit.agents import instructions, policy_guardrail, run_config, sdk_agent
from voicelat.agentkit.policy import Decision
from voicelat.agentkit.tools import AGENTS, Tool, ToolSet
from voicelat.errors import UsageError

TOOLS = ToolSet.builtin()
TAG = {"lead_id": "l1", "tag": "hot"}


class Invoked:
    """Remembers what it was asked to do, and says it was done."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any], str]] = []

    async def __call__(self, tool: Tool, arguments: dict[str, Any], call_id: str) -> str:
        self.calls.append((tool.id, arguments, call_id))
        return '{"done": true}'


def model(name: str, arguments: str | dict[str, Any]) -> ScriptedModel:
    """Calls one tool, then says bye."""
    return ScriptedModel(
        [[function_call(name, arguments, call_id="c1")], [assistant_message("bye")]]
    )


def told(scripted: ScriptedModel) -> dict[str, Any]:
    """What the model read back from its tool."""
    call = scripted.last_call
    assert call is not None
    (output,) = [
        item["output"] for item in call.input if item.get("type") == "function_call_output"
    ]
    found: dict[str, Any] = json.loads(output)
    return found


async def run(scripted: ScriptedModel, invoked: Invoked, agent: str = "WhatsApp") -> Any:
    made = sdk_agent(agent, TOOLS, invoked, scripted)
    return (await Runner.run(made, "go", run_config=run_config())).final_output


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_has_its_name_and_only_its_tools(name: str) -> None:
    agent = sdk_agent(name, TOOLS, Invoked(), ScriptedModel())
    assert agent.name == name
    assert {tool.name for tool in agent.tools} == {tool.wire for tool in TOOLS.of(name)}
    assert agent.model_settings.store is False


def test_a_function_tool_has_the_tools_schema() -> None:
    agent = sdk_agent("WhatsApp", TOOLS, Invoked(), ScriptedModel())
    (tag,) = [tool for tool in agent.tools if tool.name == "leads_tag"]
    assert isinstance(tag, FunctionTool)
    assert tag.strict_json_schema
    assert tag.params_json_schema == TOOLS.get("leads.tag").schema


def test_an_unknown_agent_is_named() -> None:
    with pytest.raises(UsageError, match="'voice'; there are Voice"):
        sdk_agent("voice", TOOLS, Invoked(), ScriptedModel())


async def test_a_call_reaches_invoke_with_checked_arguments_and_its_id() -> None:
    invoked, scripted = Invoked(), model("leads_tag", TAG)
    assert await run(scripted, invoked) == "bye"
    assert invoked.calls == [("leads.tag", TAG, "c1")]
    assert told(scripted) == {"done": True}


async def test_arguments_that_are_none_never_reach_invoke() -> None:
    invoked, scripted = Invoked(), model("leads_tag", '{"lead_id": "l1", "lead_id": "l2"}')
    await run(scripted, invoked)
    assert invoked.calls == []
    assert told(scripted)["error"] == "invalid"


async def test_a_tool_of_another_agent_is_not_there() -> None:
    invoked, scripted = Invoked(), model("crm_get", {"customer_id": "c1"})
    assert await run(scripted, invoked) == "bye"
    assert invoked.calls == []


async def test_a_denied_call_is_refused_before_invoke_and_without_the_rule() -> None:
    asked: list[tuple[str, str, dict[str, Any]]] = []

    def judge(agent: str, tool: str, arguments: dict[str, Any]) -> Decision:
        asked.append((agent, tool, arguments))
        return Decision("deny", "secret rule", "because")

    invoked, scripted = Invoked(), model("leads_tag", TAG)
    agent = sdk_agent(
        "WhatsApp", TOOLS, invoked, scripted, guardrails=[policy_guardrail(TOOLS, judge)]
    )
    await Runner.run(agent, "go", run_config=run_config())
    assert asked == [("WhatsApp", "leads.tag", TAG)]
    assert invoked.calls == []
    assert told(scripted) == {"error": "denied", "says": "leads.tag is not allowed here"}


class Intent(BaseModel):
    value: Literal["calendar", "none"]


async def test_an_agent_answers_in_the_shape_that_is_asked_for() -> None:
    scripted = ScriptedModel([[assistant_message('{"value": "none"}')]])
    agent = sdk_agent("Voice", TOOLS, Invoked(), scripted, output=Intent)
    assert (await Runner.run(agent, "hi", run_config=run_config())).final_output == Intent(
        value="none"
    )


def test_nothing_is_traced() -> None:
    sdk_agent("Voice", TOOLS, Invoked(), ScriptedModel())
    trace = get_trace_provider().create_trace("anything")
    assert trace.export() is None
    assert run_config().tracing_disabled


def test_an_agent_is_told_in_hebrew_where_hebrew_is_spoken() -> None:
    for name in AGENTS:
        assert "טקסט שבין <data" in instructions(name, "he-IL")
        assert instructions(name, "iw") == instructions(name, "he")
        assert "Text between <data" in instructions(name, "fr-FR")
