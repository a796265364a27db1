"""Several worker processes behind one door, and the process that looks after them.

Workers are programs of their own (a fork would copy threads and locks of models and gRPC). This
one carries no calls and imports next to nothing.
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
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

from voicelat.errors import ConnectError, UsageError, VoicelatError
from voicelat.serve.crew import ENVIRONMENT, Board, Crew, Place, State, words_of
from voicelat.serve.door import Door
from voicelat.serve.listen import base_url, listen_on

__all__ = ["supervise"]

_LOG = logging.getLogger("voicelat.serve")

_TICK_S: Final = 0.1
_USAGE: Final = 2
"""The exit code of a worker that cannot work as it is set."""
_STILLBORN: Final = 3
"""Workers in a row that die before they are ready: then the reason will not go away."""
_BACK_OFF_S: Final = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
_LAST_S: Final = 15.0
"""What a worker may need after the grace period, for its last records and logs."""


@dataclass(slots=True)
class _Worker:
    index: int
    process: subprocess.Popen[bytes]
    ready: bool = False


def supervise(
    command: Sequence[str],
    workers: int,
    host: str,
    port: int,
    *,
    on_ready: Callable[[str, list[int]], None],
    grace_s: float,
) -> None:
    """Run ``command`` ``workers`` times until SIGTERM, or SIGINT, which is raised on.

    ``command`` must be `voicelat.serve.server.run` on a server with a `Crew`. ``on_ready`` gets
    the base URL and the workers' process ids once all take calls. A worker that dies is started
    again; signals are passed on.

    Raises UsageError when the address cannot be listened on or a worker says that something
    cannot work, ConnectError when workers keep dying at their start and none takes calls.
    """
    if not hasattr(socket, "send_fds"):
        raise UsageError("WORKERS above 1 needs a system that passes sockets on (Linux, macOS)")
    with listen_on(host, port) as listener, tempfile.TemporaryDirectory() as folder:
        supervisor = _Supervisor(command, workers, Path(folder), listener, grace_s)
        supervisor.run(lambda pids: on_ready(base_url(listener), pids))
    if signal.SIGINT in supervisor.signals:
        raise KeyboardInterrupt


class _Supervisor:
    def __init__(
        self,
        command: Sequence[str],
        workers: int,
        folder: Path,
        listener: socket.socket,
        grace_s: float,
    ) -> None:
        Crew.prepare(folder, workers)
        self.signals: list[int] = []
        self._command = command
        self._count = workers
        self._folder = folder
        self._board = Board(folder, workers)
        self._door = Door(listener, self._board)
        self._grace_s = grace_s
        self._workers: dict[int, _Worker] = {}
        self._told = False
        self._stillborn = 0
        self._again: list[tuple[float, int]] = []
        """When to start which worker again."""

    def run(self, on_ready: Callable[[list[int]], None]) -> None:
        before = {sig: signal.signal(sig, self._note) for sig in (signal.SIGTERM, signal.SIGINT)}
        try:
            for index in range(self._count):
                self._start(index)
            while not self.signals:
                self._look_after()
                if not self._told and sum(w.ready for w in self._workers.values()) == self._count:
                    self._told = True
                    self._door.open()
                    on_ready([worker.process.pid for worker in self._workers.values()])
                self._door.stand(_TICK_S)
        finally:
            self._stop()
            for sig, handler in before.items():
                signal.signal(sig, handler)

    def _note(self, sig: int, frame: FrameType | None) -> None:
        self.signals.append(sig)

    def _start(self, index: int) -> None:
        self._board.clear(index)
        with self._door.way_to(index) as door:
            place = Place(
                folder=str(self._folder), index=index, workers=self._count, door=door.fileno()
            )
            # A session of its own: Ctrl-C is for the supervisor, which passes it on once. Its
            # standard input ends with the supervisor: that is how a worker knows.
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                env={**os.environ, ENVIRONMENT: msgspec.json.encode(place).decode()},
                start_new_session=True,
                pass_fds=[door.fileno()],
            )
        self._workers[index] = _Worker(index, process)

    def _look_after(self) -> None:
        now_s = time.monotonic()
        for worker in list(self._workers.values()):
            if not worker.ready and self._board.states[worker.index] == State.OPEN:
                worker.ready = True
                self._stillborn = 0
            code = worker.process.poll()
            if code is not None:
                self._bury(worker, code)
        for due_s, index in list(self._again):
            if now_s >= due_s:
                self._again.remove((due_s, index))
                self._start(index)

    def _bury(self, worker: _Worker, code: int) -> None:
        """A worker died: start another, unless there is no point."""
        index = worker.index
        del self._workers[index]
        connections = self._board.open[index] + self._door.close_way_to(index)
        self._board.clear(index)
        if not worker.ready:
            self._stillborn += 1
            at_work = self._told and any(other.ready for other in self._workers.values())
            if not at_work and (code == _USAGE or self._stillborn >= _STILLBORN):
                raise self._last_words(index, code)
        self._board.restarts += 1
        wait_s = _BACK_OFF_S[min(self._stillborn, len(_BACK_OFF_S) - 1)]
        _LOG.error(
            "worker %d ended (%s, %d connections): starting another in %g s",
            index,
            _how(code),
            connections,
            wait_s,
        )
        self._again.append((time.monotonic() + wait_s, index))

    def _last_words(self, index: int, code: int) -> VoicelatError:
        try:
            words = words_of(self._folder, index).read_text(encoding="utf-8")
        except OSError:
            words = f"a worker dies at its start ({_how(code)}; above: why)"
        return UsageError(words) if code == _USAGE else ConnectError(words)

    def _stop(self) -> None:
        """Pass the signals on until everybody is gone; in the end by force. Until then who
        connects is told that no call is taken."""
        passed = 0
        give_up_s = time.monotonic() + self._grace_s + _LAST_S
        while alive := [one for one in self._workers.values() if one.process.poll() is None]:
            # Without a signal it is an error that ends us.
            for _ in self.signals[passed:] or [signal.SIGTERM][passed:]:
                passed += 1
                for worker in alive:
                    worker.process.send_signal(signal.SIGTERM)
            if time.monotonic() > give_up_s:
                for worker in alive:
                    worker.process.kill()
            self._door.stand(_TICK_S)


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"code {code}"
