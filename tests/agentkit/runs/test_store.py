"""The log and the approvals: written once, decided once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("sqlalchemy", reason="the extra is not installed")

from voicelat.agentkit.runs.store import Approval, Entry, Store, stamp
from voicelat.errors import ConnectError, UsageError

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(empty_url: str) -> Iterator[Store]:
    one = Store(empty_url)
    yield one
    one.close()


def approval(name: str) -> Approval:
    return Approval(
        id=name,
        run_id="CA1.1",
        call_id=None,
        agent="Voice",
        tool="crm.update",
        arguments={"customer_id": "7"},
        rule="r",
        why="because",
        sdk_version="0",
        asked_at=stamp(NOW),
        expires_at=stamp(NOW + timedelta(hours=1)),
        state="waiting",
    )


def entry(seq: int, kind: str = "called", **more: str) -> Entry:
    return Entry(run_id="CA1.1", seq=seq, at=stamp(NOW), kind=kind, **more)  # type: ignore[arg-type]


def test_what_is_told_again_is_not_written_again(store: Store) -> None:
    store.append([entry(0), entry(1)])
    store.append([entry(1, tool="other"), entry(2), entry(2, "dead")])
    assert [(one.seq, one.kind, one.tool) for one in store.entries("CA1.1")] == [
        (0, "called", None),
        (1, "called", None),
        (2, "called", None),
        (2, "dead", None),
    ]


def test_of_two_approvers_one_decides(store: Store) -> None:
    store.ask(approval("race"))
    won: list[str] = []
    together = threading.Barrier(8)

    def decide(who: str) -> None:
        together.wait()
        if store.approve("race", {"by": who}, f"grant of {who}", who, NOW):
            won.append(who)

    threads = [threading.Thread(target=decide, args=(f"p{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.approval("race")
    assert found is not None
    [winner] = won
    assert (found.decided_by, found.arguments, found.grant_token) == (
        winner,
        {"by": winner},
        f"grant of {winner}",
    )


def test_a_yes_comes_too_late_at_the_instant_of_expiry(store: Store) -> None:
    store.ask(approval("late"))
    end = NOW + timedelta(hours=1)
    assert not store.expire("late", end - timedelta(milliseconds=1))
    assert not store.approve("late", {}, "grant", "dana", end)
    assert store.expire("late", end)
    found = store.approval("late")
    assert found is not None
    assert (found.state, found.arguments) == ("expired", None)
    assert not store.reject("late", "no", "dana", end)


def test_asking_again_does_not_undo_a_decision(store: Store) -> None:
    store.ask(approval("again"))
    assert store.reject("again", "no", "dana", NOW)
    store.ask(approval("again"))
    found = store.approval("again")
    assert found is not None
    assert (found.state, found.reason, found.arguments) == ("rejected", "no", None)


def test_what_was_used_is_forgotten(store: Store) -> None:
    store.ask(approval("used"))
    assert store.approve("used", {"a": 1}, "grant", "dana", NOW)
    store.forget("used")
    found = store.approval("used")
    assert found is not None
    assert (found.state, found.arguments, found.grant_token) == ("approved", None, None)


def test_rates_count_calls_of_the_day_the_run_and_the_phone_call(store: Store) -> None:
    old, new = stamp(NOW - timedelta(days=3)), stamp(NOW)
    store.append(
        [
            Entry(run_id=run, call_id=call, seq=0, at=at, kind="called")
            for run, call, at in (
                ("old", None, old),
                ("mine", None, old),
                ("other", "CA9", old),
                ("fresh", None, new),
            )
        ]
    )
    since = stamp(NOW - timedelta(days=1))
    assert {"mine", "other", "fresh"} <= {e.run_id for e in store.calls(since, "mine", "CA9")}
    assert "old" not in {e.run_id for e in store.calls(since, "mine", "CA9")}
    assert "other" not in {e.run_id for e in store.calls(since, "mine", None)}


def test_a_database_without_a_worker_has_no_runs(store: Store) -> None:
    assert not store.has_runs()


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("nonsense", UsageError),
        ("sqlite:////no/such/folder/a.db", ConnectError),
        ("postgresql://127.0.0.1:1/none", ConnectError),
    ],
)
def test_a_database_that_cannot_be_is_said_in_a_line(url: str, error: type[Exception]) -> None:
    with pytest.raises(error, match="AGENTS_DB_URL") as told:
        Store(url)
    assert "\n" not in str(told.value).strip()
