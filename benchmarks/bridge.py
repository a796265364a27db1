"""What each way into an existing server costs, against ``voicelat serve`` in the same run.

    python benchmarks/bridge.py [--json] [--calls 1 10] [--questions 20] [--quiet-s 15]

The examples under their real servers, with instant providers, one server after the other.
``turn`` is the caller's figure: last audible sample said to first audible sample played, less
the hangover, the only wait configured. ``frame`` is CPU time: what all processes of the server
used in silent calls, per frame of 20 ms that came in, less what the plain server used; at the
largest size, and on Linux only. It holds the worker's sockets, the bridge and the second hop.

Target: a bridge adds no more than 5 ms to a turn's P50 and 15 ms to its P95.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from voicelat.audio.mulaw import BYTES_PER_MS, encode, silence
from voicelat.caller import CallResult, Say, Script, Silence, WaitForReply
from voicelat.errors import ConnectError
from voicelat.loadtest.line import place_call

HANGOVER_MS: Final = 160
FRAME_MS: Final = 20
START_S: Final = 60.0
EXAMPLES: Final = Path(__file__).parents[1] / "examples"
BIN: Final = Path(sys.executable).parent

_GUNICORN: Final = (f"{BIN}/gunicorn", "--no-control-socket", "-b", "127.0.0.1:{port}")
_UVICORN: Final = (f"{BIN}/uvicorn", "--port", "{port}", "--ws", "websockets-sansio")
SERVERS: Final[dict[str, tuple[str, ...]]] = {
    "voicelat serve": (sys.executable, "-m", "voicelat", "serve", "--port", "{port}"),
    "fastapi mount": (*_UVICORN, "--ws-per-message-deflate", "false", "fastapi_mount:app"),
    "flask gthread": (*_GUNICORN, "-k", "gthread", "--threads", "40", "flask_server:app"),
    "flask gevent": (*_GUNICORN, "-k", "gevent", "flask_server:app"),
    "flask eventlet": (*_GUNICORN, "-k", "eventlet", "flask_server:app"),
}
SETTINGS: Final = {
    "VAD": "energy",
    "GREETING": "",
    "TURNS_FILE": "",
    "TWILIO_AUTH_TOKEN": "",
    "LOG_LEVEL": "WARNING",
    "VAD_HANGOVER_MS": str(HANGOVER_MS),
    "SPEAK_GATE_MS": "0",
    "AI_MAX_WORDS_FIRST_REPLY": "1",
    "EVENTLET_NO_GREENDNS": "1",
    "PYTHONPATH": str(EXAMPLES),
    "PYTHONWARNINGS": "ignore",
    **{f"{role}_PROVIDER": "simulated:instant" for role in ("STT", "LLM", "TTS")},
}


class Row(NamedTuple):
    """One server at ``calls`` calls at once."""

    server: str
    calls: int
    n: int
    turn_p50_ms: int
    turn_p95_ms: int
    frame_us: float | None
    """CPU per frame beyond the plain server's. None: not measured here, or itself."""
    frame_total_us: float | None
    """All of it."""
    caller_late_p99_ms: int
    """How late the callers themselves were woken: beyond 10 ms they measure this machine."""


class Round(NamedTuple):
    """What was measured of one server at one size."""

    results: list[CallResult]
    cpu_us: float | None
    """Per frame that came in while nobody spoke. None: not measured at this size."""


def question() -> bytes:
    """At the level of speech, audible from its first sample to its last."""
    samples = np.random.default_rng(1).normal(0.0, 3000.0, 600 * BYTES_PER_MS)
    return encode(samples.astype(np.int16))


def talk(questions: int, call: int) -> Script:
    """A call whose questions end at all phases of a frame; no two calls in step."""
    said = question()
    steps: list[Say | Silence | WaitForReply] = [Silence(37 * call % 1000)]
    for n in range(questions):
        steps += [Say(silence((7 * n + call) % FRAME_MS) + said), WaitForReply(quiet_ms=100)]
    return steps


async def hold(url: str, scripts: list[Script]) -> list[CallResult]:
    """Hold calls at once."""
    return await asyncio.gather(*(place_call(url, script) for script in scripts))


