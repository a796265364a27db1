"""``voicelat agents``: what its verbs say, their exit codes and their JSON."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("dbos", reason="the extra is not installed: pip install 'voicelat[agents]'")
pytest.importorskip("agents")

from voicelat.agentkit.runs.store import Approval, Entry, Store, stamp
from voicelat.cli import app
from voicelat.demo.happened import happened
from voicelat.errors import InvalidFile, UsageError
from voicelat.settings import SETTINGS

READY = """
import sys
from voicelat.agentkit.runs.process import serve
class Worker:
    def start(self): pass
    def stop(self, grace_s=5.0): print("stopped", flush=True)
    def enqueue(self, event): pass
serve(Worker(), sys.argv[1], None, on_ready=lambda url: print(url, flush=True))
"""


@pytest.fixture(autouse=True)
def _nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)


@pytest.fixture
def store() -> Iterator[Store]:
    one = Store("sqlite:///agents.db")  # the default, in the test's own folder
    now = datetime.now(UTC)
    one.ask(
        Approval(
            id="CA1.end:2",
            run_id="CA1.end",
            call_id="CA1",
            agent="Voice",
            tool="whatsapp.send",
            arguments={"text": "שלום"},
            rule="messages",
            why="always",
            sdk_version="0",
            asked_at=stamp(now),
            expires_at=stamp(now + timedelta(days=1)),
            state="waiting",
        )
    )
    one.append([Entry(run_id="CA1.end", seq=0, at=stamp(now), kind="began", facts={"a": 1})])
    yield one
    one.close()


def run(*args: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["agents", *args])
    return result.exit_code, result.stdout, result.stderr


def told(*args: str) -> dict[str, Any]:
    code, out, err = run(*args, "--json")
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


def test_agents_that_are_off_say_how_to_turn_them_on() -> None:
    code, out, err = run("serve")
    assert (code, out) == (2, "")
    assert err == (
        "voicelat: agents are off: set AGENTS_ENABLED=1 here and where calls are served\n"
    )


def test_a_process_that_could_approve_itself_does_not_start() -> None:
    code, _, err = run("serve", "--set", "AGENTS_ENABLED=1", "--set", "APPROVER_TOKEN=x")
    assert code == 2
    assert "APPROVER_TOKEN is set" in err


def test_what_waits_is_listed_without_its_grant(store: Store) -> None:
    [waiting] = told("approve")["approvals"]
    assert (waiting["id"], waiting["arguments"]) == ("CA1.end:2", {"text": "שלום"})
    assert "grant_token" not in waiting
    _, out, _ = run("approve")
    assert 'Voice wants whatsapp.send {"text": "שלום"}' in out


def test_a_rejection_is_kept_with_its_reason_and_its_person(store: Store) -> None:
    done = told("reject", "CA1.end:2", "--reason", "not now")
    assert (done["state"], done["reason"], done["arguments"]) == ("rejected", "not now", None)
    assert done["decided_by"]
    code, _, err = run("reject", "CA1.end:2", "--reason", "again")
    assert code == 2
    assert "CA1.end:2 is rejected by" in err
    assert told("approve")["approvals"] == []


def test_a_run_is_shown_line_by_line(store: Store) -> None:
    assert told("log", "CA1.end")["log"][0]["facts"] == {"a": 1}
    code, out, _ = run("log", "CA1.end")
    assert (code, "began" in out) == (0, True)
    code, _, err = run("log", "CA9")
    assert (code, err) == (2, "voicelat: no run CA9; list the last ones: voicelat agents log\n")


def test_a_database_that_no_worker_has_seen_has_no_runs(store: Store) -> None:
    assert told("log") == {"schema": 1, "runs": []}
    code, _, err = run("retry", "CA1.end")
    assert code == 2
    assert "no dead run" in err


def test_a_database_that_is_not_there_is_no_connection() -> None:
    code, _, err = run("log", "--set", "AGENTS_DB_URL=postgresql://127.0.0.1:1/none")
    assert code == 3
    assert err.startswith("voicelat: the agents' database: ")
    assert err.count("\n") == 1


def test_the_agents_process_listens_says_so_and_stops_when_it_is_told_to() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", READY, "http://127.0.0.1:0"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        if hasattr(os, "getpriority"):
            ours = os.getpriority(os.PRIO_PROCESS, 0)
            assert os.getpriority(os.PRIO_PROCESS, process.pid) >= min(19, ours + 10)
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "stopped\n"


def test_without_a_token_it_listens_on_loopback_alone() -> None:
    from voicelat.agentkit.runs.process import serve

    with pytest.raises(UsageError, match="AGENTS_TOKEN"):
        serve(Nobody(), "http://0.0.0.0:0", None, on_ready=print)


class Nobody:
    def start(self) -> None:
        raise AssertionError

    def stop(self, grace_s: float = 5.0) -> None:
        raise AssertionError

    def enqueue(self, event: object) -> None:
        raise AssertionError


def test_a_call_to_try_is_the_last_one_of_its_file(tmp_path: Path) -> None:
    turns = tmp_path / "turns.jsonl"
    rows = [
        {"call_id": "CA1", "turn": 1, "outcome": "answered", "text": "old"},
        {"call_id": "CA2", "turn": 1, "outcome": "answered", "text": "hello", "reply": "yes?"},
    ]
    turns.write_text("\n".join(json.dumps({"schema": 1, **row}) for row in rows))
    event = happened(None, None, turns)
    assert (event.kind, event.text) == ("call_ended", "caller: hello\nagent: yes?")
    with pytest.raises(UsageError, match="one of --text"):
        happened("a", "b", None)
    turns.write_text("")
    with pytest.raises(InvalidFile, match="no turns"):
        happened(None, None, turns)
