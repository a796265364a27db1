"""The kill matrix: a worker dies at every boundary, another follows, each write happens once."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess

import pytest

pytest.importorskip("dbos", reason="the extra is not installed: pip install 'voicelat[agents]'")
pytest.importorskip("agents")

from tests.agentkit.runs.contract_server import ContractServer, contract_server
from tests.agentkit.runs.doubles import BOUNDARIES, SCRIPT, work

from voicelat.agentkit.runs.store import Approval, Entry, Store
from voicelat.agentkit.runs.worker import states

RUN = "CA1.1"
EACH_ONCE = {**{tool: 1 for tool, _ in SCRIPT}, "summary.generate": 1}
# Importing the SDK takes 2 s: one process does, and the workers are its children. They import what
# their grandparent began with (pytest), and what others import late, in half a second.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        *("pytest", "tests.agentkit.runs.doubles"),
        *("dbos._sys_db_sqlite", "dbos._sys_db_postgres", "psycopg", "psycopg_binary"),
        *("anyio._backends._asyncio", "httpcore"),
    ]
)
WAIT = threading.Event()


def until_asked_to_stop() -> None:
    signal.sigwait([signal.SIGTERM])


class Office:
    """One database, one API, and the workers that come and go."""

    def __init__(self, db_url: str, server: ContractServer, api_url: str) -> None:
        self.db_url = db_url
        self.server = server
        self.store = Store(db_url)
        self._api_url = api_url
        self._workers: list[BaseProcess] = []

    def worker(self, kill: str | None = None) -> BaseProcess:
        process = CONTEXT.Process(
            target=work, args=(self.db_url, self._api_url, kill, until_asked_to_stop)
        )
        process.start()
        self._workers.append(process)
        return process

    def waiting(self) -> Approval | None:
        return next(iter(self.store.approvals()), None)

    def approve_what_waits(self) -> bool:
        """Whether there was something to approve."""
        if (waiting := self.waiting()) is None:
            return False
        assert waiting.arguments is not None
        grant = self.server.mint(waiting.tool, waiting.arguments)
        return self.store.approve(waiting.id, waiting.arguments, grant, "dana", datetime.now(UTC))

    def last(self) -> Entry | None:
        entries = self.store.entries(RUN)
        return entries[-1] if entries else None

    def until_ended(self) -> None:
        def ended() -> bool:
            self.approve_what_waits()
            last = self.last()
            assert last is None or last.kind != "dead", last
            return last is not None and last.kind == "ended"

        until(ended)

    def close(self) -> None:
        for process in self._workers:
            process.kill()
            process.join()
        self.store.close()


def until(happened: object, limit: timedelta = timedelta(seconds=60)) -> None:
    """Looks every 20 ms; fails when it has not happened by the limit."""
    assert callable(happened)
    began = datetime.now(UTC)
    while not happened():
        assert datetime.now(UTC) - began < limit, "it did not happen"
        WAIT.wait(0.02)


@contextmanager
def office(db_url: str) -> Iterator[Office]:
    with contract_server() as (server, url):
        one = Office(db_url, server, url)
        try:
            yield one
        finally:
            one.close()


@pytest.fixture
def there(db_url: str) -> Iterator[Office]:
    with office(db_url) as one:
        yield one


def survives(there: Office, kill: str) -> None:
    """Dies where it is told to, is followed, and in the end everything was written once."""
    victim = there.worker(kill)

    def died() -> bool:
        there.approve_what_waits()
        return victim.exitcode is not None

    until(died)
    assert victim.exitcode == -signal.SIGKILL
    there.worker()
    there.until_ended()
    assert there.server.writes == EACH_ONCE
    until(lambda: [state.state for state in states(there.store)] == ["ended"])
    told = [(entry.kind, entry.tool) for entry in there.store.entries(RUN)]
    assert len(told) == len(set(told)) + 3  # but for the model's four answers, none came twice
    [done] = there.store.approvals("approved")
    assert (done.arguments, done.grant_token) == (None, None)


@pytest.mark.parametrize("kill", BOUNDARIES)
def test_a_killed_worker_is_followed_and_each_write_happens_once(there: Office, kill: str) -> None:
    survives(there, kill)


def test_the_same_for_the_first_worker_of_all(empty_url: str) -> None:
    with office(empty_url) as there:
        survives(there, "after enqueue 1")


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGTERM])
def test_an_approval_outlives_the_worker_that_asked_for_it(
    there: Office, signal_: signal.Signals
) -> None:
    first = there.worker()
    until(there.waiting)
    first.kill() if signal_ is signal.SIGKILL else first.terminate()
    first.join()
    assert there.approve_what_waits()
    assert not there.approve_what_waits()
    there.worker()
    there.until_ended()
    assert there.server.writes == EACH_ONCE


def test_a_rejected_call_is_told_to_the_model_and_never_made(there: Office) -> None:
    there.worker()
    until(there.waiting)
    waiting = there.waiting()
    assert waiting is not None
    assert there.store.reject(waiting.id, "not this customer", "dana", datetime.now(UTC))
    there.until_ended()
    assert "crm.update" not in there.server.requests
    assert there.server.writes == {tool: 1 for tool in EACH_ONCE if tool != "crm.update"}
    [decided] = [e for e in there.store.entries(RUN) if e.kind == "approval decided"]
    assert (decided.decision, decided.who) == ("rejected", "dana")
    assert decided.facts["reason"] == "not this customer"


def test_what_a_person_corrected_is_what_is_written(there: Office) -> None:
    there.worker()
    until(there.waiting)
    waiting = there.waiting()
    assert waiting is not None
    corrected = {"customer_id": "8", "changes": []}
    grant = there.server.mint("crm.update", corrected)
    now = datetime.now(UTC)
    assert there.store.approve(waiting.id, corrected, grant, "dana", now)
    there.until_ended()
    assert there.server.written[f"{RUN}:1"] == corrected


def test_an_api_that_is_busy_is_asked_again(there: Office) -> None:
    there.server.failing += [503, 503]
    there.worker()
    there.until_ended()
    assert there.server.writes == EACH_ONCE
    assert there.server.requests["leads.upsert"] == 3
