"""Every pause of every call as columns of numbers: what a sweep judges.

A pause is judged with the turn still open: whatever a setting would have done in the pauses
before, the caller went on, so the judged pause is met as the machine meets it when it has
waited. The words are the machine's own (`TurnText`, `Draft`): only its waits are left to
arithmetic.

All times are ms since the pause's acoustic begin (speech_end).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, fields, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voicelat.lab.calls import JudgedCall
from voicelat.lab.latency import ReplyLatency
from voicelat.lab.truth import TruePause, TrueTurn
from voicelat.turn import events as on
from voicelat.turn.draft import Draft
from voicelat.turn.endpointing import EndpointPolicy, Patience, Pause
from voicelat.turn.trace import TraceStep
from voicelat.turn.transcript import TurnText, words_of

__all__ = ["HORIZON_MS", "NEVER", "SWEPT", "Column", "PauseTable", "joined", "tabulate"]

NEVER: Final = 1 << 29
"""A time that does not come: sums of two still fit in 32 bits."""

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
    node_hint: Column = field(default_factory=lambda: _EMPTY)
    """1: it is a hint."""
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
            for pause in _walk(call.steps, turn, policy):
                self._pause(pause, number, int(ready[ordinal[pause.true.stop_step]]))

    def _pause(self, pause: _OpenPause, turn: int, ready_ms: int) -> None:
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

    def _fate(self, pause: _OpenPause, moment: _Moment, behind: Sequence[_Moment]) -> int:
        """The node of a turn that ends between ``moment`` and the next."""
        draft = Draft(1)
        draft.end("silence", moment.text, 0, 0, final=moment.final)
        late = [later for later in behind if isinstance(later.event, on.Final | on.EndpointHint)]
        return self._node(pause, _Over(draft, moment, owed=not moment.final), late)

    def _node(self, pause: _OpenPause, over: _Over, late: Sequence[_Moment]) -> int:
        node = len(self._columns["node_at"])
        self._put(
            "node",
            at=late[0].at_ms if late else NEVER,
            hint=bool(late) and isinstance(late[0].event, on.EndpointHint),
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


@dataclass(frozen=True, slots=True)
class _Moment:
    """What the machine knows of a pause at one of its looks."""

    at_ms: int
    event: on.Event
    text: TurnText
    final: bool = False
    heard: bool = False
    changed: bool = False
    hint: float | None = None


@dataclass(frozen=True, slots=True)
class _OpenPause:
    """A judged pause with all its moments, and how the policy sees them."""

    true: TruePause
    number: int
    stop_ms: int
    until_ms: int
    voiced_ms: int
    segment_ms: int
    """Where the voice before it began."""
    moments: Sequence[_Moment]
    policy: EndpointPolicy

    def judge(self, moment: _Moment) -> Patience:
        """The policy's answer at this moment."""
        return self.policy.judge(Pause(self.voiced_ms, moment.text.text, moment.final, moment.hint))

    def stable_ms(self, moment: _Moment) -> int:
        """When the words last changed, if the recogniser has spoken since the voice began."""
        text = moment.text
        if text.changed_ms is None or text.heard_ms is None or not text.words:
            return NEVER
        return NEVER if text.heard_ms < self.segment_ms else text.changed_ms - self.stop_ms


@dataclass(frozen=True, slots=True)
class _Over:
    """A turn that is over, before the next final or hint."""

    draft: Draft
    moment: _Moment
    """What the policy judges it by."""
    owed: bool
    gate_shut: bool = True
    """Whether the gate may still be shut."""

    def taken(self, later: _Moment) -> _Over:
        """It comes while the gate is shut: see `Floor._late_text` and `Floor.on_hint`."""
        if isinstance(later.event, on.EndpointHint):
            return replace(self, moment=replace(self.moment, hint=later.hint))
        draft, text = self._settled(later), _said(later.event)
        if not words_of(text):
            return replace(self, draft=draft, owed=False)
        words = self.moment.text.copy()
        words.put(text, 0, final=True)
        if draft.clipped:
            draft.correct(words, 0, 0)
        moment = replace(self.moment, text=words, final=True)
        return replace(self, draft=draft, owed=False, moment=moment)

    def corrected_by(self, later: _Moment) -> bool:
        """Whether it has other words than the turn acted on."""
        if isinstance(later.event, on.EndpointHint):
            return False
        return bool(words_of(_said(later.event)) and self._settled(later).clipped)

    def passed_by(self, later: _Moment) -> _Over:
        """It comes when the gate is open: a hint is dropped, a final only counted."""
        if isinstance(later.event, on.EndpointHint):
            return replace(self, gate_shut=False)
        return replace(self, draft=self._settled(later), owed=False, gate_shut=False)

    def _settled(self, later: _Moment) -> Draft:
        draft = copy(self.draft)
        draft.settle_final(_said(later.event), 0)
        return draft


