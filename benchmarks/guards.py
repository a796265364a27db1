"""What watching the event loop costs: processor time of heartbeat and watchdog.

    python benchmarks/guards.py [--json] [--seconds 5]

An idle loop with and without a `LoopWatch`, by the processor time of the whole process; and the
time of a beat and of giving a turn its stalls. Target: below 1 % of a core.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

from voicelat.engine.guards import LoopWatch
from voicelat.metrics.record import Stamps, TurnRecord

RECORD = TurnRecord(
    call_id="a",
    turn=1,
    outcome="answered",
    stamps=Stamps(speech_start=0, speech_end=900, first_audio_sent=1400, reply_end=3000),
)


async def idle(seconds: float, watch: LoopWatch | None) -> float:
    """Share of a core."""
    if watch is not None:
        watch.start()
    began, cpu = time.monotonic(), time.process_time()
    await asyncio.sleep(seconds)
    share = (time.process_time() - cpu) / (time.monotonic() - began)
    if watch is not None:
        watch.stop()
    return share


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    watch = LoopWatch()
    without = asyncio.run(idle(options.seconds, None))
    with_it = asyncio.run(idle(options.seconds, watch))
    rounds = 20_000
    began = time.perf_counter()
    for _ in range(rounds):
        watch.attribute(RECORD, 0.0, 0)
    turn_us = (time.perf_counter() - began) / rounds * 1e6
    figures = {
        "share_without": round(without, 5),
        "share_with": round(with_it, 5),
        "turn_us": round(turn_us, 2),
    }
    if options.json:
        print(json.dumps(figures))
    else:
        print(f"idle loop: {without:.2%} of a core; watched: {with_it:.2%} (target: 1 % more)")
        print(f"a closed turn: {turn_us:.1f} us")


if __name__ == "__main__":
    main()
