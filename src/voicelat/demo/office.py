"""A back office in a process of its own, with its tokens, for trying the agents."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from voicelat.errors import UsageError

__all__ = ["Office", "running_office"]

_START_S: Final = 30
_STOP_S: Final = 10
_NEEDS_GRANT: Final = "*:whatsapp.send"


@dataclass(frozen=True, slots=True)
class Office:
    """Where it is, and who may do what there."""

    url: str
    agents_token: str
    approver_token: str


@contextmanager
def running_office(folder: Path, scopes: list[str]) -> Iterator[Office]:
    """Run one on a free loopback port, its data in ``folder``. ``scopes``: what the agents' token
    opens. Raises UsageError, with its own words, when it does not start."""
    database = f"sqlite:///{folder / 'backoffice.sqlite3'}"
    command = [sys.executable, "-m", "voicelat.backoffice", "--database", database]
    agents_token = _token(command, "agents", scopes)
    approver_token = _token(command, "a person", ["approvals.grant"])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serve = [*command, "serve", "--port", str(port), "--needs-grant", _NEEDS_GRANT]
    with (folder / "backoffice.log").open("wb") as log:
        # A session of its own: Ctrl-C is for us, and we stop it when it is time.
        process = subprocess.Popen(serve, stderr=log, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        _await_health(url, process, folder / "backoffice.log")
        yield Office(url, agents_token, approver_token)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _token(command: list[str], agent: str, scopes: list[str]) -> str:
    asked = [*command, "token", "--agent", agent, "--tenant", "demo"]
    asked += [word for scope in scopes for word in ("--scope", scope)]
    ran = subprocess.run(asked, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise UsageError(f"the back office gave no token: {_last_line(ran.stderr)}")
    token: str = json.loads(ran.stdout)["token"]
    return token


def _await_health(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(_START_S * 10):
        try:
            urllib.request.urlopen(f"{url}/healthz", timeout=5).close()
        except (urllib.error.URLError, TimeoutError):
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            words = _last_line(log.read_text(errors="replace"))
            raise UsageError(f"the back office did not start: {words}") from None
        return
    raise UsageError(f"the back office did not start within {_START_S} s: {log}")


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].removeprefix("voicelat: ") if lines else "no reason given"
