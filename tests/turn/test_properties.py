"""What holds whatever happens: hostile events in any order, with a driver that plays along."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from random import Random
from typing import assert_never

import msgspec
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from tests.turn.scenario import CALL

from voicelat.errors import ClockWentBack
from voicelat.metrics.record import TurnRecord
from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.config import TurnConfig
from voicelat.turn.machine import TurnMachine
from voicelat.turn.states import Agent

Name = tuple[int, int]


class Timed(Struct, frozen=True):
    """One line of a trace."""

    at_ms: int
    event: on.Event


class Step(Enum):
    """What a driver that plays along says next about the live reply."""

    TEXT = on.ReplyTextStarted
    REQUESTED = on.SpeechRequested
    READY = on.SpeechReady
    QUEUED = on.AudioQueued
    SENT = on.AudioSent
    FINISHED = on.ReplyFinished
    FAILED = on.ReplyFailed
    ECHO = on.MarkEchoed
    TICK = on.Tick
    FALLBACK = on.FallbackHeard


class Watch:
    """Judges effects as a driver would that knows nothing but them."""

    def __init__(self, live: Name | None) -> None:
        self.live = live
        self.committed = live is not None
        self.cleared: set[int] = set()
        self.marks: list[str] = []
        self.records: list[TurnRecord] = []

    def see(self, event: on.Event, effects: list[do.Effect]) -> None:
        ended = None
        if isinstance(event, on.ReplyFailed | on.ReplyFinished):
            ended = (event.turn, event.attempt)  # a reply that ends without audio is over
        for effect in effects:
            self._see(effect, ended)

    def _see(self, effect: do.Effect, ended: Name | None) -> None:
        match effect:
            case do.StartReply() | do.AskToRepeat() | do.Apologise():
                assert self.live in (None, ended), "never two live replies"
                self.live, self.committed = (effect.turn, effect.attempt), False
            case do.CommitReply():
                assert (effect.turn, effect.attempt) == self.live
                assert not self.committed, "once per hold"
                assert effect.turn not in self.cleared
                self.committed = True
            case do.HoldReply():
                assert (effect.turn, effect.attempt) == self.live
                assert self.committed
                self.committed = False
            case do.CancelReply():
                assert (effect.turn, effect.attempt) == self.live
                self.live = None
            case do.RequestMark():
                assert effect.turn not in self.cleared
                assert effect.name not in self.marks, "a mark's name is used once"
                self.marks.append(effect.name)
            case do.ClearPlayout():
                assert self.live is None, "nothing may be sent behind the clear"
                self.cleared.add(effect.turn)
            case do.TurnClosed():
                self.live = None
                check_record(effect.record)
                assert all(effect.record.turn > earlier.turn for earlier in self.records)
                self.records.append(effect.record)
            case do.FinalizeStt() | do.RunFallback():
                pass
            case _:
                assert_never(effect)


def check_record(record: TurnRecord) -> None:
    assert msgspec.json.decode(msgspec.json.encode(record), type=TurnRecord) == record
    assert all(ms >= 0 for ms in record.legs.values())
    assert (record.residual_ms is None) == (not record.legs)
    if record.residual_ms is not None:
        assert record.residual_ms >= 0
        assert sum(record.legs.values()) + record.residual_ms == record.TOTAL_LATENCY_MS
    sounded = record.stamps.first_audio_sent is not None
    assert sounded == (record.outcome in ("answered", "barged_in"))
    assert (record.outcome == "barged_in") == record.BARGE_IN_HIT
    assert (record.EOU_REASON is None) == (record.outcome == "abandoned")
    assert 0 <= record.wasted_calls <= record.model_calls
    assert record.wasted_calls >= record.model_calls - 1
    assert record.confidence is None or 0 <= record.confidence <= 1
    assert not (record.fallback and record.fallback_used)


class Rig:
    """A machine, its driver and its judge; remembers the trace."""

    def __init__(self, config: TurnConfig) -> None:
        self.machine = TurnMachine(config, CALL)
        self.watch = Watch((0, 0) if config.greeting else None)
        self.now_ms = 0
        self.trace: list[Timed] = []
        self.effects: list[list[do.Effect]] = []

    def run(self, moves: list[Move]) -> Rig:
        for gap_ms, punctual, what in moves:
            until_ms = self.now_ms + gap_ms
            while punctual and (due_ms := self.machine.deadline_ms) and due_ms < until_ms:
                self.feed(on.Tick(), due_ms)
            event = self.said(what) if isinstance(what, Step) else rebased(what, until_ms)
            self.feed(event, until_ms)
        return self

    def feed(self, event: on.Event, at_ms: int) -> None:
        self.now_ms = at_ms
        effects = self.machine.handle(event, at_ms)
        self.trace.append(Timed(at_ms, event))
        self.effects.append(effects)
        self.watch.see(event, effects)
        deadline_ms = self.machine.deadline_ms
        assert deadline_ms is None or deadline_ms > at_ms
        assert (self.machine.agent is Agent.IDLE) == (self.machine.live_reply is None)
        self.watch.live = self.machine.live_reply

    def said(self, step: Step) -> on.Event:
        name = self.watch.live or (1, 1)
        match step:
            case Step.ECHO:
                return on.MarkEchoed(self.watch.marks[-1] if self.watch.marks else "none")
            case Step.FALLBACK:
                return on.FallbackHeard(name[0], "I want a table")
            case Step.TICK:
                return on.Tick()
            case Step.QUEUED:
                return on.AudioQueued(*name, 700, "For how many?")
            case Step.FAILED:
                return on.ReplyFailed(*name, "503")
        return step.value(*name)  # type: ignore[no-any-return]


Move = tuple[int, bool, on.Event | Step]
"""Milliseconds since the move before, whether the deadlines between are kept, and what comes.
Instants of voice are relative to the move's own time."""


