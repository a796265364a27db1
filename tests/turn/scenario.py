"""A machine in virtual time: feed it `(at_ms, event)` pairs, read what it did and when.

Ticks come by themselves at every deadline, as from a driver that is never late.
"""

from __future__ import annotations

from typing import Any, TypeVar

from voicelat.metrics.record import CallInfo, TurnRecord
from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.config import TurnConfig
from voicelat.turn.endpointing import EndpointPolicy
from voicelat.turn.machine import TurnMachine

__all__ = ["CALL", "Scenario", "Script", "utterance", "voice"]

CALL = CallInfo(call_id="CA1")
Script = list[tuple[int, on.Event]]
E = TypeVar("E", bound=do.Effect)


def voice(start_ms: int, stop_ms: int) -> Script:
    """Voice from start to stop, seen without delay."""
    return [(start_ms, on.SpeechStarted(start_ms)), (stop_ms, on.SpeechStopped(stop_ms))]


def utterance(start_ms: int, stop_ms: int, text: str, final_ms: int | None = None) -> Script:
    """The same, with its words: a partial while it lasts, a final at ``final_ms`` if given."""
    started, stopped = voice(start_ms, stop_ms)
    script = [started, ((start_ms + stop_ms) // 2, on.Partial(text)), stopped]
    return script if final_ms is None else [*script, (final_ms, on.Final(text))]


class Scenario:
    """One call. ``settings`` are those of `TurnConfig`; every method returns the scenario."""

    def __init__(self, policy: EndpointPolicy | None = None, **settings: Any) -> None:
        # Without a gate the effects of a scenario stand where its events are.
        config = TurnConfig(**{"speak_gate_ms": 0, **settings})
        self.machine = TurnMachine(config, CALL, policy)
        self.effects: list[tuple[int, do.Effect]] = []
        self.now_ms = 0
        self._echoed: set[str] = set()

    def feed(self, at_ms: int, event: on.Event) -> list[do.Effect]:
        """One event as it is, without the ticks that were due before. Returns its effects."""
        effects = self.machine.handle(event, at_ms)
        self.now_ms = at_ms
        self.effects += [(at_ms, effect) for effect in effects]
        return effects

    def wait(self, until_ms: int) -> Scenario:
        """Nothing happens but the deadlines up to and at ``until_ms``."""
        while (deadline := self.machine.deadline_ms) is not None and deadline <= until_ms:
            self.feed(deadline, on.Tick())
        self.now_ms = until_ms
        return self

    def play(self, *script: tuple[int, on.Event]) -> Scenario:
        """Everything in ``script``, and the deadlines between."""
        for at_ms, event in script:
            self.wait(at_ms)
            self.feed(at_ms, event)
        return self

    def sound(self, at_ms: int, text: str = "Sure.", audio_ms: int = 1000) -> Scenario:
        """The live reply says ``text``; its first frame leaves at ``at_ms``."""
        self.wait(at_ms)
        name = self.live
        return self.play(
            (at_ms, on.ReplyTextStarted(*name)),
            (at_ms, on.SpeechRequested(*name)),
            (at_ms, on.SpeechReady(*name)),
            (at_ms, on.AudioQueued(*name, audio_ms, text)),
            (at_ms, on.AudioSent(*name)),
        )

    def finish(self, at_ms: int) -> Scenario:
        """All audio of the live reply is in the playout."""
        self.wait(at_ms)
        return self.play((at_ms, on.ReplyFinished(*self.live)))

    def echo(self, at_ms: int, kind: str = "") -> Scenario:
        """The marks asked for so far come back (only those of ``kind``: heard, clause, end)."""
        self.wait(at_ms)
        for _, mark in self.all(do.RequestMark):
            if mark.name.endswith(kind) and mark.name not in self._echoed:
                self._echoed.add(mark.name)
                self.feed(at_ms, on.MarkEchoed(mark.name))
        return self

    def answered(self, at_ms: int, text: str = "Sure.", audio_ms: int = 1000) -> Scenario:
        """The live reply is made, sent at ``at_ms`` and played to its end."""
        return self.sound(at_ms, text, audio_ms).finish(at_ms).echo(at_ms + audio_ms)

    @property
    def live(self) -> tuple[int, int]:
        """Turn and attempt of the live reply; fails without one."""
        assert self.machine.live_reply is not None
        return self.machine.live_reply

    def all(self, kind: type[E]) -> list[tuple[int, E]]:
        """The effects of one kind, each with its time."""
        return [(at_ms, e) for at_ms, e in self.effects if isinstance(e, kind)]

    def one(self, kind: type[E]) -> E:
        """The only effect of its kind."""
        ((_, effect),) = self.all(kind)
        return effect

    def at(self, kind: type[do.Effect]) -> int:
        """When the only effect of its kind came."""
        ((at_ms, _),) = self.all(kind)
        return at_ms

    @property
    def records(self) -> list[TurnRecord]:
        """The turns closed so far."""
        return [closed.record for _, closed in self.all(do.TurnClosed)]

    @property
    def record(self) -> TurnRecord:
        """The only one."""
        (record,) = self.records
        return record
