"""Versions: immutable, hashed, logged, and refused when somebody changed them."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.agentkit.workflows.toolbox import TOOLBOX, FakeEvent, MemorySteps

from voicelat.agentkit.workflows.export import export
from voicelat.agentkit.workflows.read import builtin
from voicelat.agentkit.workflows.store import Store
from voicelat.errors import InvalidFile, UsageError

FIRST = "{schema: 1, name: w, events: [turn], start: done, nodes: {done: {kind: end}}}"
SECOND = FIRST.replace("kind: end", "kind: end, label: Over")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    times = iter(datetime(2026, 11, 25, tzinfo=UTC) + timedelta(hours=hour) for hour in range(99))
    return Store(tmp_path / "workflows.db", TOOLBOX, now=lambda: next(times))


def written(folder: Path, text: str, name: str = "w.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_publishing_and_rolling_back_only_add_to_the_log(store: Store, tmp_path: Path) -> None:
    first = store.publish(written(tmp_path, FIRST), who="dana")
    second = store.publish(written(tmp_path, SECOND))
    assert store.current("w").version == second.version
    back = store.rollback("w", first.version[:8], who="noa")
    assert store.current("w").version == first.version == back.version
    log = store.versions("w")
    assert [(one.action, one.version, one.who) for one in log] == [
        ("rollback", first.version, "noa"),
        ("publish", second.version, None),
        ("publish", first.version, "dana"),
    ]
    assert [one.current for one in log] == [True, False, False]
    assert log[-1].at_utc == "2026-11-25T00:00:00.000+00:00"
    assert store.names() == ["w"]


def test_another_layout_of_the_same_workflow_is_the_same_version(
    store: Store, tmp_path: Path
) -> None:
    first = store.publish(written(tmp_path, FIRST))
    again = store.publish(written(tmp_path, f"# a comment\n{FIRST}\n"))
    assert again.version == first.version


def test_a_run_keeps_to_the_version_it_began_with(store: Store, tmp_path: Path) -> None:
    first = store.publish(written(tmp_path, FIRST))
    store.publish(written(tmp_path, SECOND))
    assert store.version("w", first.version).version == first.version


async def test_a_published_module_runs(store: Store, tmp_path: Path) -> None:
    graph = builtin("whatsapp")
    published = store.publish(written(tmp_path, export(graph), "whatsapp.py"))
    result = await store.current("whatsapp").run(FakeEvent(), MemorySteps({"value": "none"}))
    assert (result["end"], result["version"]) == ("nothing", published.version)


def test_a_content_that_was_changed_is_refused(store: Store, tmp_path: Path) -> None:
    store.publish(written(tmp_path, FIRST))
    with sqlite3.connect(tmp_path / "workflows.db") as database:
        with pytest.raises(sqlite3.IntegrityError, match="never changed"):
            database.execute("UPDATE content SET content = '{}'")
        database.execute("DROP TRIGGER content_stays")
        database.execute("UPDATE content SET content = replace(content, 'turn', 'call_ended')")
    with pytest.raises(InvalidFile, match="was changed after it was published"):
        store.current("w")


def test_the_log_cannot_be_rewritten(store: Store, tmp_path: Path) -> None:
    store.publish(written(tmp_path, FIRST))
    with sqlite3.connect(tmp_path / "workflows.db") as database:
        for statement in ("UPDATE log SET who = 'x'", "DELETE FROM log", "DELETE FROM content"):
            with pytest.raises(sqlite3.IntegrityError):
                database.execute(statement)


def test_what_fails_its_gate_or_its_check_is_not_published(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not published: too few pass"):
        store.publish(written(tmp_path, FIRST), gate=lambda workflow: "too few pass")
    with pytest.raises(InvalidFile, match=r"w\.yaml:1: there is no node 'gone'"):
        store.publish(written(tmp_path, FIRST.replace("start: done", "start: gone")))
    assert store.versions("w") == []


def test_a_version_that_is_not_there_is_said_to_be(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no workflow 'w' was published"):
        store.current("w")
    store.publish(written(tmp_path, FIRST))
    with pytest.raises(UsageError, match="w has no version 'beef00'"):
        store.rollback("w", "beef00")
    assert len(store.versions("w")) == 1


def test_a_file_that_is_no_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="cannot be used as a store"):
        Store(written(tmp_path, "not a database" * 100)).names()
