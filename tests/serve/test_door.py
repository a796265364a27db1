"""Each connection goes to the worker that has the fewest."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from voicelat.serve.crew import Board, Crew, Place, State
from voicelat.serve.door import Arrivals, Door

WORKERS = 3


class House:
    """A door, its workers, and those who come."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._stack = stack
        self._listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.board = Board(folder, WORKERS)
        self.door = Door(self._listener, self.board)
        self.door.open()
        self.ends = [stack.enter_context(self.door.way_to(n)) for n in range(WORKERS)]
        for index in range(WORKERS):
            self.board.states[index] = State.OPEN

    def come(self, connections: int) -> None:
        """So many connections come, and as many are let in as can be."""
        for _ in range(connections):
            self._stack.enter_context(socket.create_connection(self._listener.getsockname()))
        for _ in range(WORKERS * 4 + 1):
            self.door.stand(0)

    def take(self, index: int) -> None:
        """A worker takes all it was given, and keeps them."""
        for _ in range(self.given(index)):
            self.board.open[index] += 1
            self.board.taken[index] += 1

    def given(self, index: int) -> int:
        """How many connections lie before a worker: the files are closed here."""
        self.ends[index].setblocking(False)
        count = 0
        while True:
            try:
                said, files, _, _ = socket.recv_fds(self.ends[index], 1, 1)
            except BlockingIOError:
                return count
            assert len(said) == len(files) == 1
            socket.socket(fileno=files[0]).close()
            count += 1


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    Board.prepare(tmp_path, WORKERS)
    with ExitStack() as stack:
        yield House(tmp_path, stack)


def given(house: House) -> list[int]:
    return [house.given(index) for index in range(WORKERS)]


def test_a_burst_is_shared_out_evenly(house: House) -> None:
    house.come(9)
    assert given(house) == [3, 3, 3]


def test_connections_that_ended_make_room(house: House) -> None:
    house.come(6)
    for index in range(WORKERS):
        house.take(index)
    house.board.open[1] = 0
    house.come(3)
    assert given(house) == [1, 2, 0]


def test_a_worker_that_stands_still_is_passed_over_also_in_a_burst(house: House) -> None:
    house.come(40)
    for _ in range(10):
        house.take(1)
        house.take(2)
        house.come(0)
    assert house.given(0) == 4
    assert house.board.taken[1] + house.board.taken[2] == 36


def test_nobody_is_let_in_while_no_worker_takes_what_it_has(house: House) -> None:
    house.come(3 * 4 + 5)
    assert given(house) == [4, 4, 4]


def test_a_worker_that_is_not_ready_is_given_nothing(house: House) -> None:
    house.board.states[0] = State.AWAY
    house.come(4)
    assert given(house) == [0, 2, 2]


def test_a_draining_worker_is_given_what_nobody_else_can_take(house: House) -> None:
    house.board.states[0] = house.board.states[1] = State.DRAINING
    house.come(2)
    house.board.states[2] = State.DRAINING
    house.come(2)
    assert given(house) == [1, 1, 2]


def test_what_a_dead_worker_cannot_take_another_does(house: House) -> None:
    house.ends[0].close()
    house.come(4)
    assert [house.given(1), house.given(2)] == [2, 2]


def test_a_new_worker_in_a_dead_ones_place_begins_with_nothing(house: House) -> None:
    house.come(9)
    assert house.door.close_way_to(0) == 3
    house.board.clear(0)
    house.ends[0].close()
    house.ends[0] = house.door.way_to(0)
    house.board.states[0] = State.OPEN
    house.come(2)
    assert house.given(0) == 2


class Greeter(asyncio.Protocol):
    """Says hello and hangs up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


async def test_a_connection_handed_over_is_served_and_counted(tmp_path: Path) -> None:
    Crew.prepare(tmp_path, 1)
    board = Board(tmp_path, 1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        door = Door(listener, board)
        door.open()
        place = Place(folder=str(tmp_path), index=0, workers=1, door=door.way_to(0).detach())
        lost: list[str] = []
        Arrivals(Crew(place), Greeter, ["one", "two"], lambda: lost.append("lost"))
        board.states[0] = State.OPEN
        for _ in range(3):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            door.stand(1)
            assert await reader.read() == b"hello"
            writer.close()
    assert (board.taken[0], board.open[0], lost) == (3, 2, [])


async def test_a_connection_there_is_no_file_for_is_counted(tmp_path: Path) -> None:
    Crew.prepare(tmp_path, 1)
    ours, theirs = socket.socketpair()
    place = Place(folder=str(tmp_path), index=0, workers=1, door=theirs.detach())
    lost = asyncio.Event()
    with ours:
        Arrivals(Crew(place), Greeter, [], lost.set)
        ours.send(b"!")  # as one arrives whose file the kernel could not open for us
        await asyncio.wait_for(lost.wait(), 5)
    assert Board(tmp_path, 1).taken[0] == 1
