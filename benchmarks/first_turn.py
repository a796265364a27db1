"""Whether the first turn of a fresh process is slower than the fifth.

Several times: ``voicelat serve`` is started anew against doubles of Google's and OpenAI's services,
as slow as the profile stand-in, which always takes the same; one caller asks the same question five
times. Printed: the median total of the first and of the fifth turn, and their difference.

    python benchmarks/first_turn.py [--starts 8] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from asyncio.subprocess import PIPE
from contextlib import aclosing
from pathlib import Path
from typing import Final

from voicelat.caller import Say, Script, Silence, WaitForReply
from voicelat.demo.server import running_server
from voicelat.loadtest.line import place_call
from voicelat.metrics.turnsfile import read_turns
from voicelat.providers.simulated import SimulatedTts, profile

QUESTIONS: Final = 5
STACK: Final = {
    "STT_PROVIDER": "google",
    "LLM_PROVIDER": "openai",
    "TTS_PROVIDER": "google",
    "OPENAI_MODEL": "double",
    "VAD": "energy",
    "SPEAK_GATE_MS": "0",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    totals = asyncio.run(measured(options.starts))
    first, fifth = (statistics.median(turn) for turn in (totals[0], totals[-1]))
    if options.json:
        print(json.dumps({"first_ms": first, "fifth_ms": fifth, "totals_ms": totals}))
        return
    print(f"{options.starts} fresh processes: first turn {first:.0f} ms, fifth {fifth:.0f} ms")
    print(f"difference {first - fifth:+.0f} ms; all first turns {sorted(totals[0])}")


async def measured(starts: int) -> list[list[int]]:
    """Per turn number, the totals of all processes."""
    voice = SimulatedTts(profile("instant"))
    async with aclosing(voice.speak("one two three four", "")) as chunks:
        question = b"".join([chunk async for chunk in chunks])
    ask = (Say(question), WaitForReply())
    script: Script = [WaitForReply(), *ask * QUESTIONS, Silence(300)]
    totals: list[list[int]] = [[] for _ in range(QUESTIONS)]
    command = [sys.executable, "-m", "voicelat.doubles", "--profile", "stand-in"]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    assert process.stdout is not None
    there = json.loads(await process.stdout.readline())
    try:
        for _ in range(starts):
            for number, total in enumerate(await once(script, {**STACK, **there})):
                totals[number].append(total)
    finally:
        process.terminate()
        await process.wait()
    return totals


async def once(script: Script, settings: dict[str, str]) -> list[int]:
    with tempfile.TemporaryDirectory() as folder:
        turns = Path(folder) / "turns.jsonl"
        settings = {**settings, "TURNS_FILE": str(turns)}
        async with running_server(Path(folder), settings) as url:
            await place_call(f"{url.replace('http', 'ws', 1)}/media", script)
        records = read_turns([turns]).records[:QUESTIONS]
    return [record.TOTAL_LATENCY_MS for record in records if record.TOTAL_LATENCY_MS is not None]


if __name__ == "__main__":
    main()
