"""The tool of ``examples/invoice_tool.py``, from its module to a write in the internal API."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from agents import Runner
from tests.agentkit.office import Office, Written

from voicelat.agentkit.agents import run_config, sdk_agent
from voicelat.agentkit.api import Api
from voicelat.agentkit.models import recorded
from voicelat.agentkit.policy import ToolAsk, Usage, decide, read_policy
from voicelat.agentkit.tools import Tool, form_of, load_tools

EXAMPLE = Path(__file__).parents[2] / "examples" / "invoice_tool.py"
DOCS = EXAMPLE.parents[1] / "docs" / "tools.md"
INVOICE = {"customer_id": "c1", "amount_cents": 12_000, "reason": None}


def documented_policy() -> str:
    """The policy that docs/tools.md shows for it."""
    page = DOCS.read_text(encoding="utf-8")
    start = page.index("version: 1\nextends: builtin")
    return page[start : page.index("```", start)]


async def test_a_module_of_one_tool_is_all_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLE.parent)
    monkeypatch.delitem(sys.modules, "invoice_tool", raising=False)
    tools = load_tools(["invoice_tool"])
    assert [field.kind for field in form_of(tools.get("invoices.issue"))] == [
        "text",
        "integer",
        "text",
    ]
    policy = read_policy(documented_policy(), "docs/tools.md")
    office = Office({"t": ("Backoffice", frozenset({"invoices.issue"}))})
    async with office.run() as address, Api(address, "t") as api:

        async def invoke(tool: Tool, arguments: dict[str, Any], call_id: str) -> str:
            asked = ToolAsk(
                env="prod",
                agent="Backoffice",
                tool=tool.id,
                arguments=arguments,
                run_id="r",
                call_id=None,
                at_utc=datetime(2026, 3, 1, tzinfo=UTC),
                cost_usd=0.0,
                turns=1,
                seconds=0.0,
            )
            if (decision := decide(policy, asked, Usage())).verdict != "allow":
                return json.dumps({"error": decision.verdict})
            result = await api.call(
                tool,
                arguments,
                idempotency_key=f"r:{call_id}",
                run_id="r",
                call_id=None,
                agent="Backoffice",
                grant=None,
            )
            return json.dumps(result)

        large = {**INVOICE, "amount_cents": 90_000}
        calls = [{"tool": "invoices.issue", "arguments": each} for each in (INVOICE, large)]
        model = recorded([*(json.dumps({"calls": [call]}) for call in calls), '{"says": "bye"}'])
        await Runner.run(
            sdk_agent("Backoffice", tools, invoke, model), "go", run_config=run_config()
        )
    assert office.written == [Written("Backoffice", "invoices.issue", INVOICE, granted=False)]


def test_it_is_as_short_as_it_says() -> None:
    code = EXAMPLE.read_text().split('"""\n', 2)[2]
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
