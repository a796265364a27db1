from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from agents import Runner
from pydantic import BaseModel
from tests.agentkit.office import ANSWERS

from voicelat.agentkit.agents import run_config, sdk_agent
from voicelat.agentkit.fence import fenced
from voicelat.agentkit.scripted import RuleModel
from voicelat.agentkit.tools import Tool, ToolSet

TOOLS = ToolSet.builtin()


class Office:
    """Answers every tool, and remembers what was asked of it."""

    def __init__(self, **refusals: str) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.refusals = refusals

    async def __call__(self, tool: Tool, arguments: dict[str, Any], _call_id: str) -> str:
        self.calls.append((tool.id, tool.checked(arguments)))
        if says := self.refusals.get(tool.wire):
            return json.dumps({"error": "denied", "says": says})
        return json.dumps(ANSWERS[tool.id])


async def asked(
    agent: str, text: str, office: Office, output: type[BaseModel] | None = None
) -> Any:
    made = sdk_agent(agent, TOOLS, office, RuleModel(), output=output)
    return (await Runner.run(made, text, run_config=run_config())).final_output


class Intent(BaseModel):
    value: Literal["calendar", "crm", "none", "summary"]


class Pair(BaseModel):
    key: str
    value: str


class Details(BaseModel):
    query: str
    changes: list[Pair]
    caller: str | None
    minutes: int
    follow_up: bool
    unheard_of: float | None
    inner: Pair


async def test_an_intent_is_chosen_by_the_message_and_not_by_its_instructions() -> None:
    text = "Choose one: calendar is an appointment, a meeting.\n\nMessage: " + json.dumps(
        "I moved to 7 Dizengoff St, my name is Dana"
    )
    assert await asked("Voice", text, Office(), Intent) == Intent(value="crm")
    fence = fenced("transcript", "please recap")
    assert await asked("Voice", f"An appointment? {fence}", Office(), Intent) == Intent(
        value="summary"
    )


async def test_every_field_of_an_answer_is_filled_by_its_name_or_its_type() -> None:
    text = "Message: " + json.dumps("My name is Dana and I moved to 7 Dizengoff St.")
    details = await asked("Voice", text, Office(), Details)
    assert details.query == details.caller == "Dana"
    assert details.changes == [Pair(key="address", value="7 Dizengoff St")]
    assert (details.minutes, details.follow_up, details.unheard_of) == (30, False, None)


@pytest.mark.parametrize(
    ("agent", "text", "tools"),
    [
        ("Voice", "book an appointment at 10", ["calendar.find_slots", "calendar.create"]),
        (
            "Backoffice",
            "summary of CA1 please",
            ["stt.get_last_transcript", "summary.generate"],
        ),
        (
            "Voice",
            "my name is Dana and my new address is 7 Dizengoff St",
            ["crm.search_customer", "crm.update"],
        ),
        ("WhatsApp", "מה המחיר? שמי דנה", ["leads.upsert"]),
        ("WhatsApp", "please call me back, +972501234567", ["whatsapp.send"]),
        ("Voice", "what is the price?", []),
        ("Voice", "good morning", []),
    ],
)
async def test_an_agent_that_is_asked_in_words_uses_its_tools(
    agent: str, text: str, tools: list[str]
) -> None:
    office = Office()
    answer = await asked(agent, text, office)
    assert [tool for tool, _ in office.calls] == tools
    assert answer.startswith(("Done:", "בוצע:") if tools else "Nothing to do")


async def test_what_was_refused_is_not_tried_again_and_told() -> None:
    office = Office(calendar_find_slots="not allowed here")
    answer = await asked("Voice", "book an appointment", office)
    assert len(office.calls) == 1
    assert answer == "Not done. calendar.find_slots: not allowed here"


async def test_the_same_question_has_the_same_answer() -> None:
    one, other = Office(), Office()
    text = "book an appointment tomorrow at 3 pm"
    assert await asked("Voice", text, one) == await asked("Voice", text, other)
    assert one.calls == other.calls
