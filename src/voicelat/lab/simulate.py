"""A call in virtual time: the caller's side of a trace, the real machine, and replies that take
what a latency model says.

The same machine as in a live call, driven by a driver that is never late. Replies understand
nothing: they are a length of audio that is ready when the model says so.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from typing import Final

from voicelat.lab.latency import Reply, ReplyLatency
from voicelat.lab.recordings import CALLER_SIDE
from voicelat.metrics.record import CallInfo, TurnRecord
from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.config import TurnConfig
from voicelat.turn.endpointing import EndpointPolicy
from voicelat.turn.machine import TurnMachine
from voicelat.turn.trace import Trace, TraceStep

__all__ = ["REPLY_MS", "Simulation", "simulate"]

REPLY_MS: Final = 1500
"""How long a simulated reply sounds: one short sentence."""

_MARK_MS: Final = 20
"""A mark behind a frame comes back when the frame has been played (loopback: 22 ms)."""
_SETTLE_MS: Final = 12_000
"""How long a call goes on behind its last event: the reply timeout, and a reply."""

_IN_HAND: Final = Reply(0, 0, 0)

Name = tuple[int, int]


class Simulation:
    """One machine, and the driver that answers its effects.

    ``reply_ms`` is the length of every reply. What is due at the time of a caller's event
    happens before it: a driver that is never late.
    """

    def __init__(
        self, machine: TurnMachine, latency: ReplyLatency, call_id: str, reply_ms: int = REPLY_MS
    ) -> None:
        self.machine = machine
        self.records: list[TurnRecord] = []
        self.model_calls = 0
        """Replies the model was asked for."""
        self.speculations = 0
        """... before their turn was over."""
        self.now_ms = 0
        self._latency = latency
        self._call_id = call_id
        self._reply_ms = reply_ms
        self._due: list[tuple[int, int, on.Event]] = []
        self._order = count()
        """Keeps what is due at one time in order."""
        self._pause = 0
        self._live: Name | None = None
        self._open = False
        self._in_hand = False
        self._sent_ms: int | None = None
        self._waiting: list[str] = []
        """Marks behind audio that has not been sent yet."""

    def play(self, steps: Iterable[TraceStep]) -> None:
        """Everything the caller did, and what falls due between."""
        for step in steps:
            self.until(step.at_ms)
            if isinstance(step.event, on.SpeechStopped):
                self._pause += 1
            self._handle(step.event, step.at_ms)

    def until(self, at_ms: int) -> None:
        """Whatever is due up to and at ``at_ms``."""
        while True:
            deadline_ms = self.machine.deadline_ms
            due_ms = self._due[0][0] if self._due else None
            if deadline_ms is not None and (due_ms is None or deadline_ms <= due_ms):
                if deadline_ms > at_ms:
                    return
                self._handle(on.Tick(), deadline_ms)
            elif due_ms is not None and due_ms <= at_ms:
                self._handle(heapq.heappop(self._due)[2], due_ms)
            else:
                return

    def stop(self, at_ms: int) -> None:
        """The call ends."""
        self.until(at_ms)
        self._handle(on.StreamStopped("end of the recording"), at_ms)

    def _handle(self, event: on.Event, at_ms: int) -> None:
        if isinstance(event, on.ReplyEvent) and (event.turn, event.attempt) != self._live:
            return  # what a dropped reply would still have made
        self.now_ms = at_ms
        effects = self.machine.handle(event, at_ms)
        for effect in effects:
            self._do(effect, at_ms)
        match event:
            case on.AudioQueued():
                self._in_hand = True
                self._send(at_ms)
            case on.AudioSent():
                self._sent_ms = at_ms
                for mark in self._waiting:
                    self._later(at_ms + self._reply_ms, on.MarkEchoed(mark))
                self._waiting.clear()

    def _do(self, effect: do.Effect, at_ms: int) -> None:
        match effect:
            case do.StartReply(turn=turn, attempt=attempt, speculative=speculative):
                self.model_calls += 1
                self.speculations += speculative
                took = self._latency.reply(self._call_id, max(0, self._pause - 1))
                self._begin((turn, attempt), at_ms, took)
            case (
                do.AskToRepeat(turn=turn, attempt=attempt)
                | do.Apologise(turn=turn, attempt=attempt)
            ):
                self._begin((turn, attempt), at_ms)
            case do.CommitReply():
                self._open = True
                self._send(at_ms)
            case do.HoldReply():
                self._open = False
            case do.CancelReply() | do.ClearPlayout():
                self._live = None
                self._waiting.clear()
            case do.RequestMark(name=name, behind=behind):
                self._mark(name, behind == "sent", at_ms)
            case do.TurnClosed(record=record):
                self.records.append(record)

    def _begin(self, name: Name, at_ms: int, took: Reply = _IN_HAND) -> None:
        """A reply is in the making: a model's, or a phrase that is in hand."""
        self._live = name
        self._open = self._in_hand = False
        self._sent_ms = None
        first_ms = at_ms + took.llm_ms
        request_ms = first_ms + took.clause_ms
        ready_ms = request_ms + took.tts_ms
        self._later(first_ms, on.ReplyTextStarted(*name))
        self._later(request_ms, on.SpeechRequested(*name))
        self._later(ready_ms, on.SpeechReady(*name))
        self._later(ready_ms, on.AudioQueued(*name, self._reply_ms, "…"))
        self._later(ready_ms, on.ReplyFinished(*name))

    def _send(self, at_ms: int) -> None:
        if self._open and self._in_hand and self._sent_ms is None and self._live is not None:
            self._later(at_ms, on.AudioSent(*self._live))

    def _mark(self, name: str, sent: bool, at_ms: int) -> None:
        if sent:
            self._later(at_ms + _MARK_MS, on.MarkEchoed(name))
        elif self._sent_ms is None:
            self._waiting.append(name)
        else:
            self._later(max(at_ms, self._sent_ms + self._reply_ms), on.MarkEchoed(name))

    def _later(self, at_ms: int, event: on.Event) -> None:
        heapq.heappush(self._due, (at_ms, next(self._order), event))


def simulate(
    trace: Trace,
    config: TurnConfig,
    latency: ReplyLatency,
    policy: EndpointPolicy | None = None,
    *,
    info: CallInfo | None = None,
) -> list[TurnRecord]:
    """Put the caller's side of a trace through the machine with other settings.

    ``latency`` says what the replies take, ``policy`` judges the pauses (None: as set),
    ``info`` is what the records say of the call (None: what the trace says). A greeting is not
    simulated: it is the caller who begins. Returns the records of all turns, in order.
    """
    info = info or trace.header.call
    config = replace(config, greeting=False)
    simulation = Simulation(TurnMachine(config, info, policy), latency, info.call_id)
    simulation.play(step for step in trace.steps if isinstance(step.event, CALLER_SIDE))
    simulation.stop(simulation.now_ms + _SETTLE_MS)
    return simulation.records
