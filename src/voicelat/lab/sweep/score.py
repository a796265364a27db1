"""All settings at once: the turn machine's waits as arithmetic over the table of pauses.

`judge` does the same with the machine itself, one setting after the other; a property test
holds the two equal. Axis 0 is pauses, axis 1 settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from voicelat.lab.sweep.grid import Columns
from voicelat.lab.sweep.pauses import NEVER, Column, PauseTable
from voicelat.turn.owed import EXPIRES_MS

__all__ = ["TurnScores", "score"]

_BLOCK: Final = 1 << 17
"""Pauses x settings at once: a dozen arrays of half a megabyte stay in the cache."""

Bits = NDArray[np.bool_]
Times = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class TurnScores:
    """What each setting (axis 1) did in each true turn (axis 0)."""

    early: Bits
    """A pause was taken for the end."""
    reopened: Bits
    """... and taken back before audio was sent."""
    cutoff: Bits
    """... and audio was sent."""
    cut_holds: NDArray[np.int16]
    """How many pauses that was."""
    delay: Times
    """speech_end -> turn_end at the turn's true end, in ms; NEVER where it was missed."""
    total: Times
    """speech_end -> first audio sent, likewise."""
    clipped: Bits
    timeout: Bits
    missed: Bits
    """Taken for a noise."""
    calls: NDArray[np.int16]
    """Replies started."""


def score(
    table: PauseTable,
    settings: Columns,
    *,
    speculate: bool = True,
    reopens: bool = True,
    max_speculations: int = 3,
) -> TurnScores:
    """Judge every turn of ``table`` under every one of ``settings``.

    ``speculate``: work may start before the turn is over. ``reopens``: what was decided too early
    is taken back while nothing has been sent; else whoever is taken for finished is cut off.
    """
    shape = (table.turns, len(settings))
    scores = TurnScores(
        early=np.zeros(shape, np.bool_),
        reopened=np.zeros(shape, np.bool_),
        cutoff=np.zeros(shape, np.bool_),
        cut_holds=np.zeros(shape, np.int16),
        delay=np.full(shape, NEVER, np.int32),
        total=np.full(shape, NEVER, np.int32),
        clipped=np.zeros(shape, np.bool_),
        timeout=np.zeros(shape, np.bool_),
        missed=np.zeros(shape, np.bool_),
        calls=np.zeros(shape, np.int16),
    )
    cap = max_speculations if speculate else 0
    used = np.zeros(shape, np.int8)
    for pauses in _blocks(table, len(settings)):
        turns = table.pause_turn[pauses]
        found = _Block(table, settings, pauses, cap, used[turns]).run()
        used[turns] = found.used
        scores.calls[turns] += found.calls
        hold = table.pause_hold[pauses] == 1
        for_holds, for_shifts = turns[hold], turns[~hold]
        early = found.over[hold]
        cutoff = early
        if reopens:
            cutoff = early & (found.sent[hold] <= table.pause_until[pauses[hold], None])
        scores.early[for_holds] |= early
        scores.cutoff[for_holds] |= cutoff
        scores.cut_holds[for_holds] += cutoff
        scores.reopened[for_holds] |= early & ~cutoff
        scores.delay[for_shifts] = found.end[~hold]
        scores.total[for_shifts] = found.sent[~hold]
        scores.clipped[for_shifts] = found.clipped[~hold]
        scores.timeout[for_shifts] = found.timeout[~hold]
        scores.missed[for_shifts] = ~found.over[~hold]
    return scores


