"""How long an interrupted agent goes on talking, over a loopback WebSocket.

    python benchmarks/barge_in.py [--json] [--onset 100] [--calls 1 10] [--times 20]

From the caller's first audible sample to the last of the agent's that is played, less
BARGE_IN_ONSET_MS, the voice it takes to be an interruption. What is left holds both sockets,
the ``clear`` and late timers. Words interrupt too, and the simulated recogniser has its first
after some 130 ms of voice: the onset is set below that, so that the voice alone is measured.

Target: P95 80 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from voicelat.audio.mulaw import BYTES_PER_MS, encode, silence
from voicelat.caller import BargeIn, CallResult, Say, Script, Silence, Step
from voicelat.demo.server import running_server
from voicelat.loadtest.line import place_call

TARGET_MS = 80


class Row(NamedTuple):
    """Time to silence in ms, less the onset, at ``calls`` calls at once."""

    calls: int
    n: int
    p50: int
    p95: int
    max: int
    missed: int
    """Interruptions that did not stop the agent."""
    caller_late_p99: int


def script(times: int, call: int) -> Script:
    """A question, then ``times`` interruptions at all phases of a frame."""
    samples = np.random.default_rng(1).normal(0.0, 3000.0, 500 * BYTES_PER_MS)
    words = encode(samples.astype(np.int16))
    steps: list[Step] = [Silence(37 * call % 1000), Say(words)]
    interruptions = (silence((7 * n + call) % 20) + words for n in range(times))
    return [*steps, *(BargeIn(audio, after_ms=300) for audio in interruptions)]


async def run(onset_ms: int, sizes: list[int], times: int, folder: Path) -> list[Row]:
    """One row for each number of calls at once."""
    settings = {
        "VAD": "energy",
        "GREETING": "",
        "TURNS_FILE": "",
        "LOG_LEVEL": "WARNING",
        "MAX_CALLS": str(max(sizes)),
        "BARGE_IN_ONSET_MS": str(onset_ms),
        **{f"{role}_PROVIDER": "simulated:instant" for role in ("STT", "LLM", "TTS")},
    }
    async with running_server(folder, settings) as url:
        socket = url.replace("http", "ws", 1) + "/media"
        await place_call(socket, script(1, 0))  # the first call pays for what is loaded lazily
        rows = []
        for calls in sizes:
            scripts = [script(times, call) for call in range(calls)]
            calls_held = await asyncio.gather(*(place_call(socket, each) for each in scripts))
            rows.append(row(calls_held, onset_ms))
    return rows


def row(results: list[CallResult], onset_ms: int) -> Row:
    """The figures of one round. The first question of a call interrupts nothing."""
    stops = [heard.barge_stop_ms for call in results for heard in call.heard[1:]]
    over = [stop - onset_ms for stop in stops if stop is not None]
    return Row(
        len(results),
        len(over),
        int(np.percentile(over, 50, method="inverted_cdf")),
        int(np.percentile(over, 95, method="inverted_cdf")),
        max(over),
        len(stops) - len(over),
        max(call.lateness_p99_ms or 0 for call in results),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--onset", type=int, default=100, help="BARGE_IN_ONSET_MS")
    parser.add_argument("--calls", type=int, nargs="+", default=[1, 10], help="at once")
    parser.add_argument("--times", type=int, default=20, help="interruptions per call")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = asyncio.run(run(args.onset, args.calls, args.times, Path(folder)))
    if args.json:
        figures = [row._asdict() for row in rows]
        print(json.dumps({"onset_ms": args.onset, "target_ms": TARGET_MS, "rows": figures}))
        return
    print("ms over the onset    n   P50   P95   max   missed   caller late (P99)")
    for r in rows:
        print(
            f"{r.calls:11} calls{r.n:8}{r.p50:6}{r.p95:6}{r.max:6}{r.missed:9}{r.caller_late_p99:8}"
        )
    print(f"target: P95 {TARGET_MS}")


if __name__ == "__main__":
    main()
