"""What our own code adds to a caller's wait, over a loopback WebSocket, with instant providers.

    python benchmarks/overhead.py [--json] [--vad silero] [--calls 1 10 50] [--questions 20]

A server in a process of its own, callers here. ``heard`` is the caller's figure: last audible
sample said to first audible sample played, less the hangover, the only wait configured. It
holds both sockets, the task switches of recogniser, model and voice, the rest of a millisecond
of each timer, and the caller's own lateness. It does not hold the 20 ms a frame takes to fill:
the hangover counts from the acoustic end and outlasts it. ``server`` is the part the server
sees itself: TOTAL_LATENCY_MS less the hangover.

Target: P50 5 ms and P95 15 ms for one call.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from voicelat.audio.level import audible_span
from voicelat.audio.mulaw import BYTES_PER_MS, encode, silence
from voicelat.caller import CallResult, Say, Script, Silence, WaitForReply
from voicelat.demo.server import running_server
from voicelat.loadtest.line import place_call
from voicelat.metrics.turnsfile import read_turns
from voicelat.providers import registry

HANGOVER_MS = 160
FRAME_MS = 20


class Row(NamedTuple):
    """Overhead in ms at ``calls`` calls at once."""

    calls: int
    n: int
    heard_p50: int
    heard_p95: int
    heard_max: int
    server_p50: int
    server_p95: int
    caller_late_p99: int
    """How late the callers themselves were woken: beyond 10 ms they measure this machine."""


def noise() -> bytes:
    """At the level of speech, audible from its first sample to its last: voice to `EnergyVad`."""
    samples = np.random.default_rng(1).normal(0.0, 3000.0, 600 * BYTES_PER_MS)
    return encode(samples.astype(np.int16))


async def speech() -> bytes:
    """A word of the local voice: Silero does not take noise for speech."""
    voice = registry.text_to_speech("local", registry.ProviderOptions())
    await voice.warm()
    word = b"".join([chunk async for chunk in voice.speak("Tomorrow?", "en-US")])
    await voice.aclose()
    span = audible_span(word)
    assert span is not None
    return word[: span[1]]


def script(question: bytes, questions: int, call: int) -> Script:
    """A call whose questions end at all phases of a frame; no two calls in step."""
    steps: list[Say | Silence | WaitForReply] = [Silence(37 * call % 1000)]
    for n in range(questions):
        steps += [Say(silence((7 * n + call) % FRAME_MS) + question), WaitForReply(quiet_ms=100)]
    return steps


async def measure(url: str, question: bytes, calls: int, questions: int) -> list[CallResult]:
    """Hold ``calls`` calls at once."""
    socket = url.replace("http", "ws", 1) + "/media"
    scripts = [script(question, questions, call) for call in range(calls)]
    return await asyncio.gather(*(place_call(socket, script) for script in scripts))


async def run(vad: str, sizes: list[int], questions: int, folder: Path) -> list[Row]:
    """One row for each number of calls at once."""
    turns = folder / "turns.jsonl"
    settings = {
        "VAD": vad,
        "GREETING": "",
        "TURNS_FILE": str(turns),
        "LOG_LEVEL": "WARNING",
        "MAX_CALLS": str(max(sizes)),
        "VAD_HANGOVER_MS": str(HANGOVER_MS),
        "SPEAK_GATE_MS": "0",
        "AI_MAX_WORDS_FIRST_REPLY": "1",
        **{f"{role}_PROVIDER": "simulated:instant" for role in ("STT", "LLM", "TTS")},
    }
    question = noise() if vad == "energy" else await speech()
    measured = []
    async with running_server(folder, settings) as url:
        await measure(url, question, 1, 2)  # the first call pays for what is loaded lazily
        for calls in sizes:
            # The same number of questions in all, but never fewer than three a call.
            each = max(3, math.ceil(questions / calls))
            measured.append(await measure(url, question, calls, each))
    totals: dict[str, list[int]] = {}
    for record in read_turns([turns]).records:
        if record.TOTAL_LATENCY_MS is not None:
            totals.setdefault(record.call_id, []).append(record.TOTAL_LATENCY_MS)
    return [row(results, totals) for results in measured]


def row(results: list[CallResult], totals: dict[str, list[int]]) -> Row:
    """The figures of one round."""
    waits = [heard.v2v_ms for call in results for heard in call.heard]
    heard = [wait - HANGOVER_MS for wait in waits if wait is not None]
    server = [ms - HANGOVER_MS for call in results for ms in totals[call.call_sid]]
    return Row(
        len(results),
        len(heard),
        rank(heard, 50),
        rank(heard, 95),
        max(heard),
        rank(server, 50),
        rank(server, 95),
        max(call.lateness_p99_ms or 0 for call in results),
    )


def rank(values: list[int], p: int) -> int:
    """A percentile by nearest rank."""
    return int(np.percentile(values, p, method="inverted_cdf"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--vad", default="energy", choices=["energy", "silero"])
    parser.add_argument("--calls", type=int, nargs="+", default=[1, 10, 50], help="at once")
    parser.add_argument("--questions", type=int, default=20, help="of the smallest size")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = asyncio.run(run(args.vad, args.calls, args.questions, Path(folder)))
    if args.json:
        figures = [row._asdict() for row in rows]
        print(json.dumps({"vad": args.vad, "target_ms": {"p50": 5, "p95": 15}, "rows": figures}))
        return
    print("ms       n   heard P50  P95  max   server P50  P95   caller late (P99)")
    for r in rows:
        print(
            f"{r.calls:3} calls{r.n:4}{r.heard_p50:8}{r.heard_p95:5}{r.heard_max:5}"
            f"{r.server_p50:9}{r.server_p95:5}{r.caller_late_p99:9}"
        )
    print("target for one call: heard P50 5, P95 15")


if __name__ == "__main__":
    main()
