"""Fixtures of the back office's tests: each runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.postgres import new_database

if TYPE_CHECKING:
    from tests.backoffice.bench import Bench


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of the test's own."""
    pytest.importorskip("alembic", reason="the agents extra is not installed")
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'office.sqlite3'}"
    return new_database(request.getfixturevalue("postgres"), uuid.uuid4().hex)


@pytest.fixture
def bench(url: str) -> Iterator[Bench]:
    """A back office over it."""
    from tests.backoffice.bench import open_bench

    with open_bench(url) as opened:
        yield opened
