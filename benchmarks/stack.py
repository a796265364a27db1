"""The usual stack, made fast: what each technique is worth, on the real clients.

Google's ears and voice and an OpenAI model are doubles on loopback (`voicelat.doubles`), as slow
as the profile google-openai-google, and one reply in twenty hangs for 5 s. ``voicelat serve`` runs
against them in a process of its own; simulated callers talk to it over real WebSockets. First with
everything off, as such a bot usually is, then with everything on, then with one technique off at a
time: what P50 and P95 lose is its contribution. 95 % intervals by resampling calls.

With ``--stand-in`` the services take what those took that voice frameworks were compared on (the
profile stand-in; nothing hangs), with a hangover of 200 ms and no gate: without and with an opener.

    python benchmarks/stack.py [--stand-in] [--turns 400] [--callers 20] [--only NAME,...] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from voicelat.demo import DemoPlan, run_demo
from voicelat.metrics.summary import CallerNumbers, Summary

USUAL: Final = ("--profile", "google-openai-google", "--hang", "0.05")
STAND_IN: Final = ("--profile", "stand-in")
TURNS_A_CALL: Final = 5
STACK: Final = {"STT_PROVIDER": "google", "LLM_PROVIDER": "openai", "TTS_PROVIDER": "google"}

ALL_ON: Final = {
    "SPEAK_GATE_MS": "500",
    "OPENAI_MODEL": "double",
    "VAD": "silero",
    # How the double always begins, as one would configure what one's own model begins with.
    "TTS_PHRASES": "Certainly,",
}
OFF: Final[dict[str, dict[str, str]]] = {
    "acting on stable partials": {"STT_PARTIAL_DEBOUNCE_MS": "2000", "STT_TIMEOUT_MS": "3000"},
    "speculation": {"SPECULATE": "0"},
    "clause by clause": {"REPLY_BY_CLAUSE": "0"},
    "streaming speech": {"GOOGLE_TTS_STREAMING": "off"},
    "hedging": {"LLM_HEDGE": "0"},
    "the phrase cache": {"TTS_PREWARM": "0"},
}
NO_GATE: Final = {"VAD_HANGOVER_MS": "200", "SPEAK_GATE_MS": "0"}
STAND_IN_ROWS: Final = {
    "stand-in services without phrases": {**NO_GATE, "TTS_PREWARM": "0"},
    "stand-in services": NO_GATE,
    "stand-in services with an opener": {**NO_GATE, "REPLY_OPENER": "Let me see."},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stand-in", action="store_true")
    parser.add_argument("--turns", type=int, default=400)
    parser.add_argument("--callers", type=int, default=20)
    parser.add_argument("--only", help="names of rows, with commas")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows: dict[str, Mapping[str, str]] = {
        "everything off": {k: v for one in OFF.values() for k, v in one.items()}
    }
    rows["everything on"] = {}
    rows |= {f"without {name}": settings for name, settings in OFF.items()}
    services: Sequence[str] = USUAL
    if options.stand_in:
        rows, services = dict(STAND_IN_ROWS), STAND_IN
    if options.only:
        wanted = options.only.split(",")
        rows = {name: settings for name, settings in rows.items() if name in wanted}
    found: dict[str, Summary] = {}
    for name, settings in rows.items():
        found[name] = asyncio.run(measured(settings, services, options.turns, options.callers))
        print(line(name, found[name]), file=sys.stderr if options.json else sys.stdout, flush=True)
    if options.json:
        print(json.dumps({name: told(summary) for name, summary in found.items()}))


async def measured(
    settings: Mapping[str, str], services: Sequence[str], turns: int, callers: int
) -> Summary:
    """One row: doubles, server and callers of its own."""
    async with doubles(services) as there:
        with tempfile.TemporaryDirectory() as folder:
            plan = DemoPlan(
                calls=-(-turns // TURNS_A_CALL),
                callers=callers,
                settings={**ALL_ON, **there, **settings},
                providers={**STACK, "VAD": "silero"},
                out=Path(folder) / "out",
            )
            result = await run_demo(plan, on_note=lambda _: None, on_turn=lambda _: None)
    return result.report.summary


@asynccontextmanager
async def doubles(services: Sequence[str]) -> AsyncIterator[dict[str, str]]:
    """The services, in a process of their own; yields the settings that point to them."""
    command = [sys.executable, "-m", "voicelat.doubles", *services]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    assert process.stdout is not None
    try:
        yield json.loads(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()


def line(name: str, summary: Summary) -> str:
    """One row for people."""
    row = told(summary)
    ends = row["ci95"] or {"p50": "-", "p95": "-"}
    return (
        f"{name:34} n {row['n']}: total P50 {row['p50']} {ends['p50']},"
        f" P95 {row['p95']} {ends['p95']},"
        f" content {row['content_p50']} / {row['content_p95']},"
        f" heard {row['heard_p50']} / {row['heard_p95']};"
        f" cutoffs {row['cutoffs']}, clipped {row['clipped']}, no answer {row['censored']},"
        f" model calls {row['model_calls_per_turn']}"
    )


def told(summary: Summary) -> dict[str, Any]:
    total, content = summary.numbers["TOTAL_LATENCY_MS"], summary.numbers["FIRST_CONTENT_MS"]
    heard = summary.caller.v2v_ms if isinstance(summary.caller, CallerNumbers) else None
    ends = total.ci95
    return {
        "n": total.n,
        "p50": total.p50,
        "p95": total.p95,
        "ci95": None if ends is None else {"p50": ends.p50, "p95": ends.p95},
        "content_p50": content.p50,
        "content_p95": content.p95,
        "heard_p50": heard.p50 if heard else None,
        "heard_p95": heard.p95 if heard else None,
        "cutoffs": summary.cutoffs,
        "clipped": summary.clipped,
        "censored": summary.censored,
        "model_calls_per_turn": summary.model_calls_per_turn,
    }


if __name__ == "__main__":
    main()
