"""What each endpoint policy is worth on real pauses: the front of total latency and cutoffs.

The two-channel call of the recordings is taken twice, each party once as the caller, and the
digit strings with their exact labels beside it. For some budgets of cutoffs: the smallest P50 of
the total that each policy reaches, over the same gates and hangovers, never later at P95 than
the silence timer alone. Few turns: differences of one cutoff are within chance.

    python benchmarks/policies.py --data DIR [--turn-model smart-turn] [--json]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from voicelat.lab.calls import JudgedCall, judged_calls
from voicelat.lab.latency import from_profile
from voicelat.lab.listen import Cache, EarsPlan, listen_all
from voicelat.lab.recordings import find
from voicelat.lab.sweep.grid import Setting, columns
from voicelat.lab.sweep.pauses import NEVER, tabulate
from voicelat.lab.sweep.score import TurnScores, score
from voicelat.turn.endpointing import EndpointPolicy, Fixed
from voicelat.turn.policies import Adaptive, Semantic, policy

CALL = "lca_auto_repairs_40_2ch.wav"
DIGITS = "fsdd_*.wav"
GATES = range(0, 3001, 50)
BUDGETS = (0.05, 0.10, 0.15, 0.20, 0.30)

POLICIES: dict[str, Callable[[], EndpointPolicy]] = {
    "fixed": Fixed,
    "adaptive": partial(policy, "adaptive"),
    "semantic": partial(policy, "semantic"),
    "semantic of adaptive": lambda: Semantic(Adaptive()),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--turn-model")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        ears = EarsPlan(turn_model=args.turn_model)
        cache = Cache(args.cache or folder / "cache")
        sets = {
            "call": [
                *calls(args.data / CALL, ears, cache, 0),
                *calls(args.data / CALL, ears, cache, 1),
            ],
            "digits": digits(args.data, ears, cache, folder),
        }
    sets["both"] = [*sets["call"], *sets["digits"]]
    found = {name: compared(some) for name, some in sets.items()}
    if args.json:
        print(json.dumps(found))
        return
    for name, one in found.items():
        print(f"\n{name}: {one['turns']} turns, {one['holds']} holds; ears {ears.told()}")
        budgets = "".join(f"{100 * budget:>14.0f} %" for budget in BUDGETS)
        for unit in ("turns", "holds"):
            print(f"  total P50/P95 in ms at most ... of {unit} cut off\n{'':24}{budgets}")
            for policy_name, row in one[unit].items():
                cells = "".join(f"{cell or '-':>16}" for cell in row)
                print(f"  {policy_name:22}{cells}")


def calls(path: Path, ears: EarsPlan, cache: Cache, caller: int | None) -> list[JudgedCall]:
    return judged_calls(listen_all(find([str(path)]), ears, caller=caller, cache=cache)).judged


def digits(data: Path, ears: EarsPlan, cache: Cache, folder: Path) -> list[JudgedCall]:
    """The digit strings, their exact boundaries written as labels."""
    for file in json.loads((data / "manifest.json").read_text())["files"]:
        if Path(file["file"]).match(DIGITS):
            spans = [[round(1000 * s) for s in span] for span in file["turn_boundaries"]["speech"]]
            turn = {
                "start_ms": spans[0][0],
                "end_ms": spans[-1][1],
                "holds": [[a[1], b[0]] for a, b in zip(spans, spans[1:], strict=False)],
            }
            labels = folder / f"{Path(file['file']).stem}.labels.json"
            labels.write_text(json.dumps({"schema": 1, "turns": [turn]}))
    heard = listen_all(find([str(data / DIGITS)]), ears, cache=cache)
    return judged_calls(heard, folder).judged


def compared(some: list[JudgedCall]) -> dict[str, object]:
    """By unit and policy, what is reached at each budget."""
    latency = from_profile("google-openai-google")
    alone = [Setting("silence", 60, hangover, 250, 240, 0) for hangover in range(80, 4001, 20)]
    gated = [
        Setting("fixed", 60, hangover, 250, 240, gate)
        for hangover in (80, 160, 400, 800)
        for gate in GATES
    ]
    table = tabulate(some, Fixed, latency)
    timer = score(table, columns(alone), speculate=False, reopens=False)
    holds = table.holds
    found: dict[str, object] = {"turns": table.turns, "holds": holds}
    for unit in ("turns", "holds"):
        rows = {"silence timer alone": front(timer, unit, holds)}
        for name, make in POLICIES.items():
            scores = score(tabulate(some, make, latency), columns(gated))
            rows[name] = front(scores, unit, holds)
        found_unit = {
            name: [
                told(cell, base)
                for cell, base in zip(row, rows["silence timer alone"], strict=True)
            ]
            for name, row in rows.items()
        }
        found[unit] = found_unit
    return found


Cell = tuple[float, float] | None


def front(scores: TurnScores, unit: str, holds: int) -> list[Cell]:
    cut = scores.cut_holds.sum(axis=0) / holds if unit == "holds" else scores.cutoff.mean(axis=0)
    total = np.where(scores.total < NEVER, scores.total, np.inf).astype(float)
    p50, p95 = (np.percentile(total, q, axis=0, method="inverted_cdf") for q in (50, 95))
    row: list[Cell] = []
    for budget in BUDGETS:
        fit = np.flatnonzero(cut <= budget)
        best = min(fit, key=lambda i: (p50[i], p95[i]), default=None)
        row.append(None if best is None else (float(p50[best]), float(p95[best])))
    return row


def told(cell: Cell, base: Cell) -> str | None:
    if cell is None:
        return None
    ratio = f" {cell[0] / base[0]:.2f}" if base is not None else ""
    return f"{cell[0]:.0f}/{cell[1]:.0f}{ratio}"


if __name__ == "__main__":
    main()
