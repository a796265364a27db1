"""Running evals: what is expected, what is forbidden, what it may take."""

from __future__ import annotations

import json
from itertools import count
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from pydantic import BaseModel
from tests.agentkit.workflows.toolbox import TOOLBOX

from voicelat.agentkit.evals.cases import Case, Happened
from voicelat.agentkit.evals.gates import parse_gates
from voicelat.agentkit.evals.junit import junit
from voicelat.agentkit.evals.run import (
    CaseResult,
    EvalResult,
    Hooks,
    publishing_gate,
    run_evals,
)
from voicelat.agentkit.evals.scripted import Called, ScriptedSteps, Verdict, sample
from voicelat.agentkit.workflows.graph import Workflow
from voicelat.agentkit.workflows.read import decode
from voicelat.errors import UsageError

FLOW = """{schema: 1, name: w, events: [turn], start: ask, nodes: {
  ask: {kind: agent, agent: Voice, instructions: Help., next: tag},
  tag: {kind: tool, tool: leads.tag, arguments: {lead_id: '7', tag: '{{nodes.ask.text}}'},
        next: done},
  done: {kind: end}}}"""
TAG = {"tool": "leads.tag", "arguments": {"lead_id": "7", "tag": "hot"}}


def workflow(name: str) -> Workflow:
    return decode(FLOW.encode(), "w.yaml", TOOLBOX)


def case(**fields: Any) -> Case:
    """A case in which the agent says hot, unless it says otherwise."""
    given = {
        "case": "c",
        "workflow": "w",
        "event": {"kind": "turn", "text": "hello"},
        "script": [{"answer": "hot"}],
        **fields,
    }
    return msgspec.convert(given, Case)


def allow(agent: str, tool: str, arguments: dict[str, Any]) -> Verdict:
    return "deny" if tool == "leads.delete" else "ask" if tool == "crm.update" else "allow"


class Costly(ScriptedSteps):
    """Whose model costs something nobody knows."""

    cost_usd: float | None = None


async def run(
    *cases: Case, model: str = "scripted", gate: str = "", hooks: Hooks | None = None,
    steps: type[ScriptedSteps] = ScriptedSteps,
) -> EvalResult:  # fmt: skip
    ticks = count(step=100)
    return await run_evals(
        cases,
        model=model,
        workflow_for=workflow,
        steps_for=lambda one: steps(one, TOOLBOX, allow),
        now_ms=lambda: next(ticks),
        gates=parse_gates(gate),
        hooks=hooks,
    )


async def says(**fields: Any) -> list[str]:
    """What is wrong with the one case."""
    return (await run(case(**fields))).results[0].says


async def test_what_is_expected_must_be_called_with_its_arguments() -> None:
    assert await says(tools=[TAG]) == []
    assert (
        await says(tools=[{"tool": "leads.tag", "arguments": {"tag": {"matches": "^h.t$"}}}]) == []
    )
    assert await says(tools=[{"tool": "leads.*", "arguments": {"tag": {"one_of": ["hot"]}}}]) == []
    assert await says(tools=[TAG, TAG]) == [f"did not call leads.tag with {TAG['arguments']}"]
    assert await says(tools=[{"tool": "leads.tag", "arguments": {"colour": "red"}}]) != []


async def test_what_is_forbidden_must_not_be_made_unless_it_is_expected() -> None:
    assert await says(forbidden=["leads.*"]) == [
        f"called leads.tag with {TAG['arguments']}, which is forbidden"
    ]
    assert await says(forbidden=["*"], tools=[TAG]) == []
    assert await says(forbidden=[{"tool": "leads.tag", "arguments": {"tag": "cold"}}]) == []


async def test_an_attempt_that_was_denied_or_held_is_counted_and_breaks_nothing() -> None:
    attempts = [
        {"tool": "leads.delete", "arguments": {"lead_id": "7"}},
        {"tool": "crm.update", "arguments": {"customer_id": "1", "changes": []}},
        {"tool": "no.such", "arguments": {}},
        {"tool": "leads.tag", "arguments": {"lead_id": 7}},
    ]
    script = [{"calls": attempts, "answer": "hot"}]
    result = await run(case(script=script, person="rejects", forbidden=["*"], tools=[TAG]))
    assert result.results[0].says == []
    assert (result.stopped, result.held, result.forbidden) == (3, 1, 0)
    yes = await run(case(script=script, forbidden=["crm.*"]))
    assert yes.forbidden == 1


async def test_the_end_it_must_come_to_and_why_it_did_not() -> None:
    assert await says(ends="done") == []
    assert await says(script=[], ends="done") == [
        "ended in nothing (the script ends before the model is asked a 1. time), not in done"
    ]


