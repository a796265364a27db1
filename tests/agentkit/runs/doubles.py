"""A worker on documented doubles of its neighbours, which can be killed at every boundary.

The model, the policy and the workflow are scripts without memory: a worker that follows a killed
one meets the same ones. `KILL` names a boundary: the process kills itself there, once.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Literal

import httpx
from agents import Agent, FunctionTool, Model, ModelResponse, Usage
from agents.items import TResponseStreamEvent
from agents.testing import assistant_message, function_call
from tests.agentkit.runs.contract_server import AGENTS_TOKEN, NEEDS_GRANT

from voicelat.agentkit.runs.contract import Asked, Invoke, Parts, Steps, ToolFailed, ToolLike
from voicelat.agentkit.runs.event import Event
from voicelat.agentkit.runs.store import Approval, Store
from voicelat.agentkit.runs.worker import Worker
from voicelat.errors import UsageError

__all__ = ["BOUNDARIES", "SCRIPT", "event", "parts", "work"]


@dataclass(frozen=True)
class FakeTool:
    """Takes any object without ``wrong`` in it."""

    id: str
    agents: frozenset[str] = frozenset({"Voice"})

    def checked(self, arguments: object) -> dict[str, Any]:
        if not isinstance(arguments, dict) or "wrong" in arguments:
            raise UsageError("wrong: is wrong")
        return arguments


class FakeTools:
    def get(self, tool_id: str) -> FakeTool:
        return FakeTool(tool_id)


@dataclass(frozen=True)
class FakeVerdict:
    verdict: Literal["allow", "deny", "ask"]
    rule: str = "fake"
    why: str = "because"


def judge(asked: Asked) -> FakeVerdict:
    """Denies deletions, has people asked for what needs a grant."""
    if asked.tool == "leads.delete":
        return FakeVerdict("deny")
    return FakeVerdict("ask" if asked.tool in NEEDS_GRANT else "allow")


SCRIPT: tuple[tuple[str, dict[str, Any]], ...] = (
    ("leads.upsert", {"name": "Dana", "phone": "+972541234567"}),
    ("crm.update", {"customer_id": "7", "changes": [{"key": "notes", "value": "calls back"}]}),
    ("leads.tag", {"lead_id": "1", "tag": "hot"}),
)
"""What the model asks for, one after the other."""


class FakeModel(Model):
    """Calls the next tool of `SCRIPT` for each answer it finds in its input, then speaks."""

    async def get_response(self, *args: Any, **_: Any) -> ModelResponse:
        given = args[1]
        items = [] if isinstance(given, str) else given
        done = sum(one.get("type") == "function_call_output" for one in items)
        if done < len(SCRIPT):
            tool, arguments = SCRIPT[done]
            output: Any = [function_call(tool.replace(".", "_"), arguments, call_id=f"c{done}")]
        else:
            output = [assistant_message("done")]
        return ModelResponse(output=output, usage=Usage(input_tokens=3), response_id=None)

    def stream_response(self, *_: Any, **__: Any) -> AsyncIterator[TResponseStreamEvent]:
        raise NotImplementedError


def sdk_agent(name: str, invoke: Invoke, model: Model, _language: str | None) -> Agent[Any]:
    """An agent with the tools of the script."""

    def tool(tool_id: str) -> FunctionTool:
        async def on_invoke(context: Any, arguments: str) -> str:
            return await invoke(FakeTool(tool_id), json.loads(arguments), context.tool_call_id)

        schema = {"type": "object", "properties": {}, "additionalProperties": True}
        return FunctionTool(
            tool_id.replace(".", "_"), "does it", schema, on_invoke, strict_json_schema=False
        )

    return Agent(name=name, model=model, tools=[tool(tool_id) for tool_id, _ in SCRIPT])


class FakeWorkflow:
    name = "voice_turn"
    version = "v1"

    async def run(self, happened: Event, steps: Steps) -> dict[str, Any]:
        said = await steps.ask("Voice", happened.text, None)
        summary = {"call_id": happened.call_id, "summary": str(said)}
        return await steps.call("summary.generate", summary)


class HttpApi:
    """The tools' requests, by the contract."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __call__(
        self,
        tool: ToolLike,
        arguments: dict[str, Any],
        *,
        idempotency_key: str,
        run_id: str,
        call_id: str | None,
        agent: str,
        grant: str | None,
    ) -> dict[str, Any]:
        headers = {
            "Authorization": f"Bearer {AGENTS_TOKEN}",
            "Idempotency-Key": idempotency_key,
            "X-Run-Id": run_id,
            "X-Agent": agent,
            **({"X-Approval-Grant": grant} if grant else {}),
        }
        path = f"{self._url}/v1/{tool.id.replace('.', '/')}"
        # Loopback without TLS: to read whom the machine trusts takes 20 ms.
        async with httpx.AsyncClient(verify=False) as client:
            answer = await client.post(path, json=arguments, headers=headers)
        told: dict[str, Any] = answer.json()
        if answer.status_code != 200:
            retry = answer.status_code >= 500
            raise ToolFailed(told["error"], told["says"], retry=retry)
        return told


