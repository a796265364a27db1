"""An ASGI application at an address: who may be let in from where, and when it is ready."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import uvicorn

from voicelat.errors import UsageError

__all__ = ["Server", "is_loopback", "serve"]

_GRACE_S: Final = 5


def serve(
    app: Any,
    url: str,
    *,
    token: str | None,
    token_name: str,
    on_ready: Callable[[str], None],
    before: Callable[[], None] = lambda: None,
) -> None:
    """Serve at ``url`` until SIGTERM or Ctrl-C. ``on_ready`` is told where: port 0 is any free one.

    ``before``: what to do once the address is ours. Raises UsageError for an address that cannot be
    listened on, or is not on loopback while there is no ``token``.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port if parts.port is not None else 80
    if token is None and not is_loopback(host):
        raise UsageError(f"refusing to listen on {host} without {token_name}: set it")
    try:
        listening = socket.create_server((host, port))
    except OSError as error:
        raise UsageError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    with listening:
        before()
        where = f"http://{host}:{listening.getsockname()[1]}"
        config = uvicorn.Config(
            app, log_config=None, lifespan="on", timeout_graceful_shutdown=_GRACE_S
        )
        Server(config, lambda: on_ready(where)).run(sockets=[listening])


class Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See `uvicorn.Server`."""
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
