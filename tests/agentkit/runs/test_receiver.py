"""The receiver: says that it has an event only when it is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="the extra is not installed")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from voicelat.agentkit.runs.event import Event
from voicelat.agentkit.runs.receiver import MAX_BODY, Receiver

GOOD = {"id": "CA1.1", "kind": "turn", "text": "hi", "at_utc": "2026-01-01T00:00:00+00:00"}


class Keeper:
    """A worker that only keeps."""

    def __init__(self) -> None:
        self.kept: list[Event] = []
        self.state = "new"
        self.broken = False

    def start(self) -> None:
        self.state = "started"

    def stop(self, grace_s: float = 5.0) -> None:
        self.state = f"stopped after {grace_s:g} s"

    def enqueue(self, event: Event) -> None:
        if self.broken:
            raise OperationalError("INSERT", {}, Exception("the disk is full"))
        self.kept.append(event)


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


@pytest.fixture
def client(keeper: Keeper) -> Iterator[TestClient]:
    with TestClient(Receiver(keeper, None, grace_s=2).app) as one:
        yield one


def test_the_worker_lives_as_long_as_the_application(keeper: Keeper) -> None:
    with TestClient(Receiver(keeper, None, grace_s=2).app):
        assert keeper.state == "started"
    assert keeper.state == "stopped after 2 s"


def test_events_are_kept_and_what_is_none_is_counted(client: TestClient, keeper: Keeper) -> None:
    bad: list[Any] = [{**GOOD, "id": "no/slash"}, {**GOOD, "kind": "other"}, 7, {}]
    answer = client.post("/v1/events", json={"events": [GOOD, *bad, {**GOOD, "id": "CA1.2"}]})
    assert answer.json() == {"accepted": 2, "refused": 4}
    assert [event.id for event in keeper.kept] == ["CA1.1", "CA1.2"]
    assert client.get("/healthz").json() == {"status": "ok", "accepted": 2, "refused": 4}


def test_an_event_that_cannot_be_kept_is_asked_for_again(
    client: TestClient, keeper: Keeper
) -> None:
    keeper.broken = True
    answer = client.post("/v1/events", json={"events": [GOOD]})
    assert (answer.status_code, answer.json()["error"]) == (503, "busy")


def test_only_who_has_the_token_may_send(keeper: Keeper) -> None:
    with TestClient(Receiver(keeper, "secret").app) as client:
        for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "secret"}):
            assert (
                client.post("/v1/events", json={"events": []}, headers=headers).status_code == 401
            )
        right = {"Authorization": "Bearer secret"}
        assert client.post("/v1/events", json={"events": [GOOD]}, headers=right).status_code == 200


def test_too_much_is_refused_unread(client: TestClient, keeper: Keeper) -> None:
    assert client.post("/v1/events", content=b" " * (MAX_BODY + 1)).status_code == 413
    assert client.post("/v1/events", json={"events": [GOOD] * 1001}).status_code == 413
    assert keeper.kept == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text().map(lambda text: json.dumps({"events": text}).encode()))
def test_whatever_is_sent_is_answered_in_json(client: TestClient, body: bytes) -> None:
    answer = client.post("/v1/events", content=body)
    assert answer.status_code in (200, 422)
    assert isinstance(answer.json(), dict)


def test_a_body_nested_without_end_is_refused(client: TestClient) -> None:
    answer = client.post("/v1/events", content=b'{"events":' + b"[" * 500_000)
    assert answer.status_code == 422
