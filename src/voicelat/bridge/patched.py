"""Has somebody replaced the standard library's sockets and threads with green ones?

Looked up among the modules that are loaded: to import eventlet only to ask would start it.
"""

from __future__ import annotations

import sys
from typing import Any, Final, Literal

__all__ = ["Patcher", "patched_by"]

Patcher = Literal["eventlet", "gevent"]

_ASYNCIO_NEEDS: Final = ("socket", "select", "thread")
"""What an event loop in a thread is built on. A part of it patched is enough to break it."""


def patched_by() -> Patcher | None:
    """Who has monkey-patched this process so that asyncio cannot run in a thread of it.

    None: nobody. Ask after the server has started: its worker patches, not your import.
    """
    eventlet: Any = sys.modules.get("eventlet.patcher")
    if eventlet is not None and any(map(eventlet.is_monkey_patched, _ASYNCIO_NEEDS)):
        return "eventlet"
    gevent: Any = sys.modules.get("gevent.monkey")
    if gevent is not None and any(map(gevent.is_module_patched, _ASYNCIO_NEEDS)):
        return "gevent"
    return None