# -- dying -------------------------------------------------------------------------------------

BOUNDARIES = (
    *("before enqueue 1", "after enqueue 1"),
    *(f"{when} model {n}" for n in range(1, 5) for when in ("before", "after")),
    *(f"{when} policy {n}" for n in range(1, 6) for when in ("before", "after")),
    *(f"{when} request {n}" for n in range(1, 5) for when in ("before", "after")),
    *("before ask 1", "after ask 1", "after answer 1", "before forget 1", "after forget 1"),
)
"""Where a worker on `FakeWorkflow` can die."""


class Fate:
    """Counts the boundaries this process passes, and kills it at the one of its fate."""

    def __init__(self, kill: str | None) -> None:
        self._kill = kill
        self._passed: Counter[str] = Counter()

    def at(self, boundary: str) -> None:
        self._passed[boundary] += 1
        if f"{boundary} {self._passed[boundary]}" == self._kill:
            os.kill(os.getpid(), signal.SIGKILL)


class MortalModel(FakeModel):
    def __init__(self, fate: Fate) -> None:
        self._fate = fate

    async def get_response(self, *args: Any, **given: Any) -> ModelResponse:
        self._fate.at("before model")
        response = await super().get_response(*args, **given)
        self._fate.at("after model")
        return response


class MortalApi(HttpApi):
    def __init__(self, url: str, fate: Fate) -> None:
        super().__init__(url)
        self._fate = fate

    async def __call__(self, tool: ToolLike, arguments: dict[str, Any], **given: Any) -> Any:
        self._fate.at("before request")
        result = await super().__call__(tool, arguments, **given)
        self._fate.at("after request")
        return result


class MortalStore(Store):
    def __init__(self, url: str, fate: Fate) -> None:
        super().__init__(url)
        self._fate = fate

    def ask(self, approval: Approval) -> None:
        self._fate.at("before ask")
        super().ask(approval)
        self._fate.at("after ask")

    def approval(self, approval_id: str) -> Approval | None:
        found = super().approval(approval_id)
        if found is not None and found.state == "approved":
            self._fate.at("after answer")
        return found

    def forget(self, approval_id: str) -> None:
        self._fate.at("before forget")
        super().forget(approval_id)
        self._fate.at("after forget")


def parts(db_url: str, api_url: str, kill: str | None = None) -> tuple[Parts, Fate]:
    """A run's parts, all doubles but the store, and the fate they share."""
    fate = Fate(kill)

    def mortal_judge(asked: Asked) -> FakeVerdict:
        fate.at("before policy")
        said = judge(asked)
        fate.at("after policy")
        return said

    model = MortalModel(fate)
    workflow = FakeWorkflow()
    return Parts(
        store=MortalStore(db_url, fate),
        tools=FakeTools(),
        judge=mortal_judge,
        call_api=MortalApi(api_url, fate),
        sdk_agent=sdk_agent,
        model=lambda _agent: model,
        workflow=lambda _event, _version: workflow,
    ), fate


def event(name: str = "CA1.1") -> Event:
    return Event(
        id=name, kind="turn", call_id="CA1", text="call me", at_utc="2026-01-01T00:00:00+00:00"
    )


def work(db_url: str, api_url: str, kill: str | None, until_stopped: Callable[[], None]) -> None:
    """A worker's process: takes the event (again, as an outbox would) and works until killed or
    asked to stop."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # before there are threads
    some, fate = parts(db_url, api_url, kill)
    worker = Worker(some, db_url)
    worker.start()
    fate.at("before enqueue")
    worker.enqueue(event())
    fate.at("after enqueue")
    until_stopped()
    worker.stop(1)
