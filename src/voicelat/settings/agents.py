"""From settings to the agents' running parts. Apart from `wiring`: calls never import this."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from voicelat.agentkit import policy
from voicelat.agentkit.api import Api
from voicelat.agentkit.grants import grant_request
from voicelat.agentkit.http import ApiError, JsonClient
from voicelat.agentkit.runs.contract import (
    Asked,
    CallApi,
    Parts,
    ToolFailed,
    ToolLike,
    Verdict,
    Workflow,
)
from voicelat.agentkit.runs.event import Event
from voicelat.agentkit.runs.redact import Redaction
from voicelat.agentkit.runs.store import Approval, Store, stamp
from voicelat.agentkit.tools import AGENTS, Tool, ToolSet, load_tools
from voicelat.agentkit.workflows.read import BUILTIN, builtin
from voicelat.agentkit.workflows.store import Store as WorkflowStore
from voicelat.backoffice.gate import Asked as GateAsked
from voicelat.backoffice.gate import Gate
from voicelat.backoffice.gate import Verdict as GateVerdict
from voicelat.clock import CallClock
from voicelat.errors import ConnectError, UsageError

if TYPE_CHECKING:
    from voicelat.agentkit.evals.cases import Case
    from voicelat.agentkit.evals.run import EvalResult
    from voicelat.agentkit.evals.scripted import ScriptedSteps
    from voicelat.agentkit.workflows.steps import Runnable
    from voicelat.settings.load import Settings

__all__ = [
    "FEEDER",
    "evaluate",
    "gate",
    "minter",
    "parts",
    "publishing",
    "tools",
    "workflow_store",
    "workflows",
]

FEEDER: Final = "feeder"
"""Whose token keeps transcripts in the back office: no agent has that tool."""


def parts(settings: Settings, store: Store) -> Parts:
    """Everything a run is put together from. Raises UsageError for a setting that cannot work,
    InvalidFile for a policy or a workflow that cannot be read."""
    tokens = _tokens(settings)
    from voicelat.agentkit import agents
    from voicelat.agentkit.models import model

    own_tools = tools(settings)
    its_model = model(
        settings.agent_model, api_key=settings.openai_api_key, base_url=settings.openai_base_url
    )

    def sdk_agent(name: str, invoke: Any, recorded: Any, language: str | None) -> Any:
        spoken = language or settings.speech_language
        return agents.sdk_agent(name, own_tools, invoke, recorded, language=spoken)

    return Parts(
        store=store,
        tools=own_tools,
        judge=_judge(settings, store),
        call_api=_call_api(settings.backoffice_url, tokens),
        append_turns=_append_turns(settings.backoffice_url, tokens[FEEDER]),
        sdk_agent=sdk_agent,
        model=lambda _agent: its_model,
        workflow=workflows(settings),
        run_config=agents.run_config,
        redaction=Redaction().also(settings.agents_redact),
    )


def _tokens(settings: Settings) -> dict[str, str]:
    """Who calls the back office -> with which token. Raises UsageError where one is missing."""
    text = settings.backoffice_token
    if text is None:
        raise UsageError("BACKOFFICE_TOKEN is not set: the agents' tokens for BACKOFFICE_URL")
    callers = (*AGENTS, FEEDER)
    if "=" not in text:
        return dict.fromkeys(callers, text)
    pairs = (pair.partition("=") for pair in text.split(","))
    tokens = {name.strip(): token.strip() for name, _, token in pairs}
    if missing := [name for name in callers if not tokens.get(name)]:
        raise UsageError(
            f"BACKOFFICE_TOKEN: no token of {missing[0]}; give one token for all, or "
            f"{','.join(f'{name}=TOKEN' for name in callers)}"
        )
    return tokens


def gate(settings: Settings) -> Gate:
    """The policy once more, in the back office: what an agent's process decided is not taken on
    trust. Rates and costs are counted where the runs are, so they do not bind here. Whoever is no
    agent (a person, the feeder) is bound by the scopes of the token alone."""
    rules = policy.load_policy(settings.policy_file or policy.BUILTIN)

    def judge(asked: GateAsked) -> GateVerdict:
        if asked.agent not in AGENTS:
            return "allow"
        ask = policy.ToolAsk(
            env=settings.agents_env,
            agent=asked.agent,
            tool=asked.tool,
            arguments=dict(asked.arguments),
            run_id=asked.run_id or "",
            call_id=asked.call_id,
            at_utc=asked.at,
            cost_usd=0.0,
            turns=0,
            seconds=0.0,
        )
        return policy.decide(rules, ask, policy.Usage()).verdict

    return judge


def tools(settings: Settings) -> ToolSet:
    """The tools there are: the built-in ones and the user's."""
    modules = [name.strip() for name in (settings.agent_tools or "").split(",") if name.strip()]
    return load_tools(modules)


