"""What the worker processes of one server share: a private folder, and nothing else.

In it are the stream tokens (a file each, redeemed by whoever removes it first), the number of calls
of each worker (a mapped file, a number each), and a socket each, where a worker tells the others
its own metrics. So any worker can answer a webhook whose stream arrives at another, and a scrape
of any tells of all.
"""

from __future__ import annotations

import asyncio
import mmap
import re
import secrets
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from voicelat.errors import UsageError

__all__ = ["ENVIRONMENT", "Crew", "FolderTokens", "Place", "place_of"]

ENVIRONMENT: Final = "VOICELAT_CREW"
"""How a supervisor tells a worker its `Place`."""

_ASK_S: Final = 2.0
"""A worker that does not tell its metrics by then is missing from the sum, and counted so."""
_OWN: Final = b"GET /metrics?of=me HTTP/1.0\r\nHost: worker\r\n\r\n"
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_TIDY_EVERY: Final = 64


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Which worker of how many."""

    folder: str
    index: int
    workers: int
    port: int
    """That all of them listen on."""
    restarts: int = 0
    """How often the supervisor had to start a worker again so far."""


class Crew:
    """One worker's view of all."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.folder = Path(place.folder)
        size = 4 * place.workers
        with (self.folder / "calls").open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)
        self._calls = memoryview(self._map).cast("i")

    @staticmethod
    def prepare(folder: Path, workers: int) -> None:
        """Make the folder's files, before the first worker."""
        (folder / "calls").write_bytes(bytes(4 * workers))
        (folder / "tokens").mkdir(mode=0o700)

    def note_calls(self, calls: int) -> None:
        """So many calls go on here."""
        self._calls[self.place.index] = calls

    @property
    def calls(self) -> int:
        """Calls going on at all workers."""
        return sum(self._calls)

    def listen(self) -> socket.socket:
        """The socket on which this worker tells its own metrics."""
        path = self._socket(self.place.index)
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        return listener

    async def others(self) -> list[str | None]:
        """The metrics of the other workers; None for one that does not answer."""
        indices = [n for n in range(self.place.workers) if n != self.place.index]
        return list(await asyncio.gather(*(self._ask(index) for index in indices)))

    async def _ask(self, index: int) -> str | None:
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
        return body.decode() if b" 200 " in head.split(b"\r\n")[0] else None

    def _socket(self, index: int) -> Path:
        return self.folder / f"worker-{index}.sock"


class FolderTokens:
    """Stream tokens that any worker issues and any redeems, once: see `StreamTokens`."""

    def __init__(self, folder: Path, life_s: float, most: int) -> None:
        self._folder = folder
        self._life_s = life_s
        self._most = most
        self._issued = 0

    def issue(self, now_s: float) -> str:
        """A new token. The clock is the folder's own: ``now_s`` is of no use here."""
        if self._issued % _TIDY_EVERY == 0:
            self._tidy()
        self._issued += 1
        token = secrets.token_urlsafe(32)
        (self._folder / token).touch(mode=0o600, exist_ok=False)
        return token

    def redeem(self, token: str, now_s: float) -> bool:
        """Whether the token was issued, is fresh and was not redeemed before."""
        if not _TOKEN.fullmatch(token):
            return False
        path = self._folder / token
        try:
            made_s = path.stat().st_mtime
            path.unlink()  # of two that try, one succeeds
        except OSError:
            return False
        return time.time() - made_s < self._life_s

    def _tidy(self) -> None:
        """Forget those nobody came for, and the oldest of too many."""
        waiting: list[tuple[float, Path]] = []
        for path in self._folder.iterdir():
            with suppress(OSError):
                waiting.append((path.stat().st_mtime, path))
        waiting.sort()
        stale = time.time() - self._life_s
        too_many = len(waiting) - self._most
        for number, (made_s, path) in enumerate(waiting):
            if made_s < stale or number < too_many:
                path.unlink(missing_ok=True)


def place_of(environment: str | None) -> Place | None:
    """The worker's place in a supervisor's words; None: there is no supervisor."""
    if not environment:
        return None
    try:
        return msgspec.json.decode(environment, type=Place)
    except msgspec.DecodeError as error:
        raise UsageError(f"{ENVIRONMENT} is a supervisor's to set: {error}") from None
