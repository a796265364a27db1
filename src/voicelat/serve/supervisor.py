"""Several worker processes on one port, and the process that looks after them.

Workers are programs of their own (a fork would copy threads and locks of models and gRPC). Each
listens on the same port with SO_REUSEPORT, so that the kernel spreads connections by their
addresses: one shared listening socket would give a burst of calls to whoever wakes up first, since
an event loop accepts all that wait at once. Linux and the BSDs have it.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

from voicelat.errors import ConnectError, UsageError
from voicelat.serve.crew import ENVIRONMENT, Crew, Place
from voicelat.serve.server import listen_on

__all__ = ["supervise"]

_LOG = logging.getLogger("voicelat.serve")

_READY_S: Final = 120.0
"""How long a worker may take to be warm."""
_TICK_S: Final = 0.1
_STILLBORN: Final = 3
"""Workers in a row that die before they are ready: then the reason will not go away."""
_BACK_OFF_S: Final = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class _Worker:
    index: int
    process: subprocess.Popen[bytes]
    ready: bool = False
    started_s: float = field(default_factory=time.monotonic)


def supervise(
    command: Sequence[str],
    workers: int,
    host: str,
    port: int,
    *,
    on_ready: Callable[[str, list[int]], None],
    grace_s: float,
) -> None:
    """Run ``workers`` times ``command`` until SIGTERM, or SIGINT, which is raised on.

    ``command`` must print a line once it takes calls. ``on_ready`` gets the base URL and the
    workers' process ids once all do. A worker that dies is started again; signals are passed on.
    Raises UsageError when the address cannot be listened on or a worker says that something
    cannot work, ConnectError when workers keep dying.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise UsageError("WORKERS above 1 need SO_REUSEPORT, which this system does not have")
    with listen_on(host, port, shared=True) as reserved, tempfile.TemporaryDirectory() as folder:
        Crew.prepare(Path(folder), workers)
        bound = reserved.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        crew = _Supervisor(command, workers, Path(folder), bound, grace_s)
        crew.run(lambda pids: on_ready(f"http://{shown}:{bound}", pids))
    if signal.SIGINT in crew.signals:
        raise KeyboardInterrupt


class _Supervisor:
    def __init__(
        self, command: Sequence[str], workers: int, folder: Path, port: int, grace_s: float
    ) -> None:
        self.signals: list[int] = []
        self._command = command
        self._count = workers
        self._folder = folder
        self._port = port
        self._grace_s = grace_s
        self._workers: dict[int, _Worker] = {}
        self._restarts = 0
        self._stillborn = 0
        self._again: list[tuple[float, int]] = []
        """When to start which worker again."""

    def run(self, on_ready: Callable[[list[int]], None]) -> None:
        before = {sig: signal.signal(sig, self._note) for sig in (signal.SIGTERM, signal.SIGINT)}
        told = False
        try:
            for index in range(self._count):
                self._start(index)
            while not self.signals:
                self._look_after()
                if not told and all(worker.ready for worker in self._workers.values()):
                    told = True
                    on_ready([worker.process.pid for worker in self._workers.values()])
                time.sleep(_TICK_S)
        finally:
            self._stop()
            for sig, handler in before.items():
                signal.signal(sig, handler)

    def _note(self, sig: int, frame: FrameType | None) -> None:
        self.signals.append(sig)

    def _start(self, index: int) -> None:
        place = Place(
            folder=str(self._folder),
            index=index,
            workers=self._count,
            port=self._port,
            restarts=self._restarts,
        )
        # A session of its own: Ctrl-C is for the supervisor, which passes it on once. Its standard
        # input ends with the supervisor: that is how a worker knows.
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, ENVIRONMENT: msgspec.json.encode(place).decode()},
            start_new_session=True,
        )
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._workers[index] = _Worker(index, process)

    def _look_after(self) -> None:
        now_s = time.monotonic()
        for worker in list(self._workers.values()):
            assert worker.process.stdout is not None
            if not worker.ready and worker.process.stdout.read():
                worker.ready = True
                self._stillborn = 0
            code = worker.process.poll()
            if code is not None:
                self._bury(worker, code)
            elif not worker.ready and now_s - worker.started_s > _READY_S:
                raise ConnectError(f"a worker did not start within {_READY_S:.0f} s")
        for due_s, index in list(self._again):
            if now_s >= due_s:
                self._again.remove((due_s, index))
                self._start(index)

    def _bury(self, worker: _Worker, code: int) -> None:
        """A worker died: start another, unless there is no point."""
        del self._workers[worker.index]
        if not worker.ready:
            self._stillborn += 1
            if code == 2:
                raise UsageError("a worker cannot start (above: why)")
            if self._stillborn >= _STILLBORN:
                raise ConnectError(f"workers keep dying at their start, with {code} (above: why)")
        self._restarts += 1
        (self._folder / "restarts").write_text(str(self._restarts))
        wait_s = _BACK_OFF_S[min(self._stillborn, len(_BACK_OFF_S) - 1)]
        how = f"signal {-code}" if code < 0 else f"code {code}"
        _LOG.error("worker %d died (%s): starting another in %g s", worker.index, how, wait_s)
        self._again.append((time.monotonic() + wait_s, worker.index))

    def _stop(self) -> None:
        """Pass the signals on until everybody is gone; in the end by force."""
        passed = 0
        give_up_s = time.monotonic() + self._grace_s + 15
        alive = [worker.process for worker in self._workers.values()]
        while alive := [process for process in alive if process.poll() is None]:
            for _ in self.signals[passed:] or ([signal.SIGTERM] if not passed else []):
                passed += 1
                for process in alive:
                    process.send_signal(signal.SIGTERM)
            if time.monotonic() > give_up_s:
                for process in alive:
                    process.kill()
            time.sleep(_TICK_S)