async def test_limits_hold_and_an_unknown_cost_keeps_none() -> None:
    assert await says(limits={"latency_ms": 99}) == ["took 100 ms, at most 99"]
    assert await says(limits={"tool_calls": 0}) == ["asked for 1 tool calls, at most 0"]
    assert await says(limits={"cost_usd": 0}) == []
    unknown = await run(case(limits={"cost_usd": 1}), steps=Costly, gate="cost_usd=1")
    assert unknown.results[0].says == ["cost is unknown, at most 1.0 USD"]
    assert unknown.cost_usd is None
    assert not unknown.ok


async def test_cases_of_another_model_are_skipped_and_counted() -> None:
    cases = [case(), case(model="live", case="l"), case(model="scripted", case="s")]
    assert [one.case for one in (await run(*cases)).results] == ["c", "s"]
    live = await run(*cases, model="gpt-5")
    assert ([one.case for one in live.results], live.skipped) == (["c", "l"], 1)


async def test_gates_decide_and_without_them_every_case_does() -> None:
    good, bad = case(), case(case="bad", ends="nowhere")
    assert (await run(good, bad, gate="pass_rate=0.5,forbidden=0")).ok
    assert not (await run(good, bad, gate="pass_rate=0.6")).ok
    assert not (await run(good, bad)).ok
    nothing = await run(gate="pass_rate=1")
    assert not nothing.ok
    assert nothing.gates[0].value is None


@pytest.mark.parametrize("text", ["speed=1", "pass_rate", "pass_rate=x", "pass_rate=nan", "=1"])
def test_a_gate_that_is_none_says_which_there_are(text: str) -> None:
    with pytest.raises(UsageError, match="write NAME=NUMBER with pass_rate, forbidden"):
        parse_gates(text)


async def test_hooks_are_told_of_the_run_each_case_and_each_tool() -> None:
    told: list[str] = []

    class Telling(Hooks):
        def run_began(self, cases: Any) -> None:
            told.append(f"began {len(cases)}")

        def tool_called(self, case: Case, called: Called) -> None:
            told.append(called.tool)

        def case_ended(self, case: Case, result: CaseResult) -> None:
            told.append(result.case)

        def run_ended(self, result: EvalResult) -> None:
            told.append(f"ended {result.passed}")

    await run(case(), hooks=Telling())
    assert told == ["began 1", "leads.tag", "c", "ended 1"]


async def test_the_json_names_workflow_version_calls_and_tags() -> None:
    data = json.loads((await run(case(tags=["he"]), gate="forbidden=0")).to_json())
    assert data["schema"] == 1
    assert data["tags"] == {"he": {"cases": 1, "passed": 1}}
    assert data["results"][0]["version"] == workflow("w").version
    assert data["results"][0]["called"][0] == {
        "agent": "Voice",
        **TAG,
        "verdict": "allow",
        "done": True,
    }
    assert data["gates"] == [{"name": "forbidden", "limit": 0.0, "value": 0.0, "ok": True}]
    assert (data["latency_p50_ms"], data["latency_p95_ms"]) == (100, 100)


async def test_junit_shows_each_case_and_gate() -> None:
    result = await run(case(), case(case="bad", forbidden=["*"]), gate="pass_rate=1")
    suite = ElementTree.fromstring(junit(result))
    assert (suite.get("tests"), suite.get("failures")) == ("3", "2")
    failed = [one.get("name") for one in suite if one.find("failure") is not None]
    assert failed == ["bad", "pass_rate"]


def test_a_sample_fits_its_model() -> None:
    for tool in ("crm.get", "calendar.find_slots", "whatsapp.fetch_thread", "leads.upsert"):
        result: type[BaseModel] = TOOLBOX.get(tool).result
        result.model_validate(sample(result))


def test_an_event_of_a_case_knows_what_it_is() -> None:
    assert case().event == Happened(kind="turn", text="hello")


def test_a_workflow_that_fails_its_cases_is_held_back_with_the_first_that_failed() -> None:
    def held(*cases: Case, gate: str = "") -> str | None:
        return publishing_gate(
            cases,
            parse_gates(gate),
            steps_for=lambda one: ScriptedSteps(one, TOOLBOX, allow),
            now_ms=lambda: 0,
        )(workflow("w"))

    bad = case(case="bad", forbidden=["*"])
    assert held(case()) is None
    assert held(case(), bad, gate="pass_rate=0.5") is None
    says = held(case(), bad, gate="pass_rate=1,forbidden=0")
    assert says is not None
    assert says.startswith("pass_rate is 0.5, not 1, forbidden is 1, not 0 (case bad: called leads")
    assert (held(bad) or "").startswith("1 cases failed (case bad: ")
    assert held(case(workflow="other")) == "there is no case for w with the scripted model"
