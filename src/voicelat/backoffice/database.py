"""The door to the database: one way to read, one way to write, one way to bring it up to date.

Writes of one tenant take turns. SQLite has one writer anyway; on PostgreSQL an advisory lock does
it, so that looking and then writing needs no care of its own, in no operation.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config as Alembic
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session

from voicelat.errors import ConnectError, UsageError

__all__ = ["Database"]

_BEGIN: Final = "voicelat_begin"


class Database:
    """A SQLite file or a PostgreSQL database, by SQLAlchemy URL.

    Raises UsageError for a URL that cannot work.
    """

    def __init__(self, url: str, busy_wait_ms: int = 5000) -> None:
        self.engine = _engine(url, busy_wait_ms)
        # Not upgraded from a read: two readers that both want to write would refuse each other.
        self._writer = self.engine.execution_options(**{_BEGIN: "IMMEDIATE"})

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session to look."""
        with Session(self.engine) as session:
            yield session

    @contextmanager
    def write(self, tenant: str) -> Iterator[Session]:
        """A session whose work is kept when the block ends, and undone when it raises."""
        with Session(self._writer) as session, session.begin():
            self._take_turn(session.connection(), tenant)
            yield session

    def upgrade(self) -> None:
        """Bring the tables up to date. Safe when several processes start at once.

        Raises ConnectError when the database cannot be reached, UsageError when it was written by
        a later voicelat.
        """
        config = Alembic()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        try:
            with self._writer.begin() as connection:
                self._take_turn(connection, "")
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except OperationalError as error:
            where = self.engine.url.render_as_string(hide_password=True)
            raise ConnectError(
                f"the database {where} cannot be used ({_first_line(error)});"
                " start it or correct --database"
            ) from error
        except CommandError as error:
            raise UsageError(
                f"the database has tables this voicelat does not know ({error}); upgrade voicelat"
            ) from error

    def compact(self) -> None:
        """Leave nothing of what was deleted in a file: SQLite keeps pages and a log of them.

        PostgreSQL reuses the space by itself (autovacuum); a VACUUM FULL is the owner's to run.
        """
        if self.engine.dialect.name != "sqlite":
            return
        with closing(self.engine.raw_connection()) as raw:
            cursor = raw.cursor()
            for statement in ("PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM"):
                cursor.execute(statement)
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Let go of every connection."""
        self.engine.dispose()

    def _take_turn(self, connection: Connection, tenant: str) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(
                text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"),
                {"name": f"voicelat backoffice {tenant}"},
            )


def _engine(url: str, busy_wait_ms: int) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise UsageError(
            "--database is no URL; give sqlite:///FILE or postgresql://USER@HOST/NAME"
        ) from error
    wait_s = busy_wait_ms / 1000
    match parsed.get_backend_name():
        case "sqlite" if parsed.database not in {None, "", ":memory:"}:
            engine = create_engine(parsed, pool_timeout=wait_s, connect_args={"timeout": wait_s})
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        case "sqlite":
            raise UsageError("a database in memory forgets; give sqlite:///FILE")
        case "postgresql":
            try:
                return create_engine(
                    parsed.set(drivername="postgresql+psycopg"),
                    pool_timeout=wait_s,
                    pool_pre_ping=True,
                    connect_args={
                        "connect_timeout": max(1, round(wait_s)),
                        "options": f"-c lock_timeout={busy_wait_ms}",
                    },
                )
            except (ArgumentError, NoSuchModuleError) as error:
                raise UsageError(f"--database: {_first_line(error)}") from error
        case other:
            raise UsageError(f"no back office on {other}; use sqlite:///FILE or postgresql://…")


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own idea of when to begin would leave DDL and SELECTs outside the transaction.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get(_BEGIN, '')}")


def _first_line(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return (str(cause).strip() or type(cause).__name__).splitlines()[0]
