"""The servers people have, on a free port, with one of our examples in them."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

__all__ = ["EXAMPLES", "GUNICORN", "UVICORN", "free_port", "running"]

EXAMPLES: Final = Path(__file__).parents[2] / "examples"

_BIN: Final = Path(sys.executable).parent
GUNICORN: Final = (str(_BIN / "gunicorn"), "--no-control-socket", "-b", "127.0.0.1:{port}")
UVICORN: Final = (str(_BIN / "uvicorn"), "--port", "{port}")

_START_S: Final = 60.0
_STOP_S: Final = 20.0


def free_port() -> int:
    """One that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


@asynccontextmanager
async def running(
    command: Sequence[str], folder: Path, settings: Mapping[str, str]
) -> AsyncIterator[str]:
    """Run ``command`` in ``folder`` until it answers; yields ``127.0.0.1:PORT``."""
    port = free_port()
    log = (folder / "server.log").open("wb")
    environment = {**os.environ, "TWILIO_AUTH_TOKEN": "", "EVENTLET_NO_GREENDNS": "1"}
    with log:
        process = await asyncio.create_subprocess_exec(
            *(word.format(port=port) for word in command),
            cwd=folder,
            env={**environment, "PYTHONPATH": str(EXAMPLES), **settings},
            stdin=DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        async with asyncio.timeout(_START_S):
            await _answers(process, port)
        yield f"127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _answers(process: Process, port: int) -> None:
    """Gunicorn listens before its workers have loaded anything: only an answer counts."""
    while process.returncode is None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answered = await reader.read(1)
            writer.close()
        except ConnectionError:
            answered = b""
        if answered:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it ended at once")
