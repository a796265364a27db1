"""Pictures made of text: the trade-off as a scatter, and heat maps that are also numbers.

Letters and numbers carry everything; colour repeats it. Where the terminal knows ASCII only,
the dots are full stops.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.style import Style
from rich.text import Text

from voicelat.lab.sweep.pictures.slices import Slice
from voicelat.lab.sweep.pictures.story import (
    KNOBS,
    POLICY_MARKS,
    named_settings,
    percent,
    worth_seeing,
)
from voicelat.lab.sweep.result import PolicyName, SettingResult, SweepResult
from voicelat.metrics.durations import counted, duration

__all__ = ["Heat", "Scatter"]

_ROWS: Final = 16
_COLUMNS: Final = 68
_MARGIN: Final = 7
_RATES: Final = (0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1)
_DOTS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Bits of the braille dots, by column and row (Unicode 16, section 21.1)."""
POLICY_STYLES: Final[dict[PolicyName, str]] = {
    "silence": "yellow",
    "fixed": "blue",
    "adaptive": "green",
    "semantic": "magenta",
}


@dataclass(frozen=True, slots=True)
class _Signs:
    vertical: str
    tick: str
    corner: str
    horizontal: str
    label: str
    budget: str

    def dots(self, bits: int) -> str:
        """The sign for a cell with these braille bits."""
        return chr(0x2800 + bits) if self.vertical == "│" else "."


_UNICODE: Final = _Signs("│", "┤", "└", "─", "┬", "╌")
_ASCII: Final = _Signs("|", "+", "+", "-", "+", "-")