def workflow_store(settings: Settings) -> WorkflowStore:
    """Published workflows, the built-in ones where no other was: a run must find the version it
    began with, also after an upgrade of ours."""
    catalog = tools(settings)
    store = WorkflowStore(Path(settings.workflows_file), catalog)
    published = set(store.names())
    for name in BUILTIN:
        if name not in published:
            packaged = files("voicelat.agentkit.workflows") / "builtin" / f"{name}.yaml"
            with as_file(packaged) as path:
                store.publish(path, who="voicelat")
    return store


def workflows(settings: Settings) -> Callable[[Event, str | None], Workflow]:
    """Finds an event's workflow, the current version or a given one."""
    store = workflow_store(settings)

    def workflow(event: Event, version: str | None) -> Workflow:
        name = "whatsapp" if event.kind == "whatsapp_message" else "voice_turn"
        found: Workflow = store.current(name) if version is None else store.version(name, version)
        return found

    return workflow


def evaluate(settings: Settings, paths: list[Path], gates: str) -> EvalResult:
    """What came of the cases (none: the starter sets) with scripted answers, under the policy in
    force. Raises UsageError for gates that are none, InvalidFile for cases."""
    from voicelat.agentkit.evals.cases import read_cases
    from voicelat.agentkit.evals.gates import parse_gates
    from voicelat.agentkit.evals.run import run_evals

    catalog = tools(settings)
    kept = Path(settings.workflows_file)
    # Trying makes no files: without published workflows the built-in ones are meant.
    current = (
        workflow_store(settings).current if kept.exists() else lambda name: builtin(name, catalog)
    )
    return asyncio.run(
        run_evals(
            read_cases(paths) if paths else _starter_cases(),
            workflow_for=current,
            steps_for=_scripted(settings),
            now_ms=CallClock().now_ms,
            gates=parse_gates(gates),
        )
    )


def publishing(settings: Settings) -> Callable[[Runnable], str | None]:
    """Why a workflow must not be published: its starter cases, run under the policy in force. None:
    it may, or it has no cases of ours: then its author's are asked for by `evaluate`."""
    from voicelat.agentkit.evals.gates import parse_gates
    from voicelat.agentkit.evals.run import publishing_gate

    cases = _starter_cases()
    judged = {case.workflow for case in cases}
    gate = publishing_gate(
        cases, parse_gates(""), steps_for=_scripted(settings), now_ms=CallClock().now_ms
    )
    return lambda workflow: gate(workflow) if workflow.name in judged else None


def _starter_cases() -> list[Case]:
    from voicelat.agentkit.evals.cases import STARTER, starter

    return [case for name in STARTER for case in starter(name)]


def _scripted(settings: Settings) -> Callable[[Case], ScriptedSteps]:
    """Steps that answer as a case says, and ask the policy in force."""
    from voicelat.agentkit.evals.scripted import ScriptedSteps

    rules = policy.load_policy(settings.policy_file or policy.BUILTIN)
    catalog = tools(settings)

    def decide(agent: str, tool: str, arguments: dict[str, Any]) -> Literal["allow", "deny", "ask"]:
        ask = policy.ToolAsk(
            env=settings.agents_env,
            agent=agent,
            tool=tool,
            arguments=arguments,
            run_id="eval",
            call_id=None,
            at_utc=datetime.now(UTC),
            cost_usd=0.0,
            turns=0,
            seconds=0.0,
        )
        return policy.decide(rules, ask, policy.Usage()).verdict

    return lambda case: ScriptedSteps(case, catalog, decide)


