"""The parts of the standard library the probe needs, kept before anybody patches them."""

from __future__ import annotations

from _thread import allocate_lock, get_ident, start_new_thread
from os import read, write
from time import monotonic, process_time, sleep, thread_time

__all__ = [
    "allocate_lock",
    "get_ident",
    "monotonic",
    "process_time",
    "read",
    "sleep",
    "start_new_thread",
    "thread_time",
    "write",
]
