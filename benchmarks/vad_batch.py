"""Silero for many calls: one window at a time on the loop, against batches in a thread.

    python benchmarks/vad_batch.py [--json] [--calls 50 150 300] [--seconds 5]

Calls whose windows come every 32 ms at their own instants, in real time. ``alone`` is what one
window costs the event loop when it is judged there; ``batched`` what it costs the whole process
(processor time, gathering and switching threads included), ``loop`` what of that the loop pays;
``later`` is how long after it was asked a window was answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from functools import partial
from typing import NamedTuple

import numpy as np

from voicelat.audio.mulaw import encode
from voicelat.providers.local.vad import WINDOW, SileroVad, load
from voicelat.providers.local.vad_batch import BatchedVad, SileroBatch

WINDOW_S = 0.032


class Row(NamedTuple):
    """Figures at so many calls; times of one window in microseconds, ``later`` in ms."""

    calls: int
    alone_us: float
    batched_us: float
    loop_us: float
    batch: float
    later_p50: float
    later_p95: float


def windows() -> list[bytes]:
    noise = np.random.default_rng(1).normal(0, 2000, 64 * WINDOW)
    audio = encode(noise.astype(np.int16))
    return [audio[at : at + WINDOW] for at in range(0, len(audio), WINDOW)]


def alone_us(said: list[bytes]) -> float:
    """The best of several rounds."""
    vad, best = SileroVad(), float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for window in said:
            vad.probability(window)
        best = min(best, (time.perf_counter() - began) / len(said))
    return best * 1e6


async def batched(calls: int, seconds: float, said: list[bytes]) -> Row:
    batch, later = SileroBatch(), list[float]()
    loop = asyncio.get_running_loop()
    rng = np.random.default_rng(2)

    def answered(asked: float, probability: float) -> None:
        later.append(loop.time() - asked)

    async def one(call: BatchedVad, begin_s: float) -> None:
        due = loop.time() + begin_s
        for number in range(int(seconds / WINDOW_S)):
            await asyncio.sleep(max(0.0, due - loop.time()))
            call.ask(said[number % len(said)], partial(answered, loop.time()))
            due += WINDOW_S

    async def idle(begin_s: float) -> None:
        due = loop.time() + begin_s
        for _ in range(int(seconds / WINDOW_S)):
            await asyncio.sleep(max(0.0, due - loop.time()))
            due += WINDOW_S

    begins = rng.uniform(0, WINDOW_S, calls)
    cpu, thread = time.process_time(), time.thread_time()
    await asyncio.gather(*(idle(begin) for begin in begins))
    waiting, loop_waiting = time.process_time() - cpu, time.thread_time() - thread
    cpu, thread = time.process_time(), time.thread_time()
    await asyncio.gather(*(one(batch(), begin) for begin in begins))
    spent, loop_spent = time.process_time() - cpu, time.thread_time() - thread
    await asyncio.sleep(0.1)
    count = len(later)
    batch.close()
    p50, p95 = np.percentile(later, (50, 95)) * 1000
    return Row(
        calls,
        alone_us(said),
        (spent - waiting) / count * 1e6,
        (loop_spent - loop_waiting) / count * 1e6,
        batch.counts["windows"] / batch.counts["batches"],
        float(p50),
        float(p95),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--calls", type=int, nargs="+", default=[50, 150, 300])
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    load()
    said = windows()
    rows = [asyncio.run(batched(calls, options.seconds, said)) for calls in options.calls]
    if options.json:
        print(json.dumps([row._asdict() for row in rows]))
        return
    print(
        f"{'calls':>6}{'alone us':>10}{'batched us':>12}{'ratio':>7}{'loop us':>9}{'a batch':>9}"
        f"{'later P50 / P95 ms':>20}"
    )
    for row in rows:
        later = f"{row.later_p50:.1f} / {row.later_p95:.1f}"
        print(
            f"{row.calls:>6}{row.alone_us:>10.1f}{row.batched_us:>12.1f}"
            f"{row.alone_us / row.batched_us:>7.1f}{row.loop_us:>9.1f}{row.batch:>9.1f}{later:>20}"
        )


if __name__ == "__main__":
    main()
