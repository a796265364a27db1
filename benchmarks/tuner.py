"""What the online tuner does while callers and providers change, on records of the real machine.

A made-up caller with pauses inside turns talks to the turn machine in virtual time; a made-up
recogniser and reply take their time. Each phase changes one thing; the tuner is told of every
closed turn, new calls take its settings. Shown per phase: the settings it came to, what callers
waited and how often they were cut off, tuned and with the settings left alone.

    python benchmarks/tuner.py [--json] [--turns 1000] [--seed 1]
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

import msgspec
from msgspec import Struct

from voicelat.metrics.record import CallInfo, TurnRecord
from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.config import TurnConfig
from voicelat.turn.machine import TurnMachine
from voicelat.turn.tuner import Change, EouTuner

__all__ = ["CAUTIOUS", "SCENARIO", "PhoneCall", "World", "flips", "talk"]

VAD_MS = 60
"""How late a pause is noticed."""
WORD_MS = 250
REPLY_AUDIO_MS = 800
TURNS_A_CALL = 8
YIELDS_AFTER_MS = 200
"""A caller who hears the agent this long before going on does not go on."""


@dataclass(frozen=True, slots=True)
class World:
    """How callers, recogniser and reply behave. Times are medians of log-normals, in ms."""

    name: str
    hold_ms: int = 300
    """A pause inside a turn."""
    hold_share: float = 0.4
    """Of the pauses."""
    lag_ms: int = 40
    """A word until it is in a partial."""
    final_ms: int = 400
    """Silence until the recogniser gives its final by itself."""
    reply_ms: int = 600
    """Question to audio in hand."""

    def draw(self, rng: random.Random, median_ms: int, sigma: float = 0.4) -> int:
        """One time."""
        return round(median_ms * math.exp(rng.gauss(0, sigma)))


CAUTIOUS = TurnConfig(debounce_ms=120, hangover_ms=300)
SCENARIO = (
    World("slow replies", hold_ms=250, reply_ms=900),
    World("late words", hold_ms=250, reply_ms=900, lag_ms=200, final_ms=900),
    World("fast replies", hold_ms=250, reply_ms=200),
    World("slow callers", hold_ms=550, hold_share=0.5, reply_ms=200),
    World("quick callers again", hold_ms=250, reply_ms=200),
)


class PhoneCall:
    """One call of a made-up caller with the real machine, in virtual time."""

    def __init__(self, world: World, rng: random.Random, config: TurnConfig) -> None:
        settings: dict[str, str | int | float | bool] = {
            "STT_PARTIAL_DEBOUNCE_MS": config.debounce_ms,
            "VAD_HANGOVER_MS": config.hangover_ms,
            "SPEAK_GATE_MS": config.speak_gate_ms,
        }
        self.world, self.rng = world, rng
        self.machine = TurnMachine(config, CallInfo(call_id="CA", settings=settings))
        self.records: list[TurnRecord] = []
        self._agenda: list[tuple[int, int, on.Event | None]] = []
        self._order = itertools.count()
        self._now_ms = 0
        self._text: list[str] = []
        self._words = itertools.count(1)
        self._committed = False
        self._ready: tuple[int, int] | None = None
        self._sounded_ms: int | None = None

    def run(self, turns: int = TURNS_A_CALL) -> list[TurnRecord]:
        """Talk that long; returns the records of the closed turns."""
        for _ in range(turns):
            self._say(self._now_ms + 1000)
            holds = 0
            while self.rng.random() < self.world.hold_share and holds < 4:
                hold_ms = max(VAD_MS + 20, self.world.draw(self.rng, self.world.hold_ms))
                self._pass(self._end_ms + hold_ms)
                heard = self._sounded_ms is not None
                if heard and self._now_ms - (self._sounded_ms or 0) > YIELDS_AFTER_MS:
                    break
                self._say(self._now_ms)
                holds += 1
            self._pass(self._end_ms + 12_000)
        self._feed(on.StreamStopped())
        return self.records

    def _say(self, start_ms: int) -> None:
        """A few words from ``start_ms`` on; every one gets into a partial somewhat later."""
        self._sounded_ms = None
        world, rng = self.world, self.rng
        count = rng.randint(2, 8)
        self._end_ms = start_ms + count * WORD_MS
        self._at(start_ms + VAD_MS, on.SpeechStarted(start_ms))
        self._at(self._end_ms + VAD_MS, on.SpeechStopped(self._end_ms))
        final_ms = self._end_ms + max(VAD_MS, world.draw(rng, world.final_ms, 0.15))
        lag_ms = world.draw(rng, world.lag_ms, 0.2)
        for word in range(1, count + 1):
            self._text.append(f"w{next(self._words)}")
            at_ms = start_ms + word * WORD_MS + lag_ms
            self._at(max(at_ms, start_ms + VAD_MS), on.Partial(" ".join(self._text)))
        self._at(max(final_ms, self._end_ms + lag_ms), None)
        self._pass(self._end_ms)

    def _at(self, at_ms: int, event: on.Event | None) -> None:
        """Plan an event; None: the recogniser's final, if no words have come since."""
        heapq.heappush(self._agenda, (at_ms, next(self._order), event))

    def _pass(self, until_ms: int) -> None:
        """Let time go by, with all that is planned and due."""
        while True:
            due_ms = self.machine.deadline_ms
            if self._agenda and (due_ms is None or self._agenda[0][0] <= due_ms):
                at_ms = self._agenda[0][0]
                if at_ms > until_ms:
                    break
                event = heapq.heappop(self._agenda)[2]
            elif due_ms is not None and due_ms <= until_ms:
                at_ms, event = due_ms, on.Tick()
            else:
                break
            self._now_ms = max(self._now_ms, at_ms)
            if event is not None:
                self._feed(event)
            elif self._text and self._now_ms > self._end_ms:
                self._feed(on.Final(" ".join(self._text)))
                self._text = []
        self._now_ms = max(self._now_ms, until_ms)

    def _feed(self, event: on.Event) -> None:
        for effect in self.machine.handle(event, self._now_ms):
            self._reply(effect)
            match effect:
                case do.FinalizeStt():
                    self._at(self._now_ms + self.world.lag_ms + 80, None)
                case do.TurnClosed(record=record):
                    self.records.append(record)
                case do.RequestMark(name=name, behind=behind):
                    delay_ms = REPLY_AUDIO_MS if behind == "queued" else 40
                    self._at(self._now_ms + delay_ms, on.MarkEchoed(name))
        live = self.machine.live_reply
        if isinstance(event, on.SpeechReady) and live == (event.turn, event.attempt):
            self._ready = live
        self._sound()

    def _reply(self, effect: do.Effect) -> None:
        """Make the reply, or forget it."""
        match effect:
            case do.StartReply(turn=turn, attempt=attempt):
                ready_ms = self._now_ms + self.world.draw(self.rng, self.world.reply_ms, 0.25)
                self._committed, self._ready = False, None
                for at_ms, made in (
                    (ready_ms - 90, on.ReplyTextStarted(turn, attempt)),
                    (ready_ms - 80, on.SpeechRequested(turn, attempt)),
                    (ready_ms, on.SpeechReady(turn, attempt)),
                ):
                    self._at(max(self._now_ms, at_ms), made)
            case do.AskToRepeat(turn=turn, attempt=attempt):
                self._at(self._now_ms, on.SpeechReady(turn, attempt))
            case do.CommitReply():
                self._committed = True
            case do.HoldReply():
                self._committed = False
            case do.CancelReply():
                self._committed, self._ready = False, None

    def _sound(self) -> None:
        """All of the reply is sent as soon as it is there and may be."""
        if self._committed and self._ready is not None:
            ready, self._ready = self._ready, None
            self._sounded_ms = self._now_ms
            self._feed(on.AudioQueued(*ready, REPLY_AUDIO_MS, "Yes."))
            self._feed(on.AudioSent(*ready))
            self._feed(on.ReplyFinished(*ready))


