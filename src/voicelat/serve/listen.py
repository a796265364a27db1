"""The address a server listens on."""

from __future__ import annotations

import socket

from voicelat.errors import UsageError

__all__ = ["base_url", "listen_on"]


def listen_on(host: str, port: int) -> socket.socket:
    """A socket bound to the address. Raises UsageError when that cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        why = error.strerror or str(error)
        raise UsageError(f"cannot listen on {host}:{port}: {why}") from None
    return listener


def base_url(listener: socket.socket) -> str:
    """Where its server is."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
