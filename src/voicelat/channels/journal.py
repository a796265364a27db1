"""What the channels' process must not forget: what came in, what is under way, what was decided.

Everything that comes in is kept here before its sender is told that it arrived, and everything that
goes out stands here before it is sent. So a process that dies loses nothing, and the next one knows
what it has to ask about before it sends anything again.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from voicelat.errors import ConnectError, UsageError

__all__ = ["Journal", "Kept", "Send", "SendState", "Stage"]

Stage = Literal["kept", "filed", "unknown", "done", "refused"]
"""Of something that came in: kept here; filed in the back office; done: told to the agents, too.
unknown: a receipt of a message nobody knows yet. refused: nobody will ever have it."""
SendState = Literal["under_way", "sent", "uncertain", "failed"]

_LOCK: Final = 0x766F6963 + 1
_METADATA: Final = sa.MetaData()
_INBOUND: Final = sa.Table(
    "channel_inbound",
    _METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("provider", sa.String, nullable=False),
    sa.Column("key", sa.String, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("payload", sa.JSON(none_as_null=True)),
    sa.Column("stage", sa.String, nullable=False),
    sa.Column("says", sa.String),
    sa.Column("at", sa.String, nullable=False),
    sa.UniqueConstraint("provider", "key", name="channel_inbound_once"),
    sa.Index("channel_inbound_by_stage", "stage", "number"),
)
_SENDS: Final = sa.Table(
    "channel_sends",
    _METADATA,
    sa.Column("message_id", sa.String, primary_key=True),
    sa.Column("thread_id", sa.String),
    sa.Column("provider", sa.String, nullable=False),
    sa.Column("outgoing", sa.JSON(none_as_null=True)),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("provider_id", sa.String),
    sa.Column("status", sa.String),
    sa.Column("error_code", sa.String),
    sa.Column("says", sa.String),
    sa.Column("second", sa.Boolean, nullable=False),
    sa.Column("told", sa.Boolean, nullable=False),
    sa.Column("at", sa.String, nullable=False),
    sa.Index("channel_sends_by_state", "state", "at"),
    sa.Index("channel_sends_by_provider_id", "provider", "provider_id"),
)
_FACTS: Final = sa.Table(
    "channel_facts",
    _METADATA,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("value", sa.String),
)
_NEWS: Final = sa.Table(
    "channel_news",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("thread_id", sa.String),
    sa.Column("message_id", sa.String),
    sa.Column("status", sa.String),
    sa.Column("at", sa.String, nullable=False),
)
_NEWS_KEPT: Final = 10_000
_DONE_KEPT: Final = timedelta(days=7)
"""How long what is done with stays, so that the same webhook sent again is known."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """Something that came in."""

    number: int
    provider: str
    key: str
    kind: str
    payload: dict[str, Any]
    stage: Stage
    at: str


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was, is or may have been sent."""

    message_id: str
    thread_id: str | None
    provider: str
    outgoing: dict[str, Any] | None
    """As it was handed over. None: settled, and forgotten."""
    state: SendState
    provider_id: str | None
    status: str | None
    error_code: str | None
    says: str | None
    second: bool
    """It is the template that went out after free text was refused."""
    told: bool
    """Whether the back office knows."""
    at: str


