"""The turn machine: caller and agent coupled, one door in and one door out.

`TurnMachine.handle` takes an event and the time and answers with effects; `deadline_ms` says
when to come back with a `Tick`. The same input gives the same output, so one machine runs live,
in virtual time, and over recorded traces. Audio never enters it, only durations.

Timers that are due fire before the event that found them late: a stalled driver gets the same
effects, only later.
"""

from __future__ import annotations

from collections import Counter

from voicelat.errors import ClockWentBack
from voicelat.metrics.record import CallInfo
from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.config import TurnConfig
from voicelat.turn.endpointing import EndpointPolicy, Fixed
from voicelat.turn.floor import Floor
from voicelat.turn.states import Agent, Caller
from voicelat.turn.timers import Timers

__all__ = ["TurnMachine"]


class TurnMachine:
    """All turns of one call.

    ``config``: the settings. ``call``: what every record of this call has in common.
    ``policy``: how much patience each pause deserves, an object of this call's own; None waits as
    the settings say.
    """

    def __init__(
        self, config: TurnConfig, call: CallInfo, policy: EndpointPolicy | None = None
    ) -> None:
        self._timers = Timers()
        policy = policy or Fixed()
        self._effects: list[do.Effect] = []
        self._floor = Floor(config, call, policy, self._timers, self._emit)
        self._now_ms = 0
        self._stopped = False

    @property
    def deadline_ms(self) -> int | None:
        """When to call `handle` with a `Tick` at the latest. None: only events matter."""
        return self._timers.next_ms

    @property
    def caller(self) -> Caller:
        """What the caller is doing."""
        return self._floor.caller.state

    @property
    def agent(self) -> Agent:
        """What the agent is doing."""
        return self._floor.agent.state

    @property
    def live_reply(self) -> tuple[int, int] | None:
        """Turn and attempt of the live reply, None without one."""
        reply = self._floor.agent.reply
        return None if reply is None else (reply.turn, reply.attempt)

    @property
    def dropped(self) -> Counter[str]:
        """Events that changed nothing, by why: stale ones, impossible ones, mere noises."""
        return self._floor.dropped

    def handle(self, event: on.Event, now_ms: int) -> list[do.Effect]:
        """Take an event at ``now_ms``. Returns what to do, in order.

        Raises ClockWentBack, and changes nothing, when ``now_ms`` is before the last one.
        """
        if now_ms < self._now_ms:
            raise ClockWentBack(f"event at {now_ms} ms after one at {self._now_ms} ms")
        self._now_ms = self._floor.now_ms = now_ms
        effects = self._effects = list[do.Effect]()
        if self._stopped:
            self.dropped["after stop"] += 1
            return effects
        self._fire_due()
        if not isinstance(event, on.Tick):
            self._apply(event)
        self._fire_due()
        return effects

    def _emit(self, effect: do.Effect) -> None:
        self._effects.append(effect)

    def _fire_due(self) -> None:
        while (timer := self._timers.pop_due(self._now_ms)) is not None:
            self._floor.on_timer(timer)

    def _apply(self, event: on.CallerEvent | on.FallbackHeard | on.ReplyEvent) -> None:
        floor = self._floor
        match event:
            case on.Partial(text=text):
                floor.on_text(text.strip(), final=False)
            case on.SpeechStarted(at_ms=at_ms):
                floor.on_voice(at_ms)
            case on.SpeechStopped(at_ms=at_ms):
                floor.on_silence(at_ms)
            case on.Final(text=text, confidence=confidence):
                floor.on_text(text.strip(), final=True, confidence=confidence)
            case on.MarkEchoed(name=name):
                floor.on_mark(name)
            case on.FallbackHeard(turn=turn, text=text):
                floor.on_fallback(turn, text.strip())
            case on.EndpointHint(probability=probability):
                floor.on_hint(probability)
            case on.Dtmf(digit=digit):
                floor.on_key(digit)
            case on.StreamStopped():
                self._stopped = True
                self._timers.clear()
                floor.on_stop()
            case _:
                floor.on_reply_event(event)
