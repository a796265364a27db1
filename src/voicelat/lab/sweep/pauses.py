"""Every pause of every call as columns of numbers: what a sweep judges.

A pause is judged with the turn still open: whatever a setting would have done in the pauses
before, the caller went on, so the judged pause is met as the machine meets it when it has
waited. The words are the machine's own (`TurnText`, `Draft`): only its waits are left to
arithmetic.

All times are ms since the pause's acoustic begin (speech_end).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voicelat.lab.calls import JudgedCall
from voicelat.lab.latency import ReplyLatency
from voicelat.lab.sweep.moments import NEVER, Moment, OpenPause, Over, walk
from voicelat.turn import events as on
from voicelat.turn.draft import Draft
from voicelat.turn.endpointing import EndpointPolicy, Patience

__all__ = ["HORIZON_MS", "NEVER", "SWEPT", "Column", "PauseTable", "joined", "tabulate"]

HORIZON_MS: Final = 120_000
"""Behind the begin of a pause. By then every turn is over and answered: what the recogniser makes
of the music behind it changes nothing, and its rows would take the cube of their number."""

SWEPT: Final = (on.SpeechStarted, on.SpeechStopped, on.Partial, on.Final, on.EndpointHint)
"""The events a pause is judged by. Keys end turns by rules of their own."""

Column = NDArray[np.int32]


@dataclass(slots=True)
class PauseTable:
    """The columns. Rows are the moments of a pause at which the machine looks: its begin, and
    each transcript or hint in it. Nodes are what can become of a turn that is over: each waits
    for the next final or hint."""

    calls: list[str] = field(default_factory=list)
    turn_call: Column = field(default_factory=lambda: _EMPTY)
    """Index of each turn's call."""
    pause_turn: Column = field(default_factory=lambda: _EMPTY)
    pause_number: Column = field(default_factory=lambda: _EMPTY)
    """The how-manieth judged pause of its turn, from 0."""
    pause_hold: Column = field(default_factory=lambda: _EMPTY)
    """1: the caller went on; 0: it was the end."""
    pause_until: Column = field(default_factory=lambda: _EMPTY)
    """When the machine learns that the caller goes on; NEVER for a shift."""
    pause_voiced: Column = field(default_factory=lambda: _EMPTY)
    """Voice in the turn before it, in ms."""
    pause_ready: Column = field(default_factory=lambda: _EMPTY)
    """How long a reply begun in it takes, in ms."""
    pause_row: Column = field(default_factory=lambda: _EMPTY)
    """Its first row."""
    pause_rows: Column = field(default_factory=lambda: _EMPTY)
    """How many it has."""
    row_at: Column = field(default_factory=lambda: _EMPTY)
    row_next: Column = field(default_factory=lambda: _EMPTY)
    """When the next row comes, or the caller goes on."""
    row_final: Column = field(default_factory=lambda: _EMPTY)
    """1: the recogniser's final is there."""
    row_heard: Column = field(default_factory=lambda: _EMPTY)
    """1: it has said something in this pause."""
    row_words: Column = field(default_factory=lambda: _EMPTY)
    """1: the turn has words."""
    row_changed: Column = field(default_factory=lambda: _EMPTY)
    """1: they have just changed."""
    row_stable: Column = field(default_factory=lambda: _EMPTY)
    """When they last changed; NEVER where nothing came since the voice before the pause."""
    row_node: Column = field(default_factory=lambda: _EMPTY)
    """What becomes of a turn that ends between this row and the next."""
    row_patience: Column = field(default_factory=lambda: _EMPTY)
    """Index into the patiences."""
    node_at: Column = field(default_factory=lambda: _EMPTY)
    """When the next final or hint comes; NEVER where none does."""
    node_owed: Column = field(default_factory=lambda: _EMPTY)
    """1: the turn ended without the final it was owed."""
    node_corrects: Column = field(default_factory=lambda: _EMPTY)
    """1: it has other words: while the gate is shut it starts the reply over."""
    node_open: Column = field(default_factory=lambda: _EMPTY)
    """The next node if it comes while the gate is shut."""
    node_late: Column = field(default_factory=lambda: _EMPTY)
    """The next node if it comes later and still counts."""
    node_clipped: Column = field(default_factory=lambda: _EMPTY)
    """1: the words acted on are not the final ones."""
    node_patience: Column = field(default_factory=lambda: _EMPTY)
    patiences: tuple[Patience, ...] = ()

    @property
    def turns(self) -> int:
        """True turns."""
        return len(self.turn_call)

    @property
    def holds(self) -> int:
        """Pauses after which the caller went on."""
        return int(self.pause_hold.sum())


_EMPTY: Final[Column] = np.empty(0, np.int32)

_POINTS_TO: Final = {
    "turn_call": "calls",
    "pause_turn": "turn_call",
    "pause_row": "row_at",
    "row_node": "node_at",
    "node_open": "node_at",
    "node_late": "node_at",
}
"""Columns that are indices, and what into."""