class Journal:
    """The channels' own database; made there if it is not. Any thread may call it.

    Raises UsageError for a URL that is none, ConnectError when it cannot be reached.
    """

    def __init__(self, url: str) -> None:
        try:
            self._engine = sa.create_engine(_with_driver(url))
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError):
            raise UsageError(
                "CHANNELS_DB_URL must be sqlite:///FILE or postgresql://USER@HOST/NAME"
            ) from None
        postgres = self._engine.dialect.name == "postgresql"
        self._insert = postgresql.insert if postgres else sqlite.insert
        if not postgres:
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
        with self._begin() as connection:
            if postgres:  # there, two "if not exists" can collide
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            for table in _METADATA.sorted_tables:
                connection.execute(CreateTable(table, if_not_exists=True))
                for index in table.indexes:
                    connection.execute(CreateIndex(index, if_not_exists=True))

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    # -- what comes in ------------------------------------------------------------------------

    def keep(
        self,
        provider: str,
        key: str,
        kind: str,
        payload: dict[str, Any],
        *,
        cursor: int | None = None,
    ) -> bool:
        """Keep it; whether it is new. ``cursor``: of the provider's events, moved with it."""
        row = {
            "provider": provider,
            "key": key,
            "kind": kind,
            "payload": payload,
            "stage": "kept",
            "at": _now(),
        }
        with self._begin() as connection:
            done = connection.execute(self._insert(_INBOUND).on_conflict_do_nothing(), row)
            if cursor is not None:
                self._set(connection, f"cursor {provider}", str(cursor))
            return done.rowcount == 1

    def waiting(self, stage: Stage, limit: int = 50) -> list[Kept]:
        """What is at that stage, first come first."""
        asked = sa.select(_INBOUND).where(_INBOUND.c.stage == stage)
        rows = self._read(asked.order_by(_INBOUND.c.number).limit(limit))
        return [msgspec.convert(row, Kept) for row in rows]

    def move(
        self, number: int, stage: Stage, payload: dict[str, Any] | None, says: str | None = None
    ) -> None:
        """Put it to another stage. ``payload``: what is still needed of it; None: nothing."""
        values: dict[str, Any] = {
            "stage": stage,
            "payload": sa.null() if payload is None else payload,
            "says": says,
        }
        with self._begin() as connection:
            connection.execute(
                sa.update(_INBOUND).where(_INBOUND.c.number == number).values(values)
            )

    def inbound(self) -> dict[str, int]:
        """How many stand at each stage."""
        asked = sa.select(_INBOUND.c.stage, sa.func.count().label("n")).group_by(_INBOUND.c.stage)
        return {row["stage"]: row["n"] for row in self._read(asked)}

    # -- what goes out ------------------------------------------------------------------------

    def begin(
        self,
        message_id: str,
        thread_id: str | None,
        provider: str,
        outgoing: dict[str, Any],
        *,
        second: bool = False,
    ) -> Send | None:
        """Write down that it is about to be sent. What stands there already; None: it is new."""
        row = {
            **dict.fromkeys(("provider_id", "status", "error_code", "says")),
            "message_id": message_id,
            "thread_id": thread_id,
            "provider": provider,
            "outgoing": outgoing,
            "state": "under_way",
            "second": second,
            "told": False,
            "at": _now(),
        }
        with self._begin() as connection:
            done = connection.execute(self._insert(_SENDS).on_conflict_do_nothing(), row)
            if done.rowcount == 1:
                return None
        return self.send(message_id)

    def again(
        self, message_id: str, provider: str, outgoing: dict[str, Any], *, second: bool
    ) -> None:
        """Write down that it is about to be sent once more, which is certain to be right."""
        values = {
            "provider": provider,
            "outgoing": outgoing,
            "state": "under_way",
            "second": second,
            "told": False,
            "at": _now(),
        }
        self._change(message_id, values)

    def settle(
        self,
        message_id: str,
        state: SendState,
        *,
        provider_id: str | None = None,
        status: str | None = None,
        error_code: str | None = None,
        says: str | None = None,
    ) -> None:
        """Write down what became of it; the back office is to be told."""
        values: dict[str, Any] = {
            "state": state,
            "status": status,
            "error_code": error_code,
            "says": says,
            "told": False,
        }
        if provider_id is not None:
            values["provider_id"] = provider_id
        self._change(message_id, values)

    def told(self, message_id: str) -> None:
        """The back office knows."""
        self._change(message_id, {"told": True})

    def drop(self, message_id: str) -> None:
        """It was certainly not sent, and is queued again."""
        with self._begin() as connection:
            connection.execute(sa.delete(_SENDS).where(_SENDS.c.message_id == message_id))

    def erase(self, message_ids: list[str]) -> int:
        """Forget these sends, and what of them is left; how many there were."""
        with self._begin() as connection:
            done = connection.execute(sa.delete(_SENDS).where(_SENDS.c.message_id.in_(message_ids)))
            connection.execute(sa.delete(_NEWS).where(_NEWS.c.message_id.in_(message_ids)))
            return done.rowcount

    def send(self, message_id: str) -> Send | None:
        """One of them; None: it was never begun."""
        rows = self._read(sa.select(_SENDS).where(_SENDS.c.message_id == message_id))
        return msgspec.convert(rows[0], Send) if rows else None

    def send_of(self, provider: str, provider_id: str) -> Send | None:
        """The one the provider knows by that id."""
        rows = self._read(
            sa.select(_SENDS).where(
                _SENDS.c.provider == provider, _SENDS.c.provider_id == provider_id
            )
        )
        return msgspec.convert(rows[0], Send) if rows else None

    def sends(self, state: SendState) -> list[Send]:
        """All in that state, oldest first."""
        rows = self._read(sa.select(_SENDS).where(_SENDS.c.state == state).order_by(_SENDS.c.at))
        return [msgspec.convert(row, Send) for row in rows]

    def untold(self) -> list[Send]:
        """Those whose end the back office does not know yet."""
        asked = sa.select(_SENDS).where(_SENDS.c.told.is_(False), _SENDS.c.state != "under_way")
        return [msgspec.convert(row, Send) for row in self._read(asked.order_by(_SENDS.c.at))]

    def outbound(self, since: datetime) -> dict[str, int]:
        """How many stand in each state; of those that failed, since then."""
        counted = sa.or_(_SENDS.c.state != "failed", _SENDS.c.at >= stamp(since))
        asked = sa.select(_SENDS.c.state, sa.func.count().label("n")).where(counted)
        return {row["state"]: row["n"] for row in self._read(asked.group_by(_SENDS.c.state))}

    def _change(self, message_id: str, values: dict[str, Any]) -> None:
        with self._begin() as connection:
            connection.execute(
                sa.update(_SENDS).where(_SENDS.c.message_id == message_id).values(values)
            )

    # -- facts and news -----------------------------------------------------------------------

    def fact(self, name: str) -> str | None:
        """Something that was decided or reached; None: it was not."""
        rows = self._read(sa.select(_FACTS).where(_FACTS.c.name == name))
        return rows[0]["value"] if rows else None

    def set_fact(self, name: str, value: str) -> None:
        """Keep it."""
        with self._begin() as connection:
            self._set(connection, name, value)

    def secret(self) -> bytes:
        """A secret of this database's own, made the first time."""
        with self._begin() as connection:
            made = {"name": "secret", "value": secrets.token_hex(32)}
            connection.execute(self._insert(_FACTS).on_conflict_do_nothing(), made)
        return bytes.fromhex(self.fact("secret") or "")

    def cursor(self, provider: str) -> int:
        """The last of the provider's events that is kept here; 0: none."""
        return int(self.fact(f"cursor {provider}") or 0)

    def tell(
        self, kind: str, thread_id: str | None, message_id: str | None, status: str | None
    ) -> None:
        """A line of news, for whoever looks on."""
        row = {
            "kind": kind,
            "thread_id": thread_id,
            "message_id": message_id,
            "status": status,
            "at": _now(),
        }
        with self._begin() as connection:
            connection.execute(sa.insert(_NEWS), row)

    def news(self, after: int, limit: int = 500) -> list[dict[str, Any]]:
        """What happened behind that number, in order."""
        asked = sa.select(_NEWS).where(_NEWS.c.id > after).order_by(_NEWS.c.id).limit(limit)
        return self._read(asked)

    def prune(self, now: datetime) -> None:
        """Forget what nobody needs: what is done with, and old news."""
        old = stamp(now - _DONE_KEPT)
        over = (_INBOUND.c.stage == "done") & (_INBOUND.c.at < old)
        sent = (_SENDS.c.state == "sent") & _SENDS.c.told & (_SENDS.c.at < old)
        newest = sa.select(sa.func.max(_NEWS.c.id)).scalar_subquery()
        with self._begin() as connection:
            connection.execute(sa.delete(_INBOUND).where(over))
            connection.execute(sa.delete(_SENDS).where(sent))
            connection.execute(sa.delete(_NEWS).where(_NEWS.c.id <= newest - _NEWS_KEPT))

    def _set(self, connection: sa.Connection, name: str, value: str) -> None:
        put = self._insert(_FACTS).values(name=name, value=value)
        connection.execute(
            put.on_conflict_do_update(index_elements=[_FACTS.c.name], set_={"value": value})
        )

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
            where = self._engine.url.render_as_string(hide_password=True)
            raise ConnectError(f"the channels' database {where}: {error.orig or error}") from None


def stamp(at: datetime) -> str:
    """A time as it is kept: UTC, so that times sort as texts do."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")


def _now() -> str:
    return stamp(datetime.now(UTC))


def _with_driver(url: str) -> sa.URL:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def _prepare_sqlite(connection: Any, _record: object) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")
