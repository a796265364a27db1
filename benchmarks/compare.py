"""How often a comparison of two runs is wrong: planted regressions, and planted nothing.

    python benchmarks/compare.py [--json] [--repetitions 200]

Each repetition draws runs of calls that differ as calls do (log-normal, 15 % between calls, 30 %
between the turns of one, 3 % cut off). ``false`` is the share of comparisons of two runs alike
that were called better or worse; ``found`` the share of those with the second run slower that were
called worse. Promised: false at most 5 %.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import NamedTuple

import numpy as np

from voicelat.metrics.compare import Verdict, compare
from voicelat.metrics.record import Stamps, TurnRecord


class Row(NamedTuple):
    """Shares of the comparisons of runs of this size."""

    calls: int
    turns: int
    false: float
    found_10: float
    found_30: float


def run(rng: np.random.Generator, calls: int, turns: int, slower: float = 1.0) -> list[TurnRecord]:
    """One run of ``calls`` calls with ``turns`` turns each."""
    records = []
    for call in range(calls):
        typical = rng.lognormal(np.log(700), 0.15) * slower
        for number in range(turns):
            total = int(typical * rng.lognormal(0.0, 0.3))
            record = TurnRecord(
                call_id=f"call-{call}",
                turn=number + 1,
                outcome="answered",
                stamps=Stamps(speech_end=0, first_audio_sent=total),
                cutoff=bool(rng.random() < 0.03),
            )
            records.append(record.measured())
    return records


def measure(calls: int, turns: int, repetitions: int) -> Row:
    """The error rates at one size."""
    rng = np.random.default_rng(1)
    seen: dict[float, Counter[Verdict]] = {1.0: Counter(), 1.1: Counter(), 1.3: Counter()}
    for _ in range(repetitions):
        before = run(rng, calls, turns)
        for slower, verdicts in seen.items():
            verdicts[compare(before, run(rng, calls, turns, slower)).verdict] += 1
    wrong = seen[1.0]["better"] + seen[1.0]["worse"]
    shares = (count / repetitions for count in (wrong, seen[1.1]["worse"], seen[1.3]["worse"]))
    return Row(calls, turns, *shares)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repetitions", type=int, default=200)
    options = parser.parse_args()
    sizes = ((5, 10), (20, 10), (100, 10))
    rows = [measure(calls, turns, options.repetitions) for calls, turns in sizes]
    if options.json:
        print(json.dumps([row._asdict() for row in rows]))
        return
    print(f"{'calls x turns a side':<22}{'false':>8}{'+10 % found':>14}{'+30 % found':>14}")
    for row in rows:
        size = f"{row.calls} x {row.turns}"
        print(f"{size:<22}{row.false:>8.1%}{row.found_10:>14.0%}{row.found_30:>14.0%}")


if __name__ == "__main__":
    main()
