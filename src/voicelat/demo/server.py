"""The reference server in a process of its own, as the demo's callers meet it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from voicelat.errors import ConnectError, UsageError

__all__ = ["running_server"]

START_S: Final = 60.0
"""Loading local speech takes 2 s; a busy machine may take its time."""
STOP_S: Final = 10.0


@asynccontextmanager
async def running_server(folder: Path, settings: Mapping[str, str]) -> AsyncIterator[str]:
    """Run ``voicelat serve`` with ``settings`` on a free loopback port, logs in ``folder``.

    Yields its base URL. Raises the server's own words when it does not start: UsageError for
    settings that cannot work, else ConnectError.
    """
    command = [sys.executable, "-m", "voicelat", "serve", "--json", "--host", "127.0.0.1"]
    command += ["--port", "0"]
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]
    log = folder / "server.log"
    with log.open("wb") as stderr:
        # A session of its own: Ctrl-C is for us, and we stop the server when it is time.
        process = await asyncio.create_subprocess_exec(
            *command, stdout=PIPE, stderr=stderr, start_new_session=True
        )
    try:
        yield await _ready(process, log)
    finally:
        await _stop(process)


async def _ready(process: Process, log: Path) -> str:
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_S)
    except TimeoutError:
        raise ConnectError(f"the server did not start within {START_S:.0f} s: {log}") from None
    if not line:
        told = f"the server did not start: {_last_words(log)}"
        raise UsageError(told) if await process.wait() == 2 else ConnectError(told)
    url: str = json.loads(line)["url"]
    return url


async def _stop(process: Process) -> None:
    """Politely, then at once: nothing of ours is left behind."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), STOP_S)
    except TimeoutError:
        process.kill()
        await process.wait()


def _last_words(log: Path) -> str:
    words = log.read_text(errors="replace").strip().splitlines()
    return words[-1].removeprefix("voicelat: ") if words else "no reason given"
