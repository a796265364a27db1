"""What the processes of one server share: a private folder, and nothing else.

In it are a board (a mapped file of numbers: how each worker does, for the supervisor and for each
other), the stream tokens, and a socket of each worker, where it tells the others its own metrics.
So any worker can answer a webhook whose stream arrives at another, and a scrape of any tells of
all.
"""

from __future__ import annotations

import asyncio
import enum
import mmap
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from voicelat.errors import UsageError
from voicelat.serve.tokens import MAX_WAITING

if TYPE_CHECKING:
    from voicelat.serve.shared_tokens import SharedTokens

__all__ = ["ENVIRONMENT", "Board", "Crew", "Place", "State", "place_of"]

ENVIRONMENT: Final = "VOICELAT_CREW"
"""How a supervisor tells a worker its `Place`."""

_ASK_S: Final = 2.0
"""A worker that does not tell its metrics by then is missing from the sum, and shown so."""
_OWN: Final = b"GET /metrics?of=me HTTP/1.0\r\nHost: worker\r\n\r\n"


class State(enum.IntEnum):
    """What a worker does with connections."""

    AWAY = 0
    """It is not there, or not ready."""
    OPEN = 1
    DRAINING = 2
    """It answers, and takes no more calls."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Which worker of how many."""

    folder: str
    index: int
    workers: int
    door: int
    """The file descriptor of the socket on which connections are handed over."""


class Board:
    """Numbers about each worker, that every process sees. Each number has one writer."""

    def __init__(self, folder: Path, workers: int) -> None:
        with (folder / "board").open("r+b") as file:
            numbers = memoryview(mmap.mmap(file.fileno(), 4 * (4 * workers + 1))).cast("i")
        self.states = numbers[0:workers]
        """A `State` each: the worker's own, but AWAY is said by the supervisor when it died."""
        self.calls = numbers[workers : 2 * workers]
        self.open = numbers[2 * workers : 3 * workers]
        """Connections, with a call or without."""
        self.taken = numbers[3 * workers : 4 * workers]
        """Connections it took from the supervisor since it was started."""
        self._restarts = numbers[4 * workers :]

    @staticmethod
    def prepare(folder: Path, workers: int) -> None:
        """Make the file, before the first worker."""
        (folder / "board").write_bytes(bytes(4 * (4 * workers + 1)))

    @property
    def restarts(self) -> int:
        """How often a worker had to be started again (the supervisor's)."""
        return self._restarts[0]

    @restarts.setter
    def restarts(self, count: int) -> None:
        self._restarts[0] = count

    @property
    def takers(self) -> int:
        """Workers that take calls."""
        return sum(state == State.OPEN for state in self.states)

    def clear(self, index: int) -> None:
        """There is no such worker."""
        self.states[index] = State.AWAY
        self.calls[index] = self.open[index] = self.taken[index] = 0


class Crew:
    """One worker's view of all."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.folder = Path(place.folder)
        self._board = Board(self.folder, place.workers)

    @staticmethod
    def prepare(folder: Path, workers: int) -> None:
        """Make the folder's files, before the first worker."""
        from voicelat.serve.shared_tokens import SharedTokens

        Board.prepare(folder, workers)
        SharedTokens.prepare(folder / "tokens", workers, MAX_WAITING)

    def tokens(self, life_s: float) -> SharedTokens:
        """This worker's stream tokens, that all can redeem."""
        from voicelat.serve.shared_tokens import SharedTokens

        place = self.place
        return SharedTokens(self.folder / "tokens", place.index, place.workers, life_s, MAX_WAITING)

    # -- told to the others -------------------------------------------------------------------

    def note_state(self, state: State) -> None:
        """What this worker does with connections."""
        self._board.states[self.place.index] = state

    def note_calls(self, calls: int) -> None:
        """So many calls go on here."""
        self._board.calls[self.place.index] = calls

    def note_open(self, connections: int) -> None:
        """So many connections are open here."""
        self._board.open[self.place.index] = connections

    def note_taken(self) -> None:
        """One more connection was taken from the supervisor."""
        self._board.taken[self.place.index] += 1

    def last_words(self, why: str) -> None:
        """Why this worker cannot start: the supervisor will say it, once for all."""
        words_of(self.folder, self.place.index).write_text(why, encoding="utf-8")

    # -- asked of all -------------------------------------------------------------------------

    @property
    def calls(self) -> int:
        """Calls going on at all workers."""
        return sum(self._board.calls)

    @property
    def takers(self) -> int:
        """Workers that take calls."""
        return self._board.takers

    def exposition(self, missing: int) -> bytes:
        """What no worker's metrics say, of a sum that lacks those of so many."""
        return f"""\
# HELP voicelat_workers Worker processes whose metrics these are
# TYPE voicelat_workers gauge
voicelat_workers {self.place.workers - missing}
# HELP voicelat_workers_missing Worker processes that did not answer: theirs are not in here
# TYPE voicelat_workers_missing gauge
voicelat_workers_missing {missing}
# HELP voicelat_worker_restarts_total Worker processes that ended and were started again
# TYPE voicelat_worker_restarts_total counter
voicelat_worker_restarts_total {self._board.restarts}
""".encode()

    def listen(self) -> socket.socket:
        """The socket on which this worker tells its own metrics. Raises UsageError where the
        system's folder for temporary files has too long a name."""
        path = self._socket(self.place.index)
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(path))
        except OSError as error:
            listener.close()
            raise UsageError(f"set TMPDIR to a shorter path: {path}: {error}") from None
        return listener

    async def others(self) -> list[bytes | None]:
        """The metrics of the other workers; None for one that does not answer."""
        indices = [n for n in range(self.place.workers) if n != self.place.index]
        return list(await asyncio.gather(*(self._ask(index) for index in indices)))

    async def _ask(self, index: int) -> bytes | None:
        try:
            async with asyncio.timeout(_ASK_S):
                reader, writer = await asyncio.open_unix_connection(str(self._socket(index)))
                try:
                    writer.write(_OWN)
                    answer = await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return None
        head, _, body = answer.partition(b"\r\n\r\n")
        return body if b" 200 " in head.split(b"\r\n")[0] else None

    def _socket(self, index: int) -> Path:
        return self.folder / f"{index}.sock"


def words_of(folder: Path, index: int) -> Path:
    """Where a worker that cannot start says why."""
    return folder / f"{index}.words"


def place_of(environment: str | None) -> Place | None:
    """The worker's place in a supervisor's words; None: there is no supervisor."""
    if not environment:
        return None
    try:
        return msgspec.json.decode(environment, type=Place)
    except msgspec.DecodeError as error:
        raise UsageError(f"{ENVIRONMENT} is a supervisor's to set: {error}") from None
