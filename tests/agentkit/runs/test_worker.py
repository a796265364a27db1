"""Runs from the queue to their end: refused, expired, dead, and sent back to work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytest.importorskip("dbos", reason="the extra is not installed: pip install 'voicelat[agents]'")
pytest.importorskip("agents")

from agents import Model
from tests.agentkit.runs.contract_server import ContractServer, contract_server
from tests.agentkit.runs.doubles import FakeModel, event, parts

from voicelat.agentkit.runs.contract import Parts, Steps, ToolFailed
from voicelat.agentkit.runs.event import Event
from voicelat.agentkit.runs.store import Entry, Store
from voicelat.agentkit.runs.worker import Worker, retry, states
from voicelat.errors import ConnectError

WAIT = threading.Event()
Run = Callable[[Event, Steps], Any]


class Scripted:
    """A workflow that is a function."""

    name = "voice_turn"
    version = "v1"

    def __init__(self, run: Run) -> None:
        self.run = run


class Here:
    """A worker in this process."""

    def __init__(self, worker: Worker, store: Store, server: ContractServer) -> None:
        self.worker = worker
        self.store = store
        self.server = server

    def until(self, kind: str, run_id: str = "CA1.1") -> list[Entry]:
        """The run's log, once its last line is of that kind."""
        deadline = datetime.now(UTC) + timedelta(seconds=30)
        while True:
            entries = self.store.entries(run_id)
            if entries and entries[-1].kind == kind:
                return entries
            assert datetime.now(UTC) < deadline, entries
            WAIT.wait(0.02)

    def until_state(self, state: str) -> None:
        deadline = datetime.now(UTC) + timedelta(seconds=30)
        while [one.state for one in states(self.store)] != [state]:
            assert datetime.now(UTC) < deadline, states(self.store)
            WAIT.wait(0.02)


@contextmanager
def running(db_url: str, run: Run, **other: Any) -> Iterator[Here]:
    with contract_server() as (server, api_url):
        some, _ = parts(db_url, api_url)
        workflow = Scripted(run)
        mine: Parts = replace(some, workflow=lambda _event, _version: workflow, **other)
        worker = Worker(mine, db_url)
        worker.start()
        try:
            yield Here(worker, some.store, server)
        finally:
            worker.stop(0)
            some.store.close()


def test_an_event_that_is_sent_again_runs_once(db_url: str) -> None:
    async def run(happened: Event, steps: Steps) -> dict[str, Any]:
        return await steps.call("leads.upsert", {"notes": happened.text})

    with running(db_url, run) as here:
        for _ in range(3):
            here.worker.enqueue(event())
        here.until("ended")
        here.worker.enqueue(event())
        here.worker.enqueue(event("CA1.2"))
        here.until("ended", "CA1.2")
        assert here.server.writes == {"leads.upsert": 2}


def test_what_the_policy_denies_never_reaches_the_api(db_url: str) -> None:
    async def run(_: Event, steps: Steps) -> dict[str, Any]:
        return await steps.call("leads.delete", {"lead_id": "1"})

    with running(db_url, run) as here:
        here.worker.enqueue(event())
        ended = here.until("ended")[-1]
        assert ended.decision == "refused"
        assert not here.server.requests
        here.until_state("ended")


def test_nobody_decides_in_time_and_the_call_is_not_made(db_url: str) -> None:
    async def run(_: Event, steps: Steps) -> dict[str, Any]:
        return await steps.call("crm.update", {"customer_id": "1"})

    with running(db_url, run, approval_life=timedelta(milliseconds=300)) as here:
        here.worker.enqueue(event())
        entries = here.until("ended")
        [decided] = [one for one in entries if one.kind == "approval decided"]
        assert (decided.decision, decided.who) == ("expired", None)
        assert not here.server.requests


def test_arguments_the_tool_does_not_take_are_told_and_not_sent(db_url: str) -> None:
    async def run(_: Event, steps: Steps) -> dict[str, Any]:
        return await steps.call("leads.upsert", {"wrong": "x"})

    with running(db_url, run) as here:
        here.worker.enqueue(event())
        assert "invalid" in {one.kind for one in here.until("ended")}
        assert not here.server.requests


def test_the_log_holds_nothing_that_was_to_be_redacted(db_url: str) -> None:
    async def run(_: Event, steps: Steps) -> dict[str, Any]:
        steps.note("said", text="my number is +972541234567")
        await steps.call("leads.upsert", {"name": "Dana Levi", "phone": "+972541234567"})
        return {"email": "dana@example.com"}

    with running(db_url, run) as here:
        here.worker.enqueue(event())
        told = str(here.until("ended"))
        assert "said" in told
        for secret in ("972541234567", "Dana", "example.com"):
            assert secret not in told
        assert here.server.written["CA1.1:0"]["name"] == "Dana Levi"


def test_a_dead_run_is_sent_back_to_work_from_where_it_failed(db_url: str) -> None:
    healed = threading.Event()

    async def run(_: Event, steps: Steps) -> dict[str, Any]:
        await steps.call("leads.upsert", {"n": 1})
        if not healed.is_set():
            raise ToolFailed("broken", "it is broken", retry=False)
        return await steps.call("leads.tag", {"n": 2})

    with running(db_url, run) as here:
        here.worker.enqueue(event())
        died = here.until("dead")[-1]
        assert "it is broken" in died.facts["error"]
        here.until_state("dead")
        assert not retry(here.store, "CA9.9", "dana")
        healed.set()
        assert retry(here.store, "CA1.1", "dana")
        entries = here.until("ended")
        assert [one.who for one in entries if one.kind == "sent back"] == ["dana"]
        assert here.server.writes == {"leads.upsert": 1, "leads.tag": 1}
        here.until_state("ended")
        assert not retry(here.store, "CA1.1", "dana")


def test_a_database_that_is_away_for_a_moment_is_waited_for(db_url: str) -> None:
    async def run(_: Event, steps: Steps) -> dict[str, Any]:
        return await steps.call("leads.upsert", {"n": 1})

    class Away(Store):
        failures = 2

        def append(self, entries: list[Entry]) -> None:
            if entries and Away.failures:
                Away.failures -= 1
                raise ConnectError("the agents' database: away")
            super().append(entries)

    away = Away(db_url)
    with running(db_url, run, store=away) as here:
        here.worker.enqueue(event())
        told = [one.kind for one in here.until("ended")]
        assert told == ["began", "decided", "called", "ended"]
        assert Away.failures == 0
        away.close()


def test_a_model_that_is_away_for_a_moment_is_asked_again(db_url: str) -> None:
    class Shy(FakeModel):
        asked = 0

        async def get_response(self, *args: Any, **given: Any) -> Any:
            Shy.asked += 1
            if Shy.asked == 1:
                raise ConnectionResetError("away")
            return await super().get_response(*args, **given)

    async def run(happened: Event, steps: Steps) -> dict[str, Any]:
        return {"said": await steps.ask("Voice", happened.text, None)}

    shy: Model = Shy()
    # With a life of nothing, what waits for a person expires at once.
    with running(db_url, run, model=lambda _agent: shy, approval_life=timedelta(0)) as here:
        here.worker.enqueue(event())
        ended = here.until("ended")
        assert ended[-1].facts["result"] == {"said": "done"}
        assert sum(one.kind == "model" for one in ended) == 4
        assert Shy.asked == 5
