"""The steps of one run: agents asked, tools called, everything recorded and told to the log.

A run may be killed anywhere and begun again from its top: what was recorded is not done again,
what was told to the log is not told again. So everything here happens in one order, every time:
tool calls of a run are made one after the other, and numbered.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final, TypeVar

from agents import Runner
from dbos import DBOS
from dbos import error as dbos_error
from pydantic import BaseModel

from voicelat.agentkit.runs.contract import (
    Asked,
    Parts,
    Spent,
    ToolFailed,
    ToolLike,
    ToolRefused,
)
from voicelat.agentkit.runs.event import Event
from voicelat.agentkit.runs.model import DurableModel
from voicelat.agentkit.runs.store import Approval, Entry, stamp
from voicelat.errors import ConnectError, VoicelatError

__all__ = ["RunSteps"]

_LOG = logging.getLogger("voicelat.agents")
T = TypeVar("T")

_ATTEMPTS: Final = 8
"""With waits of 0.5 s to 32 s between them: a minute of an API that is away or busy."""
_FIRST_WAIT_S: Final = 0.5
_DATABASE_WAIT_S: Final = 1.0
_POLL_S: Final = 0.2
_LONGEST_POLL_S: Final = 2.0
"""How long a decision may lie there unread. An approval costs one read of one row as often."""


class RunSteps:
    """The `Steps` of one run, inside its DBOS workflow."""

    def __init__(self, parts: Parts, event: Event) -> None:
        self._parts = parts
        self._event = event
        self._spent = Spent()
        self._untold: list[Entry] = []
        self._seq = 0
        self._calls = 0
        self._last_asked = "WhatsApp" if event.kind == "whatsapp_message" else "Voice"
        # First come, first served: the order of calls is that of the model's answer, every time.
        self._one_at_a_time = asyncio.Lock()

    # -- what a workflow may do ---------------------------------------------------------------

    async def ask(self, agent: str, text: str, output: type[BaseModel] | None) -> BaseModel | str:
        """One run of an agent with its tools. See `Steps`."""
        parts, self._last_asked = self._parts, agent
        model = DurableModel(parts.model(agent), agent, self.tell)

        async def invoke(tool: Any, arguments: dict[str, Any], _call_id: str) -> str:
            return await self._read_by_model(tool, arguments, agent)

        sdk_agent = parts.sdk_agent(agent, invoke, model, self._event.language)
        if output is not None:
            sdk_agent = sdk_agent.clone(output_type=output)
        result = await Runner.run(
            sdk_agent, text, max_turns=parts.max_turns, run_config=parts.run_config()
        )
        await self.flush()
        answer: BaseModel | str = result.final_output
        return answer

    async def call(self, tool_id: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """One tool call of the workflow itself. See `Steps`."""
        tool: ToolLike = self._parts.tools.get(tool_id)
        return await self._call(tool, arguments, self._agent_for(tool))

    def note(self, kind: str, **facts: Any) -> None:
        """A line for the run's log."""
        self.tell(kind, facts=facts)

    # -- the log ------------------------------------------------------------------------------

    def tell(
        self,
        kind: str,
        *,
        agent: str | None = None,
        tool: str | None = None,
        decision: str | None = None,
        who: str | None = None,
        latency_ms: int | None = None,
        at: str | None = None,
        facts: dict[str, Any] | None = None,
    ) -> None:
        """Keep a line for the log until the next `flush`. See `Told`."""
        self._spend(kind, latency_ms, facts or {})
        self._untold.append(
            Entry(
                run_id=self._event.id,
                call_id=self._event.call_id,
                seq=self._seq,
                at=at or _now(),
                kind=kind,
                agent=agent,
                tool=tool,
                decision=decision,
                who=who,
                latency_ms=latency_ms,
                facts=self._parts.redaction(facts or {}),
            )
        )
        self._seq += 1

    def _spend(self, kind: str, latency_ms: int | None, facts: dict[str, Any]) -> None:
        spent, answered = self._spent, kind == "model"
        self._spent = Spent(
            answers=spent.answers + answered,
            input_tokens=spent.input_tokens + (facts["input_tokens"] if answered else 0),
            output_tokens=spent.output_tokens + (facts["output_tokens"] if answered else 0),
            work_ms=spent.work_ms + (latency_ms or 0),
        )

    async def flush(self) -> None:
        """Write what was told. What a kill loses here, the resumed run tells again."""
        untold, self._untold = self._untold, []
        await _stored(self._parts.store.append, untold)

    # -- one tool call ------------------------------------------------------------------------

    async def _read_by_model(self, tool: ToolLike, arguments: dict[str, Any], agent: str) -> str:
        try:
            result = await self._call(tool, arguments, agent)
        except ToolRefused as refused:
            return _json({"error": refused.code, "says": refused.says})
        return _json(result)

    async def _call(self, tool: ToolLike, arguments: dict[str, Any], agent: str) -> dict[str, Any]:
        async with self._one_at_a_time:
            number, self._calls = self._calls, self._calls + 1
            try:
                return await self._decided(tool, arguments, agent, number)
            finally:
                await self.flush()

    async def _decided(
        self, tool: ToolLike, arguments: dict[str, Any], agent: str, number: int
    ) -> dict[str, Any]:
        arguments = self._checked(tool, arguments, agent)
        verdict = await self._decide(tool, arguments, agent, approved=False)
        grant = None
        if verdict["verdict"] == "ask":
            arguments, grant = await self._approved(tool, arguments, agent, number, verdict)
            arguments = self._checked(tool, arguments, agent)
            await self._decide(tool, arguments, agent, approved=True)
        result = await self._execute(tool, arguments, agent, number, grant)
        if grant is not None:
            await _stored(self._parts.store.forget, self._key(number))
        return result

    def _checked(self, tool: ToolLike, arguments: dict[str, Any], agent: str) -> dict[str, Any]:
        try:
            return tool.checked(arguments)
        except VoicelatError as error:
            self.tell("invalid", agent=agent, tool=tool.id, facts={"says": str(error)})
            raise ToolRefused(tool.id, "invalid", str(error)) from None

    async def _decide(
        self, tool: ToolLike, arguments: dict[str, Any], agent: str, *, approved: bool
    ) -> dict[str, str]:
        """What the policy says, as recorded. Raises ToolRefused for a no."""

        def decide() -> dict[str, str]:
            at = datetime.now(UTC)
            decision = self._parts.judge(
                Asked(
                    agent=agent,
                    tool=tool.id,
                    arguments=arguments,
                    run_id=self._event.id,
                    call_id=self._event.call_id,
                    at_utc=stamp(at),
                    spent=self._spent,
                )
            )
            said = {"verdict": decision.verdict, "rule": decision.rule, "why": decision.why}
            return {**said, "at": stamp(at)}

        await self.flush()  # limits are counted from the log
        said: dict[str, str] = await DBOS.run_step_async(_lasting(f"decide {tool.id}"), decide)
        self.tell(
            "decided again" if approved else "decided",
            agent=agent,
            tool=tool.id,
            decision=said["verdict"],
            who=f"rule {said['rule']}",
            at=said["at"],
            facts={"why": said["why"], "arguments": arguments},
        )
        if said["verdict"] == "deny":
            raise ToolRefused(tool.id, "denied", said["why"])
        return said

    async def _approved(
        self,
        tool: ToolLike,
        arguments: dict[str, Any],
        agent: str,
        number: int,
        verdict: dict[str, str],
    ) -> tuple[dict[str, Any], str]:
        """The arguments as approved, and the grant. Raises ToolRefused for a no, or for none."""
        asked_at = datetime.fromisoformat(verdict["at"])
        approval = Approval(
            id=self._key(number),
            run_id=self._event.id,
            call_id=self._event.call_id,
            agent=agent,
            tool=tool.id,
            arguments=arguments,
            rule=verdict["rule"],
            why=verdict["why"],
            sdk_version=version("openai-agents"),
            asked_at=verdict["at"],
            expires_at=stamp(asked_at + self._parts.approval_life),
            state="waiting",
        )
        self.tell(
            "approval asked",
            agent=agent,
            tool=tool.id,
            at=verdict["at"],
            facts={"approval": approval.id, "expires_at": approval.expires_at},
        )
        await self.flush()
        answer = await DBOS.run_step_async(
            _lasting(f"approval of {tool.id}"),
            self._wait_for_decision,
            approval,
        )
        state, reason = answer["state"], answer["reason"]
        self.tell(
            "approval decided",
            agent=agent,
            tool=tool.id,
            decision=state,
            who=answer["by"],
            at=answer["at"],
            facts={"approval": approval.id, "reason": reason, "edited": answer["edited"]},
        )
        if state != "approved":
            says = reason or "nobody decided in time"
            raise ToolRefused(tool.id, state, says)
        return answer["arguments"], answer["grant"]

    async def _wait_for_decision(self, approval: Approval) -> dict[str, Any]:
        """Until it is decided, for days if need be: the row knows, whoever asks it."""
        store = self._parts.store
        await asyncio.to_thread(store.ask, approval)
        wait_s = _POLL_S
        while True:
            now = datetime.now(UTC)
            if stamp(now) >= approval.expires_at:
                await asyncio.to_thread(store.expire, approval.id, now)
            found = await asyncio.to_thread(store.approval, approval.id)
            if found is not None and found.state != "waiting":
                break
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 1.2, _LONGEST_POLL_S)
        return {
            "state": found.state,
            "reason": found.reason,
            "by": found.decided_by,
            "at": found.decided_at,
            "edited": found.state == "approved" and found.arguments != approval.arguments,
            "arguments": found.arguments,
            "grant": found.grant_token,
        }

    async def _execute(
        self,
        tool: ToolLike,
        arguments: dict[str, Any],
        agent: str,
        number: int,
        grant: str | None,
    ) -> dict[str, Any]:
        """Made exactly once: a repeated request has the same key, and the API knows it."""

        async def request() -> dict[str, Any]:
            began = time.monotonic()
            answer: dict[str, Any]
            try:
                result = await self._parts.call_api(
                    tool,
                    arguments,
                    idempotency_key=self._key(number),
                    run_id=self._event.id,
                    call_id=self._event.call_id,
                    agent=agent,
                    grant=grant,
                )
                answer = {"result": result}
            except ToolFailed as failed:
                if failed.retry:
                    raise
                answer = {"error": failed.code, "says": failed.says}
            took_ms = round((time.monotonic() - began) * 1000)
            return {**answer, "took_ms": took_ms, "at": _now()}

        try:
            answer = await DBOS.run_step_async(_patient(f"call {tool.id}"), request)
        except dbos_error.DBOSMaxStepRetriesExceeded:
            self.tell("gave up", agent=agent, tool=tool.id, facts={"attempts": _ATTEMPTS})
            raise
        done = "error" not in answer
        facts = {"result": answer["result"]} if done else {"says": answer["says"]}
        self.tell(
            "called" if done else "failed",
            agent=agent,
            tool=tool.id,
            latency_ms=answer["took_ms"],
            at=answer["at"],
            facts={"arguments": arguments, "key": self._key(number), **facts},
        )
        if not done:
            raise ToolRefused(tool.id, answer["error"], answer["says"])
        result: dict[str, Any] = answer["result"]
        return result

    async def append_turns(self) -> None:
        """Have the event's turns kept, before anybody asks for the transcript. The end of a call
        tells all of them again: its run may overtake those of the turns."""
        append, event = self._parts.append_turns, self._event
        turns = event.data.get("turns") or []
        if append is None or event.call_id is None or not turns:
            return
        call_id = event.call_id

        async def request() -> dict[str, Any]:
            try:
                await append(call_id, turns, idempotency_key=f"{event.id}:turns", run_id=event.id)
            except ToolFailed as failed:
                if failed.retry:
                    raise
                return {"error": str(failed)}
            return {}

        answer = await DBOS.run_step_async(_patient("append turns"), request)
        if "error" in answer:
            self.tell("failed", tool="stt.append_turns", facts={"says": answer["error"]})

    def _key(self, number: int) -> str:
        return f"{self._event.id}:{number}"

    def _agent_for(self, tool: ToolLike) -> str:
        """In whose name a workflow calls: the agent it asked last, where it has the tool."""
        if self._last_asked in tool.agents:
            return self._last_asked
        return min(tool.agents, default=self._last_asked)


async def _stored(write: Callable[[T], None], what: T) -> None:
    """Written to our database, however long that is away: DBOS waits for it in the same way."""
    while True:
        try:
            return await asyncio.to_thread(write, what)
        except ConnectError as error:
            _LOG.warning("%s; trying again", error)
            await asyncio.sleep(_DATABASE_WAIT_S)


def _lasting(name: str) -> Any:
    """A step on our database alone: tried until that is there."""
    return {
        "name": name,
        "retries_allowed": True,
        "max_attempts": 1_000_000,
        "interval_seconds": _DATABASE_WAIT_S,
        "backoff_rate": 1.0,
        "should_retry": lambda error: isinstance(error, ConnectError),
    }


def _patient(name: str) -> Any:
    """A step that asks the API."""
    return {
        "name": name,
        "retries_allowed": True,
        "max_attempts": _ATTEMPTS,
        "interval_seconds": _FIRST_WAIT_S,
        "should_retry": lambda error: isinstance(error, ToolFailed | OSError),
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _now() -> str:
    return stamp(datetime.now(UTC))