def talk(
    worlds: Sequence[World], turns: int, seed: int, begin: TurnConfig | EouTuner
) -> Iterator[tuple[World, list[TurnRecord], list[Change]]]:
    """Calls in each world until there are ``turns`` records of it, with the changes they led to.

    With a tuner every new call takes the settings it has come to.
    """
    rng = random.Random(seed)
    for world in worlds:
        records, changes = list[TurnRecord](), list[Change]()
        while len(records) < turns:
            config = begin.config if isinstance(begin, EouTuner) else begin
            closed = PhoneCall(world, rng, config).run()
            records += closed
            if isinstance(begin, EouTuner):
                changes += filter(None, map(begin.observe, closed))
        yield world, records, changes


def flips(changes: Sequence[Change]) -> int:
    """How often a setting went the other way than it had gone before."""
    count, last = 0, dict[str, bool]()
    for change in changes:
        up = change.to_ms > change.from_ms
        count += last.get(change.setting, up) != up
        last[change.setting] = up
    return count


class Figures(Struct):
    """What callers had of it."""

    total_p50: float | None
    cutoff_rate: float | None
    """Of the turns that were answered."""

    @classmethod
    def of(cls, records: Sequence[TurnRecord]) -> Figures:
        totals = [r.TOTAL_LATENCY_MS for r in records if r.TOTAL_LATENCY_MS is not None]
        answered = [r for r in records if r.outcome in ("answered", "barged_in")]
        waited = [ms for ms in totals if ms >= 0]
        return cls(
            median(waited) if waited else None,
            round(sum(r.cutoff for r in answered) / len(answered), 4) if answered else None,
        )

    def __str__(self) -> str:
        if self.total_p50 is None or self.cutoff_rate is None:
            return "nobody was answered"
        return f"{self.total_p50:5.0f} ms {self.cutoff_rate:6.1%}"


