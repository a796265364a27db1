"""The end-of-turn model: what it costs, and whether it knows a hold from a shift.

    python benchmarks/turn_model.py [--json] [--data DIR] [--after 200] [--model MODULE:CLASS]

``--data`` (or ``VOICELAT_DATA``) is a folder with WAV files and a ``manifest.json`` that says where
speech ended. In a two-channel call a pause of the caller is a hold when the caller speaks next,
a shift when the agent does, and left out when the agent spoke already; in a digit string the
last end of speech is a shift and every other a hold. The model is asked ``--after`` ms into every
pause that is that long. Rates and the AUC (how often a shift gets more than a hold; 0.5 is a
coin) carry 95 % intervals: few pauses tell little.

Target: 40 ms a question.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import numpy as np

from voicelat.audio.mulaw import BYTES_PER_MS, encode
from voicelat.audio.wav import read
from voicelat.engine.hinter import ASK_AFTER_MS, MEMORY_MS
from voicelat.providers.smart_turn import SmartTurn, features, upsampled
from voicelat.providers.turn_model import TurnModel

TARGET_MS = 40
LIMITS: Final = (0.1, 0.5, 0.9)
MIN_PAUSE_MS = 200
IPU_PAD_MS = 30
"""By so much the manifest's automatic ends lie behind the voice."""


class Pause(NamedTuple):
    """One pause: the caller's audio up to its end, and what it was."""

    audio: bytes
    begin_ms: int
    hold: bool


def of_call(entry: dict[str, Any], caller: bytes) -> list[Pause]:
    """The pauses of a two-channel call, by who spoke next."""
    pauses = []
    for event in entry["turn_boundaries"]["events"]:
        length_ms = event["gap"] * 1000 + IPU_PAD_MS
        told = event["who"] == "caller" and event["kind"] in {"hold", "shift"}
        if told and length_ms >= MIN_PAUSE_MS:
            begin_ms = round(event["end"] * 1000) - IPU_PAD_MS
            end = round(begin_ms + length_ms) * BYTES_PER_MS
            pauses.append(Pause(caller[:end], begin_ms, event["kind"] == "hold"))
    return pauses


def of_digits(entry: dict[str, Any], caller: bytes) -> list[Pause]:
    """The pauses of a string of digits, exact by construction."""
    speech = entry["turn_boundaries"]["speech"]
    begins = [begin for begin, _ in speech[1:]]
    pauses = []
    for (_, end_s), next_s in zip(speech, [*begins, None], strict=True):
        until = None if next_s is None else round(next_s * 1000) * BYTES_PER_MS
        pauses.append(Pause(caller[:until], round(end_s * 1000), next_s is not None))
    return pauses


def pauses_of(folder: Path, field: str, kind: Callable[..., list[Pause]]) -> list[Pause]:
    """All pauses of the manifest's files whose boundaries have ``field``."""
    found = []
    for entry in json.loads((folder / "manifest.json").read_text())["files"]:
        if field in (entry.get("turn_boundaries") or {}):
            caller = encode(read(folder / entry["file"]).channels[0])
            found += kind(entry, caller)
    return found


def auc(holds: np.ndarray, shifts: np.ndarray) -> float:
    """How often a shift has more than a hold, ties half."""
    above = shifts[:, np.newaxis] - holds
    return float((above > 0).mean() + (above == 0).mean() / 2)


def interval(holds: np.ndarray, shifts: np.ndarray) -> list[float]:
    """95 % of the AUC, by drawing the pauses anew 2000 times."""
    rng = np.random.default_rng(1)
    drawn = [
        auc(rng.choice(holds, holds.size), rng.choice(shifts, shifts.size)) for _ in range(2000)
    ]
    return [float(bound) for bound in np.percentile(drawn, [2.5, 97.5])]


