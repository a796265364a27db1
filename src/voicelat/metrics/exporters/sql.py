"""Turns in SQLite or PostgreSQL. Needs the ``sql`` extra.

Tables are made where they are missing, and columns added where a newer version has more. A turn's
key is its call, its number and who measured it, and what is there already is replaced: the same
turns written twice, or again after a connection broke off, are there once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from voicelat.errors import ConnectError, MissingExtra, UsageError
from voicelat.metrics.exporters.columns import COLUMNS, instant, started_at
from voicelat.metrics.record import TurnRecord

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["SqlWriter"]

_VERSION: Final = 1
"""Of the tables. Columns may be added within one."""

_KEY: Final = ("call_id", "started_utc", "source", "turn")
"""A call is its name and its start: names may come again (`voicelat.metrics.samples`)."""

_LOCK: Final = 0x766F6963
"""Any number of ours: PostgreSQL's advisory lock around making the tables."""

_CONNECT: Final = {"connect_timeout": 10, "tcp_user_timeout": 10_000, "keepalives_idle": 30}
"""libpq's, where the URL does not say: a server that is gone must be noticed."""

_PERCENTILES: Final = """
CREATE OR REPLACE VIEW voicelat_percentiles AS
SELECT date_trunc('day', turn_at AT TIME ZONE 'UTC')::date AS day, source,
  count(*) AS turns, count(DISTINCT (call_id, started_utc)) AS calls,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY total_latency_ms)
    FILTER (WHERE total_latency_ms >= 0) AS total_p50,
  percentile_cont(0.95) WITHIN GROUP (ORDER BY total_latency_ms)
    FILTER (WHERE total_latency_ms >= 0) AS total_p95,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY stt_final_ms)
    FILTER (WHERE stt_final_ms >= 0) AS stt_final_p50,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY tts_ready_ms)
    FILTER (WHERE tts_ready_ms >= 0) AS tts_ready_p50,
  count(*) FILTER (WHERE barge_in_hit) AS barge_ins, count(*) FILTER (WHERE cutoff) AS cutoffs,
  count(*) FILTER (WHERE outcome = 'censored') AS censored
FROM voicelat_turns GROUP BY 1, 2
"""
"""Answered turns alone are in the percentiles: ``censored`` stands beside them."""


class SqlWriter:
    """Writes turns to the database at ``url`` (``sqlite:///turns.db``, ``postgresql://...``).

    Connects when it first writes, and again after a failure. Raises UsageError for a URL that is
    none or is another database's, MissingExtra without the packages.
    """

    def __init__(self, url: str) -> None:
        try:
            from sqlalchemy import exc

            self._engine = _engine(url)
        except ImportError:
            raise MissingExtra("sql", "writing turns to a database") from None
        self._postgres = self._engine.dialect.name == "postgresql"
        self._version, self._calls, self._turns = _tables()
        self._place = self._engine.url.render_as_string(hide_password=True)
        self._unfit = (exc.DataError, exc.IntegrityError, ValueError, OverflowError)
        self._forbidden = exc.ProgrammingError
        self._failed = exc.SQLAlchemyError
        self._prepared = False

    def write(self, records: Sequence[TurnRecord]) -> list[str]:
        """Insert or replace the turns; returns why, for each that the database cannot take.

        Raises ConnectError when it cannot be reached or has no room, UsageError when a right is
        missing or its tables are a newer version's.
        """
        try:
            if not self._prepared:
                self._prepare()
                self._prepared = True
            return self._insert(records)
        except self._failed as error:
            self._prepared = False  # what comes back may be another database
            said = f"{self._place}: {_why(error)}"
            if isinstance(error, self._forbidden):
                raise UsageError(said) from None
            raise ConnectError(said) from None

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _insert(self, records: Sequence[TurnRecord]) -> list[str]:
        """All at once; one by one when there is one among them that cannot be."""
        try:
            with self._engine.begin() as connection:
                for table, rows in self._rows(records):
                    connection.execute(self._upsert(table), rows)
        except self._unfit as error:
            if len(records) > 1:
                return [why for record in records for why in self._insert([record])]
            return [f"{records[0].call_id} turn {records[0].turn}: {_why(error)}"]
        return []

    def _rows(self, records: Sequence[TurnRecord]) -> list[tuple[sa.Table, list[dict[str, Any]]]]:
        """Rows by table. Of two with one key the later: a statement takes no key twice."""
        calls: dict[object, dict[str, Any]] = {}
        turns: dict[object, dict[str, Any]] = {}
        of_call, of_turn = ([c.name for c in table.columns] for table in (self._calls, self._turns))
        for record in records:
            call = (record.call_id, record.started_utc, record.source)
            row = {name.lower(): value for name, value in _fields(record).items()}
            calls[call] = {name: row[name] for name in of_call}
            turns[(*call, record.turn)] = {name: row[name] for name in of_turn}
        return [(self._calls, list(calls.values())), (self._turns, list(turns.values()))]

    def _upsert(self, table: sa.Table) -> Any:
        from sqlalchemy.dialects import postgresql, sqlite

        insert = postgresql.insert(table) if self._postgres else sqlite.insert(table)
        keys = list(table.primary_key.columns)
        new = {column.name: insert.excluded[column.name] for column in table.columns}
        return insert.on_conflict_do_update(index_elements=keys, set_=new)

    def _prepare(self) -> None:
        """Make what is missing. Nothing is asked of a database that has it all, so that a user
        without the right to make tables will do."""
        import sqlalchemy as sa
        from sqlalchemy.schema import CreateIndex, CreateTable

        with self._engine.begin() as connection:
            if self._postgres:  # workers that start together would make the same table
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            inspector = sa.inspect(connection)
            made = False
            for table in (self._version, self._calls, self._turns):
                if inspector.has_table(table.name):
                    there = {column["name"] for column in inspector.get_columns(table.name)}
                    self._add_columns(connection, table, there)
                    continue
                made = True
                connection.execute(CreateTable(table, if_not_exists=True))
                for index in table.indexes:
                    connection.execute(CreateIndex(index, if_not_exists=True))
            found = connection.execute(sa.select(sa.func.max(self._version.c.version))).scalar()
            if found is None:
                connection.execute(self._upsert(self._version), [{"version": _VERSION}])
            elif found != _VERSION:
                raise UsageError(
                    f"{self._place}: its turns are of version {found}, this voicelat writes"
                    f" version {_VERSION}; give another database"
                )
            if self._postgres and made:
                connection.execute(sa.text(_PERCENTILES))

    def _add_columns(self, connection: sa.Connection, table: sa.Table, there: set[str]) -> None:
        from sqlalchemy import text

        for column in table.columns:
            if column.name not in there:
                kind = column.type.compile(self._engine.dialect)
                connection.execute(
                    text(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}")
                )


