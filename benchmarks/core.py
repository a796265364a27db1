"""What the turn machine costs per event, over a call of 200 turns of every kind.

The script is made once with a driver that plays along, then its trace is replayed and every
`handle` timed. Events that close a turn also build and measure its record: shown apart.
The ratio compares with ``json.loads`` of the same event in the same run.

    python benchmarks/core.py [--json]
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator

import msgspec

from voicelat.metrics.record import CallInfo
from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.config import TurnConfig
from voicelat.turn.machine import TurnMachine

TURNS = 200
ROUNDS = 7
TARGET_US = 5.0
SENTENCE = "I would like to book a table for two people on Sunday at eight please"
WORDS = SENTENCE.split()
CLAUSES = ["Sunday at eight,", "let me see.", "Yes, we have a table", "by the window.", "Shall I?"]

Timed = tuple[int, on.Event]


class Call:
    """Plays a call with a machine and keeps what went in."""

    def __init__(self) -> None:
        self.machine = new_machine()
        self.now_ms = 0
        self.trace: list[Timed] = []
        self.marks: list[str] = []

    def after(self, gap_ms: int, event: on.Event) -> None:
        """An event ``gap_ms`` after the last, and every deadline before it."""
        until_ms = self.now_ms + gap_ms
        while (due_ms := self.machine.deadline_ms) is not None and due_ms <= until_ms:
            self._feed(due_ms, on.Tick())
        self._feed(until_ms, event)

    def _feed(self, at_ms: int, event: on.Event) -> None:
        self.now_ms = at_ms
        self.trace.append((at_ms, event))
        for effect in self.machine.handle(event, at_ms):
            if isinstance(effect, do.RequestMark):
                self.marks.append(effect.name)

    def utterance(self, words: list[str], *, final: bool) -> None:
        """A word and a partial every 200 ms, a pause, perhaps the final."""
        self.after(400, on.SpeechStarted(self.now_ms + 340))
        for count in range(1, len(words) + 1):
            self.after(200, on.Partial(" ".join(words[:count])))
        self.after(60, on.SpeechStopped(self.now_ms))
        if final:
            self.after(50, on.Final(" ".join(words)))

    def reply(self) -> None:
        """Five clauses sound; their marks have not come back yet."""
        self.after(300, on.Tick())
        name = self.machine.live_reply or (0, 0)
        self.marks.clear()
        self.after(100, on.ReplyTextStarted(*name))
        self.after(50, on.SpeechRequested(*name))
        self.after(90, on.SpeechReady(*name, cached=False))
        for number, clause in enumerate(CLAUSES):
            self.after(10, on.AudioQueued(*name, 900, clause))
            if number == 0:
                self.after(1, on.AudioSent(*name))
        self.after(5, on.ReplyFinished(*name, " ".join(CLAUSES)))

    def played(self) -> None:
        """All marks come back."""
        for name in self.marks:
            self.after(700, on.MarkEchoed(name))


def new_machine() -> TurnMachine:
    return TurnMachine(TurnConfig(), CallInfo(call_id="CA0123456789"))


def script() -> list[Timed]:
    """The trace of a call of ``TURNS`` turns: plain, re-opened, noisy, interrupted, by keys."""
    call = Call()
    for turn in range(TURNS):
        if turn % 10 == 9:
            for key in "4711#":
                call.after(300, on.Dtmf(key))
        else:
            call.utterance(WORDS, final=turn % 2 == 0)
        if turn % 5 == 1:
            call.utterance(["and", "a", "dog"], final=True)
        call.reply()
        if turn % 3 == 0:
            call.after(100, on.SpeechStarted(call.now_ms + 90))
            call.after(100, on.SpeechStopped(call.now_ms + 90))
        if turn % 5 != 3:
            call.played()
    return call.trace


def costs_us(trace: list[Timed]) -> Iterator[tuple[on.Event, bool, float]]:
    """Each event, whether it closed a turn, and the microseconds its `handle` took."""
    machine = new_machine()
    clock, handle = time.perf_counter_ns, machine.handle
    for at_ms, event in trace:
        start_ns = clock()
        effects = handle(event, at_ms)
        took_ns = clock() - start_ns
        closed = any(isinstance(effect, do.TurnClosed) for effect in effects)
        yield event, closed, took_ns / 1000


def json_us(lines: list[bytes]) -> float:
    """Mean microseconds of ``json.loads`` over the same events."""
    start_ns = time.perf_counter_ns()
    for line in lines:
        json.loads(line)
    return (time.perf_counter_ns() - start_ns) / 1000 / len(lines)


def measure() -> dict[str, float | int | bool]:
    """All figures, in microseconds per event where the name says ``us``."""
    trace = script()
    lines = [msgspec.json.encode(event) for _, event in trace]
    rounds, baselines = [], []
    for _ in range(ROUNDS):  # in turns: both meet the same disturbances
        rounds.append(list(costs_us(trace)))
        baselines.append(json_us(lines))
    costs = min(rounds, key=lambda costs: sum(cost for *_, cost in costs))
    plain = [cost for _, closed, cost in costs if not closed]
    closing = [cost for _, closed, cost in costs if closed]
    mean_us, baseline_us = statistics.fmean(plain), min(baselines)
    return {
        "turns": len(closing),
        "events": len(costs),
        "mean_us": round(mean_us, 2),
        "p50_us": round(statistics.median(plain), 2),
        "p99_us": round(statistics.quantiles(plain, n=100)[98], 2),
        "closing_us": round(statistics.fmean(closing), 2),
        "json_loads_us": round(baseline_us, 2),
        "ratio": round(mean_us / baseline_us, 2),
        "target_us": TARGET_US,
        "ok": mean_us <= TARGET_US,
    }


def main() -> None:
    figures = measure()
    if "--json" in sys.argv[1:]:
        print(json.dumps(figures))
        return
    print(f"turn machine, {figures['events']} events, {figures['turns']} turns")
    print(
        f"  per event            mean {figures['mean_us']} us, P50 {figures['p50_us']} us,", end=""
    )
    print(f" P99 {figures['p99_us']} us (target: mean {TARGET_US} us)")
    print(f"  closing a turn       mean {figures['closing_us']} us, with its record")
    print(f"  json.loads alike     mean {figures['json_loads_us']} us: ratio {figures['ratio']}")


if __name__ == "__main__":
    main()
