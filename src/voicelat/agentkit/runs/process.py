"""The agents' process: receiver and worker, from start to a graceful stop."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from voicelat import asgi
from voicelat.agentkit.runs.receiver import Receiver, Taker

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
    receiver = Receiver(worker, token, grace_s=grace_s)
    asgi.serve(
        receiver.app,
        url,
        token=token,
        token_name="AGENTS_TOKEN",
        on_ready=on_ready,
        before=_step_back,
    )


def _step_back() -> None:
    if not hasattr(os, "nice"):
        return
    os.nice(_NICE)
    # Linux may share out processor time by session first: then only the session's own niceness
    # counts, which is ours to set where the session is ours.
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(_NICE))