def rebased(event: on.Event, now_ms: int) -> on.Event:
    if isinstance(event, on.SpeechStarted | on.SpeechStopped):
        return msgspec.structs.replace(event, at_ms=now_ms + event.at_ms)
    return event


small = st.integers(-1, 3)
instants = st.one_of(st.integers(-400, 0), st.integers(-(10**12), 10**12))
durations = st.one_of(st.integers(0, 3000), st.integers(-(10**12), 10**12))
words = st.sampled_from(
    ["", " ", "yes", "stop", "uh-huh", "I want", "I want a table", "I want the table for two",
     "כן", "אני רוצה שולחן", "אני רוצה שולחן לשניים", "*", "word " * 2000]
)  # fmt: skip
# What is no number becomes null in a trace, and so would not be counted again.
confidences = st.one_of(
    st.none(), st.floats(0, 1), st.floats(allow_nan=False, allow_infinity=False)
)
texts = st.one_of(words, st.text(max_size=20))
caller_events: st.SearchStrategy[on.Event] = st.one_of(
    st.builds(on.SpeechStarted, instants),
    st.builds(on.SpeechStopped, instants),
    st.builds(on.Partial, texts),
    st.builds(on.Final, texts, confidences),
    st.builds(on.EndpointHint, st.floats(0, 1)),
    st.builds(on.Dtmf, st.one_of(st.sampled_from("0123456789*#"), st.text(max_size=2))),
)
hostile_events: st.SearchStrategy[on.Event] = st.one_of(
    caller_events,
    st.builds(on.MarkEchoed, texts),
    st.builds(on.FallbackHeard, small, texts),
    st.builds(on.ReplyTextStarted, small, small),
    st.builds(on.SpeechRequested, small, small),
    st.builds(on.SpeechReady, small, small, st.one_of(st.none(), st.booleans())),
    st.builds(on.AudioQueued, small, small, durations, texts),
    st.builds(on.AudioSent, small, small, st.booleans()),
    st.builds(on.ReplyFinished, small, small, texts),
    st.builds(on.ReplyFailed, small, small, texts),
    st.builds(on.StreamStopped),
)
gaps = st.one_of(st.integers(0, 50), st.integers(0, 300), st.integers(0, 12_000))
HAPPY = [
    Step.TEXT,
    Step.REQUESTED,
    Step.READY,
    Step.QUEUED,
    Step.SENT,
    Step.FINISHED,
    Step.ECHO,
]


@st.composite
def utterances(draw: st.DrawFn) -> list[Move]:
    """Voice with words in it, and perhaps a final behind it."""
    voice_ms, text = draw(st.integers(0, 500)), draw(texts)
    moves: list[Move] = [(draw(gaps), True, on.SpeechStarted(0))]
    moves += [(voice_ms, True, on.Partial(text)), (voice_ms, True, on.SpeechStopped(0))]
    if draw(st.booleans()):
        moves.append((draw(gaps), True, on.Final(text, draw(confidences))))
    if draw(st.integers(0, 3)) == 0:
        moves.append((draw(st.integers(160, 900)), True, Step.FALLBACK))
    return moves


