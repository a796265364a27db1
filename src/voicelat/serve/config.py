"""The settings of the server, with their reasons."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from voicelat.errors import UsageError

__all__ = ["ServeConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """Where to listen, whom to believe, what to keep."""

    host: str = "127.0.0.1"
    port: int = 8080
    """0: any free one."""
    public_base_url: str | None = None
    """The server as Twilio reaches it (``https://…``): signatures are over this. None: what
    the request itself says, which is right only without a proxy."""
    auth_token: str | None = None
    """Twilio's. With it, webhooks, handshakes and stream tokens are checked."""
    insecure: bool = False
    """Listen on a public address without an auth token."""
    max_calls: int = 100
    max_message_bytes: int = 65_536
    """A socket that sends more in one message is cut off."""
    max_sockets: int = 1000
    """Media sockets open at once, with a call or without: connects that never say ``start`` must
    not eat the process."""
    handshake_timeout_s: float = 20.0
    """From the connection, or the last answer on it, to the next answer. Ours take milliseconds,
    and Twilio gives a webhook up to 15 s."""
    warm_timeout_s: float = 120.0
    """How long the providers may take to get ready: a model from a slow disk takes half a minute,
    a service that hangs takes for ever."""
    turns_file: Path | None = None
    record_dir: Path | None = None
    grace_s: float = 30.0
    """How long calls in progress may go on after the first SIGTERM."""
    token_life_s: float = 60.0
    """How long a stream token may wait for its stream."""

    def check(self) -> None:
        """Raises UsageError when the server would be open to everybody unintentionally."""
        if not self.auth_token and not self.insecure and not _is_loopback(self.host):
            raise UsageError(
                f"refusing to listen on {self.host} without TWILIO_AUTH_TOKEN: set it, or pass "
                "--insecure if everybody may call"
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
