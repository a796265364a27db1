"""What stands in the database beside DBOS' own tables: the log of every run, and the approvals.

The log is append-only, keyed by run, number and kind: a resumed run that tells the same thing
again writes nothing, and one that is sent back to work goes on beside the line that says it was
dead. An approval is decided by compare-and-set: of two deciders one wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from voicelat.errors import ConnectError, UsageError

__all__ = ["Approval", "ApprovalState", "Entry", "RunLine", "Store", "stamp"]

ApprovalState = Literal["waiting", "approved", "rejected", "expired"]

_LOCK: Final = 0x766F6963
"""Of ours: any number that nobody else takes."""
_METADATA: Final = sa.MetaData()
_LOG: Final = sa.Table(
    "agent_log",
    _METADATA,
    sa.Column("run_id", sa.String, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("call_id", sa.String),
    sa.Column("at", sa.String, nullable=False),
    sa.Column("kind", sa.String, primary_key=True),
    sa.Column("agent", sa.String),
    sa.Column("tool", sa.String),
    sa.Column("decision", sa.String),
    sa.Column("who", sa.String),
    sa.Column("latency_ms", sa.Integer),
    sa.Column("facts", sa.JSON, nullable=False),
    sa.Index("agent_log_by_time", "at"),
    sa.Index("agent_log_by_call", "call_id"),
)
_APPROVALS: Final = sa.Table(
    "agent_approvals",
    _METADATA,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("run_id", sa.String, nullable=False),
    sa.Column("call_id", sa.String),
    sa.Column("agent", sa.String, nullable=False),
    sa.Column("tool", sa.String, nullable=False),
    sa.Column("arguments", sa.JSON(none_as_null=True)),
    sa.Column("rule", sa.String, nullable=False),
    sa.Column("why", sa.String, nullable=False),
    sa.Column("sdk_version", sa.String, nullable=False),
    sa.Column("asked_at", sa.String, nullable=False),
    sa.Column("expires_at", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("decided_at", sa.String),
    sa.Column("decided_by", sa.String),
    sa.Column("reason", sa.String),
    sa.Column("grant_token", sa.String),
    sa.Index("agent_approvals_by_state", "state", "asked_at"),
)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a run's log. What it holds was redacted before it came here."""

    run_id: str
    call_id: str | None = None
    seq: int
    at: str
    kind: str
    agent: str | None = None
    tool: str | None = None
    decision: str | None = None
    """allow, deny, ask; approved, rejected, expired. None: nothing was decided."""
    who: str | None = None
    """Who decided: a rule, or a person."""
    latency_ms: int | None = None
    facts: dict[str, Any] = {}


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call that waits for a person, or was decided by one."""

    id: str
    run_id: str
    call_id: str | None
    agent: str
    tool: str
    arguments: dict[str, Any] | None
    """As the model gave them, or a person corrected them. None: used, and forgotten."""
    rule: str
    why: str
    sdk_version: str
    asked_at: str
    expires_at: str
    state: ApprovalState
    decided_at: str | None = None
    decided_by: str | None = None
    reason: str | None = None
    grant_token: str | None = None
    """The one-time grant for exactly these arguments. None: none yet, or used."""


class RunLine(msgspec.Struct, frozen=True, kw_only=True):
    """A run in a list."""

    run_id: str
    call_id: str | None
    began_at: str
    updated_at: str
    lines: int
    """Of its log."""
    tools: int
    """Calls that were made."""

    @property
    def place(self) -> str:
        """Where it stands among the runs."""
        return f"{self.updated_at}~{self.run_id}"


class Store:
    """The log and the approvals in one database; made there if they are not.

    Any thread may call it, and any number of processes. Raises `UsageError` for a URL that is
    none, `ConnectError` when the database cannot be reached.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self._engine = sa.create_engine(_with_driver(url))
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError):
            raise UsageError(
                "AGENTS_DB_URL must be sqlite:///FILE or postgresql://USER@HOST/NAME"
            ) from None
        self._insert = (
            postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        )
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
        with self._begin() as connection:
            if self._engine.dialect.name == "postgresql":  # there, two "if not exists" can collide
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            for table in _METADATA.sorted_tables:
                connection.execute(CreateTable(table, if_not_exists=True))
            for index in (*_LOG.indexes, *_APPROVALS.indexes):
                connection.execute(CreateIndex(index, if_not_exists=True))

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def has_runs(self) -> bool:
        """Whether a worker was ever here: DBOS makes its own tables when one starts."""
        schema = "dbos" if self._engine.dialect.name == "postgresql" else None
        with self._begin() as connection:
            return sa.inspect(connection).has_table("workflow_status", schema=schema)

    # -- the log ------------------------------------------------------------------------------

    def append(self, entries: list[Entry]) -> None:
        """Write what is not there yet."""
        if not entries:
            return
        rows = [msgspec.structs.asdict(entry) for entry in entries]
        with self._begin() as connection:
            connection.execute(self._insert(_LOG).on_conflict_do_nothing(), rows)

    def entries(self, run_id: str) -> list[Entry]:
        """A run's log from its beginning."""
        asked = sa.select(_LOG).where(_LOG.c.run_id == run_id).order_by(_LOG.c.seq, _LOG.c.at)
        return [msgspec.convert(row, Entry) for row in self._read(asked)]

    def runs(self, before: str | None, limit: int) -> list[RunLine]:
        """The runs that were told of last, newest first. ``before``: the `RunLine.place` of one."""
        updated = sa.func.max(_LOG.c.at)
        asked = (
            sa.select(
                _LOG.c.run_id,
                sa.func.max(_LOG.c.call_id).label("call_id"),
                sa.func.min(_LOG.c.at).label("began_at"),
                updated.label("updated_at"),
                sa.func.count().label("lines"),
                sa.func.count(sa.case((_LOG.c.kind == "called", 1))).label("tools"),
            )
            .group_by(_LOG.c.run_id)
            .order_by(updated.desc(), _LOG.c.run_id.desc())
            .limit(limit)
        )
        if before is not None:
            at, _, run_id = before.partition("~")
            earlier = sa.and_(updated == at, _LOG.c.run_id < run_id)
            asked = asked.having(sa.or_(updated < at, earlier))
        return [msgspec.convert(row, RunLine) for row in self._read(asked)]

    def began(self, run_ids: list[str]) -> dict[str, dict[str, Any]]:
        """What each of these runs was begun with: event, workflow, version."""
        asked = sa.select(_LOG).where(_LOG.c.kind == "began", _LOG.c.run_id.in_(run_ids))
        return {row["run_id"]: row["facts"] for row in self._read(asked)}

    def calls(self, since: str, run_id: str, call_id: str | None) -> list[Entry]:
        """Every tool call that was made since then, by that run, or for that phone call: what
        rates are counted from."""
        concerned = sa.or_(
            _LOG.c.at >= since,
            _LOG.c.run_id == run_id,
            sa.false() if call_id is None else _LOG.c.call_id == call_id,
        )
        asked = sa.select(_LOG).where(_LOG.c.kind == "called", concerned)
        return [msgspec.convert(row, Entry) for row in self._read(asked)]

    def runs_of(self, call_ids: list[str], before: str | None) -> list[str]:
        """Runs that belong to these calls; and those of which nothing was told since ``before``."""
        wanted = _LOG.c.call_id.in_(call_ids)
        asked = sa.select(_LOG.c.run_id).group_by(_LOG.c.run_id)
        found = {row["run_id"] for row in self._read(asked.where(wanted))}
        if before is not None:
            found |= {
                row["run_id"] for row in self._read(asked.having(sa.func.max(_LOG.c.at) < before))
            }
        return sorted(found)

    def erase(self, run_ids: list[str]) -> int:
        """Delete the log and the approvals of these runs; how many lines there were."""
        with self._begin() as connection:
            lines = connection.execute(sa.delete(_LOG).where(_LOG.c.run_id.in_(run_ids))).rowcount
            connection.execute(sa.delete(_APPROVALS).where(_APPROVALS.c.run_id.in_(run_ids)))
        if lines and self._engine.dialect.name == "sqlite":
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as raw:
                for statement in ("PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM"):
                    raw.exec_driver_sql(statement)
                raw.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return lines

    # -- approvals ----------------------------------------------------------------------------

    def ask(self, approval: Approval) -> None:
        """Have a person asked; the second time there is nothing to do."""
        with self._begin() as connection:
            row = msgspec.structs.asdict(approval)
            connection.execute(self._insert(_APPROVALS).on_conflict_do_nothing(), row)

    def approval(self, approval_id: str) -> Approval | None:
        """One approval; None: there is none of that id."""
        found = self._read(sa.select(_APPROVALS).where(_APPROVALS.c.id == approval_id))
        return msgspec.convert(found[0], Approval) if found else None

    def approvals(self, state: ApprovalState = "waiting") -> list[Approval]:
        """All in that state, oldest first."""
        asked = sa.select(_APPROVALS).where(_APPROVALS.c.state == state)
        rows = self._read(asked.order_by(_APPROVALS.c.asked_at))
        return [msgspec.convert(row, Approval) for row in rows]

    def approvals_of(self, run_id: str) -> list[Approval]:
        """All of a run, oldest first."""
        asked = sa.select(_APPROVALS).where(_APPROVALS.c.run_id == run_id)
        rows = self._read(asked.order_by(_APPROVALS.c.asked_at))
        return [msgspec.convert(row, Approval) for row in rows]

    def approve(
        self, approval_id: str, arguments: dict[str, Any], grant: str, who: str, now: datetime
    ) -> bool:
        """Whether this decision is the one that counts: it still waited, and was not too late."""
        in_time = _APPROVALS.c.expires_at > stamp(now)
        changes = {"state": "approved", "arguments": arguments, "grant_token": grant}
        return self._decide(approval_id, {**changes, "decided_by": who}, now, in_time)

    def reject(self, approval_id: str, reason: str, who: str, now: datetime) -> bool:
        """The same for a no, which is never too late; the arguments are forgotten."""
        changes = {"state": "rejected", "reason": reason, "decided_by": who, "arguments": None}
        return self._decide(approval_id, changes, now, sa.true())

    def expire(self, approval_id: str, now: datetime) -> bool:
        """Whether nobody decided in time, and now nobody can."""
        late = _APPROVALS.c.expires_at <= stamp(now)
        return self._decide(approval_id, {"state": "expired", "arguments": None}, now, late)

    def forget(self, approval_id: str) -> None:
        """The decision was carried out: arguments and grant are not needed any more."""
        used = {"arguments": sa.null(), "grant_token": None}
        with self._begin() as connection:
            connection.execute(
                sa.update(_APPROVALS).where(_APPROVALS.c.id == approval_id).values(used)
            )

    def _decide(
        self,
        approval_id: str,
        changes: dict[str, Any],
        now: datetime,
        allowed: sa.ColumnElement[bool],
    ) -> bool:
        waits = sa.and_(_APPROVALS.c.id == approval_id, _APPROVALS.c.state == "waiting", allowed)
        changed = sa.update(_APPROVALS).where(waits).values(**changes, decided_at=stamp(now))
        with self._begin() as connection:
            return connection.execute(changed).rowcount == 1

    # -- both ---------------------------------------------------------------------------------

    def _read(self, asked: sa.Select[Any]) -> list[dict[str, Any]]:
        with self._begin() as connection:
            rows = connection.execute(asked).mappings()
            return [{str(name): row[name] for name in row} for row in rows]

    @contextmanager
    def _begin(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except (sa.exc.OperationalError, sa.exc.InterfaceError) as error:
            why = " ".join(str(error.orig).split())
            raise ConnectError(f"the agents' database: {why} (AGENTS_DB_URL)") from error


def stamp(at: datetime) -> str:
    """An instant as it is stored: UTC, and so that texts sort like instants."""
    return at.isoformat(timespec="milliseconds")


def _with_driver(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"postgresql+psycopg{separator}{rest}" if scheme == "postgresql" else url


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Readers beside one writer, and patience with the others (DBOS is one of them)."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA busy_timeout=30000")
