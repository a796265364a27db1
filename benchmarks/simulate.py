"""How much faster than real time recorded calls are replayed, on one core.

An hour of made-up calls, as a recogniser hears them: 15 pauses a minute, a third of them in the
middle of a turn, a partial for every 400 ms of speech, a final behind every pause. Each round
puts all of it through the real machine with `simulate`, then with the whole of `counterfactual`
(its records and its report), and the best round counts.

    python benchmarks/simulate.py [--json] [--minutes 60] [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, get_args

from voicelat.lab.latency import from_profile
from voicelat.lab.replay import counterfactual
from voicelat.lab.simulate import simulate
from voicelat.metrics.record import CallInfo
from voicelat.turn import events as on
from voicelat.turn.config import TurnConfig
from voicelat.turn.policies import PolicyName, policy
from voicelat.turn.trace import Trace, TraceHeader, TraceStep

PROFILE: Final = "google-openai-google"
CALL_MINUTES: Final = 5
TARGET: Final = 5000
PARTIAL_EVERY_MS: Final = 400
FINAL_AFTER_MS: Final = 250  # Deepgram's median in pipecat-ai/stt-benchmark
SENTENCE: Final = "yes I would like to book a table for two people on Sunday at eight please"
WORDS: Final = SENTENCE.split()


class Row(NamedTuple):
    """One policy's figures."""

    policy: str
    turns: int
    simulate_s: float
    simulate_ratio: int
    """Times real time."""
    replay_s: float
    replay_ratio: int
    us_per_event: float


def made_up_call(number: int, minutes: float) -> Trace:
    """A caller's side of ``minutes``: turns of about 1.8 s, some with pauses in them."""
    rng = random.Random(number)
    steps: list[TraceStep] = []
    begin_ms = 1000
    while begin_ms < minutes * 60_000:
        end_ms = begin_ms + rng.randint(600, 3000)
        steps += heard(begin_ms, end_ms, rng)
        hold = rng.random() < 1 / 3
        begin_ms = end_ms + (rng.randint(300, 650) if hold else rng.randint(2000, 4200))
    header = TraceHeader(
        call=CallInfo(call_id=f"call-{number}"), turn=TurnConfig(), voicelat="benchmark"
    )
    return Trace(header, steps)


def heard(begin_ms: int, end_ms: int, rng: random.Random) -> list[TraceStep]:
    """What the ears tell of speech between two instants, in the order in which they do."""
    first = rng.randrange(len(WORDS))
    words = (WORDS[first:] + WORDS)[: max(1, (end_ms - begin_ms) // PARTIAL_EVERY_MS)]
    events: list[tuple[int, on.Event]] = [(begin_ms + 40, on.SpeechStarted(begin_ms))]
    for count in range(1, len(words) + 1):
        at_ms = begin_ms + count * PARTIAL_EVERY_MS + 150
        events.append((at_ms, on.Partial(" ".join(words[:count]))))
    events.append((end_ms + 60, on.SpeechStopped(end_ms)))
    events.append((end_ms + FINAL_AFTER_MS, on.Final(" ".join(words))))
    return [TraceStep(at_ms=at_ms, event=event) for at_ms, event in sorted(events, key=_time)]


def _time(timed: tuple[int, on.Event]) -> int:
    return timed[0]


def best_s(work: Callable[[], object], rounds: int) -> float:
    """The CPU seconds of the quickest round."""
    took = []
    for _ in range(rounds):
        start_ns = time.process_time_ns()
        work()
        took.append(time.process_time_ns() - start_ns)
    return min(took) / 1e9


def measure(calls: list[Trace], name: PolicyName, minutes: float, rounds: int) -> Row:
    """One policy over all calls."""
    config, latency, make = TurnConfig(), from_profile(PROFILE), partial(policy, name)

    def all_simulated() -> int:
        return sum(len(simulate(call, config, latency, make())) for call in calls)

    def all_replayed() -> object:
        return counterfactual(
            calls, config, make, latency, replies=f"simulated:{PROFILE}", processes=1
        )

    simulated_s, replayed_s = best_s(all_simulated, rounds), best_s(all_replayed, rounds)
    events = sum(len(call.steps) for call in calls)
    return Row(
        name,
        all_simulated(),
        round(simulated_s, 3),
        round(minutes * 60 / simulated_s),
        round(replayed_s, 3),
        round(minutes * 60 / replayed_s),
        round(simulated_s / events * 1e6, 1),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--minutes", type=int, default=60, help="of calls")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    whole, rest = divmod(args.minutes, CALL_MINUTES)
    lengths = [CALL_MINUTES] * whole + ([rest] if rest else [])
    calls = [made_up_call(number, minutes) for number, minutes in enumerate(lengths)]
    events = sum(len(call.steps) for call in calls)
    pauses = sum(isinstance(step.event, on.SpeechStopped) for call in calls for step in call.steps)
    rows = [measure(calls, name, args.minutes, args.rounds) for name in get_args(PolicyName)]
    ok = rows[0].simulate_ratio >= TARGET
    if args.json:
        about = {"minutes": args.minutes, "events": events, "pauses": pauses}
        figures = {"target": TARGET, "ok": ok, "rows": [row._asdict() for row in rows]}
        print(json.dumps({**about, **figures}))
        return
    print(f"{args.minutes} minutes of calls, {events} caller events, {pauses} pauses, one core")
    print("policy      turns   simulate    x real time   us/event   whole replay   x real time")
    for r in rows:
        print(
            f"{r.policy:10}{r.turns:7}{r.simulate_s:9.3f} s{r.simulate_ratio:13,}"
            f"{r.us_per_event:11}{r.replay_s:13.3f} s{r.replay_ratio:12,}"
        )
    print(f"target: {TARGET:,} x real time through the machine, policy {rows[0].policy}")


if __name__ == "__main__":
    main()