def _engine(url: str) -> sa.Engine:
    import sqlalchemy as sa

    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise UsageError(
            "the database's URL cannot be read: give sqlite:///FILE or postgresql://USER@HOST/NAME"
        ) from None
    match parsed.get_backend_name():
        case "sqlite":
            _keep_private(parsed.database)
            return sa.create_engine(parsed)
        case "postgresql" | "postgres":
            asked = {name: value for name, value in _CONNECT.items() if name not in parsed.query}
            parsed = parsed.set(drivername="postgresql+psycopg")
            return sa.create_engine(parsed, connect_args=asked)
        case other:
            raise UsageError(f"turns cannot be written to {other}: give sqlite or postgresql")


def _keep_private(file: str | None) -> None:
    """Make the file ours alone before SQLite makes it everybody's: what callers said is theirs."""
    if file is None or file == ":memory:" or file.startswith("file:"):
        return
    try:
        Path(file).touch(mode=0o600)
    except OSError as error:
        raise UsageError(f"{file}: cannot be written ({error.strerror})") from None


def _tables() -> tuple[sa.Table, sa.Table, sa.Table]:
    """``voicelat_schema``, ``voicelat_calls``, ``voicelat_turns``."""
    import sqlalchemy as sa
    from sqlalchemy.dialects.postgresql import JSONB

    types: dict[str, Any] = {
        "int": sa.BigInteger,
        "float": sa.Double,
        "bool": sa.Boolean,
        "text": sa.Text,
        "json": sa.JSON().with_variant(JSONB(), "postgresql"),
    }
    kinds = {column.name.lower(): types[column.kind] for column in COLUMNS}
    kinds |= dict.fromkeys(("started_at", "turn_at"), sa.DateTime(timezone=True))

    def column(name: str) -> sa.Column[Any]:
        return sa.Column(name, kinds[name], primary_key=name in _KEY, autoincrement=False)

    meta = sa.MetaData()
    version = sa.Table("voicelat_schema", meta, sa.Column("version", sa.Integer, primary_key=True))
    of_call = ("stream_sid", "started_at", "providers", "settings")
    calls = sa.Table("voicelat_calls", meta, *map(column, (*_KEY[:-1], *of_call)))
    of_turn = [name for name in kinds if name not in (*_KEY, *of_call, "schema")]
    turns = sa.Table("voicelat_turns", meta, *map(column, (*_KEY, *of_turn)))
    sa.Index("voicelat_turns_turn_at", turns.c.turn_at)
    return version, calls, turns


def _fields(record: TurnRecord) -> dict[str, Any]:
    """The record's fields, for columns."""
    return {
        **msgspec.structs.asdict(record),
        "started_utc": record.started_utc or "",  # a key has no unknown part
        "stamps": msgspec.structs.asdict(record.stamps),
        "stalls": msgspec.to_builtins(record.stalls),
        "started_at": started_at(record),
        "turn_at": instant(record),
    }


def _why(error: Exception) -> str:
    """The database's own words, in one line."""
    said = str(getattr(error, "orig", None) or error)
    return " ".join(said.split())
