"""Fixtures of the runs' tests: each runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.postgres import new_database

DATABASES = ("sqlite", "postgresql")


@pytest.fixture(params=DATABASES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database of the test's own, with nothing in it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return new_database(request.getfixturevalue("postgres"), uuid.uuid4().hex)


@pytest.fixture(params=DATABASES)
def db_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The same, once a worker was there: it has the tables and the queue, and no runs.

    A first worker takes a second longer: DBOS looks that often for new queues.
    """
    copied: Callable[[Path], str] = request.getfixturevalue(f"{request.param}_with_tables")
    return copied(tmp_path)


@pytest.fixture(scope="session")
def sqlite_with_tables(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], str]:
    """Into a folder, another one. Returns its URL."""
    first = tmp_path_factory.mktemp("runs") / "agents.db"
    make_tables(f"sqlite:///{first}")

    def copied(folder: Path) -> str:
        return f"sqlite:///{shutil.copy(first, folder / 'agents.db')}"

    return copied


@pytest.fixture(scope="session")
def postgresql_with_tables(postgres: str) -> Callable[[Path], str]:
    """The same; it is in no folder."""
    first = uuid.uuid4().hex
    make_tables(new_database(postgres, first))

    def copied(_folder: Path) -> str:
        return new_database(postgres, uuid.uuid4().hex, like=first)

    return copied


def make_tables(url: str) -> None:
    """Have a worker come and go."""
    from tests.agentkit.runs.doubles import parts

    from voicelat.agentkit.runs.worker import Worker

    some, _ = parts(url, "http://127.0.0.1:1")
    worker = Worker(some, url)
    worker.start()
    worker.stop(0)
    some.store.close()
