"""Whether a server grows: half an hour of calls, its memory watched from inside and outside.

    python benchmarks/soak.py [--minutes 30] [--calls 10] [--profile local] [--vad silero] [--json]

The server is a process of its own with tracemalloc on. Callers call again and again. Every ten
seconds it tells its resident memory (RSS), what Python has allocated (traced) and its open files;
the slopes are those of a straight line through the last two thirds, with a 95 % interval from
blocks of a minute, since neighbouring samples are not independent. ``--profile local`` is real
speech.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sys
import tempfile
import threading
import time
import tracemalloc
from itertools import count
from pathlib import Path
from subprocess import PIPE
from typing import Final, NamedTuple

import numpy as np
import psutil

from voicelat.errors import ConnectError
from voicelat.loadtest.cast import Cast
from voicelat.loadtest.line import place_call
from voicelat.loadtest.run import new_event_loop
from voicelat.loadtest.scenario import Scenario, Talk
from voicelat.loadtest.utterances import built_in
from voicelat.serve.server import run
from voicelat.settings import load, wiring

EVERY_S: Final = 10.0
TOP: Final = 8


class Sample(NamedTuple):
    """The server at one instant; memory in MB."""

    at_s: float
    rss: float
    traced: float
    files: int
    objects: int


class Slope(NamedTuple):
    """MB a minute."""

    per_min: float
    low: float
    high: float


def serve() -> None:
    """In the server's process: serve, and tell about it on stderr, JSON lines."""
    tracemalloc.start(1)
    process = psutil.Process()

    def tell() -> None:
        before: tracemalloc.Snapshot | None = None
        began = time.monotonic()
        while True:
            time.sleep(EVERY_S)
            sample = Sample(
                time.monotonic() - began,
                process.memory_info().rss / 2**20,
                tracemalloc.get_traced_memory()[0] / 2**20,
                process.num_fds(),
                len(gc.get_objects()),
            )
            line: dict[str, object] = {"sample": sample._asdict()}
            if sample.at_s > 60 and int(sample.at_s / EVERY_S) % 6 == 0:
                now = tracemalloc.take_snapshot()
                if before is None:
                    before = now
                top = now.compare_to(before, "lineno")[:TOP]
                line["top"] = [f"{one.size_diff / 1024:+.0f} KB {one.traceback}" for one in top]
            print(json.dumps(line), file=sys.stderr, flush=True)

    settings = load(dict(pair.split("=", 1) for pair in sys.argv[2:]))
    threading.Thread(target=tell, daemon=True).start()
    run(wiring.server(settings), on_ready=lambda url: print(url, flush=True))


def _empty(folder: Path) -> None:
    """The disk is not what is tested."""
    for file in folder.glob("*"):
        file.unlink(missing_ok=True)


def slope(samples: list[Sample], values: list[float]) -> Slope:
    """Through the last two thirds, resampling minutes."""
    minutes = np.array([sample.at_s / 60 for sample in samples])
    late = minutes >= minutes[-1] / 3
    x, y = minutes[late], np.array(values)[late]
    blocks = x.astype(int)
    names = np.unique(blocks)
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(400):
        picked = np.concatenate(
            [np.flatnonzero(blocks == b) for b in rng.choice(names, len(names))]
        )
        if np.ptp(x[picked]) > 0:
            drawn.append(np.polyfit(x[picked], y[picked], 1)[0])
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Slope(float(np.polyfit(x, y, 1)[0]), float(low), float(high))


async def soak(
    minutes: float, calls: int, profile: str, vad: str
) -> tuple[list[Sample], list[str]]:
    """The samples, and the lines that grew most."""
    role = "local" if profile == "local" else f"simulated:{profile}"
    llm = "local" if profile == "local" else role
    with tempfile.TemporaryDirectory() as folder:
        settings = [
            *(f"STT_PROVIDER={role}", f"LLM_PROVIDER={llm}", f"TTS_PROVIDER={role}"),
            *(f"VAD={vad}", "MAX_CALLS=1000", "PORT=0", f"TURNS_FILE={folder}/turns.jsonl"),
            *("TWILIO_AUTH_TOKEN=", "LOG_LEVEL=WARNING", f"RECORD_DIR={folder}/calls"),
        ]
        server = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "serve", *settings, stdout=PIPE, stderr=PIPE, limit=2**20
        )
        assert server.stdout is not None
        url = (await server.stdout.readline()).decode().strip()
        samples: list[Sample] = []
        top: list[str] = []

        async def listen() -> None:
            assert server.stderr is not None
            async for line in server.stderr:
                told = json.loads(line) if line.startswith(b"{") else {}
                if not told:
                    print(line.decode().rstrip(), file=sys.stderr)
                    continue
                samples.append(Sample(**told["sample"]))
                top[:] = told.get("top", top)
                if len(samples) % 30 == 0:
                    print(samples[-1], file=sys.stderr, flush=True)

        listening = asyncio.create_task(listen())
        numbers, until = count(), time.monotonic() + minutes * 60
        talk = Talk(questions=6, barge_ins=0.2, pauses=0.2, hang_ups=0.1)
        cast = Cast(await built_in(), Scenario(talk=talk))

        async def caller() -> None:
            while time.monotonic() < until:
                script, setup = cast.call(next(numbers))
                try:
                    await place_call(f"{url.replace('http', 'ws', 1)}/media", script, setup=setup)
                except ConnectError as error:
                    print(f"a call was not taken: {error}", file=sys.stderr, flush=True)
                await asyncio.to_thread(_empty, Path(folder, "calls"))

        await asyncio.gather(*(caller() for _ in range(calls)))
        listening.cancel()
        server.terminate()
        await server.communicate()
    print(f"{next(numbers)} calls", file=sys.stderr)
    return samples, top


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        serve()
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("SOAK_MINUTES", "1")))
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--profile", default="instant")
    parser.add_argument("--vad", choices=("energy", "silero"), default="energy")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        samples, top = runner.run(
            soak(options.minutes, options.calls, options.profile, options.vad)
        )
    rss = slope(samples, [sample.rss for sample in samples])
    traced = slope(samples, [sample.traced for sample in samples])
    last = samples[-1]
    if options.json:
        figures = {"rss": rss._asdict(), "traced": traced._asdict(), "last": last._asdict()}
        print(json.dumps({**figures, "top": top}))
        return
    print(f"after {last.at_s / 60:.1f} min: RSS {last.rss:.0f} MB, traced {last.traced:.1f} MB, ")
    print(f"{last.files} open files, {last.objects} objects")
    for name, found in (("RSS", rss), ("traced", traced)):
        print(f"{name}: {found.per_min:+.3f} MB/min (95 %: {found.low:+.3f} to {found.high:+.3f})")
    print("grew most since the first minute:", *(f"\n  {line}" for line in top))


if __name__ == "__main__":
    main()
