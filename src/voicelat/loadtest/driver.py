"""Locust, in a process of its own: it decides when each call is placed, and keeps its statistics.

Run as ``python -m voicelat.loadtest.driver FD`` with one end of a socket pair. Locust is imported
before anything that it must patch; the calls themselves are held by the process at the other end
(see `voicelat.loadtest.wire`).
"""

from __future__ import annotations

# The first import: gevent patches sockets, threads and TLS, and must come before their users.
import locust  # isort: skip

import logging
import os
import random
import socket
import sys
import time
from collections.abc import Callable
from itertools import count
from typing import Any, ClassVar, Final

import gevent
from gevent.event import AsyncResult, Event
from gevent.queue import JoinableQueue, Queue
from locust import User, constant, task
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import MasterRunner, WorkerRunner

from voicelat.loadtest.wire import (
    Collect,
    Drive,
    Ended,
    Finish,
    Message,
    Over,
    Place,
    Plan,
    Split,
    Turn,
    encode,
)

__all__: list[str] = []

_CALLS_A_WORKER: Final = 1_000_000
"""Workers number their calls apart, so that no two callers of a run are the same."""
_LET_GO_S: Final = 10.0
"""How long calls may take to hang up once the time is over."""
_TICK_S: Final = 0.1
_FLUSH_S: Final = 0.5
"""For Locust's socket to send what it has taken."""
_SILENT_S: Final = 15.0
"""A master says every second that it is there."""


class Lines:
    """The process that holds the calls, as seen from here."""

    def __init__(self, connection: socket.socket, on_turn: Callable[[Turn], None]) -> None:
        self.finish = Event()
        """Set when the other side wants the end."""
        self.drive: AsyncResult = AsyncResult()
        self.on_ended: Callable[[Ended], None] = lambda ended: None
        self._socket = connection
        self._on_turn = on_turn
        self._calls: dict[int, AsyncResult] = {}
        self._outbox: JoinableQueue = JoinableQueue()
        gevent.spawn(self._read)
        gevent.spawn(self._write)

    def say(self, message: Message) -> None:
        """Tell the other side."""
        self._outbox.put(message)

    def close(self) -> None:
        """Wait until the other side has been told everything."""
        self._outbox.join()

    def place(self, number: int) -> Ended:
        """Place a call and wait for its end."""
        self._calls[number] = ended = AsyncResult()
        self.say(Place(number))
        result: Ended = ended.get()
        return result

    @property
    def open_calls(self) -> int:
        """Calls placed and not over."""
        return len(self._calls)

    def _write(self) -> None:
        """The only greenlet that sends: a socket takes one at a time."""
        while True:
            self._socket.sendall(encode(self._outbox.get()))
            self._outbox.task_done()

    def _read(self) -> None:
        split = Split()
        try:
            while data := self._socket.recv(65_536):
                for message in split.feed(data):
                    self._take(message)
        except OSError:
            pass  # killed: as good as closed
        # Nobody is left to drive for, and no greenlet of Locust's may keep this process.
        os._exit(0)

    def _take(self, message: Message) -> None:
        match message:
            case Drive():
                self.drive.set(message)
            case Turn():
                self._on_turn(message)
            case Ended(number=number):
                self.on_ended(message)
                self._calls.pop(number).set(message)
            case Finish():
                self.finish.set()
            case _:
                raise TypeError(f"{type(message).__name__} is not for the driver")