@st.composite
def replies(draw: st.DrawFn) -> list[Move]:
    """The live reply sounds, and is perhaps played to its end; a step may be missing."""
    steps = [step for step in HAPPY if draw(st.integers(0, 9)) > 0]
    return [(draw(gaps), True, step) for step in steps[: draw(st.integers(0, len(steps)))]]


single_moves = st.tuples(
    gaps, st.booleans(), st.one_of(st.sampled_from(Step), caller_events, hostile_events)
).map(lambda move: [move])
calls: st.SearchStrategy[list[Move]] = st.lists(
    st.one_of(utterances(), replies(), single_moves), min_size=1, max_size=15
).map(lambda blocks: [move for block in blocks for move in block])
configs = st.builds(
    TurnConfig,
    hangover_ms=st.sampled_from([0, 160, 900]),
    debounce_ms=st.sampled_from([0, 60, 400]),
    min_utt_ms=st.sampled_from([0, 250]),
    min_confidence=st.sampled_from([0.0, 0.5, 1.0]),
    stt_timeout_ms=st.sampled_from([0, 240]),
    speak_gate_ms=st.sampled_from([0, 700]),
    speculate=st.booleans(),
    max_speculations=st.integers(0, 3),
    onset_ms=st.sampled_from([0, 240]),
    reply_timeout_ms=st.sampled_from([0, 8000]),
    playout_slack_ms=st.sampled_from([0, 2000]),
    dtmf_gap_ms=st.sampled_from([0, 1500]),
    greeting=st.booleans(),
)


@settings(max_examples=500, deadline=None)
@given(configs, calls)
def test_no_call_breaks_a_rule(config: TurnConfig, moves: list[Move]) -> None:
    rig = Rig(config).run(moves)
    rig.feed(on.StreamStopped(), rig.now_ms)
    assert rig.machine.deadline_ms is None
    assert rig.machine.live_reply is None


@settings(max_examples=100, deadline=None)
@given(configs, calls)
def test_a_recorded_trace_replays_to_the_same_bytes(config: TurnConfig, moves: list[Move]) -> None:
    rig = Rig(config).run(moves)
    lines = [msgspec.json.encode(timed) for timed in rig.trace]
    again = TurnMachine(config, CALL)
    replayed = [
        again.handle(timed.event, timed.at_ms)
        for timed in (msgspec.json.decode(line, type=Timed) for line in lines)
    ]
    assert msgspec.json.encode(replayed) == msgspec.json.encode(rig.effects)
    assert again.dropped == rig.machine.dropped


@settings(max_examples=100, deadline=None)
@given(configs, calls, hostile_events, st.integers(1, 10**12))
def test_time_that_goes_back_is_the_one_thing_refused(
    config: TurnConfig, moves: list[Move], event: on.Event, back_ms: int
) -> None:
    rig, same = Rig(config).run(moves), Rig(config).run(moves)
    with pytest.raises(ClockWentBack):
        rig.machine.handle(event, rig.now_ms - back_ms)
    for each in (rig, same):
        each.run([(5000, True, Step.TICK), (0, True, on.StreamStopped())])
    assert rig.effects == same.effects


def closed(test: Callable[[TurnRecord], bool]) -> Callable[[list[Move]], bool]:
    config = TurnConfig(min_confidence=0.5, speak_gate_ms=900)
    return lambda moves: any(map(test, Rig(config).run(moves).watch.records))


@pytest.mark.parametrize(
    "test",
    [
        lambda record: record.outcome == "barged_in",
        lambda record: record.outcome == "answered" and record.failure is None,
        lambda record: record.outcome == "censored",
        lambda record: record.outcome == "abandoned",
        lambda record: record.reopened,
        lambda record: record.fallback,
        lambda record: record.clipped is True,
        lambda record: record.fallback and record.text != "",
        lambda record: record.fallback_used == "answer",
        lambda record: record.wasted_calls > 1,
    ],
    ids=[
        *("barged_in", "answered", "censored", "abandoned", "reopened", "fallback", "clipped"),
        *("doubtful", "guessed", "wasted"),
    ],
)
def test_the_generated_calls_go_deep_enough(test: Callable[[TurnRecord], bool]) -> None:
    find(
        calls,
        closed(test),
        settings=settings(max_examples=10_000, database=None, phases=[Phase.generate]),
        random=Random(1),  # whether they do is not a matter of luck
    )