def joined(tables: Sequence[PauseTable]) -> PauseTable:
    """Several tables as one, in order."""
    patiences: dict[Patience, int] = {}
    offsets = dict.fromkeys(_POINTS_TO.values(), 0)
    columns: dict[str, list[Column]] = {name: [] for name in _column_names()}
    for table in tables:
        known = [patiences.setdefault(p, len(patiences)) for p in table.patiences]
        renumbered = np.array(known, np.int32)
        for name, parts in columns.items():
            column: Column = getattr(table, name)
            if name.endswith("_patience"):
                column = renumbered[column]
            parts.append(
                column + np.int32(offsets[_POINTS_TO[name]]) if name in _POINTS_TO else column
            )
        for name in offsets:
            offsets[name] += len(getattr(table, name))
    return PauseTable(
        calls=[call for table in tables for call in table.calls],
        patiences=tuple(patiences),
        **{name: np.concatenate(parts) for name, parts in columns.items() if parts},
    )


def _column_names() -> list[str]:
    return [column.name for column in fields(PauseTable) if "_" in column.name]


def tabulate(
    calls: Iterable[JudgedCall], policy: Callable[[], EndpointPolicy], latency: ReplyLatency
) -> PauseTable:
    """The table of some calls under one policy; ``policy`` makes an object per call."""
    writer = _Writer()
    for index, call in enumerate(calls):
        writer.call(index, call, policy(), latency)
    return writer.table()


class _Writer:
    """Fills the columns, call by call."""

    def __init__(self) -> None:
        self._columns: dict[str, list[int]] = {name: [] for name in _column_names()}
        self._calls: list[str] = []
        self._patiences: dict[Patience, int] = {}

    def table(self) -> PauseTable:
        """Everything written so far."""
        columns = {name: np.array(values, np.int32) for name, values in self._columns.items()}
        return PauseTable(calls=self._calls, patiences=tuple(self._patiences), **columns)

    def call(
        self, index: int, call: JudgedCall, policy: EndpointPolicy, latency: ReplyLatency
    ) -> None:
        """All turns of one call; the policy learns from its pauses on the way."""
        self._calls.append(call.call_id)
        stops = [isinstance(step.event, on.SpeechStopped) for step in call.steps]
        ordinal = np.cumsum(stops) - 1
        ready = latency.ready_ms(call.call_id, int(ordinal[-1]) + 1 if stops else 0)
        for turn in call.truth.turns:
            number = len(self._columns["turn_call"])
            self._put("turn", call=index)
            for pause in walk(call.steps, turn, policy):
                self._pause(pause, number, int(ready[ordinal[pause.true.stop_step]]))

    def _pause(self, pause: OpenPause, turn: int, ready_ms: int) -> None:
        first = len(self._columns["row_at"])
        moments = [moment for moment in pause.moments if moment.at_ms <= HORIZON_MS]
        for index, moment in enumerate(moments):
            behind = moments[index + 1 :]
            self._put(
                "row",
                at=moment.at_ms,
                next=behind[0].at_ms if behind else pause.until_ms,
                final=moment.final,
                heard=moment.heard,
                words=bool(moment.text.words),
                changed=moment.changed,
                stable=pause.stable_ms(moment),
                patience=self._patience(pause.judge(moment)),
                node=self._fate(pause, moment, behind),
            )
        self._put(
            "pause",
            turn=turn,
            number=pause.number,
            hold=pause.true.hold,
            until=pause.until_ms,
            voiced=pause.voiced_ms,
            ready=ready_ms,
            row=first,
            rows=len(moments),
        )

    def _fate(self, pause: OpenPause, moment: Moment, behind: Sequence[Moment]) -> int:
        """The node of a turn that ends between ``moment`` and the next."""
        draft = Draft(1)
        draft.end("silence", moment.text, 0, 0, final=moment.final)
        late = [later for later in behind if isinstance(later.event, on.Final | on.EndpointHint)]
        return self._node(pause, Over(draft, moment, owed=not moment.final), late)

    def _node(self, pause: OpenPause, over: Over, late: Sequence[Moment]) -> int:
        node = len(self._columns["node_at"])
        self._put(
            "node",
            at=late[0].at_ms if late else NEVER,
            owed=over.owed,
            corrects=False,
            open=node,
            late=node,
            clipped=over.draft.clipped is True,
            patience=self._patience(pause.judge(over.moment)),
        )
        if late:
            ways = self._columns
            ways["node_late"][node] = self._node(pause, over.passed_by(late[0]), late[1:])
            if over.gate_shut:
                ways["node_corrects"][node] = over.corrected_by(late[0])
                ways["node_open"][node] = self._node(pause, over.taken(late[0]), late[1:])
        return node

    def _patience(self, patience: Patience) -> int:
        return self._patiences.setdefault(patience, len(self._patiences))

    def _put(self, prefix: str, /, **values: int) -> None:
        for name, value in values.items():
            self._columns[f"{prefix}_{name}"].append(int(value))
