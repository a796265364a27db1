"""A real PostgreSQL of the tests' own, on a Unix socket alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["new_database", "running_postgres"]

# As root it refuses to run. None is who we are.
_USER = "postgres" if os.geteuid() == 0 else None


@contextmanager
def running_postgres() -> Iterator[str]:
    """The folder of its socket. Skips where there is no PostgreSQL to start."""
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    # A socket's path is short, and its folder the server's own: not one of pytest's.
    with tempfile.TemporaryDirectory(prefix="vl-pg-", ignore_cleanup_errors=True) as folder:
        if _USER is not None:
            try:
                shutil.chown(folder, _USER)
            except LookupError:
                pytest.skip("no user postgres, and root may not run it: apt-get install postgresql")
        data = str(Path(folder) / "data")
        made = _run(initdb, "-D", data, "-U", "voicelat", "-E", "UTF8", "--locale=C", "-A", "trust")
        if made.returncode:
            pytest.skip(f"initdb fails: {made.stdout.strip()[-300:]}")
        # Nothing here has to outlive the machine.
        options = f"-k {folder} -c listen_addresses= -c fsync=off -c max_connections=200"
        log = str(Path(folder) / "log")
        started = _run(pg_ctl, "-D", data, "-l", log, "-w", "-o", options, "start")
        if started.returncode:
            pytest.skip(f"postgres does not start: {started.stdout.strip()[-300:]}")
        try:
            yield folder
        finally:
            # At once: a test that failed may have left connections open.
            _run(pg_ctl, "-D", data, "-m", "immediate", "stop")


def new_database(folder: str, name: str, like: str = "template0") -> str:
    """The URL of a new database, empty or with what is in ``like``, to which nobody is
    connected."""
    import psycopg

    with psycopg.connect(
        host=folder, user="voicelat", dbname="postgres", autocommit=True
    ) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{like}"'.encode())
    return f"postgresql://voicelat@/{name}?host={folder}"


def _program(name: str) -> str:
    found = shutil.which(name) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None
    )
    if found is None:
        pytest.skip(f"no {name}: apt-get install postgresql")
    return found


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd="/",
        user=_USER,
        group=_USER,
    )