class Callers:
    """What Locust's users do here: place calls until the time is over."""

    def __init__(self, environment: Environment, lines: Lines, drive: Drive) -> None:
        self.idle = 0
        self.not_placed = 0
        self.done = 0
        """Users that will call no more."""
        self.over = False
        """No call is placed any more."""
        self._environment = environment
        self._lines = lines
        self._drive = drive
        self._numbers = count()
        self._arrivals: Queue = Queue()

    @property
    def first_number(self) -> int:
        """Where the numbers of this machine's calls begin."""
        runner = self._environment.runner
        index = runner.worker_index if isinstance(runner, WorkerRunner) else 0
        return max(0, index) * _CALLS_A_WORKER

    def call(self) -> None:
        """One user's next call. Raises StopUser when there is none."""
        if self._drive.arrivals_per_s is not None:
            self.idle += 1
            self._arrivals.get()
            self.idle -= 1
        if self.over:
            self.done += 1
            raise StopUser
        began = time.monotonic()
        ended = self._lines.place(self.first_number + next(self._numbers))
        self._environment.events.request.fire(
            request_type="CALL",
            name="call",
            response_time=ended.duration_ms or (time.monotonic() - began) * 1000,
            response_length=0,
            exception=None if ended.failed is None else ConnectionError(ended.failed),
            context={},
        )
        if self._drive.duration_s is None:
            self.done += 1
            raise StopUser
        if ended.failed is not None:
            gevent.sleep(1.0)  # a server that refuses is not helped by a storm

    def arrive(self) -> None:
        """Calls come by chance, as many for each user here as everywhere."""
        each = (self._drive.arrivals_per_s or 0.0) / self._drive.callers
        while not self.over:
            users = self._environment.runner.user_count if self._environment.runner else 0
            if not users:
                gevent.sleep(_TICK_S)
                continue
            gevent.sleep(random.expovariate(each * users))
            if self.over:
                return
            if self.idle > self._arrivals.qsize():
                self._arrivals.put(None)
            else:
                self.not_placed += 1

    def finish(self) -> None:
        """Place no more calls, hang up the others, and wait until they are over."""
        self.over = True
        for _ in range(self.idle):
            self._arrivals.put(None)
        self._lines.say(Finish())
        give_up = time.monotonic() + _LET_GO_S
        while self._lines.open_calls and time.monotonic() < give_up:
            gevent.sleep(_TICK_S)


class Caller(User):
    """One simulated caller. Locust spawns them, on the master's word by the name of this class."""

    wait_time = constant(0)  # the scenario has the pauses
    callers: ClassVar[AsyncResult] = AsyncResult()
    """The `Callers` of this process, once there is a plan."""

    @task
    def call(self) -> None:
        """The next call."""
        self.callers.get().call()


