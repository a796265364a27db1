"""Connections come in at one door, and each goes to the worker that has the fewest.

The supervisor accepts, and hands the socket over (SCM_RIGHTS). Left to the kernel, calls pile up:
with SO_REUSEPORT 60 went 36 : 24 to two workers and 22 : 15 : 14 : 9 to four (2026-11;
benchmarks/workers.py), and a worker that stands still is given its share nevertheless. One shared
listening socket gives a burst to whoever wakes up first, since an event loop accepts all that wait
at once.

Knows neither processes nor Twilio. POSIX only.
"""

from __future__ import annotations

import asyncio
import logging
import selectors
import socket
import time
from collections.abc import Callable, Collection
from typing import Final

from voicelat.serve.crew import Board, Crew, State

__all__ = ["Arrivals", "Door"]

_LOG = logging.getLogger("voicelat.serve")

_BACKLOG: Final = 2048
"""Connections that wait for the door, as uvicorn has them."""
_AT_ONCE: Final = 4
"""A worker that has not taken so many is given no more, they wait at the door for another: one that
stands still gets no callers. One that does not takes them within milliseconds."""
_PAUSE_S: Final = 0.001
"""While nobody can take a connection: a worker's loop turns about so often."""
_NO_FILES_S: Final = 0.05
"""After an accept that failed: the reason may stay for a while."""


class Door:
    """The supervisor's side. ``listener`` is bound, and does not listen before `open`."""

    def __init__(self, listener: socket.socket, board: Board) -> None:
        self._listener = listener
        self._board = board
        self._ways: dict[int, socket.socket] = {}
        self._handed: dict[int, int] = {}
        self._selector = selectors.DefaultSelector()

    def open(self) -> None:
        """Let connections come."""
        self._listener.listen(_BACKLOG)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def way_to(self, index: int) -> socket.socket:
        """A new way to a worker that is about to start: the worker's end of it."""
        self.close_way_to(index)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._ways[index], self._handed[index] = ours, 0
        return theirs

    def close_way_to(self, index: int) -> int:
        """The worker has died. Returns how many connections it had been given and not taken, which
        are lost."""
        way = self._ways.pop(index, None)
        if way is None:
            return 0
        way.close()
        return self._waiting(index)

    def stand(self, seconds: float) -> None:
        """Let connections in for at most so long, or until one has come."""
        if not self._selector.select(seconds):
            return
        if self._choice() is None:
            time.sleep(_PAUSE_S)
            return
        try:
            connection, _ = self._listener.accept()
        except OSError:  # it is gone again, or we have too many open files: it can wait
            time.sleep(_NO_FILES_S)
            return
        with connection:
            self._hand_over(connection)

    def _hand_over(self, connection: socket.socket) -> None:
        while (index := self._choice()) is not None:
            try:
                socket.send_fds(self._ways[index], [b"!"], [connection.fileno()])
            except OSError:  # it has just died
                self.close_way_to(index)
            else:
                self._handed[index] += 1
                return
        _LOG.warning("a connection was lost: every worker has died")

    def _choice(self) -> int | None:
        """The worker for the next connection; None: there is none that could take it."""
        able = [
            index
            for index in self._ways
            if self._board.states[index] != State.AWAY and self._waiting(index) < _AT_ONCE
        ]
        return min(able, key=self._dislike, default=None)

    def _dislike(self, index: int) -> tuple[bool, int, int]:
        draining = self._board.states[index] == State.DRAINING
        return draining, self._board.open[index] + self._waiting(index), self._handed[index]

    def _waiting(self, index: int) -> int:
        return self._handed[index] - self._board.taken[index]


class Arrivals:
    """A worker's side: connections become the event loop's, one at each of its turns, so that a
    burst does not hold up calls.

    ``protocol`` makes what serves one; ``connections`` are those that are open; ``on_lost`` is
    called for one that could not be taken: there were too many open files.
    """

    def __init__(
        self,
        crew: Crew,
        protocol: Callable[[], asyncio.Protocol],
        connections: Collection[object],
        on_lost: Callable[[], None],
    ) -> None:
        self._crew = crew
        self._protocol = protocol
        self._connections = connections
        self._on_lost = on_lost
        self._way = socket.socket(fileno=crew.place.door)
        self._way.setblocking(False)
        self._joining: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._way, self._take)

    def _take(self) -> None:
        try:
            said, files, _, _ = socket.recv_fds(self._way, 1, 1)
        except BlockingIOError:
            return
        if not said:  # the supervisor is gone
            self._loop.remove_reader(self._way)
        elif not files:
            self._on_lost()
            self._crew.note_taken()
        else:
            joining = self._loop.create_task(self._join(socket.socket(fileno=files[0])))
            self._joining.add(joining)
            joining.add_done_callback(self._joining.discard)

    async def _join(self, connection: socket.socket) -> None:
        try:
            connection.setblocking(False)
            # As every event loop sets it on what it accepts itself.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:
            connection.close()  # it is gone again
        finally:
            self._crew.note_open(len(self._connections))
            self._crew.note_taken()
