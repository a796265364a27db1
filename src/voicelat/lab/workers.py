"""Where the laboratory's heavy work is done: processes of this machine, or a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Final, cast

from voicelat.errors import ConnectError, MissingExtra, UsageError

__all__ = ["process_pool", "workers"]

_CONNECT_S: Final = 10

_ADDRESS: Final = re.compile(r"((tcp|tls|ws|wss)://)?(\[[0-9A-Fa-f:]+\]|[^\s/:\[\]]+):\d{1,5}")
"""HOST:PORT, with a protocol or not. Dask's client, given another, is stuck when it is let go."""


@contextmanager
def workers(cluster: str | None = None) -> Iterator[Executor]:
    """An executor: one process a core, or the cluster whose scheduler is at ``cluster``.

    Every machine of the cluster needs this version of voicelat. A worker that dies has its
    tasks done again by another. Raises UsageError for what is no address, MissingExtra for a
    cluster without Dask, ConnectError when nobody answers there, or any more, and UsageError
    when a process is killed.
    """
    with _processes() if cluster is None else _cluster(cluster) as executor:
        yield executor


def process_pool(count: int) -> ProcessPoolExecutor:
    """``count`` processes of this machine. Whoever makes it shuts it down."""
    return ProcessPoolExecutor(
        count,
        # Not forked: a lock that a thread of ours holds would be held for ever in the child.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),  # Ctrl-C is for the one that collects
    )


@contextmanager
def _processes() -> Iterator[Executor]:
    pool = process_pool(os.cpu_count() or 1)
    try:
        yield pool
    except BrokenProcessPool:
        why = "a process was killed, perhaps for want of memory: take fewer calls or settings"
        raise UsageError(why) from None
    finally:
        # What is running is waited for, what is not is not begun: Ctrl-C takes no minute.
        pool.shutdown(cancel_futures=True)


@contextmanager
def _cluster(address: str) -> Iterator[Executor]:
    if not _ADDRESS.fullmatch(address):
        raise UsageError(f"--cluster {address}: give HOST:PORT, like tcp://10.0.0.5:8786")
    try:
        from distributed import Client, KilledWorker
    except ImportError:
        raise MissingExtra("cluster", "--cluster (Dask)") from None
    try:
        client: Any = cast(Any, Client)(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError, TypeError) as error:  # TypeError: TLS without keys
        raise ConnectError(f"--cluster {address}: no Dask scheduler answers ({error})") from None
    with client:
        try:
            yield client.get_executor()
        except CancelledError:
            raise ConnectError(f"--cluster {address}: its scheduler was lost on the way") from None
        except KilledWorker:
            why = "its workers were killed, one after the other, perhaps for want of memory"
            raise ConnectError(f"--cluster {address}: {why}") from None