@asynccontextmanager
async def serving(command: tuple[str, ...], folder: Path) -> AsyncIterator[tuple[str, int]]:
    """Run a server until it has answered a call; yields its media URL and its pid."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"ws://127.0.0.1:{port}/media"
    with (folder / "server.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(word.format(port=port) for word in command),
            cwd=folder,
            env={**os.environ, **SETTINGS},
            stdout=log,
            stderr=log,
        )
    try:
        async with asyncio.timeout(START_S):
            while True:
                with contextlib.suppress(ConnectError):
                    # The first call pays for what is loaded lazily.
                    await place_call(url, talk(2, 0))
                    break
                await asyncio.sleep(0.2)
        yield url, process.pid
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 20)


async def measure(
    command: tuple[str, ...], sizes: list[int], questions: int, quiet_s: float, folder: Path
) -> list[Round]:
    """One round for each number of calls at once, the same number of questions in all."""
    rounds = []
    async with serving(command, folder) as (url, pid):
        for calls in sizes:
            each = max(3, -(-questions // calls))
            results = await hold(url, [talk(each, call) for call in range(calls)])
            # CPU time is told in steps of 10 ms: only the largest size has frames enough.
            cpu_us = await frame_us(url, pid, calls, quiet_s) if calls == max(sizes) else None
            rounds.append(Round(results, cpu_us))
    return rounds


async def frame_us(url: str, pid: int, calls: int, quiet_s: float) -> float | None:
    """CPU time per frame of calls in which nobody speaks. None: not Linux."""
    before_s = cpu_s(pid)
    quiet = await hold(url, [[Silence(round(quiet_s * 1000))] for _ in range(calls)])
    after_s = cpu_s(pid)
    if before_s is None or after_s is None:
        return None
    return (after_s - before_s) * 1e6 / sum(call.frames_sent for call in quiet)


def cpu_s(root: int) -> float | None:
    """CPU time of a process and of everything below it. None: not Linux."""
    if not Path("/proc/self/stat").exists():
        return None
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended in between
            fields = stat.read_text().rpartition(")")[2].split()
            parents[int(stat.parent.name)] = int(fields[1])
            ticks[int(stat.parent.name)] = int(fields[11]) + int(fields[12])
    family = {root}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(ticks[pid] for pid in family) / os.sysconf("SC_CLK_TCK")


def row(server: str, found: Round, plain: Round) -> Row:
    """The figures of one round."""
    waits = [heard.v2v_ms for call in found.results for heard in call.heard]
    turn = [wait - HANGOVER_MS for wait in waits if wait is not None]
    own = None
    if found is not plain and found.cpu_us is not None and plain.cpu_us is not None:
        own = round(found.cpu_us - plain.cpu_us, 1)
    late = max(call.lateness_p99_ms or 0 for call in found.results)
    total = None if found.cpu_us is None else round(found.cpu_us, 1)
    p50, p95 = rank(turn, 50), rank(turn, 95)
    return Row(server, len(found.results), len(turn), p50, p95, own, total, late)


def rank(values: list[int], p: int) -> int:
    """A percentile by nearest rank."""
    return int(np.percentile(values, p, method="inverted_cdf"))


async def run(sizes: list[int], questions: int, quiet_s: float, folder: Path) -> list[Row]:
    """Every server, one after the other; the plain one first."""
    rows: list[Row] = []
    plain: list[Round] = []
    for server, command in SERVERS.items():
        found = await measure(command, sizes, questions, quiet_s, folder)
        plain = plain or found
        rows += [row(server, *pair) for pair in zip(found, plain, strict=True)]
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--calls", type=int, nargs="+", default=[1, 10], help="at once")
    parser.add_argument("--questions", type=int, default=20, help="of each size, in all")
    parser.add_argument("--quiet-s", type=float, default=15, help="of silence, for the frames")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = asyncio.run(run(args.calls, args.questions, args.quiet_s, Path(folder)))
    if args.json:
        figures = [row._asdict() for row in rows]
        print(json.dumps({"target_ms": {"p50": 5, "p95": 15}, "rows": figures}))
        return
    print(
        "server            calls    n   turn P50  P95 ms   frame us (in all)   caller late P99 ms"
    )
    for r in rows:
        own = "" if r.frame_us is None else f"{r.frame_us:+.0f}"
        total = "" if r.frame_total_us is None else f"({r.frame_total_us:.0f})"
        print(
            f"{r.server:16}{r.calls:7}{r.n:5}{r.turn_p50_ms:11}{r.turn_p95_ms:5}"
            f"{own:>13} {total:>8}{r.caller_late_p99_ms:17}"
        )
    print("target: P50 5 and P95 15 ms above the plain server")


if __name__ == "__main__":
    main()
