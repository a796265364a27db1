"""How many calls one core takes: calls at once against what callers wait for our own sake.

    python benchmarks/knee.py [--json] [--vad silero] [--calls 50 100 ...] [--write-docs]

The server (instant providers, no speak gate) is pinned to one core and the callers to the others.
``overhead`` is the caller's: voice to voice less the hangover, the only wait configured. ``late``
is how late the callers themselves were woken at P99: above 10 ms a row measures this machine and
not the server, and says so. The knee is the last step whose P95 is at most 30 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import psutil

from voicelat.audio.mulaw import BYTES_PER_MS, encode
from voicelat.caller import TRUSTED_LATENESS_MS, CallResult, lateness_p99
from voicelat.demo.server import running_server
from voicelat.loadtest.cast import Cast
from voicelat.loadtest.line import place_call
from voicelat.loadtest.run import new_event_loop
from voicelat.loadtest.scenario import Scenario, Talk
from voicelat.loadtest.utterances import Utterance, built_in

HANGOVER_MS: Final = 160
LIMIT_MS: Final = 30
RAMP_S: Final = 4.0
STEPS: Final = (50, 100, 150, 200, 250, 300, 350, 400)
DOCS: Final = Path(__file__).parents[1] / "docs" / "throughput.md"


class Row(NamedTuple):
    """One step. Times in ms."""

    calls: int
    n: int
    p50: float
    p95: float
    unanswered: int
    server_cpu: float
    """Of its core."""
    kb_per_call: float
    late: int
    trusted: bool


def noise_words() -> list[Utterance]:
    """Bursts at the level of speech: voice to the energy detector."""
    rng = np.random.default_rng(1)
    return [
        Utterance(encode(rng.normal(0.0, 3000.0, ms * BYTES_PER_MS).astype(np.int16)))
        for ms in (500, 800, 1200)
    ]


async def step(url: str, server: psutil.Process, calls: int, cast: Cast, idle_kb: float) -> Row:
    """``calls`` calls at once, begun within the ramp."""
    loop = asyncio.get_running_loop()
    peak = 0.0

    async def one(number: int) -> CallResult:
        await asyncio.sleep(number / calls * RAMP_S)
        script, setup = cast.call(number)
        return await place_call(url, script, setup=setup)

    async def watch() -> None:
        nonlocal peak
        while True:
            peak = max(peak, server.memory_info().rss / 1024)
            await asyncio.sleep(0.5)

    watching = asyncio.create_task(watch())
    cpu, began = sum(server.cpu_times()[:2]), loop.time()
    results = await asyncio.gather(*(one(number) for number in range(calls)))
    used = (sum(server.cpu_times()[:2]) - cpu) / (loop.time() - began)
    watching.cancel()
    waits = [q.v2v_ms - HANGOVER_MS for r in results for q in r.heard if q.v2v_ms is not None]
    asked = sum(len(result.heard) for result in results)
    late = lateness_p99(results) or 0
    p50, p95 = np.percentile(waits, (50, 95), method="higher") if waits else (np.nan, np.nan)
    per_call = (peak - idle_kb) / calls
    trusted = late <= TRUSTED_LATENESS_MS
    return Row(
        calls, asked, float(p50), float(p95), asked - len(waits), used, per_call, late, trusted
    )


async def measure(vad: str, steps: list[int]) -> list[Row]:
    """All steps on one server."""
    words = await built_in() if vad == "silero" else noise_words()
    cast = Cast(words, Scenario(talk=Talk(questions=4, think_ms=(300, 2500))))
    cores = sorted(os.sched_getaffinity(0))
    settings = {
        **dict.fromkeys(("STT_PROVIDER", "LLM_PROVIDER", "TTS_PROVIDER"), "simulated:instant"),
        "VAD": vad,
        "VAD_HANGOVER_MS": str(HANGOVER_MS),
        "SPEAK_GATE_MS": "0",
        "MAX_CALLS": "10000",
    }
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        settings["TURNS_FILE"] = str(Path(folder) / "turns.jsonl")
        os.sched_setaffinity(0, cores[:1])  # the server inherits it
        async with running_server(Path(folder), settings) as url:
            os.sched_setaffinity(0, cores[1:] or cores)
            (server,) = psutil.Process().children()
            socket = f"{url.replace('http', 'ws', 1)}/media"
            await step(socket, server, 5, cast, 0.0)  # warm
            for calls in steps:
                idle_kb = server.memory_info().rss / 1024
                rows.append(await step(socket, server, calls, cast, idle_kb))
                if rows[-1].p95 > 20 * LIMIT_MS or not rows[-1].trusted:
                    break
                await asyncio.sleep(1)
    return rows


def knee(rows: list[Row]) -> int | None:
    """The most calls within the limit; None: not even the fewest."""
    good = [row.calls for row in rows if row.trusted and row.p95 <= LIMIT_MS]
    return max(good, default=None)


def table(rows: list[Row]) -> str:
    """For people, and for the page."""
    lines = [
        "| calls | questions | overhead P50 | P95 | unanswered | server CPU | memory a call | "
        "callers late P99 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        note = "" if row.trusted else " (not to be trusted)"
        lines.append(
            f"| {row.calls} | {row.n} | {row.p50:.0f} ms | {row.p95:.0f} ms | {row.unanswered} | "
            f"{row.server_cpu:.0%} | {max(0.0, row.kb_per_call):.0f} KB | {row.late} ms{note} |"
        )
    return "\n".join(lines)


def write_docs(vad: str, text: str) -> None:
    """Into docs/throughput.md, between the markers of this detector."""
    begin, end = f"<!-- begin knee {vad} -->", f"<!-- end knee {vad} -->"
    page = DOCS.read_text(encoding="utf-8")
    page = re.sub(
        f"{re.escape(begin)}.*?{re.escape(end)}", f"{begin}\n{text}\n{end}", page, flags=re.DOTALL
    )
    DOCS.write_text(page, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--vad", choices=("energy", "silero"), default="energy")
    parser.add_argument("--calls", type=int, nargs="+", default=list(STEPS))
    parser.add_argument("--write-docs", action="store_true")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        rows = runner.run(measure(options.vad, options.calls))
    found = knee(rows)
    told = "below the fewest" if found is None else f"{found} calls"
    text = f"{table(rows)}\n\nKnee (P95 at most {LIMIT_MS} ms), {options.vad} detector: {told}."
    if options.json:
        print(json.dumps({"knee": found, "steps": [row._asdict() for row in rows]}))
    else:
        print(text)
    if options.write_docs:
        write_docs(options.vad, text)


if __name__ == "__main__":
    main()
