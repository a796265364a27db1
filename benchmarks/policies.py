"""What each endpoint policy is worth on real pauses: the wait it allows at a budget of cutoffs.

    python benchmarks/policies.py --data DIR [--turn-model smart-turn] [--cache DIR] [--json]

DIR (or ``VOICELAT_DATA``) holds a two-channel call, taken twice with each party once as the
caller, and digit strings with a ``manifest.json`` that says where they end. They are listened to
with the embedded speech, replies are as slow as the profile google-openai-google.

Every policy is tried with hangovers up to ``--hangovers-to`` (800 ms) and gates up to 3 s. Shown,
for some budgets of cutoffs, counted by turns and by holds, is the setting with the smallest P50
of the total: its P50 and P95, and the P50 as a share of what a silence timer alone needs. A P50
can be bought with P95, so look at both. For both sets together also the smallest P50 of the
call's turns alone: what callers who read no numbers wait while the budget includes those who do.

Few turns: one cutoff moves a cell, and nothing here is significant. What is kept in ``--cache``
gives the same figures each time. Listening anew moves some by tens of ms, for the recogniser's
own time is measured with it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np
from msgspec import Struct

from voicelat.lab.calls import JudgedCall, judged_calls
from voicelat.lab.latency import ReplyLatency, from_profile
from voicelat.lab.listen import Cache, EarsPlan, listen_all
from voicelat.lab.recordings import find
from voicelat.lab.sweep.grid import BRIEF, Setting, columns
from voicelat.lab.sweep.pauses import NEVER, tabulate
from voicelat.lab.sweep.score import TurnScores, score
from voicelat.turn.endpointing import EndpointPolicy, Fixed
from voicelat.turn.policies import Adaptive, Digits, Semantic, policy

CALL: Final = "lca_auto_repairs_40_2ch.wav"
DIGITS: Final = "fsdd_*.wav"
LONGEST_HANGOVER_MS: Final = 800
"""A long one gives the fixed policy some of what the others know: with less it would be no fair
measure of them."""
GATES: Final = range(0, 3001, 50)
BUDGETS: Final = (0.05, 0.10, 0.15, 0.20, 0.30)
PROFILE: Final = "google-openai-google"

TIMER: Final = "silence timer alone"
POLICIES: Final[dict[str, Callable[[], EndpointPolicy]]] = {
    "fixed": Fixed,
    "fixed, asked digits": partial(policy, "fixed", "digits"),
    "adaptive": partial(policy, "adaptive"),
    "semantic": partial(policy, "semantic"),
    "semantic and adaptive": lambda: Digits(Semantic(Adaptive())),
}

Unit = Literal["turns", "holds"]
UNITS: Final[tuple[Unit, ...]] = ("turns", "holds")


class Cell(Struct, frozen=True):
    """The best setting within one budget."""

    budget: float
    p50: float
    p95: float | None
    """None: more than one turn in twenty was never answered."""
    ratio: float | None
    """P50 to the silence timer's in the same budget. None: no hangover of it fits."""
    hangover_ms: int
    gate_ms: int


Row = list[Cell | None]
"""One cell per budget. None: no setting fits."""


class Compared(Struct):
    """All policies on one set of calls."""

    turns: int
    holds: int
    by: dict[Unit, dict[str, Row]]
    """By what the budget counts, then by policy."""
    call_alone: dict[Unit, dict[str, Row]] | None = None
    """The same with the smallest P50 of the call's turns, the budget still that of all."""


class Tried:
    """One policy under all its settings."""

    def __init__(self, settings: Sequence[Setting], scores: TurnScores, holds: int) -> None:
        self.settings = settings
        self._total = np.where(scores.total < NEVER, scores.total, np.inf)
        self._cut = {
            "turns": scores.cutoff.mean(axis=0),
            "holds": scores.cut_holds.sum(axis=0) / holds,
        }

    def row(self, unit: Unit, turns: int, timer: Row | None) -> Row:
        """The best of the first ``turns`` turns in each budget, compared with ``timer``'s."""
        total = self._total[:turns]
        p50, p95 = (np.percentile(total, q, axis=0, method="inverted_cdf") for q in (50, 95))
        row: Row = []
        for at, budget in enumerate(BUDGETS):
            fit = np.flatnonzero((self._cut[unit] <= budget) & np.isfinite(p50)).tolist()
            best = min(fit, key=lambda i: (p50[i], p95[i]), default=None)
            if best is None:
                row.append(None)
                continue
            base = timer[at] if timer is not None else None
            row.append(
                Cell(
                    budget,
                    float(p50[best]),
                    float(p95[best]) if np.isfinite(p95[best]) else None,
                    round(float(p50[best]) / base.p50, 2) if base is not None else None,
                    self.settings[best].hangover_ms,
                    self.settings[best].speak_gate_ms,
                )
            )
        return row


def the_call(data: Path, ears: EarsPlan, cache: Cache) -> list[JudgedCall]:
    """The two-channel call, once per party; who speaks next says what was a hold."""
    heard = [
        listen_all(find([str(data / CALL)]), ears, caller=caller, cache=cache) for caller in (0, 1)
    ]
    return [call for one in heard for call in judged_calls(one).judged]


