"""The agents' process: receiver and worker, from start to a graceful stop."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import uvicorn

from voicelat.agentkit.runs.receiver import Receiver, Taker
from voicelat.errors import UsageError

__all__ = ["serve"]

_NICE: Final = 10
"""On a machine they share, calls come first: a turn is due in a second, a job is not."""


def serve(
    worker: Taker,
    url: str,
    token: str | None,
    *,
    on_ready: Callable[[str], None],
    grace_s: float = 5.0,
) -> None:
    """Take events at ``url`` until SIGTERM or Ctrl-C; runs that are not done then are resumed by
    the next process. Raises UsageError for an address that cannot be listened on, or is not on
    loopback without a token."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port if parts.port is not None else 80
    if token is None and not _is_loopback(host):
        raise UsageError(f"refusing to listen on {host} without AGENTS_TOKEN: set it")
    try:
        listening = socket.create_server((host, port))
    except OSError as error:
        raise UsageError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    _step_back()
    receiver = Receiver(worker, token, grace_s=grace_s)
    config = uvicorn.Config(receiver.app, log_config=None, lifespan="on")
    with listening:
        where = f"http://{host}:{listening.getsockname()[1]}"
        _Server(config, lambda: on_ready(where)).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def _step_back() -> None:
    if not hasattr(os, "nice"):
        return
    os.nice(_NICE)
    # Linux may share out processor time by session first: then only the session's own niceness
    # counts, which is ours to set where the session is ours.
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(_NICE))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
