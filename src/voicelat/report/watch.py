"""Follows files of turns that are still being written.

Only whole lines are read, and each once. Every turn is printed as it comes, and the percentiles
so far stand below; the full report, with its intervals, is for the end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NoReturn

from rich.console import Console
from rich.live import Live
from rich.text import Text

from voicelat.errors import InvalidFile
from voicelat.metrics.durations import duration
from voicelat.metrics.percentiles import percentiles
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.samples import call_indices, sample_of
from voicelat.metrics.turnsfile import decode
from voicelat.report.live import TurnTable

__all__ = ["Follower", "so_far", "watch"]

POLL_S: Final = 0.5


class Follower:
    """The turns of some files, as they grow. A file may come into being later, and be cut back
    (logs are rotated): then it is read from its start again."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.records: list[TurnRecord] = []
        self._paths = paths
        self._position = dict.fromkeys(paths, 0)
        self._lines = dict.fromkeys(paths, 0)

    def read(self) -> list[TurnRecord]:
        """The turns that came since the last time, which are now in ``records``.

        Raises `InvalidFile` for a line that is no turn.
        """
        new = [record for path in self._paths for record in self._read(path)]
        self.records += new
        return new

    def _read(self, path: Path) -> Iterator[TurnRecord]:
        for line in self._whole_lines(path).splitlines():
            self._lines[path] += 1
            if not line.strip():
                continue
            number = self._lines[path]
            try:
                record = decode(line, call_id=path.name, turn=number)
            except ValueError as error:
                raise InvalidFile(path, f"line {number}: {error}") from None
            if record is not None:
                yield record

    def _whole_lines(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                if file.seek(0, 2) < self._position[path]:
                    self._position[path] = self._lines[path] = 0
                file.seek(self._position[path])
                data = file.read()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise InvalidFile(path, error.strerror or str(error)) from None
        whole = data[: data.rfind(b"\n") + 1]
        self._position[path] += len(whole)
        return whole


def watch(follower: Follower, console: Console) -> NoReturn:
    """Print the turns of ``follower`` as they come, until KeyboardInterrupt.

    Raises `InvalidFile` for a line that is no turn.
    """
    table = TurnTable(console)
    with Live(so_far([]), console=console, auto_refresh=False, transient=True) as below:
        while True:
            if new := follower.read():
                for record in new:
                    table.add(record)
                below.update(so_far(follower.records), refresh=True)
            time.sleep(POLL_S)


def so_far(records: Sequence[TurnRecord]) -> Text:
    """How long callers waited, in one line."""
    if not records:
        return Text("waiting for the first turn (Ctrl-C ends with the report)", "dim")
    total = sample_of(records, call_indices(records), "TOTAL_LATENCY_MS")
    p50, p95 = (duration(ms) for ms in percentiles(total, (50, 95)))
    unanswered = sum(record.outcome == "censored" for record in records)
    return Text(
        f"{len(records)} turns, {unanswered} never answered: TOTAL_LATENCY_MS P50 {p50}, P95 {p95}",
        "bold",
    )
