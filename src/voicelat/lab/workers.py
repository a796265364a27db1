"""Where the laboratory's heavy work is done: processes of this machine, or a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, cast

from voicelat.errors import ConnectError, MissingExtra, UsageError

__all__ = ["workers"]

_CONNECT_S: Final = 10

_ADDRESS: Final = re.compile(r"((tcp|tls|ws|wss)://)?(\[[0-9A-Fa-f:]+\]|[^\s/:\[\]]+):\d{1,5}")
"""HOST:PORT, with a protocol or not. Dask's client, given another, is stuck when it is let go."""


@contextmanager
def workers(cluster: str | None = None) -> Iterator[Executor]:
    """An executor: one process a core, or the cluster whose scheduler is at ``cluster``.

    Every machine of the cluster needs this version of voicelat. A worker that dies has its
    tasks done again by another. Raises UsageError for what is no address, MissingExtra for a
    cluster without Dask, ConnectError when nobody answers there.
    """
    if cluster is None:
        # Not forked: a lock that a thread of ours holds would be held for ever in the child.
        context = multiprocessing.get_context("spawn")
        count = os.cpu_count() or 1
        with ProcessPoolExecutor(count, mp_context=context, initializer=_ignore_ctrl_c) as pool:
            try:
                yield pool
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return
    if not _ADDRESS.fullmatch(cluster):
        raise UsageError(f"--cluster {cluster}: give HOST:PORT, like tcp://10.0.0.5:8786")
    try:
        from distributed import Client
    except ImportError:
        raise MissingExtra("cluster", "--cluster (Dask)") from None
    try:
        client: Any = cast(Any, Client)(cluster, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ConnectError(f"--cluster {cluster}: no Dask scheduler answers ({error})") from None
    with client:
        yield client.get_executor()


def _ignore_ctrl_c() -> None:
    """The parent gets it too, and decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
