"""The worker: takes events out of the queue and runs each to its end, however often it dies.

A run's id is its event's id: DBOS runs it once, and goes on with it after a kill from what was
recorded. DBOS is one to a process, and so is the worker.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID

from voicelat.agentkit.runs.contract import Parts, ToolRefused
from voicelat.agentkit.runs.event import Event
from voicelat.agentkit.runs.steps import RunSteps
from voicelat.agentkit.runs.store import Entry, Store, stamp

__all__ = ["RunState", "Worker", "erase", "retry", "states"]

_APP: Final = "voicelat-agents"
_QUEUE: Final = "events"
_RUN: Final = "run"
_STEPS_VERSION: Final = "1"
"""Of the order of the steps in a run. One begun under another number is not resumed by this code:
raise it when the order changes, and let old runs end first."""
_AT_ONCE: Final = 200
"""Runs in one worker. One that waits for a person is one of them, and costs next to nothing."""
_A_MINUTE: Final = 600
"""Runs begun in one: a runaway caller must not cost more than this."""
_RECOVERIES: Final = 50
"""A run that was begun so often and killed every time is what kills: it becomes a dead letter."""


class Worker:
    """Runs events on DBOS. `start` it once, then `enqueue`.

    ``name``: of this worker among those that share the database. The worker of the same name
    resumes its runs, so it must be the same after a restart, and no other's.
    """

    def __init__(self, parts: Parts, db_url: str, name: str = "local") -> None:
        self._parts = parts
        self._config: DBOSConfig = {
            "name": _APP,
            "system_database_url": db_url,
            "application_version": _STEPS_VERSION,
            "executor_id": name,
            "log_level": "WARNING",
            # What is kept is data: nobody who writes to the database can have us run code.
            "serializer": DBOSPortableJSONSerializer(),
        }

    def start(self) -> None:
        """Resume what was begun, and begin what is queued."""
        DBOS(config=self._config)

        @DBOS.workflow(name=_RUN, max_recovery_attempts=_RECOVERIES)
        async def run(encoded: dict[str, Any]) -> dict[str, Any]:
            return await self._run_event(msgspec.convert(encoded, Event))

        self._run = run
        DBOS.launch()
        DBOS.register_queue(
            _QUEUE,
            worker_concurrency=_AT_ONCE,
            limiter={"limit": _A_MINUTE, "period": 60.0},
            polling_interval_sec=0.1,
        )

    def stop(self, grace_s: float = 5.0) -> None:
        """Give the runs at work a moment; what is not done then is resumed by the next worker."""
        DBOS.destroy(workflow_completion_timeout_sec=round(grace_s), destroy_registry=True)

    def enqueue(self, event: Event) -> None:
        """Have it run; the second time there is nothing to do. Blocks for a write to the
        database."""
        with SetWorkflowID(event.id):
            DBOS.enqueue_workflow(_QUEUE, self._run, msgspec.to_builtins(event))

    async def _run_event(self, event: Event) -> dict[str, Any]:
        begun = await DBOS.run_step_async({"name": "begin"}, self._begin, event)
        steps = RunSteps(self._parts, event)
        steps.tell(
            "began",
            at=begun["at"],
            facts={
                "event": event.kind,
                "call_id": event.call_id,
                "workflow": begun["workflow"],
                "version": begun["version"],
            },
        )
        await steps.flush()
        try:
            workflow = self._parts.workflow(event, begun["version"])
            await steps.append_turns()
            result = await workflow.run(event, steps)
        except ToolRefused as refused:
            steps.tell("ended", decision="refused", facts={"says": str(refused)})
            return {"refused": str(refused)}
        except Exception as error:
            # Whatever it was, the log says it, and DBOS keeps the run as failed.
            steps.tell("dead", facts={"error": f"{type(error).__name__}: {error}"})
            raise
        else:
            steps.tell("ended", facts={"result": result})
            return result
        finally:
            await steps.flush()

    def _begin(self, event: Event) -> dict[str, str]:
        """Which workflow in which version: a run keeps to it, whatever is published meanwhile."""
        workflow = self._parts.workflow(event, None)
        at = stamp(datetime.now(UTC))
        return {"at": at, "workflow": workflow.name, "version": workflow.version}


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    """How a run stands with DBOS."""

    run_id: str
    state: str
    """queued, running, ended, dead or cancelled."""
    updated_at: str

    @property
    def dead(self) -> bool:
        """It failed for good, unless somebody sends it back to work."""
        return self.state == "dead"

    recoveries: int
    """How often a killed worker had to be followed by another."""
    error: str | None = None


_STATES: Final = {
    "ENQUEUED": "queued",
    "DELAYED": "queued",
    "PENDING": "running",
    "SUCCESS": "ended",
    "ERROR": "dead",
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "dead",
    "CANCELLED": "cancelled",
}


def states(store: Store, run_ids: list[str] | None = None, limit: int = 100) -> list[RunState]:
    """How runs stand, newest first. ``run_ids``: which; None: the last ``limit``."""
    if not store.has_runs():
        return []
    client = _client(store)
    try:
        found = client.list_workflows(
            workflow_ids=run_ids, name=_RUN, sort_desc=True, limit=limit, load_input=False
        )
    finally:
        client.destroy()
    return [
        RunState(
            run_id=one.workflow_id,
            state=_STATES.get(one.status, one.status.lower()),
            updated_at=stamp(datetime.fromtimestamp((one.updated_at or 0) / 1000, UTC)),
            recoveries=max((one.recovery_attempts or 1) - 1, 0),
            error=None if one.error is None else str(one.error),
        )
        for one in found
    ]


def erase(store: Store, run_ids: list[str]) -> int:
    """Delete runs: what DBOS recorded of them, their log, their approvals. How many log lines."""
    if run_ids and store.has_runs():
        client = _client(store)
        try:
            client.delete_workflows(run_ids)
        finally:
            client.destroy()
    return store.erase(run_ids)


def retry(store: Store, run_id: str, who: str) -> bool:
    """Whether a dead run was sent back to work, from the step it failed in."""
    if not any(one.dead for one in states(store, [run_id])):
        return False
    client = _client(store)
    try:
        done = [one for one in client.list_workflow_steps(run_id) if one["error"] is None]
        last = max((one["function_id"] for one in done), default=0)
        if entries := store.entries(run_id):
            seq, at = entries[-1].seq, stamp(datetime.now(UTC))
            store.append([Entry(run_id=run_id, seq=seq, at=at, kind="sent back", who=who)])
        client.rewind_workflow(run_id, start_step=last + 1, queue_name=_QUEUE)
    finally:
        client.destroy()
    return True


def _client(store: Store) -> DBOSClient:
    return DBOSClient(system_database_url=store.url, serializer=DBOSPortableJSONSerializer())
