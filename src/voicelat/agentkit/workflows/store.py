"""Versions of workflows: named by the hash of their content, never changed, never lost.

Publishing and rolling back are entries in a log that only grows; the current version of a name is
its last entry's. What is read back is hashed again, so a content that somebody changed in the
database does not run.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from voicelat.agentkit.workflows.graph import Workflow, canonical, version_of
from voicelat.agentkit.workflows.module import Module, load_module, load_source
from voicelat.agentkit.workflows.read import read_workflow, restored
from voicelat.agentkit.workflows.steps import Catalog, Runnable
from voicelat.errors import InvalidFile, UsageError

__all__ = ["Store", "Version"]

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS content (
    name TEXT NOT NULL, version TEXT NOT NULL, kind TEXT NOT NULL, content TEXT NOT NULL,
    PRIMARY KEY (name, version));
CREATE TABLE IF NOT EXISTS log (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, version TEXT NOT NULL,
    action TEXT NOT NULL, at_utc TEXT NOT NULL, who TEXT);
CREATE TRIGGER IF NOT EXISTS content_stays BEFORE UPDATE ON content
    BEGIN SELECT RAISE(ABORT, 'a version is never changed'); END;
CREATE TRIGGER IF NOT EXISTS content_is_kept BEFORE DELETE ON content
    BEGIN SELECT RAISE(ABORT, 'a version is never deleted'); END;
CREATE TRIGGER IF NOT EXISTS log_stays BEFORE UPDATE ON log
    BEGIN SELECT RAISE(ABORT, 'the log only grows'); END;
CREATE TRIGGER IF NOT EXISTS log_is_kept BEFORE DELETE ON log
    BEGIN SELECT RAISE(ABORT, 'the log only grows'); END;
"""
_SHORTEST: Final = 6
"""Of the beginning of a hash that may stand for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One entry of the log."""

    name: str
    version: str
    """The hash of the content: 64 hex digits."""
    action: Literal["publish", "rollback"]
    at_utc: str
    """ISO 8601 with zone."""
    who: str | None
    """None: nobody said."""
    current: bool
    """Whether it is the one that new runs get."""


class Store:
    """Versions in one SQLite file, which is made when it is not there.

    ``catalog``: what is published is held against it. ``act_as``: see `load_module`.
    Raises InvalidFile for a file that is no such store.
    """

    def __init__(
        self,
        path: Path,
        catalog: Catalog | None = None,
        *,
        act_as: str = "Backoffice",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path = path
        self._act_as = act_as
        self._catalog = catalog
        self._now = now

    def publish(
        self,
        path: Path,
        *,
        who: str | None = None,
        gate: Callable[[Runnable], str | None] | None = None,
    ) -> Version:
        """Check a workflow file, or a module (``.py``), and make it current.

        ``gate``: says why it must not be published, such as evals it failed; None: it may. The
        content that is current already is published again, which does no harm.
        Raises InvalidFile for a bad file, UsageError for one that the gate holds back.
        """
        runnable: Workflow | Module
        if path.suffix == ".py":
            runnable = load_module(path, self._catalog, act_as=self._act_as)
            kind, content = "module", runnable.source
        else:
            runnable = read_workflow(path, self._catalog)
            kind, content = "graph", canonical(runnable)
        if gate is not None and (why := gate(runnable)) is not None:
            raise UsageError(f"{path} is not published: {why}")
        with self._open() as database:
            database.execute(
                "INSERT OR IGNORE INTO content VALUES (?, ?, ?, ?)",
                (runnable.name, runnable.version, kind, content),
            )
            return self._log(database, runnable.name, runnable.version, "publish", who)

    def rollback(self, name: str, version: str, *, who: str | None = None) -> Version:
        """Make an earlier version current again: one more entry of the log.

        ``version``: the hash, or enough of its beginning. Raises UsageError for none, or several.
        """
        with self._open() as database:
            return self._log(database, name, self._full(database, name, version), "rollback", who)

    def versions(self, name: str) -> list[Version]:
        """The log of a name, newest first; empty for one that was never published."""
        with self._open() as database:
            rows = database.execute(
                "SELECT name, version, action, at_utc, who FROM log WHERE name = ?"
                " ORDER BY id DESC",
                (name,),
            ).fetchall()
        return [
            Version(name=row[0], version=row[1], action=row[2], at_utc=row[3], who=row[4],
                    current=index == 0)
            for index, row in enumerate(rows)
        ]  # fmt: skip

    def names(self) -> list[str]:
        """Every workflow that was ever published."""
        with self._open() as database:
            return [
                name for (name,) in database.execute("SELECT DISTINCT name FROM log ORDER BY 1")
            ]

    def current(self, name: str) -> Runnable:
        """What new runs get. Raises UsageError where nothing was published under this name."""
        versions = self.versions(name)
        if not versions:
            raise UsageError(f"no workflow {name!r} was published: voicelat agents publish FILE")
        return self.version(name, versions[0].version)

    def version(self, name: str, version: str) -> Runnable:
        """A version, for the runs that began with it.

        Raises UsageError where there is none, InvalidFile where its content is not what was
        published.
        """
        with self._open() as database:
            full = self._full(database, name, version)
            kind, content = database.execute(
                "SELECT kind, content FROM content WHERE name = ? AND version = ?", (name, full)
            ).fetchone()
        where = f"{self._path}: {name} {full[:12]}"
        if not isinstance(content, str) or version_of(content) != full:
            raise InvalidFile(where, "was changed after it was published: publish it again")
        if kind == "module":
            return load_source(content, name, where, self._catalog, act_as=self._act_as)
        return restored(content, where)

    def content(self, name: str, version: str) -> tuple[str, str]:
        """A version as it is kept, to be read: ``graph`` and JSON, or ``module`` and its source.

        Raises UsageError where there is none.
        """
        with self._open() as database:
            full = self._full(database, name, version)
            kind, content = database.execute(
                "SELECT kind, content FROM content WHERE name = ? AND version = ?", (name, full)
            ).fetchone()
        return str(kind), str(content)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        try:
            with closing(sqlite3.connect(self._path, timeout=10)) as database:
                database.execute("PRAGMA journal_mode=WAL")
                database.executescript(_TABLES)
                with database:
                    yield database
        except sqlite3.Error as error:
            raise InvalidFile(
                self._path, f"cannot be used as a store of versions: {error}"
            ) from error

    def _log(
        self,
        database: sqlite3.Connection,
        name: str,
        version: str,
        action: Literal["publish", "rollback"],
        who: str | None,
    ) -> Version:
        at_utc = self._now().isoformat(timespec="milliseconds")
        database.execute(
            "INSERT INTO log (name, version, action, at_utc, who) VALUES (?, ?, ?, ?, ?)",
            (name, version, action, at_utc, who),
        )
        return Version(
            name=name, version=version, action=action, at_utc=at_utc, who=who, current=True
        )

    def _full(self, database: sqlite3.Connection, name: str, version: str) -> str:
        found = [
            full
            for (full,) in database.execute("SELECT version FROM content WHERE name = ?", (name,))
            if full == version or (len(version) >= _SHORTEST and full.startswith(version))
        ]
        if len(found) != 1:
            several = "several versions" if found else "no version"
            raise UsageError(
                f"{name} has {several} {version!r}: see voicelat agents versions {name}"
            )
        return str(found[0])
