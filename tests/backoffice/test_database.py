"""The tables come up from nothing, on both databases, and are what the models say."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from voicelat.errors import ConnectError, UsageError

pytest.importorskip("alembic", reason="the agents extra is not installed")

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from voicelat.backoffice.database import Database
from voicelat.backoffice.tables import Base


def test_the_migrations_lead_to_the_models(url: str) -> None:
    database = Database(url)
    database.upgrade()
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        # compare_metadata does not look at primary keys.
        for table in Base.metadata.sorted_tables:
            key = inspect(connection).get_pk_constraint(table.name)["constrained_columns"]
            assert key == [column.name for column in table.primary_key.columns]
    database.close()


def test_several_servers_that_start_at_once_upgrade_once(url: str) -> None:
    databases = [Database(url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Database.upgrade, databases))
    with databases[0].read() as db:
        assert db.scalars(text("SELECT version_num FROM alembic_version")).all() == ["0002"]
    for database in databases:
        database.close()


def test_a_database_of_a_later_version_is_left_alone(url: str) -> None:
    database = Database(url)
    database.upgrade()
    with database.write("") as db:
        db.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UsageError, match="upgrade voicelat"):
        database.upgrade()
    database.close()


def test_sqlite_keeps_a_log_and_minds_its_references(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'office.sqlite3'}", busy_wait_ms=1234)
    with database.read() as db:
        pragmas = ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")
        said = [db.scalar(text(f"PRAGMA {pragma}")) for pragma in pragmas]
    assert said == ["wal", 1, 1234, 2]
    database.close()


@pytest.mark.parametrize(
    "url", ["", "office.sqlite3", "sqlite://", "sqlite:///:memory:", "mysql://host/name"]
)
def test_a_url_that_cannot_work_is_refused_with_one_that_can(url: str) -> None:
    with pytest.raises(UsageError, match="sqlite:///FILE"):
        Database(url)


def test_a_database_that_cannot_be_reached_is_named_without_its_password() -> None:
    database = Database("postgresql://user:hunter2@127.0.0.1:1/name")
    with pytest.raises(ConnectError, match=re.escape("127.0.0.1:1/name")) as caught:
        database.upgrade()
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