def the_digits(data: Path, ears: EarsPlan, cache: Cache) -> list[JudgedCall]:
    """The digit strings, their exact boundaries written as labels."""
    with tempfile.TemporaryDirectory() as scratch:
        labels = Path(scratch)
        for file in json.loads((data / "manifest.json").read_text())["files"]:
            if not Path(file["file"]).match(DIGITS):
                continue
            spans = [[round(1000 * s) for s in span] for span in file["turn_boundaries"]["speech"]]
            turn = {
                "start_ms": spans[0][0],
                "end_ms": spans[-1][1],
                "holds": [[a[1], b[0]] for a, b in itertools.pairwise(spans)],
            }
            name = f"{Path(file['file']).stem}.labels.json"
            (labels / name).write_text(json.dumps({"schema": 1, "turns": [turn]}))
        heard = listen_all(find([str(data / DIGITS)]), ears, cache=cache)
        return judged_calls(heard, labels).judged


def tried(
    calls: Sequence[JudgedCall], latency: ReplyLatency, hangovers: range
) -> tuple[dict[str, Tried], int]:
    """The silence timer and every policy, and how many holds they met."""
    timers = [point(hangover, 0) for hangover in range(80, 4001, 20)]
    gated = [point(hangover, gate) for hangover in hangovers for gate in GATES]
    table = tabulate(calls, Fixed, latency)
    alone = score(table, columns(timers), speculate=False, reopens=False)
    found = {TIMER: Tried(timers, alone, table.holds)}
    for name, make in POLICIES.items():
        scores = score(tabulate(calls, make, latency), columns(gated))
        found[name] = Tried(gated, scores, table.holds)
    return found, table.holds


def point(hangover_ms: int, gate_ms: int) -> Setting:
    """One setting; everything else as many bots have it."""
    return Setting(
        "fixed",
        BRIEF.debounce_ms,
        hangover_ms,
        BRIEF.min_utt_ms,
        BRIEF.stt_timeout_ms,
        gate_ms,
    )


def fronts(found: dict[str, Tried], turns: int) -> dict[Unit, dict[str, Row]]:
    """Every policy's row, by what the budget counts, over the first ``turns`` turns."""
    rows: dict[Unit, dict[str, Row]] = {}
    for unit in UNITS:
        timer = found[TIMER].row(unit, turns, None)
        rows[unit] = {name: one.row(unit, turns, timer) for name, one in found.items()}
    return rows


def measure(data: Path, ears: EarsPlan, cache: Cache, hangovers: range) -> dict[str, Compared]:
    """All policies on the call, on the digit strings, and on both."""
    latency = from_profile(PROFILE)
    call, digits = the_call(data, ears, cache), the_digits(data, ears, cache)
    return {
        "call": compared(call, latency, hangovers),
        "digits": compared(digits, latency, hangovers),
        "both": compared([*call, *digits], latency, hangovers, among=turns_of(call)),
    }


def compared(
    calls: Sequence[JudgedCall],
    latency: ReplyLatency,
    hangovers: range,
    among: int | None = None,
) -> Compared:
    """All policies on some calls; ``among``: also the best for the first so many turns."""
    turns, (found, holds) = turns_of(calls), tried(calls, latency, hangovers)
    return Compared(
        turns,
        holds,
        fronts(found, turns),
        fronts(found, among) if among is not None else None,
    )


def turns_of(calls: Sequence[JudgedCall]) -> int:
    """How many true turns they have."""
    return sum(len(call.truth.turns) for call in calls)


def show(name: str, one: Compared) -> None:
    """The tables of one set of calls."""
    print(f"\n{name}: n = {one.turns} turns with {one.holds} holds")
    head = "".join(f"{f'{budget:.0%}':>18}" for budget in BUDGETS)
    for unit in UNITS:
        print(f"  total P50/P95 in ms, and P50 to the timer's, at most ... of {unit} cut off")
        print(f"  {'':24}{head}")
        for policy_name, row in one.by[unit].items():
            print(f"  {policy_name:24}" + "".join(f"{told(cell):>18}" for cell in row))
            if one.call_alone is not None:
                alone = one.call_alone[unit][policy_name]
                print(f"  {'  the call alone':24}" + "".join(f"{told(cell):>18}" for cell in alone))


def told(cell: Cell | None) -> str:
    """One cell as text."""
    if cell is None:
        return "-"
    p95 = "never" if cell.p95 is None else f"{cell.p95:.0f}"
    return f"{cell.p50:.0f}/{p95}" + (f" {cell.ratio:.2f}" if cell.ratio is not None else "")


def main() -> None:
    parser = argparse.ArgumentParser(description="What each endpoint policy is worth.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--data", type=Path, default=os.environ.get("VOICELAT_DATA"))
    parser.add_argument("--turn-model", help="an end-of-turn model, as TURN_MODEL")
    parser.add_argument("--hangovers-to", type=int, default=LONGEST_HANGOVER_MS, metavar="MS")
    parser.add_argument("--cache", type=Path, help="keep what was heard here")
    options = parser.parse_args()
    if options.data is None:
        print("not measured: give recordings with --data")
        return
    ears = EarsPlan(turn_model=options.turn_model)
    with tempfile.TemporaryDirectory() as scratch:
        cache = Cache(options.cache or Path(scratch))
        result = measure(Path(options.data), ears, cache, range(80, options.hangovers_to + 1, 40))
    if options.json:
        found = {"profile": PROFILE, "ears": ears.told(), "sets": result}
        print(msgspec.json.encode(found).decode())
        return
    print(f"replies {PROFILE}; ears {', '.join(f'{k} {v}' for k, v in ears.told().items())}")
    for name, one in result.items():
        show(name, one)


if __name__ == "__main__":
    main()