def _blocks(table: PauseTable, settings: int) -> Iterator[NDArray[np.intp]]:
    """Pauses in blocks: no turn twice in one, and the pauses of a turn in their order."""
    size = max(1, _BLOCK // max(1, settings))
    order = np.lexsort((table.pause_rows, table.pause_number))
    numbers = table.pause_number[order]
    for number in range(int(numbers[-1]) + 1 if len(numbers) else 0):
        begin, end = np.searchsorted(numbers, (number, number + 1))
        for first in range(int(begin), int(end), size):
            yield order[first : min(first + size, int(end))]


class _Block:
    """Some pauses under all settings."""

    def __init__(
        self,
        table: PauseTable,
        settings: Columns,
        pauses: NDArray[np.intp],
        cap: int,
        used: NDArray[np.int8],
    ) -> None:
        shape = (len(pauses), len(settings))
        self._table = table
        self._settings = settings
        self._first = table.pause_row[pauses]
        self._rows = table.pause_rows[pauses]
        self._ready = table.pause_ready[pauses][:, None]
        self._voiced = table.pause_voiced[pauses][:, None]
        self._times = np.array([p.times for p in table.patiences])
        self._least = np.array([min(p.least_ms, NEVER) for p in table.patiences], np.int32)
        self._eager = np.array([p.speculate for p in table.patiences], np.bool_)
        self._as_set = bool((self._times == 1).all() and (self._least == 0).all())
        self._cap = cap
        self.used = used
        """Speculative replies of the turn so far."""
        self.over = np.zeros(shape, np.bool_)
        """The turn was over."""
        self.end = np.full(shape, NEVER, np.int32)
        """... and its text settled."""
        self.sent = np.full(shape, NEVER, np.int32)
        self.clipped = np.zeros(shape, np.bool_)
        self.timeout = np.zeros(shape, np.bool_)
        self.calls = np.zeros(shape, np.int16)
        self._undecided = np.ones(shape, np.bool_)
        self._begun = np.full(shape, NEVER, np.int32)
        """When the live speculative reply was started."""
        self._gate = np.full(shape, NEVER, np.int32)
        self._have = np.full(shape, NEVER, np.int32)
        """When the reply's audio is in hand."""
        self._node = np.zeros(shape, np.int32)

    def run(self) -> _Block:
        """Row by row until the turn is over, then node by node until nothing more can change."""
        for number in range(int(self._rows.max(initial=0))):
            alive = np.flatnonzero(self._rows > number)
            if not self._undecided[alive].any():
                break
            self._look(alive, self._first[alive] + number)
        self._follow()
        self.sent = np.maximum(self._gate, self._have)
        return self

    def _look(self, at: NDArray[np.intp], rows: Column) -> None:
        """One look of the machine: see `CallerHalf.consider`, and the timers until the next."""
        table, settings = self._table, self._settings
        now, next_ = _down(table.row_at[rows]), _down(table.row_next[rows])
        final, words = _down(table.row_final[rows]) == 1, _down(table.row_words[rows]) == 1
        undecided = self._undecided[at]
        begun = self._begun[at]
        begun[_down(table.row_changed[rows] == 1)[:, 0]] = NEVER
        over = self._waits(settings.hangover, table.row_patience[rows])
        stable = _down(table.row_stable[rows]) + settings.debounce
        wait = np.where(
            final, over, np.maximum(over, np.minimum(stable, over + settings.stt_timeout))
        )
        end = np.maximum(now, wait)
        self._speculate(at, rows, undecided, begun, over, stable)
        ends = undecided & (end <= next_)
        if not ends.any():
            return
        noise = ends & ~words & (self._voiced[at] < settings.min_utt)
        self._undecided[at] &= ~ends
        ends &= ~noise
        self.over[at] |= ends
        self.end[at] = np.where(ends, end, self.end[at])
        self.timeout[at] |= ends & ~final & (stable > end)
        begun = self._begun[at]
        fresh = ends & words & (begun == NEVER)
        self.calls[at] += fresh
        ready = np.where(words, self._ready[at], 0)
        have = np.where(fresh | ~words, end, begun) + ready
        self._have[at] = np.where(ends, have, self._have[at])
        gate = np.maximum(end, self._waits(settings.speak_gate, table.row_patience[rows]))
        self._gate[at] = np.where(ends, gate, self._gate[at])
        self._node[at] = np.where(ends, _down(table.row_node[rows]), self._node[at])

    def _speculate(
        self,
        at: NDArray[np.intp],
        rows: Column,
        undecided: Bits,
        begun: Times,
        over: Times,
        stable: Times,
    ) -> None:
        """Work begins early: at once with a final or a stable partial, else once it is stable."""
        table = self._table
        now, next_ = _down(table.row_at[rows]), _down(table.row_next[rows])
        final, heard = table.row_final[rows] == 1, table.row_heard[rows] == 1
        may = (table.row_words[rows] == 1) & (final | heard)
        may &= self._eager[table.row_patience[rows]]
        start = np.where(_down(final), now, np.maximum(now, stable))
        starts = undecided & _down(may) & (start < over) & (start <= next_)
        starts &= (begun == NEVER) & (self.used[at] < self._cap)
        self._begun[at] = np.where(starts, start, begun)
        self.used[at] += starts
        self.calls[at] += starts

    def _follow(self) -> None:
        """What finals and hints still change in turns that are over: see `Floor._late_text`."""
        table = self._table
        where = np.flatnonzero(self.over)
        node = self._node.ravel()[where]
        ready = np.broadcast_to(self._ready, self.over.shape).ravel()[where]
        gates = np.broadcast_to(self._settings.speak_gate, self.over.shape).ravel()[where]
        gate, have = self._gate.ravel()[where], self._have.ravel()[where]
        end, calls = self.end.ravel()[where], self.calls.ravel()[where]
        clipped = table.node_clipped[node]
        live = np.flatnonzero(table.node_at[node] < NEVER)
        while len(live):
            here = node[live]
            at = table.node_at[here]
            shut = at < gate[live]
            owed = (table.node_owed[here] == 1) & (at < end[live] + EXPIRES_MS)
            silent = at < np.maximum(gate[live], have[live])
            counts = shut | owed | silent
            corrects = shut & (table.node_corrects[here] == 1)
            fixed = live[corrects]
            end[fixed] = at[corrects]
            have[fixed] = at[corrects] + ready[fixed]
            calls[fixed] += 1
            node[live] = np.where(shut, table.node_open[here], table.node_late[here])
            opened = live[shut]
            patient = self._patient(gates[opened], table.node_patience[node[opened]])
            gate[opened] = np.maximum(patient, at[shut])
            live = live[counts]
            clipped[live] = table.node_clipped[node[live]]
            live = live[table.node_at[node[live]] < NEVER]
        for array, found in (
            (self._gate, gate),
            (self._have, have),
            (self.end, end),
            (self.calls, calls),
            (self.clipped, clipped == 1),
        ):
            array.ravel()[where] = found

    def _waits(self, set_ms: Column, patience: Column) -> Times:
        """A wait that is set, under each row's patience: see `endpointing`."""
        if self._as_set:
            return set_ms[None, :]
        return self._patient(set_ms[None, :], _down(patience))

    def _patient(self, set_ms: Times, patience: Column) -> Times:
        # Half to even, as Python's round.
        waits = np.rint(set_ms * self._times[patience]).astype(np.int32)
        patient: Times = np.maximum(waits, self._least[patience])
        return patient


def _down(column: NDArray[Any]) -> NDArray[Any]:
    """A value per pause, the same for all settings."""
    return column[:, None]
