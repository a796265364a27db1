"""``python -m voicelat.bridge ORDERS NEWS``: an engine on two inherited sockets."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from typing import Final

from voicelat.bridge.engine import run
from voicelat.settings import wiring

GRACE_S: Final = 10.0
"""From the worker's end to ours. Calls end at once and turns are written within 2 s; a loop that
is stuck must not outlive its worker."""


def main() -> None:
    """Run until the worker that started us ends, however it does."""
    # Who stops a service signals all of its processes, and means the worker: while that lets its
    # calls finish, they need us.
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    orders, news = (socket.socket(fileno=int(fd)) for fd in sys.argv[1:])

    def end() -> None:
        timer = threading.Timer(GRACE_S, os._exit, (1,))
        timer.daemon = True
        timer.start()

    run(orders, news, wiring.logs, on_end=end)


if __name__ == "__main__":
    main()
