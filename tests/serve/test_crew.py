"""What workers share: the board and the numbers on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.serve.running import instant_stack

from voicelat.errors import UsageError
from voicelat.serve.app import TwilioServer
from voicelat.serve.config import ServeConfig
from voicelat.serve.crew import Board, Crew, Place, State, place_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Crew.prepare(tmp_path, 3)
    return tmp_path


@pytest.fixture
def board(folder: Path) -> Board:
    return Board(folder, 3)


def worker(folder: Path, index: int) -> Crew:
    return Crew(Place(folder=str(folder), index=index, workers=3, door=0))


@pytest.fixture
async def at_worker(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The application of worker 0, of three, that has room for 2 calls."""
    config = ServeConfig(max_calls=2, public_base_url="https://bot.example")
    server = TwilioServer(instant_stack(), config, crew=worker(folder, 0))
    transport = httpx.ASGITransport(server.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://worker") as http:
        yield http


def test_calls_are_counted_over_all_workers(folder: Path, board: Board) -> None:
    crews = [worker(folder, index) for index in range(3)]
    for crew, calls in zip(crews, (4, 0, 7), strict=True):
        crew.note_calls(calls)
    assert [crew.calls for crew in crews] == [11, 11, 11]
    board.clear(2)
    assert [crew.calls for crew in crews] == [4, 4, 4]


def test_what_one_worker_notes_stands_on_the_board_beside_the_others(
    folder: Path, board: Board
) -> None:
    crew = worker(folder, 1)
    crew.note_state(State.OPEN)
    crew.note_open(5)
    crew.note_taken()
    crew.note_taken()
    shown = [board.states, board.calls, board.open, board.taken]
    assert [list(numbers) for numbers in shown] == [[0, 1, 0], [0, 0, 0], [0, 5, 0], [0, 2, 0]]
    assert crew.takers == 1


async def test_a_full_worker_is_not_busy_while_another_has_room(
    at_worker: httpx.AsyncClient, board: Board
) -> None:
    board.states[0] = board.states[1] = State.OPEN
    board.calls[0], board.calls[1] = 2, 1
    assert "<Stream" in (await at_worker.post("/voice")).text
    board.calls[1] = 2
    assert "busy" in (await at_worker.post("/voice")).text


async def test_a_worker_that_is_away_has_no_room(
    at_worker: httpx.AsyncClient, board: Board
) -> None:
    board.states[0] = board.states[1] = State.OPEN
    board.calls[0] = 2
    assert "<Stream" in (await at_worker.post("/voice")).text
    board.clear(1)
    assert "busy" in (await at_worker.post("/voice")).text


async def test_health_is_that_of_all(at_worker: httpx.AsyncClient, board: Board) -> None:
    board.states[0] = board.states[2] = State.OPEN
    board.calls[2] = 3
    health = (await at_worker.get("/healthz")).json()
    assert (health["calls"], health["workers"]) == (3, 2)


async def test_workers_that_do_not_answer_are_shown_as_missing(
    at_worker: httpx.AsyncClient, board: Board
) -> None:
    board.restarts = 4
    lines = (await at_worker.get("/metrics")).text.split("\n")
    assert "voicelat_workers 1" in lines
    assert "voicelat_workers_missing 2" in lines
    assert "voicelat_worker_restarts_total 4" in lines
    assert "voicelat_workers" not in (await at_worker.get("/metrics?of=me")).text


def test_a_socket_that_cannot_be_is_one_line(folder: Path) -> None:
    deep = folder / ("x" * 120)
    deep.mkdir()
    Crew.prepare(deep, 3)
    with pytest.raises(UsageError, match="set TMPDIR to a shorter path"):
        worker(deep, 0).listen()


def test_a_place_that_is_none_is_told() -> None:
    assert place_of(None) is None
    with pytest.raises(UsageError, match="supervisor"):
        place_of("nonsense")
