"""The outbox: offers never wait, and what becomes of every event is counted."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from voicelat.agentkit.runs.event import Event
from voicelat.agentkit.runs.feed import CallFeed
from voicelat.agentkit.runs.outbox import Outbox, OutboxCounts
from voicelat.errors import UsageError
from voicelat.metrics.record import TurnRecord


def event(name: str = "CA1.1", text: str = "hello") -> Event:
    return Event(id=name, kind="turn", text=text, at_utc="2026-01-01T00:00:00+00:00")


class Agents:
    """A receiver that answers as it is told to, and keeps what it accepted."""

    def __init__(self, answer: Callable[[list[dict[str, Any]]], tuple[int, int]]) -> None:
        self.seen: list[str] = []
        self.tokens: set[str | None] = set()
        self.asked = threading.Semaphore(0)
        agents = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                events = msgspec.json.decode(body)["events"]
                agents.tokens.add(self.headers["Authorization"])
                status, refused = answer(events)
                if status == 200:
                    agents.seen += [one["id"] for one in events]
                told = msgspec.json.encode({"refused": refused})
                self.send_response(status)
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)
                agents.asked.release()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@contextmanager
def agents(
    answer: Callable[[list[dict[str, Any]]], tuple[int, int]] = lambda _: (200, 0),
) -> Iterator[Agents]:
    one = Agents(answer)
    thread = threading.Thread(target=one.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield one
    finally:
        one.server.shutdown()
        one.server.server_close()
        thread.join()


def settled(outbox: Outbox) -> OutboxCounts:
    assert outbox.close(timeout_s=10)
    return outbox.counts()


def test_every_offered_event_arrives_once_with_the_token() -> None:
    with agents() as there:
        outbox = Outbox(there.url, "secret", poll_s=0.001)
        assert all(outbox.offer(event(f"CA1.{n}")) for n in range(120))
        assert settled(outbox) == OutboxCounts(120, 0, 0, 0)
        assert sorted(there.seen) == sorted(f"CA1.{n}" for n in range(120))
        assert there.tokens == {"Bearer secret"}


def test_a_full_outbox_drops_what_is_new_and_counts_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, like a stopped process
        outbox = Outbox(f"http://127.0.0.1:{silent.getsockname()[1]}", size=3, timeout_s=30)
        assert [outbox.offer(event(f"CA1.{n}")) for n in range(5)] == [True] * 3 + [False] * 2
        assert not outbox.close(timeout_s=0)
        assert outbox.counts() == OutboxCounts(0, 2, 0, 3)


def test_events_wait_for_a_process_that_is_not_there_yet() -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    outbox = Outbox(f"http://127.0.0.1:{port}", poll_s=0.001)
    outbox.offer(event())
    assert not outbox.close(timeout_s=10)
    assert outbox.counts() == OutboxCounts(0, 0, 0, 1)
    assert outbox.last_error is not None
    assert "Refused" in outbox.last_error


def test_a_failing_process_is_asked_again() -> None:
    answers = iter([(503, 0), (401, 0)])
    with agents(lambda _: next(answers, (200, 0))) as there:
        outbox = Outbox(there.url, poll_s=0.001)
        outbox.offer(event())
        for _ in range(3):
            assert there.asked.acquire(timeout=10)
        assert settled(outbox) == OutboxCounts(1, 0, 0, 0)
        assert there.seen == ["CA1.1"]


def test_one_hopeless_event_does_not_take_the_others_with_it() -> None:
    def answer(events: list[dict[str, Any]]) -> tuple[int, int]:
        return (422, 0) if any(one["text"] == "bad" for one in events) else (200, 0)

    with agents(answer) as there:
        outbox = Outbox(there.url, poll_s=0.2)
        for name, text in (("a", "good"), ("b", "bad"), ("c", "good")):
            outbox.offer(event(name, text))
        assert settled(outbox) == OutboxCounts(2, 0, 1, 0)
        assert sorted(there.seen) == ["a", "c"]


def test_refused_and_unencodable_events_are_counted() -> None:
    with agents(lambda events: (200, sum(one["id"] == "bad" for one in events))) as there:
        outbox = Outbox(there.url, poll_s=0.001)
        outbox.offer(event("bad"))
        outbox.offer(event("half", text="\ud800"))
        outbox.offer(event("good"))
        assert settled(outbox) == OutboxCounts(1, 0, 2, 0)


def test_nothing_is_taken_after_the_end() -> None:
    with agents() as there:
        outbox = Outbox(there.url)
        assert settled(outbox) == OutboxCounts(0, 0, 0, 0)
        assert not outbox.offer(event())
        assert outbox.counts() == OutboxCounts(0, 1, 0, 0)


@pytest.mark.parametrize("url", ["", "agents", "ftp://127.0.0.1", "http://"])
def test_an_address_that_is_none_is_the_users_to_fix(url: str) -> None:
    with pytest.raises(UsageError, match="http"):
        Outbox(url)


def test_a_call_tells_its_turns_and_at_the_end_its_transcript() -> None:
    kept: list[dict[str, Any]] = []

    def keep(events: list[dict[str, Any]]) -> tuple[int, int]:
        kept.extend(events)
        return 200, 0

    with agents(keep) as there:
        feed = CallFeed(Outbox(there.url, poll_s=0.001), "he-IL")
        feed.turn(TurnRecord(call_id="CA1", turn=0, outcome="answered", reply="Hello?"))
        feed.turn(TurnRecord(call_id="CA1", turn=1, outcome="censored", text="שלום"))
        feed.turn(TurnRecord(call_id="CA1", turn=2, outcome="abandoned"))  # nothing was said
        feed.ended("CA1", "stopped")
        assert feed.close() is None
    assert [one["id"] for one in kept] == ["CA1.0", "CA1.1", "CA1.end"]
    assert kept[-1]["text"] == "agent: Hello?\ncaller: שלום"
    assert [one["speaker"] for one in kept[-1]["data"]["turns"]] == ["agent", "caller"]
    assert {one["language"] for one in kept} == {"he-IL"}


def test_events_that_were_lost_are_told_at_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    feed = CallFeed(Outbox(f"http://127.0.0.1:{port}"))
    feed.ended("CA1", "stopped")
    assert "waiting=1" in (feed.close() or "")


def test_the_process_that_carries_calls_imports_nothing_of_the_agents() -> None:
    code = (
        "import sys, voicelat.settings.wiring\n"
        "print(sorted({'agents', 'dbos', 'sqlalchemy', 'openai', 'pydantic', 'fastapi'}"
        " & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
