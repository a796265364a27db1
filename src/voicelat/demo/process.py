"""A verb of voicelat in a process of its own, as whoever runs it for real has it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from voicelat.errors import ConnectError, UsageError

__all__ = ["running"]

START_S: Final = 60.0
"""Loading local speech takes 2 s; a busy machine may take its time."""
STOP_S: Final = 10.0


@asynccontextmanager
async def running(
    name: str,
    words: list[str],
    settings: Mapping[str, str],
    log: Path,
    *,
    config: Path | None = None,
) -> AsyncIterator[dict[str, Any]]:
    """Run ``voicelat WORDS --json`` with ``settings`` until the block is left, its log in ``log``.

    Yields what it says once it is ready. ``name``: what errors call it. ``config``: the file of
    further settings; None: none. Raises its own words when it does not start: UsageError for
    settings that cannot work, else ConnectError.
    """
    command = [sys.executable, "-m", "voicelat", *words, "--json"]
    for setting, value in settings.items():
        command += ["--set", f"{setting}={value}"]
    env = {**os.environ, "VOICELAT_CONFIG": str(config)} if config else None
    with log.open("wb") as stderr:
        # A session of its own: Ctrl-C is for us, and we stop it when it is time.
        process = await asyncio.create_subprocess_exec(
            *command, stdout=PIPE, stderr=stderr, start_new_session=True, env=env
        )
    try:
        yield await _ready(name, process, log)
    finally:
        await _stop(process)


async def _ready(name: str, process: Process, log: Path) -> dict[str, Any]:
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_S)
    except TimeoutError:
        raise ConnectError(f"{name} did not start within {START_S:.0f} s: {log}") from None
    if not line:
        told = f"{name} did not start: {_last_words(log)}"
        raise UsageError(told) if await process.wait() == 2 else ConnectError(told)
    said: dict[str, Any] = json.loads(line)
    return said


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
