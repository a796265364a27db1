"""How a load test goes, in one line that stays where it is."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from voicelat.caller import Heard
from voicelat.metrics.durations import duration
from voicelat.metrics.percentiles import percentiles
from voicelat.metrics.samples import Sample

__all__ = ["LoadProgress"]


class LoadProgress:
    """Calls and turns so far. ``callers``: how many are to be up, None when a master knows."""

    def __init__(self, console: Console, callers: int | None) -> None:
        self._callers = callers
        self._console = console
        self._open = 0
        self._turns: list[tuple[float, bool, int]] = []
        self._live = Live(
            console=console, get_renderable=self._line, refresh_per_second=2, transient=True
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.stop()

    def turn(self, heard: Heard) -> None:
        """A question is closed."""
        if heard.v2v_ms is not None:
            self._turns.append((heard.v2v_ms, True, 0))
        elif heard.in_vain_ms is not None:
            self._turns.append((heard.in_vain_ms, False, 0))

    def calls(self, going_on: int) -> None:
        """So many calls are going on."""
        self._open = going_on

    def note(self, note: str) -> None:
        """Something worth knowing."""
        self._console.print(note, style="dim")

    def _line(self) -> Text:
        of = "" if self._callers is None else f" of {self._callers}"
        line = f"{self._open}{of} calls, {len(self._turns)} turns"
        if self._turns:
            p50, p95 = percentiles(Sample.of(self._turns), (50, 95))
            line += f", voice to voice P50 {duration(p50)}, P95 {duration(p95)}"
        return Text(line, "bold")