def main(descriptor: int) -> int:
    """Drive until all is done."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    environment = Environment(user_classes=[Caller], catch_exceptions=False)
    lines = Lines(socket.socket(fileno=descriptor), lambda turn: _note(environment, turn))
    drive: Drive = lines.drive.get()
    if drive.address is None:
        over = _alone(environment, lines, drive)
    elif drive.workers:
        over = _master(environment, lines, drive)
    else:
        over = _worker(environment, lines, drive)
    lines.say(over)
    lines.close()
    return 0


def _note(environment: Environment, turn: Turn) -> None:
    environment.events.request.fire(
        request_type="CALL",
        name="turn",
        response_time=turn.ms or 0.0,
        response_length=0,
        exception=None if turn.ms is not None else TimeoutError("never answered"),
        context={},
    )


def _spawn_rate(drive: Drive) -> float:
    return drive.callers / max(0.1, drive.ramp_s)


def _time_is_over(drive: Drive, began: float) -> bool:
    return drive.duration_s is not None and time.monotonic() - began >= drive.duration_s


def _alone(environment: Environment, lines: Lines, drive: Drive) -> Over:
    callers = Callers(environment, lines, drive)
    Caller.callers.set(callers)
    runner = environment.create_local_runner()
    web = _web(environment, drive)
    runner.start(drive.callers, _spawn_rate(drive))
    if drive.arrivals_per_s is not None:
        gevent.spawn(callers.arrive)
    began = time.monotonic()
    while not (lines.finish.wait(_TICK_S) or _time_is_over(drive, began)):
        if callers.done >= drive.callers:
            break
    callers.finish()
    runner.quit()
    if web is not None:
        web.stop()
    return Over(not_placed=callers.not_placed)


def _web(environment: Environment, drive: Drive) -> Any:
    if drive.web is None:
        return None
    host, port = drive.web
    return environment.create_web_ui(host, port)


def _master(environment: Environment, lines: Lines, drive: Drive) -> Over:
    """Workers place the calls; what became of each comes back through here."""
    assert drive.address is not None
    host, port = drive.address
    runner: MasterRunner = environment.create_master_runner(host, port)
    not_placed: dict[str, int] = {}
    done: set[str] = set()

    def on_done(environment: Environment, msg: Any, **_: Any) -> None:
        not_placed[msg.node_id] = msg.data["not_placed"]
        done.add(msg.node_id)

    def on_call(environment: Environment, msg: Any, **_: Any) -> None:
        lines.say(Collect(msg.data["rows"]))

    runner.register_message("voicelat-call", on_call)
    runner.register_message("voicelat-done", on_done)
    web = _web(environment, drive)
    while len(runner.clients.ready) < drive.workers:
        if lines.finish.wait(_TICK_S):
            runner.quit()
            return Over(says=f"{len(runner.clients.ready)} of {drive.workers} workers came")
    workers = [client.id for client in runner.clients.ready]
    told = {"plan": drive.plan, "drive": encode(drive)}
    for worker in workers:
        runner.send_message("voicelat-plan", told, worker)
    runner.start(drive.callers, _spawn_rate(drive))
    began = time.monotonic()
    lost: set[str] = set()
    while len(done | lost) < len(workers):
        if lines.finish.wait(_TICK_S) or _time_is_over(drive, began):
            runner.send_message("voicelat-finish")
            drive = Drive(callers=drive.callers)  # once
            lines.finish.clear()
        missing = {client.id for client in runner.clients.missing}
        lost |= (missing | (set(workers) - set(runner.clients))) - done
    runner.quit()
    if web is not None:
        web.stop()
    return Over(not_placed=sum(not_placed.values()), workers_lost=len(lost))


def _worker(environment: Environment, lines: Lines, drive: Drive) -> Over:
    """Place this machine's share of the master's calls."""
    assert drive.address is not None
    plan: AsyncResult = AsyncResult()
    finish, spawned = Event(), Event()
    runner: WorkerRunner = environment.create_worker_runner(*drive.address)
    runner.register_message("voicelat-plan", lambda environment, msg, **_: plan.set(msg.data))
    runner.register_message("voicelat-finish", lambda environment, msg, **_: finish.set())
    environment.events.spawning_complete.add_listener(lambda **_: spawned.set())
    while not plan.ready():
        if lines.finish.wait(_TICK_S) or _is_gone(runner):
            runner.quit()
            return Over(says="the master went before it had a plan")
    lines.say(Plan(plan.get()["plan"]))
    (mine,) = Split().feed(plan.get()["drive"])
    assert isinstance(mine, Drive)
    here = Callers(environment, lines, mine)
    lines.on_ended = lambda ended: runner.send_message("voicelat-call", {"rows": ended.rows})
    Caller.callers.set(here)
    if mine.arrivals_per_s is not None:
        gevent.spawn(here.arrive)
    while not (finish.is_set() or lines.finish.wait(_TICK_S) or _is_gone(runner)):
        share = sum(runner.target_user_classes_count.values())
        if spawned.is_set() and here.done >= share:
            break
    here.finish()
    runner.send_message("voicelat-done", {"not_placed": here.not_placed})
    gevent.sleep(_FLUSH_S)
    return Over(not_placed=here.not_placed)


def _is_gone(master: WorkerRunner) -> bool:
    """Whether the master has said nothing for so long that nobody waits for our rows."""
    heard: float | None = master.last_heartbeat_timestamp
    return heard is not None and time.time() - heard > _SILENT_S


if __name__ == "__main__":
    assert locust.__version__
    sys.exit(main(int(sys.argv[1])))
