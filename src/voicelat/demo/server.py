"""The reference server in a process of its own, as the demo's callers meet it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from voicelat.demo.process import running

__all__ = ["SERVE", "running_server"]

SERVE: Final = ["serve", "--host", "127.0.0.1", "--port", "0"]


@asynccontextmanager
async def running_server(folder: Path, settings: Mapping[str, str]) -> AsyncIterator[str]:
    """Run ``voicelat serve`` with ``settings`` on a free loopback port, logs in ``folder``.

    Yields its base URL. Raises the server's own words when it does not start: UsageError for
    settings that cannot work, else ConnectError.
    """
    async with running("the server", SERVE, settings, folder / "server.log") as said:
        yield said["url"]
