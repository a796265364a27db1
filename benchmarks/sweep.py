"""How long a sweep takes: hours of calls under a thousand settings, after listening.

The hours are the two-channel call of the recordings (heard once, with local speech, each party
once as the caller), repeated; each repeat runs its clock a little faster or slower. Prints the time
for several
sizes (the cost must be linear in hours x settings), the peak memory, and how many times faster
the arithmetic is than the machine itself on a sample of the same calls.

    python benchmarks/sweep.py --data DIR [--hours 10] [--settings 1000] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import time
from functools import partial
from pathlib import Path

import msgspec

from voicelat.lab.calls import JudgedCall, judged_calls
from voicelat.lab.latency import from_profile
from voicelat.lab.listen import EarsPlan, listen_all
from voicelat.lab.recordings import find
from voicelat.lab.sweep.grid import Grid, columns
from voicelat.lab.sweep.judge import judge
from voicelat.lab.sweep.pauses import tabulate
from voicelat.lab.sweep.run import SweepPlan, run_sweep
from voicelat.lab.sweep.score import score
from voicelat.lab.workers import workers
from voicelat.turn.endpointing import Fixed
from voicelat.turn.trace import TraceStep

CALL = "lca_auto_repairs_40_2ch.wav"
TARGET_S = 10.0
TARGET_MB = 1024.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("VOICELAT_DATA"))
    parser.add_argument("--hours", type=float, default=10)
    parser.add_argument("--settings", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.data is None:
        print("not measured: give recordings with --data")
        return
    heard = listened(Path(args.data))
    sizes = [(args.hours / 4, args.settings), (args.hours, args.settings // 4)]
    sizes.append((args.hours, args.settings))
    rows = [timed(repeated(heard, hours), count) for hours, count in sizes]
    figures = {
        "rows": rows,
        "peak_mb": round(peak_mb(), 1),
        "times_the_machine": round(against_the_machine(heard, args.settings), 1),
    }
    if args.json:
        print(json.dumps(figures))
        return
    for row in rows:
        print(
            f"{row['hours']:5.1f} h x {row['settings']:5} settings ({row['pauses']} pauses):"
            f" {row['s']:6.2f} s = {row['ns']:5.1f} ns a pause and setting"
        )
    print(f"target for the last: {TARGET_S:.0f} s on two cores")
    print(f"peak memory of one process: {figures['peak_mb']} MB (target {TARGET_MB:.0f})")
    print(f"the arithmetic against the machine itself: {figures['times_the_machine']} x")


def listened(data: Path) -> list[JudgedCall]:
    """Each party of the two-channel call as the caller."""
    sources = find([str(data / CALL)])
    return [
        call
        for caller in (0, 1)
        for call in judged_calls(listen_all(sources, EarsPlan(), caller=caller)).judged
    ]


def repeated(heard: list[JudgedCall], hours: float) -> list[JudgedCall]:
    """The calls again and again until they last so long."""
    rng = random.Random(1)
    made: list[JudgedCall] = []
    left_ms = hours * 3_600_000
    while left_ms > 0:
        call = heard[len(made) % len(heard)]
        pace = rng.uniform(0.85, 1.15)
        steps = [_paced(step, pace) for step in call.steps]
        made.append(JudgedCall(f"{call.call_id}-{len(made)}", steps, call.truth))
        left_ms -= steps[-1].at_ms
    return made


def _paced(step: TraceStep, pace: float) -> TraceStep:
    event = step.event
    if hasattr(event, "at_ms"):
        event = msgspec.structs.replace(event, at_ms=int(event.at_ms * pace))
    return TraceStep(at_ms=int(step.at_ms * pace), event=event)


def some_settings(count: int) -> Grid:
    """About so many settings of one policy, the silence timer's among them."""
    gates = max(1, (count - 100) // 40)
    return Grid(policies=("fixed",), speak_gate=tuple(range(0, 100 * gates, 100)))


def timed(some: list[JudgedCall], count: int) -> dict[str, float]:
    plan = SweepPlan(latency=from_profile("google-openai-google"), grid=some_settings(count))
    began = time.perf_counter()
    with workers() as executor:
        result = run_sweep(some, plan, executor)
    took_s = time.perf_counter() - began
    pauses = result.holds + result.turns
    return {
        "hours": round(sum(call.steps[-1].at_ms for call in some) / 3_600_000, 2),
        "settings": len(result.settings),
        "pauses": pauses,
        "s": round(took_s, 2),
        "ns": round(1e9 * took_s / pauses / len(result.settings), 2),
    }


def against_the_machine(heard: list[JudgedCall], count: int) -> float:
    """Time of the machine over time of the arithmetic, per setting, in this process."""
    latency = from_profile("google-openai-google")
    settings = [one for one in some_settings(count).settings() if not one.alone]
    began = time.perf_counter()
    for setting in settings[:: len(settings) // 3]:
        for call in heard:
            judge(call, setting, Fixed, latency, max_speculations=3)
    machine_s = (time.perf_counter() - began) / len(settings[:: len(settings) // 3])
    table = tabulate(heard, Fixed, latency)
    run = partial(score, table, columns(settings), max_speculations=3)
    run()
    began = time.perf_counter()
    run()
    return machine_s / ((time.perf_counter() - began) / len(settings))


def peak_mb() -> float:
    """Of this process or its largest child."""
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(who).ru_maxrss for who in whose) / 1024


if __name__ == "__main__":
    main()
