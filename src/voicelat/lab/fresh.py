"""What a running server writes into its turns file while somebody measures it.

The file may be large and in use by other callers: only what is new is read, and what cannot be
read is told, since by then the calls have been held.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

from voicelat.errors import InvalidFile
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.turnsfile import decode

__all__ = ["FreshTurns"]

_LOOK_MS: Final = 100


class FreshTurns:
    """The turns in ``path`` from now on. Raises InvalidFile when there is no such file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._from = path.stat().st_size
        except OSError as error:
            why = f"{error.strerror}; give the TURNS_FILE of the server that is called"
            raise InvalidFile(path, why) from None

    async def of_calls(
        self, call_ids: Collection[str], expected: int, within_ms: int
    ) -> tuple[list[TurnRecord], list[str]]:
        """The turns of these calls, and what could not be read, in one line each.

        Looks until ``expected`` turns are there, for ``within_ms`` at most, and then once more:
        the last turn of a call closes with the call.
        """
        records: list[TurnRecord] = []
        unread: list[str] = []
        for _ in range(1 + within_ms // _LOOK_MS):
            enough = len(records) >= expected
            found, unread = await asyncio.to_thread(self._read)
            records = [record for record in found if record.call_id in call_ids]
            if enough:
                break
            await asyncio.sleep(_LOOK_MS / 1000)
        return records, unread

    def _read(self) -> tuple[list[TurnRecord], list[str]]:
        records: list[TurnRecord] = []
        unread: list[str] = []
        try:
            lines = self._whole_lines()
        except OSError as error:
            return [], [f"{self._path}: cannot be read: {error.strerror}"]
        for number, line in enumerate(lines, 1):
            try:
                record = decode(line, call_id=self._path.name, turn=number)
            except ValueError as error:
                unread.append(f"{self._path}: new line {number}: {error}")
                continue
            if record is None:
                unread.append(f"{self._path}: new line {number} breaks off")
            else:
                records.append(record)
        return records, unread

    def _whole_lines(self) -> list[bytes]:
        with self._path.open("rb") as file:
            # Shorter than it was: a new file has taken its place.
            file.seek(self._from if file.seek(0, os.SEEK_END) >= self._from else 0)
            data = file.read()
        return [line for line in data[: data.rfind(b"\n") + 1].splitlines() if line.strip()]
