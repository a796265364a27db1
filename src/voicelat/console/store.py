"""What the console keeps: who may come in, who is in, who decided what, and what the page was told.

Of passwords, sessions and links only hashes are kept: whoever reads this database is not let in by
it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final, Literal, get_args

import msgspec
import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from sqlalchemy.schema import CreateTable

from voicelat.errors import ConnectError, UsageError

__all__ = ["ROLES", "Role", "Session", "Store", "User"]

Role = Literal["view", "approve", "admin"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
"""Each may do what those before it may."""

IDLE: Final = timedelta(minutes=30)
LIFE: Final = timedelta(hours=12)
LINK_LIFE: Final = timedelta(minutes=15)
EVENTS_KEPT: Final = 50_000
_TRIMMED_AT: Final = 1000
"""So many events apart the oldest are deleted."""
_PERSONAL: Final = ("run", "approval", "channel")
"""Kinds of events with arguments, texts and numbers of people in them; others have ids alone."""
_CHECKPOINT: Final = "PRAGMA wal_checkpoint(TRUNCATE)"
_SHORTEST: Final = 10
"""Characters of a password."""

_METADATA: Final = sa.MetaData()
_USERS: Final = sa.Table(
    "console_users",
    _METADATA,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("role", sa.String, nullable=False),
    sa.Column("password_hash", sa.String),
    sa.Column("created_at", sa.String, nullable=False),
)
_SESSIONS: Final = sa.Table(
    "console_sessions",
    _METADATA,
    sa.Column("id_hash", sa.String, primary_key=True),
    sa.Column("user", sa.String, nullable=False),
    sa.Column("csrf", sa.String, nullable=False),
    sa.Column("seen_at", sa.String, nullable=False),
    sa.Column("ends_at", sa.String, nullable=False),
)
_LINKS: Final = sa.Table(
    "console_links",
    _METADATA,
    sa.Column("token_hash", sa.String, primary_key=True),
    sa.Column("user", sa.String, nullable=False),
    sa.Column("ends_at", sa.String, nullable=False),
)
_DECISIONS: Final = sa.Table(
    "console_decisions",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.String, nullable=False),
    sa.Column("user", sa.String),
    sa.Column("what", sa.String, nullable=False),
    sa.Column("target", sa.String),
    sa.Column("detail", sa.String),
)
_EVENTS: Final = sa.Table(
    "console_events",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
    sqlite_autoincrement=True,
)


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may come in. Without a password only by a link."""

    name: str
    role: Role
    has_password: bool


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is in."""

    id_hash: str
    user: str
    role: Role
    csrf: str
    ends_at: str
    """At the latest; earlier when nothing is asked for `IDLE`."""


class Event(msgspec.Struct, frozen=True, dict=True):
    """Something the page is told."""

    id: int
    kind: str
    data: dict[str, Any]

    @cached_property
    def wire(self) -> bytes:
        """As it is sent. Made once, however many pages there are."""
        data = msgspec.json.encode(self.data)
        return f"id: {self.id}\nevent: {self.kind}\ndata: ".encode() + data + b"\n\n"


class Store:
    """The console's own database; made there if it is not. Any thread may call it.

    Raises UsageError for a URL that is none, ConnectError when it cannot be reached.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = sa.make_url(url)
            postgres = parsed.get_backend_name() == "postgresql"
            self._engine = sa.create_engine(
                parsed.set(drivername="postgresql+psycopg") if postgres else parsed
            )
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError):
            raise UsageError(
                "CONSOLE_DB_URL must be sqlite:///FILE or postgresql://USER@HOST/NAME"
            ) from None
        if not postgres:
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
        self._hasher = PasswordHasher()
        self._nobody = self._hasher.hash(secrets.token_hex(16))
        with self._begin() as connection:
            for table in _METADATA.sorted_tables:
                connection.execute(CreateTable(table, if_not_exists=True))

    @property
    def engine(self) -> sa.Engine:
        """For what else is kept in the same database."""
        return self._engine

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    # -- users --------------------------------------------------------------------------------

    def users(self) -> list[User]:
        """All, by name."""
        rows = self._read(sa.select(_USERS).order_by(_USERS.c.name))
        return [
            User(name=row["name"], role=row["role"], has_password=row["password_hash"] is not None)
            for row in rows
        ]

    def put_user(self, name: str, role: Role, password: str | None, now: datetime) -> None:
        """Add somebody, or change them: whoever is in by that name has to come in again.

        ``password``: None: only by a link. Raises UsageError for a name or a password that cannot
        be."""
        if not (0 < len(name) <= 64 and name.isprintable()):
            raise UsageError("a user's name has 1 to 64 printable characters")
        if password is not None and len(password) < _SHORTEST:
            raise UsageError(f"a password needs {_SHORTEST} characters or more")
        hashed = None if password is None else self._hasher.hash(password)
        row = {"name": name, "role": role, "password_hash": hashed, "created_at": _stamp(now)}
        with self._begin() as connection:
            connection.execute(sa.delete(_USERS).where(_USERS.c.name == name))
            connection.execute(sa.insert(_USERS), row)
            connection.execute(sa.delete(_SESSIONS).where(_SESSIONS.c.user == name))

    def remove_user(self, name: str) -> bool:
        """Whether there was one; whoever is in by that name is out."""
        with self._begin() as connection:
            connection.execute(sa.delete(_SESSIONS).where(_SESSIONS.c.user == name))
            connection.execute(sa.delete(_LINKS).where(_LINKS.c.user == name))
            done = connection.execute(sa.delete(_USERS).where(_USERS.c.name == name))
            return done.rowcount == 1

    def knows(self, name: str, password: str) -> bool:
        """Whether it is their password. As slow for a name that nobody has."""
        rows = self._read(sa.select(_USERS).where(_USERS.c.name == name))
        kept = rows[0]["password_hash"] if rows else None
        try:
            self._hasher.verify(kept or self._nobody, password)
        except (Argon2Error, InvalidHashError):
            return False
        return kept is not None

    # -- links and sessions -------------------------------------------------------------------

    def link(self, user: str, now: datetime) -> str:
        """A token that lets them in, once and soon. Raises UsageError for a user that is none."""
        if not self._read(sa.select(_USERS.c.name).where(_USERS.c.name == user)):
            raise UsageError(f"no user {user}; add one: voicelat console user add {user}")
        token = secrets.token_urlsafe(32)
        row = {"token_hash": _hash(token), "user": user, "ends_at": _stamp(now + LINK_LIFE)}
        with self._begin() as connection:
            connection.execute(sa.insert(_LINKS), row)
        return token

    def use_link(self, token: str, now: datetime) -> str | None:
        """Whom it lets in; None: nobody, or nobody any more."""
        mine = _LINKS.c.token_hash == _hash(token)
        with self._begin() as connection:
            found = connection.execute(sa.select(_LINKS).where(mine)).mappings().first()
            # Of two who use it at once, one deletes it.
            done = connection.execute(sa.delete(_LINKS).where(mine))
            if found is None or done.rowcount != 1 or found["ends_at"] <= _stamp(now):
                return None
            return str(found["user"])

    def begin_session(self, user: str, now: datetime) -> str:
        """Let them in: what their browser is to show from now on."""
        token = secrets.token_urlsafe(32)
        row = {
            "id_hash": _hash(token),
            "user": user,
            "csrf": secrets.token_urlsafe(32),
            "seen_at": _stamp(now),
            "ends_at": _stamp(now + LIFE),
        }
        with self._begin() as connection:
            connection.execute(sa.delete(_SESSIONS).where(_SESSIONS.c.ends_at <= _stamp(now)))
            connection.execute(sa.insert(_SESSIONS), row)
        return token

    def session(self, token: str, now: datetime) -> Session | None:
        """Who shows this; None: nobody, or nobody any more. Seen now."""
        return self._session(_SESSIONS.c.id_hash == _hash(token), now, touch=True)

    def still_in(self, id_hash: str, now: datetime) -> bool:
        """Whether a session has not ended. Looking on keeps nobody in."""
        return self._session(_SESSIONS.c.id_hash == id_hash, now, touch=False) is not None

    def _session(
        self, which: sa.ColumnElement[bool], now: datetime, *, touch: bool
    ) -> Session | None:
        joined = sa.select(_SESSIONS, _USERS.c.role).join(_USERS, _USERS.c.name == _SESSIONS.c.user)
        with self._begin() as connection:
            found = connection.execute(joined.where(which)).mappings().first()
            if found is None:
                return None
            idle = found["seen_at"] <= _stamp(now - IDLE)
            if idle or found["ends_at"] <= _stamp(now):
                connection.execute(sa.delete(_SESSIONS).where(which))
                return None
            if touch and found["seen_at"] < _stamp(now - timedelta(seconds=20)):
                connection.execute(sa.update(_SESSIONS).where(which).values(seen_at=_stamp(now)))
            return Session(
                id_hash=found["id_hash"],
                user=found["user"],
                role=found["role"],
                csrf=found["csrf"],
                ends_at=found["ends_at"],
            )

    def end_session(self, id_hash: str) -> None:
        """They are out."""
        with self._begin() as connection:
            connection.execute(sa.delete(_SESSIONS).where(_SESSIONS.c.id_hash == id_hash))

    # -- decisions ----------------------------------------------------------------------------

    def decided(
        self, user: str | None, what: str, target: str | None, detail: str | None, now: datetime
    ) -> None:
        """Write down what somebody did, or was refused."""
        row = {"at": _stamp(now), "user": user, "what": what, "target": target, "detail": detail}
        with self._begin() as connection:
            connection.execute(sa.insert(_DECISIONS), row)

    def decisions(self, limit: int = 200) -> list[dict[str, Any]]:
        """The last of them, newest first."""
        return self._read(sa.select(_DECISIONS).order_by(_DECISIONS.c.id.desc()).limit(limit))

    # -- events -------------------------------------------------------------------------------

    def append_all(self, events: Sequence[tuple[str, dict[str, Any]]]) -> list[int]:
        """Keep events, by kind and data, all or none; their numbers, each higher than any before.
        The oldest go when there are more than `EVENTS_KEPT`."""
        with self._begin() as connection:
            numbers = []
            for kind, data in events:
                done = connection.execute(sa.insert(_EVENTS), {"kind": kind, "data": data})
                assert done.inserted_primary_key is not None
                numbers.append(int(done.inserted_primary_key[0]))
            if (numbers[0] - 1) // _TRIMMED_AT != numbers[-1] // _TRIMMED_AT:
                old = _EVENTS.c.id <= numbers[-1] - EVENTS_KEPT
                connection.execute(sa.delete(_EVENTS).where(old))
            return numbers

    def erase_events(self) -> int:
        """Empty every event that holds more than ids; how many there were. A page that comes back
        to one of them loads anew what is still there."""
        personal = _EVENTS.c.kind.in_(_PERSONAL)
        with self._begin() as connection:
            emptied = sa.update(_EVENTS).where(personal).values(kind="reset", data={})
            count = connection.execute(emptied).rowcount
        if count and self._engine.dialect.name == "sqlite":
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as raw:
                for statement in (_CHECKPOINT, "VACUUM", _CHECKPOINT):
                    raw.exec_driver_sql(statement)
        return count

    def events(self, after: int, limit: int = 500) -> list[Event]:
        """Those behind that number, in order."""
        asked = sa.select(_EVENTS).where(_EVENTS.c.id > after).order_by(_EVENTS.c.id).limit(limit)
        return [Event(row["id"], row["kind"], row["data"]) for row in self._read(asked)]

    def last_of(self, kind: str) -> Event | None:
        """The last event of that kind; None: there is none."""
        asked = sa.select(_EVENTS).where(_EVENTS.c.kind == kind).order_by(_EVENTS.c.id.desc())
        rows = self._read(asked.limit(1))
        return Event(rows[0]["id"], rows[0]["kind"], rows[0]["data"]) if rows else None

    def bounds(self) -> tuple[int, int]:
        """The first and the last event there is; (0, 0): none."""
        (row,) = self._read(
            sa.select(
                sa.func.coalesce(sa.func.min(_EVENTS.c.id), 0).label("first"),
                sa.func.coalesce(sa.func.max(_EVENTS.c.id), 0).label("last"),
            )
        )
        return row["first"], row["last"]

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
            raise ConnectError(f"the console's database {where}: {error.orig or error}") from None


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")


def _hash(token: str) -> str:
    """Tokens are random: no salt and no slow hash are needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "busy_timeout=5000",
        "secure_delete=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")