class Scatter:
    """Total P50 against cutoff rate: every setting a dot, the fronts small letters, the named
    settings capitals, the budget a line."""

    def __init__(self, result: SweepResult) -> None:
        scale = worth_seeing(result)
        totals = [one.total_p50 for one in scale if one.total_p50 is not None]
        self._low, high = (min(totals), max(totals)) if totals else (0.0, 0.0)
        self._high = max(high, self._low + 100)
        highest = max((one.cutoff_rate for one in scale), default=0.0)
        self._top = max(highest, result.max_cutoffs, 0.01)
        self._budget = result.max_cutoffs
        self._outside = 0
        self._dots: defaultdict[tuple[int, int], int] = defaultdict(int)
        self._letters: dict[tuple[int, int], tuple[str, str]] = {}
        for one in result.settings:
            self._dot(one)
        for policy, front in result.fronts.items():
            for index in front:
                mark, style = POLICY_MARKS[policy], POLICY_STYLES[policy]
                self._letter(result.settings[index], mark, style)
        for named in reversed(named_settings(result)):  # the subject on top
            self._letter(named.setting, named.mark, "bold reverse")

    def outside_says(self) -> str | None:
        """How many settings lie outside the picture; None when all are in it."""
        if not self._outside:
            return None
        return (
            f"Not in the picture: {counted(self._outside, 'setting')} slower than"
            f" {duration(self._high)}, with more than {percent(self._top)} cut off, or without"
            " a total."
        )

    def _at(self, setting: SettingResult) -> tuple[int, int] | None:
        """Column and row in braille dots; None outside the picture, or without a total."""
        if setting.total_p50 is None or setting.cutoff_rate > self._top:
            return None
        if not self._low <= setting.total_p50 <= self._high:
            return None
        share = (setting.total_p50 - self._low) / (self._high - self._low)
        return round(share * (_COLUMNS * 2 - 1)), self._row(setting.cutoff_rate)

    def _row(self, rate: float) -> int:
        # The root stretches the bottom, where budgets are; a straight axis would spend most of
        # its rows on settings that nobody wants.
        return round((1 - math.sqrt(rate / self._top)) * (_ROWS * 4 - 1))

    def _dot(self, setting: SettingResult) -> None:
        at = self._at(setting)
        if at is None:
            self._outside += 1
        else:
            column, row = at
            self._dots[column // 2, row // 4] |= _DOTS[column % 2][row % 4]

    def _letter(self, setting: SettingResult, letter: str, style: str) -> None:
        if at := self._at(setting):
            self._letters[at[0] // 2, at[1] // 4] = letter, style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The picture, 18 lines of at most 76 cells."""
        signs = _ASCII if options.ascii_only else _UNICODE
        labels = self._labels()
        for row in range(_ROWS):
            edge = signs.tick if row in labels else signs.vertical
            line = Text(f"{labels.get(row, ''):>{_MARGIN - 1}}{edge}", no_wrap=True)
            for column in range(_COLUMNS):
                line.append(*self._cell(column, row, signs))
            line.rstrip()
            yield line
        yield from self._below(signs)

    def _labels(self) -> dict[int, str]:
        rows = {self._row(self._budget) // 4: percent(self._budget)}
        for rate in _RATES:
            row = self._row(rate) // 4 if rate <= self._top else None
            if row is not None and not {row - 1, row, row + 1} & rows.keys():
                rows[row] = percent(rate)
        return rows

    def _cell(self, column: int, row: int, signs: _Signs) -> tuple[str, str]:
        if (column, row) in self._letters:
            return self._letters[column, row]
        if bits := self._dots.get((column, row)):
            return signs.dots(bits), "dim"
        if row == self._row(self._budget) // 4:
            return signs.budget, "red"
        return " ", ""

    def _below(self, signs: _Signs) -> RenderResult:
        axis, labels = [signs.horizontal] * _COLUMNS, [" "] * (_MARGIN + _COLUMNS + 6)
        for ms in _nice_steps(self._low, self._high):
            column = round((ms - self._low) / (self._high - self._low) * (_COLUMNS - 1))
            axis[column] = signs.label
            text = duration(ms)
            start = min(_MARGIN + column - len(text) // 2, _MARGIN + _COLUMNS - len(text))
            labels[start : start + len(text)] = text
        yield Text(" " * (_MARGIN - 1) + signs.corner + "".join(axis), no_wrap=True)
        yield Text("".join(labels).rstrip(), no_wrap=True)


def _nice_steps(low: float, high: float) -> list[float]:
    """Two to six round numbers within the range, evenly spaced."""
    size: float = 10 ** math.floor(math.log10((high - low) / 2))
    step = next(size * by for by in (1, 2, 2.5, 5, 10) if (high - low) / (size * by) < 6)
    first = math.ceil(low / step)
    return [step * n for n in range(first, math.floor(high / step) + 1)]


_RGB = tuple[int, int, int]
_PALE: Final[_RGB] = (247, 247, 245)
_BLUE: Final[_RGB] = (20, 75, 140)
_RED: Final[_RGB] = (165, 25, 35)
_MOST_ROWS: Final = 12
_MOST_COLUMNS: Final = 6


class Heat:
    """One grid as two maps side by side: total P50 in seconds, cutoffs in percent of turns.

    Pale is better. The chosen setting, which must lie in the grid, has a star.
    """

    def __init__(self, grid: Slice, chosen: SettingResult) -> None:
        self._grid = grid
        self._chosen = grid.place(chosen)
        self._rows = _some(grid.rows, self._chosen[0], _MOST_ROWS)
        self._columns = _some(grid.columns, self._chosen[1], _MOST_COLUMNS)

    def left_out_says(self) -> str | None:
        """What did not fit; None when all did."""
        axes = self._grid.axes
        parts = [
            f"{len(shown)} of {len(every)} {KNOBS[knob]} values"
            for knob, shown, every in (
                (axes.down, self._rows, self._grid.rows),
                (axes.across, self._columns, self._grid.columns),
            )
            if len(shown) < len(every)
        ]
        return f"Shown: {' and '.join(parts)}." if parts else None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The two maps, one line per row and three above."""
        width = 5 * len(self._columns)
        names = "total P50 (s)", "cut off (%)"
        titles = (f"{name:<{max(width, 14)}}" for name in names)
        yield Text(f"{'':6}{'   '.join(titles)}".rstrip(), "bold", no_wrap=True)
        heads = "".join(f"{value:>5g}" for value in self._columns)
        yield Text(f"{'':6}{heads:<{max(width, 14)}}   {heads}", "dim", no_wrap=True)
        maps = (
            _Map(self._values(lambda one: one.total_p50, 1000), 2, _BLUE),
            _Map(self._values(lambda one: one.cutoff_rate, 0.01), 1, _RED),
        )
        for row in self._rows:
            line = Text(f"{row:>5g} ", no_wrap=True)
            for index, one in enumerate(maps):
                line.append(" " * (max(14 - width, 0) + 3) if index else "")
                for column in self._columns:
                    star = "*" if (row, column) == self._chosen else " "
                    line.append(*one.cell((row, column), star))
            yield line

    def _values(
        self, figure: Callable[[SettingResult], float | None], unit: float
    ) -> dict[tuple[float, float], float]:
        known = {at: figure(one) for at, one in self._grid.cells.items()}
        return {at: value / unit for at, value in known.items() if value is not None}


class _Map:
    def __init__(
        self, values: dict[tuple[float, float], float], decimals: int, colour: _RGB
    ) -> None:
        self._values = values
        self._decimals = decimals
        self._colour = colour
        self._low = min(values.values(), default=0.0)
        self._high = max(values.values(), default=0.0)

    def cell(self, at: tuple[float, float], star: str) -> tuple[str, Style]:
        """Five characters and their colours."""
        value = self._values.get(at)
        if value is None:
            return f"{star}   -", Style.null()
        spread = self._high - self._low
        share = (value - self._low) / spread if spread else 0.0
        red, green, blue = (
            round(a + (b - a) * share) for a, b in zip(_PALE, self._colour, strict=True)
        )
        ink = "black" if share < 0.5 else "bright_white"
        style = Style(color=ink, bgcolor=Color.from_rgb(red, green, blue), bold=star == "*")
        return f"{star}{_short(value, self._decimals):>4}", style


def _short(value: float, decimals: int) -> str:
    """At most four characters below 10,000."""
    while decimals and len(f"{value:.{decimals}f}") > 4:
        decimals -= 1
    return f"{value:.{decimals}f}"


def _some(values: Sequence[float], keep: float, most: int) -> list[float]:
    """At most so many of the values, evenly spread, with the one to keep."""
    if len(values) <= most:
        return list(values)
    picked = {round(i * (len(values) - 1) / (most - 1)) for i in range(most)}
    kept = values.index(keep)
    picked.discard(min(picked, key=lambda index: abs(index - kept)))
    picked.add(kept)
    return [values[index] for index in sorted(picked)]
