"""Turns as they come: one line each, the six numbers and what the caller said."""

from __future__ import annotations

import unicodedata
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from voicelat.metrics.durations import duration
from voicelat.metrics.record import TurnRecord

__all__ = ["HEADER", "TurnTable", "isolated", "turn_line"]

_CALL_CELLS: Final = 7
_COLUMNS: Final = (
    "{call} {turn:>4} {first:>7} {final:>7} {tts:>7} {total:>7} {heard:>7} {eou:<8} {barge:<8}"
)
HEADER: Final = (
    _COLUMNS.format(
        call=f"{'call':<{_CALL_CELLS}}",
        turn="turn",
        first="partial",
        final="final",
        tts="voice",
        total="TOTAL",
        heard="heard",
        eou="ended by",
        barge="barge-in",
    )
    + " text"
)
"""The heading over `turn_line`: STT_FIRST_PARTIAL_MS, STT_FINAL_MS, TTS_READY_MS,
TOTAL_LATENCY_MS, what the caller measured, EOU_REASON, BARGE_IN_HIT."""

_FIRST_STRONG_ISOLATE: Final = "\u2068"
_POP_ISOLATE: Final = "\u2069"
_RIGHT_TO_LEFT: Final = ("R", "AL", "AN")


class TurnTable:
    """Prints turns as they come, the heading before the first."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun = False

    def add(self, record: TurnRecord, heard_ms: int | None = None) -> None:
        """One more turn; see `turn_line`."""
        if not self._begun:
            self._console.print(HEADER, style="bold")
            self._begun = True
        self._console.print(turn_line(record, self._console.width, heard_ms))


def turn_line(record: TurnRecord, width: int, heard_ms: int | None = None) -> Text:
    """One turn in one line of at most ``width`` cells (80 or more). Unknown is a dash.

    ``heard_ms``: the same wait measured by the caller; None where no caller measures.
    """
    figures = _COLUMNS.format(
        call=set_cell_size(_clean(record.call_id)[-_CALL_CELLS:], _CALL_CELLS),
        turn=record.turn,
        first=duration(record.STT_FIRST_PARTIAL_MS),
        final=duration(record.STT_FINAL_MS),
        tts=duration(record.TTS_READY_MS),
        total=duration(record.TOTAL_LATENCY_MS),
        heard=duration(heard_ms),
        eou=record.EOU_REASON or duration(None),
        barge=_outcome(record),
    )
    said = Text(_clean(record.text))
    said.truncate(max(0, width - cell_len(figures) - 1), overflow="ellipsis")
    return Text(figures).append(f" {isolated(said.plain)}", "dim")


def isolated(text: str) -> str:
    """Text of any direction that cannot turn its neighbours around (Unicode UAX #9).

    Left-to-right text stays as it is: some terminals draw the isolates as boxes.
    """
    turns_around = any(unicodedata.bidirectional(char) in _RIGHT_TO_LEFT for char in text)
    return f"{_FIRST_STRONG_ISOLATE}{text}{_POP_ISOLATE}" if turns_around else text


def _outcome(record: TurnRecord) -> str:
    if record.outcome in ("censored", "abandoned"):
        return record.outcome[:8]
    return "yes" if record.BARGE_IN_HIT else ""


def _clean(text: str) -> str:
    """Without control and direction characters: a recogniser's text must not steer a terminal."""
    kept = (" " if char.isspace() else char for char in text)
    return "".join(char for char in kept if unicodedata.category(char) not in ("Cc", "Cf", "Cs"))
