"""How long a report takes: reading 10,000 turns of 500 calls, summarising them, drawing the page.

python benchmarks/report.py
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from voicelat.metrics.intervals import intervals
from voicelat.metrics.record import NUMBERS, Stamps, TurnRecord
from voicelat.metrics.samples import call_indices, sample_of
from voicelat.metrics.summary import summarise
from voicelat.metrics.turnsfile import Turns, encode, read_turns
from voicelat.report import report_turns
from voicelat.report.pictures.page import Evidence, page

__all__ = ["main"]

TURNS, CALLS = 10_000, 500


def a_turn(index: int, rng: np.random.Generator) -> TurnRecord:
    """A turn with log-normal stages; one in fifty is never answered."""
    stages = np.exp(rng.normal([5.5, 0.7, 5.7, 4.4, 5.0, 1.0, 1.0], 0.4))
    ends = np.cumsum([2000, *stages]).astype(int).tolist()
    answered = index % 50 != 0
    stamps = Stamps(
        speech_start=0,
        first_partial=400,
        speech_end=ends[0],
        turn_end=ends[1],
        reply_start=ends[2],
        llm_first_token=ends[3],
        tts_request=ends[4],
        tts_ready=ends[5],
        gate_open=ends[6],
        first_audio_sent=ends[7] if answered else None,
        first_content_sent=ends[7] if answered else None,
        first_audio_heard=ends[7] + 70 if answered else None,
        reply_end=ends[7] + 3000,
    )
    return TurnRecord(
        call_id=f"call-{index % CALLS}",
        turn=index // CALLS,
        outcome="answered" if answered else "censored",
        EOU_REASON="debounce",
        model_calls=1,
        text="I would like to move my appointment to Thursday, please.",
        stamps=stamps,
    ).measured()


def seconds(work: Callable[[], object]) -> float:
    """The best of three."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def measure() -> dict[str, float]:
    """Seconds by what was done."""
    rng = np.random.default_rng(1)
    records = [a_turn(index, rng) for index in range(TURNS)]
    calls = call_indices(records)
    samples = [sample_of(records, calls, name) for name in NUMBERS]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "turns.jsonl"
        path.write_bytes(b"".join(encode(record) for record in records))
        reading = seconds(lambda: read_turns([path]))
    result, evidence = report_turns(Turns(records)), Evidence(records)
    return {
        "read_turns": reading,
        "intervals": seconds(lambda: [intervals(sample) for sample in samples]),
        "summarise": seconds(lambda: summarise(records)),
        "page": seconds(lambda: page(result, evidence)),
    }


def main() -> None:
    """Print one figure a line."""
    parser = argparse.ArgumentParser(description=f"A report of {TURNS} turns.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    taken = measure()
    if options.json:
        print(json.dumps({"turns": TURNS, "calls": CALLS, "seconds": taken}))
        return
    for what, time_s in taken.items():
        print(f"{what:<12}{TURNS} turns of {CALLS} calls: {time_s:.3f} s")


if __name__ == "__main__":
    main()
