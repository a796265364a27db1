"""One-time stream tokens that any worker of a server issues and any other redeems.

They stand in a file that every worker has mapped: a ring of places for each, which only it fills.
Whoever redeems a token locks its place, so of two that try, one succeeds. A file for each token
would be as safe and as slow as the disk it is on, and this is done between two frames of a call.

POSIX only: import this where it is used.
"""

from __future__ import annotations

import base64
import fcntl
import hmac
import mmap
import os
import re
import secrets
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["SharedTokens"]

_PLACE: Final = struct.Struct("<32sd")
"""256 random bits, and when they expire; all zero: nothing."""
_TOKEN: Final = re.compile(r"(\d{1,9})\.([A-Za-z0-9_-]{43})", re.ASCII)


class SharedTokens:
    """Issued tokens and when they expire: see `StreamTokens`, which is this for one process.

    Times are seconds on the system's monotonic clock, which is one for all processes. ``most``
    tokens of each worker may wait; beyond it the oldest is forgotten.
    """

    def __init__(self, path: Path, index: int, workers: int, life_s: float, most: int) -> None:
        self._life_s = life_s
        self._places = workers * most
        self._mine = range(index * most, (index + 1) * most)
        self._file = os.open(path, os.O_RDWR)
        self._map = mmap.mmap(self._file, self._places * _PLACE.size)
        # A worker that was started again goes on where its predecessor's tokens are oldest.
        self._next = min(self._mine, key=lambda place: self._read(place)[1])

    @staticmethod
    def prepare(path: Path, workers: int, most: int) -> None:
        """Make the file, before the first worker."""
        path.touch(mode=0o600)
        os.truncate(path, workers * most * _PLACE.size)

    def issue(self, now_s: float) -> str:
        """A new token."""
        while True:
            place = self._next
            self._next = self._mine[(place + 1 - self._mine.start) % len(self._mine)]
            with self._locked(place) as locked:
                if not locked:
                    continue  # the oldest is being redeemed
                bits = secrets.token_bytes(32)
                _PLACE.pack_into(self._map, place * _PLACE.size, bits, now_s + self._life_s)
            return f"{place}.{base64.urlsafe_b64encode(bits).rstrip(b'=').decode()}"

    def redeem(self, token: str, now_s: float) -> bool:
        """Whether the token was issued, is fresh and was not redeemed before."""
        said = _TOKEN.fullmatch(token)
        if said is None or int(said[1]) >= self._places:
            return False
        place = int(said[1])
        bits = base64.urlsafe_b64decode(f"{said[2]}=")
        if not self._holds(place, bits):
            return False  # without the lock, which a guess could keep from who has the token
        with self._locked(place) as locked:
            if not locked or not self._holds(place, bits):
                return False
            _, expires_s = self._read(place)
            _PLACE.pack_into(self._map, place * _PLACE.size, bytes(32), 0.0)
        return now_s < expires_s

    def _holds(self, place: int, bits: bytes) -> bool:
        return hmac.compare_digest(bits, self._read(place)[0])

    def _read(self, place: int) -> tuple[bytes, float]:
        bits, expires_s = _PLACE.unpack_from(self._map, place * _PLACE.size)
        return bits, expires_s

    @contextmanager
    def _locked(self, place: int) -> Iterator[bool]:
        """Hold a place against other processes; False where one of them holds it. A lock ends
        with its process."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError:
            yield False
            return
        try:
            yield True
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)
