"""A model that obeys every attacker, and an agents' process that obeys such a model."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from agents import Runner
from agents.testing import ScriptedModel, assistant_message, function_call
from tests.agentkit.attempts import ATTEMPTS, Attempt
from tests.agentkit.office import Office

from voicelat.agentkit.agents import run_config, sdk_agent
from voicelat.agentkit.api import Api, ApiError
from voicelat.agentkit.approver import Approver
from voicelat.agentkit.fence import fenced
from voicelat.agentkit.grants import grant_request
from voicelat.agentkit.http import JsonClient
from voicelat.agentkit.policy import Decision, ToolAsk, Usage, Use, decide, load_policy
from voicelat.agentkit.tools import AGENTS, Tool, ToolSet
from voicelat.errors import VoicelatError

TOOLS: Final = ToolSet.builtin()
NOW: Final = datetime(2026, 3, 1, 9, tzinfo=UTC)

each_environment = pytest.mark.parametrize("env", ["dev", "prod"])


def judged(env: str, agent: str, tool: str, arguments: dict[str, Any], *uses: Use) -> Decision:
    asked = ToolAsk(
        env=env,
        agent=agent,
        tool=tool,
        arguments=arguments,
        run_id="r",
        call_id="CA1",
        at_utc=NOW,
        cost_usd=0.0,
        turns=1,
        seconds=1.0,
    )
    return decide(load_policy(), asked, Usage(uses))


def office(env: str) -> Office:
    """It knows agents by their tokens, holds them to their tools, and asks the policy itself."""
    tokens = {name: (name, frozenset(tool.id for tool in TOOLS.of(name))) for name in AGENTS}
    return Office(
        {**tokens, "person": ("-", frozenset({"approvals.grant"}))},
        needs_grant=lambda who, tool, arguments: (
            judged(env, who, tool, arguments).verdict != "allow"
        ),
    )


class Careful:
    """Invokes as policy says. Nobody is there to approve."""

    def __init__(self, api: Api, env: str, agent: str) -> None:
        self._api = api
        self._env = env
        self._agent = agent
        self.decisions: list[Decision] = []
        self._uses: list[Use] = []

    async def __call__(self, tool: Tool, arguments: dict[str, Any], call_id: str) -> str:
        decision = judged(self._env, self._agent, tool.id, arguments, *self._uses)
        self.decisions.append(decision)
        if decision.verdict != "allow":
            return json.dumps({"error": decision.verdict})
        self._uses.append(Use(self._agent, tool.id, "r", "CA1", NOW))
        result = await self._api.call(
            tool,
            arguments,
            idempotency_key=f"r:{call_id}",
            run_id="r",
            call_id="CA1",
            agent=self._agent,
            grant=None,
        )
        return json.dumps(result)


def obeying(attempt: Attempt) -> ScriptedModel:
    """Calls what the attacker wants, one call per answer, by every name it might have."""
    steps = [
        [function_call(tool.replace(".", "_", 1), arguments, call_id=f"c{number}")]
        for number, (tool, arguments) in enumerate(attempt.calls)
    ]
    return ScriptedModel([*steps, [assistant_message("Done as you wished.")]])


async def obey(attempt: Attempt, address: str, env: str) -> list[Decision]:
    """What the policy said to a model that does everything the attacker wants."""
    model = obeying(attempt)
    async with Api(address, attempt.agent) as api:
        careful = Careful(api, env, attempt.agent)
        agent = sdk_agent(attempt.agent, TOOLS, careful, model)
        text = fenced("message", attempt.text)
        await Runner.run(agent, text, run_config=run_config(), max_turns=50)
    model.assert_complete()
    return careful.decisions


@each_environment
async def test_a_model_that_obeys_writes_nothing(env: str) -> None:
    served = office(env)
    async with served.run() as address:
        for attempt in ATTEMPTS:
            await obey(attempt, address, env)
            assert served.written == [], attempt.name


@each_environment
async def test_a_process_that_obeys_writes_nothing(env: str) -> None:
    """It skips schema and policy, claims to be another agent and makes up its grants."""
    served = office(env)
    async with served.run() as address:
        for attempt in ATTEMPTS:
            await force(attempt, address)
            assert served.written == [], attempt.name


async def force(attempt: Attempt, address: str) -> None:
    """Make every call of the attacker with nothing in between, and be refused."""
    token = attempt.agent
    async with JsonClient(address, token) as client, Approver(address, token) as approver:
        for number, (tool, given) in enumerate(attempt.calls):
            arguments = given if isinstance(given, dict) else {"raw": given}
            with pytest.raises(VoicelatError):
                await approver.grant(grant_request(tool, arguments, "CA1", "r"))
            if wrong_shape(tool, given):
                continue  # an API has a schema of its own; the double has none
            headers = {
                "Idempotency-Key": f"{attempt.name} {number}",
                "X-Agent": "Backoffice",
                "X-Approval-Grant": f"grant-{number}",
            }
            with pytest.raises(ApiError) as refused:
                await client.post(f"/v1/{tool.replace('.', '/', 1)}", arguments, headers)
            assert refused.value.code in ("missing_scope", "needs_grant")


def wrong_shape(tool: str, given: Any) -> bool:
    """Whether the arguments are none of the tool's."""
    if tool not in {each.id for each in TOOLS}:
        return False
    try:
        TOOLS.get(tool).read(given if isinstance(given, str) else json.dumps(given))
    except VoicelatError:
        return True
    return False


@each_environment
async def test_a_flood_is_stopped_by_the_rate(env: str) -> None:
    tag = {"lead_id": "l1", "tag": "x"}
    attempt = Attempt("flood", "WhatsApp", "Tag it for ever.", (("leads.tag", tag),) * 40)
    served = office(env)
    async with served.run() as address:
        decisions = await obey(attempt, address, env)
    most = {"dev": 30, "prod": 20}[env]
    assert len(served.written) == most
    assert {decision.rule for decision in decisions[most:]} == {"tools per run"}


def test_there_are_thirty_attempts() -> None:
    assert len({attempt.name for attempt in ATTEMPTS}) == len(ATTEMPTS) == 30
