"""A back office in a process of its own, with its tokens, for trying the agents."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from voicelat.backoffice import tokens
from voicelat.backoffice.database import Database
from voicelat.errors import UsageError
from voicelat.settings import Settings

__all__ = ["Office", "running_office"]

_STOP_S: Final = 10
_A_DAY: Final = timedelta(days=1)
_PERSON: Final = "a person"


@dataclass(frozen=True, slots=True)
class Office:
    """Where it is, and who may do what there."""

    url: str
    agents_token: str
    """As BACKOFFICE_TOKEN has it: one for each agent."""
    approver_token: str


@contextmanager
def running_office(
    folder: Path, scopes: Mapping[str, list[str]], settings: Settings
) -> Iterator[Office]:
    """Run one on a free loopback port under the policy of ``settings``, its data in ``folder``.
    ``scopes``: who gets a token -> what it opens. Raises UsageError, with its own words, when it
    does not start."""
    database = f"sqlite:///{folder / 'backoffice.sqlite3'}"
    minted = _mint(database, {**scopes, _PERSON: ["approvals.grant"]})
    command = [sys.executable, "-m", "voicelat", "agents", "office", "--json", "--port", "0"]
    command += ["--database", database, "--set", f"AGENTS_ENV={settings.agents_env}"]
    if settings.policy_file:
        command += ["--set", f"POLICY_FILE={settings.policy_file}"]
    log = folder / "backoffice.log"
    with log.open("wb") as errors:
        # A session of its own: Ctrl-C is for us, and we stop it when it is time.
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        )
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        if not ready:
            words = _last_line(log.read_text(errors="replace"))
            raise UsageError(f"the back office did not start: {words}")
        agents_token = ",".join(f"{name}={minted[name]}" for name in scopes)
        yield Office(json.loads(ready)["url"], agents_token, minted[_PERSON])
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _mint(url: str, scopes: Mapping[str, list[str]]) -> dict[str, str]:
    database = Database(url)
    database.upgrade()
    try:
        with database.write("demo") as db:
            return {
                name: tokens.mint(
                    db, agent=name, tenant="demo", scopes=opens, ttl=_A_DAY, now=datetime.now(UTC)
                )
                for name, opens in scopes.items()
            }
    finally:
        database.close()


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].removeprefix("voicelat: ") if lines else "no reason given"