class Phase(Struct):
    """One world, with the settings the tuner came to in it."""

    world: str
    settings: dict[str, int]
    changes: int
    left_alone: Figures
    tuned: Figures
    tuned_last_half: Figures


class Result(Struct):
    """Everything measured."""

    turns_a_phase: int
    began: dict[str, int]
    phases: list[Phase]
    changes: list[Change]
    flips: int
    """Changes in the other direction than the last of the same setting."""
    left_out: dict[str, int]
    observe_us: float


def measure(turns: int, seed: int) -> Result:
    """The whole scenario, tuned and left alone."""
    alone = [Figures.of(records) for _, records, _ in talk(SCENARIO, turns, seed, CAUTIOUS)]
    tuner = EouTuner(CAUTIOUS)
    began, phases, changes = tuner.settings, list[Phase](), list[Change]()
    for untuned, (world, records, made) in zip(
        alone, talk(SCENARIO, turns, seed, tuner), strict=True
    ):
        both = Figures.of(records), Figures.of(records[len(records) // 2 :])
        phases.append(Phase(world.name, tuner.settings, len(made), untuned, *both))
        changes += made
    left_out, us = tuner.state.left_out, observe_us(CAUTIOUS, seed)
    return Result(turns, began, phases, changes, flips(changes), left_out, us)


def show(found: Result) -> None:
    """The table, then every change with its reason."""
    head = ("phase", "debounce hangover gate", "changes", "left alone", "tuned", "its last half")
    print("{:<20}  {:<22}  {:>7}  {:>15}  {:>15}  {:>15}".format(*head))
    begin = Phase("(at the beginning)", found.began, 0, *[Figures(None, None)] * 3)
    for phase in [begin, *found.phases]:
        debounce, hangover, gate = phase.settings.values()
        row = f"{phase.world:<20}  {debounce:>8} {hangover:>8} {gate:>4}"
        if phase is not begin:
            row += f"  {phase.changes:>7}  {phase.left_alone}  {phase.tuned}"
            row += f"  {phase.tuned_last_half}"
        print(row)
    print(f"\n{len(found.changes)} changes, {found.flips} of them back where the last came from")
    for change in found.changes:
        step = f"{change.setting} {change.from_ms} -> {change.to_ms}"
        print(f"  turn {change.turns:>5}  {step:<28} {change.why}")
    left_out = ", ".join(f"{why} {count}" for why, count in found.left_out.items())
    print(f"\nleft out: {left_out}\nobserve: {found.observe_us} us a record")


def observe_us(config: TurnConfig, seed: int) -> float:
    """Mean microseconds of one `observe`, with a window that fills up."""
    quiet = replace(SCENARIO[0], hold_share=0.0)
    ((_, records, _),) = talk([quiet], 500, seed, config)
    tuner = EouTuner(config)
    start_ns = time.perf_counter_ns()
    for record in records:
        tuner.observe(record)
    return round((time.perf_counter_ns() - start_ns) / 1000 / len(records), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description="The tuner under drift.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--turns", type=int, default=1000, help="turns in each phase")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    found = measure(options.turns, options.seed)
    if options.json:
        print(msgspec.json.encode(found).decode())
        return
    show(found)


if __name__ == "__main__":
    main()
