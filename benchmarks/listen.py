"""Listening to recordings with the embedded speech: how fast, and as late as in a real call?

    python benchmarks/listen.py --data DIR [--json]

Every recording in DIR (or ``VOICELAT_DATA``) is listened to in one process, all of it: reading,
voice detection on both channels, every partial and final. Speed is given per wall second, which
other work on the machine makes worse, and per CPU second, which is what one free core does. Then
a minute of the longest recording is heard twice, in real time and at the lab's own pace: what
the recogniser took from pause to text must be the same.

Target: 15 times real time per core.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from voicelat.audio import wav
from voicelat.audio.mulaw import BYTES_PER_MS
from voicelat.lab.listen import Ears, EarsPlan, Listened, listen, listen_all
from voicelat.lab.pace import paced_runner
from voicelat.lab.recordings import Channels, channels, find
from voicelat.turn.trace import Trace

MINUTE_MS = 60_000


def speed(folder: Path) -> dict[str, Any]:
    """All recordings, in this process."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    heard = listen_all(find([str(folder)]), EarsPlan(), processes=1)
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    done = [one for one in heard if isinstance(one, Listened)]
    audio_s = sum(one.audio_ms for one in done) / 1000
    return {
        "recordings": len(done),
        "broken": len(heard) - len(done),
        "audio_s": audio_s,
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "times_real_time_wall": audio_s / wall_s,
        "times_real_time_per_core": audio_s / cpu_s,
    }


def a_minute(folder: Path) -> Channels:
    """The beginning of the longest recording with two channels, else of the longest."""
    recordings = [wav.read(path) for path in sorted(folder.glob("*.wav"))]
    longest = max(recordings, key=lambda r: (len(r.channels) == 2, r.duration_ms))
    sides = channels(longest)
    end = MINUTE_MS * BYTES_PER_MS
    return replace(sides, caller=sides.caller[:end], agent=sides.agent and sides.agent[:end])


async def heard(sides: Channels, ears: Ears) -> Trace:
    try:
        await ears.warm()
        return await listen("a minute", sides, ears)
    finally:
        await ears.aclose()


def lags(folder: Path) -> dict[str, Any]:
    """The same minute twice."""
    sides = a_minute(folder)
    own = Ears.of(EarsPlan())
    with paced_runner(own.computing) as runner:
        paced = runner.run(heard(sides, own))
    real = asyncio.run(heard(sides, Ears.of(EarsPlan())))
    assert paced.header.listening is not None
    assert real.header.listening is not None
    return {"paced": paced.header.listening.lag_ms, "real_time": real.header.listening.lag_ms}


def main() -> None:
    parser = argparse.ArgumentParser(description="Listening to recordings: speed and lag.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--data", type=Path, default=os.environ.get("VOICELAT_DATA"))
    options = parser.parse_args()
    if options.data is None:
        print("not measured: give recordings with --data")
        return
    folder = Path(options.data)
    result = {"speed": speed(folder), "pause_to_text_ms": lags(folder)}
    if options.json:
        print(json.dumps(result))
        return
    told = result["speed"]
    print(
        f"{told['recordings']} recordings, {told['audio_s']:.0f} s of audio ({told['broken']} "
        f"broken): {told['wall_s']:.1f} s, {told['cpu_s']:.1f} s of one core"
    )
    print(f"times real time, wall           {told['times_real_time_wall']:6.1f}")
    print(f"times real time, per core       {told['times_real_time_per_core']:6.1f}  (target 15)")
    for pace, lag in result["pause_to_text_ms"].items():
        print(
            f"pause to text, {pace:10}  P50 {lag['p50']:6.0f}  P95 {lag['p95']:6.0f} ms  "
            f"of {lag['n']:.0f} pauses"
        )


if __name__ == "__main__":
    main()
