"""A real PostgreSQL of the test's own, on a socket in a folder of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["Postgres", "running_postgres"]

_DEBIAN = Path("/usr/lib/postgresql")


class Postgres:
    """A cluster that can be started and killed. Its ``url`` stays the same."""

    def __init__(self, folder: Path, programs: Path, user: str) -> None:
        self.url = f"postgresql://{user}@/postgres?host={folder}"
        self._folder, self._programs, self._user = folder, programs, user
        options = ("-D", str(folder / "data"), "-A", "trust", "-N", "-U", user)
        self._run("initdb", *options)

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        options = f"-k {self._folder} -c listen_addresses='' -c fsync=off"
        log = str(self._folder / "log")
        self._control("start", "-w", "-l", log, "-o", options)

    def kill(self) -> None:
        """End it as a crash does: nothing is said to anybody."""
        self._control("stop", "-w", "-m", "immediate")

    def stop(self) -> None:
        """End it, if it runs."""
        if (self._folder / "data" / "postmaster.pid").exists():
            self.kill()

    def _control(self, *options: str) -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), *options)

    def _run(self, program: str, *options: str) -> None:
        """As a user who is not root: PostgreSQL refuses to be."""
        command = [str(self._programs / program), *options]
        who = self._user if os.geteuid() == 0 else None
        done = subprocess.run(
            command,
            user=who,
            group=who,
            extra_groups=[] if who else None,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # not a pipe, which the server would keep open
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            log = self._folder / "log"
            said = log.read_text()[-300:] if log.exists() else f"exit code {done.returncode}"
            raise RuntimeError(f"{program} {options[-1]}: {said}")


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A started one. Skips where there is none to start."""
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL to start: apt-get install postgresql")
    root = os.geteuid() == 0
    user = "postgres" if root else pwd.getpwuid(os.geteuid()).pw_name
    # Not the test's own folder: others may not look into that, and a socket's path is short.
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        folder = Path(name)
        try:
            if root:
                shutil.chown(folder, user, user)
            postgres = Postgres(folder, programs, user)
            postgres.start()
        except (LookupError, RuntimeError) as error:
            pytest.skip(f"PostgreSQL does not start: {error}")
        try:
            yield postgres
        finally:
            postgres.stop()


def _programs() -> Path | None:
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    return next((p.parent for p in sorted(_DEBIAN.glob("*/bin/initdb"), reverse=True)), None)