def _said(event: on.Event) -> str:
    return event.text.strip() if isinstance(event, on.Partial | on.Final) else ""


def _walk(
    steps: Sequence[TraceStep], turn: TrueTurn, policy: EndpointPolicy
) -> Iterator[_OpenPause]:
    """The judged pauses of a turn. The policy is told of each resumption behind its pause."""
    walk = _Walk()
    judged = {pause.stop_step: (number, pause) for number, pause in enumerate(turn.pauses)}
    begun: tuple[int, TruePause] | None = None
    for index in range(turn.first_step, turn.pauses[-1].until_step):
        step = steps[index]
        match step.event:
            case on.SpeechStarted(at_ms=at_ms):
                if begun is not None:
                    yield walk.pause(*begun, steps, policy)
                begun = None
                if walk.stop_ms is not None:
                    policy.resumed(max(0, at_ms - walk.stop_ms))
                walk.voice(at_ms)
            case on.SpeechStopped(at_ms=at_ms):
                walk.silence(at_ms, step)
                begun = judged.get(index)
            case on.Partial() | on.Final():
                walk.hear(step)
            case on.EndpointHint():
                walk.hint(step)
    if begun is not None:
        yield walk.pause(*begun, steps, policy)


class _Walk:
    """What `CallerHalf` keeps of a turn, moment by moment."""

    def __init__(self) -> None:
        self.stop_ms: int | None = None
        """Where the voice fell silent; None while it lasts."""
        self._text = TurnText()
        self._voiced_ms = 0
        self._segment_ms = 0
        self._moments: list[_Moment] = []

    def voice(self, at_ms: int) -> None:
        """Voice begins or goes on."""
        self._segment_ms = at_ms
        self.stop_ms = None

    def silence(self, at_ms: int, step: TraceStep) -> None:
        """It falls silent."""
        self._voiced_ms += max(0, at_ms - self._segment_ms)
        self.stop_ms = at_ms
        text = self._text
        here = text.heard_ms is not None and text.heard_ms >= at_ms
        self._moments = [
            _Moment(step.at_ms, step.event, text.copy(), final=here and not text.open, heard=here)
        ]

    def hear(self, step: TraceStep) -> None:
        """A transcript, in the pause or before it."""
        final = isinstance(step.event, on.Final)
        changed = self._text.put(_said(step.event), step.at_ms, final=final)
        if self.stop_ms is not None:
            before = self._moments[-1]
            final = final or (before.final and not changed)
            text = self._text.copy()
            self._moments.append(
                _Moment(step.at_ms, step.event, text, final, True, changed, before.hint)
            )

    def hint(self, step: TraceStep) -> None:
        """A hint; outside a pause it means nothing."""
        if self.stop_ms is not None and isinstance(step.event, on.EndpointHint):
            hint = step.event.probability
            before = replace(self._moments[-1], changed=False)
            self._moments.append(replace(before, at_ms=step.at_ms, event=step.event, hint=hint))

    def pause(
        self, number: int, true: TruePause, steps: Sequence[TraceStep], policy: EndpointPolicy
    ) -> _OpenPause:
        """The pause just walked through, its times counted from its begin."""
        stop_ms = self.stop_ms
        assert stop_ms is not None
        until_ms = NEVER if true.start_step is None else steps[true.start_step].at_ms - stop_ms
        return _OpenPause(
            true=true,
            number=number,
            stop_ms=stop_ms,
            until_ms=until_ms,
            voiced_ms=self._voiced_ms,
            segment_ms=self._segment_ms,
            moments=[replace(moment, at_ms=moment.at_ms - stop_ms) for moment in self._moments],
            policy=policy,
        )