def minter(settings: Settings) -> Callable[[Approval, dict[str, Any]], Any]:
    """Mints grants with the approver's token. Raises UsageError where there is none."""
    from voicelat.agentkit.runs.decide import GRANT_LIFE_S

    token = settings.approver_token
    if token is None:
        raise UsageError("APPROVER_TOKEN is not set: a person's token with approvals.grant")
    # Only here: the agents' process must not have it.
    from voicelat.agentkit.approver import Approver

    async def mint(approval: Approval, arguments: dict[str, Any]) -> str:
        asked = grant_request(
            approval.tool, arguments, approval.call_id, approval.run_id, GRANT_LIFE_S
        )
        async with Approver(settings.backoffice_url, token) as client:
            try:
                grant: str = await client.grant(asked)
            except ApiError as error:
                if error.retry:
                    raise ConnectError(str(error)) from None
                raise UsageError(f"APPROVER_TOKEN: {error}") from None
            return grant

    return mint


def _judge(settings: Settings, store: Store) -> Callable[[Asked], Verdict]:
    """The policy, asked with what this run and its call have used. Rates are counted from the log:
    runs that decide in the same instant do not see each other, and may pass one together."""
    rules = policy.load_policy(settings.policy_file or policy.BUILTIN)

    def judge(asked: Asked) -> Verdict:
        at, spent = datetime.fromisoformat(asked.at_utc), asked.spent
        a_day_ago = stamp(at - timedelta(days=1))
        uses = tuple(
            policy.Use(
                entry.agent,
                entry.tool,
                entry.run_id,
                entry.call_id,
                datetime.fromisoformat(entry.at),
            )
            for entry in store.calls(a_day_ago, asked.run_id, asked.call_id)
            if entry.agent is not None and entry.tool is not None
        )
        ask = policy.ToolAsk(
            env=settings.agents_env,
            agent=asked.agent,
            tool=asked.tool,
            arguments=asked.arguments,
            run_id=asked.run_id,
            call_id=asked.call_id,
            at_utc=at,
            cost_usd=rules.cost_usd(settings.agent_model, spent.input_tokens, spent.output_tokens),
            turns=spent.answers,
            seconds=spent.work_ms / 1000,
        )
        decision: Verdict = policy.decide(rules, ask, policy.Usage(uses))
        return decision

    return judge


def _call_api(url: str, tokens: dict[str, str]) -> CallApi:
    apis = {agent: Api(url, tokens[agent]) for agent in AGENTS}

    async def call(
        tool: ToolLike,
        arguments: dict[str, Any],
        *,
        idempotency_key: str,
        run_id: str,
        call_id: str | None,
        agent: str,
        grant: str | None,
    ) -> dict[str, Any]:
        try:
            result: dict[str, Any] = await apis[agent].call(
                cast("Tool", tool),  # it is of `tools`
                arguments,
                idempotency_key=idempotency_key,
                run_id=run_id,
                call_id=call_id,
                agent=agent,
                grant=grant,
            )
        except ApiError as error:
            raise ToolFailed(error.code, error.says, retry=error.retry) from None
        return result

    return call


def _append_turns(url: str, token: str) -> Any:
    client = JsonClient(url, token)

    async def append(
        call_id: str, turns: list[dict[str, Any]], *, idempotency_key: str, run_id: str
    ) -> None:
        headers = {"Idempotency-Key": idempotency_key, "X-Run-Id": run_id, "X-Call-Id": call_id}
        body = {"call_id": call_id, "turns": turns}
        try:
            await client.post("/v1/stt/append_turns", body, headers)
        except ApiError as error:
            raise ToolFailed(error.code, error.says, retry=error.retry) from None

    return append