def judged(model: TurnModel, pauses: list[Pause], after_ms: int) -> dict[str, Any]:
    """What the model says of them."""
    answers: dict[bool, list[float]] = {True: [], False: []}
    for pause in pauses:
        until = (pause.begin_ms + after_ms) * BYTES_PER_MS
        if until <= len(pause.audio):
            heard = pause.audio[max(0, until - MEMORY_MS * BYTES_PER_MS) : until]
            answers[pause.hold].append(model.probability(heard))
    holds, shifts = np.array(answers[True]), np.array(answers[False])
    if not holds.size or not shifts.size:
        raise SystemExit("the recordings have no holds or no shifts of that length")
    return {
        "holds": holds.size,
        "shifts": shifts.size,
        "auc": auc(holds, shifts),
        "auc_ci95": interval(holds, shifts),
        "hold_quartiles": np.percentile(holds, [25, 50, 75]).tolist(),
        "shift_quartiles": np.percentile(shifts, [25, 50, 75]).tolist(),
        "holds_above": {str(limit): int((holds >= limit).sum()) for limit in LIMITS},
        "shifts_above": {str(limit): int((shifts >= limit).sum()) for limit in LIMITS},
    }


def cost_ms(work: Callable[[], object]) -> float:
    """The median of 40."""
    work()
    taken = []
    for _ in range(40):
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1000)
    return median(taken)


def costs(model: TurnModel) -> dict[str, float]:
    """Milliseconds per question about 8 s; of ours also where they go."""
    noise = np.random.default_rng(1).normal(0.0, 3000.0, MEMORY_MS * BYTES_PER_MS)
    audio = encode(noise.clip(-32000, 32000).astype(np.int16))
    result = {"all": cost_ms(lambda: model.probability(audio))}
    if isinstance(model, SmartTurn):
        samples = upsampled(audio)
        result["resampling"] = cost_ms(lambda: upsampled(audio))
        result["features"] = cost_ms(lambda: features(samples))
        result["model"] = result["all"] - result["resampling"] - result["features"]
    return result


def measure(model: TurnModel, folder: Path | None, after_ms: int) -> dict[str, Any]:
    start = time.perf_counter()
    model.warm()
    result: dict[str, Any] = {
        "model": model.name,
        "warm_ms": (time.perf_counter() - start) * 1000,
        "ms": costs(model),
        "after_ms": after_ms,
    }
    if folder is not None:
        call = pauses_of(folder, "events", of_call)
        digits = pauses_of(folder, "speech", of_digits)
        result["call"] = judged(model, call, after_ms)
        result["digits"] = judged(model, digits, after_ms)
    return result


def show(result: dict[str, Any]) -> None:
    print(
        f"{result['model']}: loaded and warm in {result['warm_ms']:.0f} ms, a question about 8 s:"
    )
    for part, taken in result["ms"].items():
        print(f"  {part:12}{taken:6.1f} ms")
    print(f"target: {TARGET_MS} ms in all")
    if "call" not in result:
        print("holds and shifts: not measured: give recordings with --data")
        return
    for name in ("call", "digits"):
        told = result[name]
        low, high = told["auc_ci95"]
        print(
            f"\n{name}, {result['after_ms']} ms into {told['holds']} holds and {told['shifts']} "
            f"shifts: AUC {told['auc']:.2f} ({low:.2f}-{high:.2f})"
        )
        for kind in ("hold", "shift"):
            quartiles = " ".join(f"{value:.2f}" for value in told[f"{kind}_quartiles"])
            above = ", ".join(
                f"{limit}: {count}" for limit, count in told[f"{kind}s_above"].items()
            )
            print(f"  {kind + 's':8}quartiles {quartiles}   at or above {above}")


def main() -> None:
    parser = argparse.ArgumentParser(description="An end-of-turn model: cost and judgement.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--data", type=Path, default=os.environ.get("VOICELAT_DATA"))
    parser.add_argument("--after", type=int, default=ASK_AFTER_MS, help="ms into each pause")
    parser.add_argument("--model", default="voicelat.providers.smart_turn:SmartTurn")
    options = parser.parse_args()
    module, _, name = options.model.partition(":")
    model: TurnModel = getattr(importlib.import_module(module), name)()
    result = measure(model, Path(options.data) if options.data else None, options.after)
    if options.json:
        print(json.dumps(result))
    else:
        show(result)


if __name__ == "__main__":
    main()
