"""A real PostgreSQL of the test's own, on a free loopback port."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["running_postgres"]


def _program(name: str) -> str | None:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


@contextmanager
def running_postgres() -> Iterator[str]:
    """Its URL. Skips where there is no PostgreSQL to start; root has user postgres start it."""
    initdb, postgres = _program("initdb"), _program("postgres")
    if initdb is None or postgres is None:
        pytest.skip("no PostgreSQL: apt-get install postgresql")
    user = None
    folder = Path(tempfile.mkdtemp(prefix="voicelat-postgres-"))
    if os.geteuid() == 0:
        try:
            user = pwd.getpwnam("postgres").pw_uid
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        os.chown(folder, user, -1)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    data = str(folder / "data")
    options = ("-U", "voicelat", "--auth", "trust", "-E", "UTF8", "--no-sync")
    made = subprocess.run(
        (initdb, "-D", data, *options), user=user, capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"initdb does not work: {made.stderr.strip()[-300:]}")
    where = ("-h", "127.0.0.1", "-p", str(port), "-k", str(folder), "-c", "fsync=off")
    with subprocess.Popen(
        (postgres, "-D", data, *where), user=user, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            said = ""
            while "ready to accept connections" not in said:
                line = process.stderr.readline()
                if not line:
                    pytest.skip(f"PostgreSQL does not start: {said.strip()[-300:]}")
                said += line
            yield f"postgresql://voicelat@127.0.0.1:{port}/postgres"
        finally:
            process.kill()
            process.communicate()
            shutil.rmtree(folder, ignore_errors=True)
