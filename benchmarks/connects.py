"""Ten thousand sockets that connect and never say ``start``: what does a real call notice?

    python benchmarks/connects.py [--json] [--connects 10000]

A server of its own with its default limits; connects come as fast as they are taken, while one
caller asks its questions. Printed: how many sockets were taken, refused and cut, and the caller's
wait (voice to voice less the hangover) before and meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median
from urllib.request import urlopen

import numpy as np
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from voicelat.audio.mulaw import encode
from voicelat.demo.server import running_server
from voicelat.loadtest.cast import Cast
from voicelat.loadtest.line import place_call
from voicelat.loadtest.scenario import Scenario, Talk
from voicelat.loadtest.utterances import Utterance

AT_ONCE = 400
HANGOVER_MS = 160


async def waits(url: str) -> list[int]:
    """What one caller waits for, beyond the hangover."""
    noise = np.random.default_rng(1).normal(0.0, 3000.0, 6400).astype(np.int16)
    cast = Cast([Utterance(encode(noise))], Scenario(talk=Talk(questions=4, think_ms=(100, 300))))
    script, setup = cast.call(1)
    heard = (await place_call(url, script, setup=setup)).heard
    return [one.v2v_ms - HANGOVER_MS for one in heard if one.v2v_ms is not None]


async def silent(url: str, room: asyncio.Semaphore, fates: Counter[str]) -> None:
    """Connect, say nothing, wait to be cut off."""
    try:
        async with room:
            socket = await connect(url, compression=None, ping_interval=None, open_timeout=30)
        fates["taken"] += 1
        await socket.wait_closed()
        fates["cut"] += 1
    except InvalidHandshake:
        fates["refused"] += 1
    except (OSError, WebSocketException, TimeoutError) as error:
        fates[type(error).__name__] += 1


async def measure(connects: int) -> dict[str, object]:
    """Before, and meanwhile."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    settings = {
        **dict.fromkeys(("STT_PROVIDER", "LLM_PROVIDER", "TTS_PROVIDER"), "simulated:instant"),
        **{"VAD": "energy", "VAD_HANGOVER_MS": str(HANGOVER_MS), "SPEAK_GATE_MS": "0"},
        **{"TURNS_FILE": "", "START_TIMEOUT_MS": "5000", "AI_MAX_WORDS_FIRST_REPLY": "1"},
    }
    fates: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        async with running_server(Path(folder), settings) as base:
            url = f"{base.replace('http', 'ws', 1)}/media"
            alone = await waits(url)
            room = asyncio.Semaphore(AT_ONCE)
            crowd = [asyncio.create_task(silent(url, room, fates)) for _ in range(connects)]
            meanwhile = await waits(url)
            await asyncio.gather(*crowd)
            scrape = await asyncio.to_thread(lambda: urlopen(f"{base}/metrics").read().decode())
    counted = [line for line in scrape.splitlines() if "socket_events_total{" in line]
    return {
        "connects": connects,
        "fates": dict(fates),
        "alone_ms": median(alone),
        "meanwhile_ms": median(meanwhile) if meanwhile else None,
        "server": counted,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--connects", type=int, default=10_000)
    options = parser.parse_args()
    figures = asyncio.run(measure(options.connects))
    if options.json:
        print(json.dumps(figures))
        return
    print(f"{figures['connects']} connects: {figures['fates']}")
    print(f"a caller meanwhile: {figures['meanwhile_ms']} ms (alone: {figures['alone_ms']} ms)")
    print(*(line for line in figures["server"] or ()), sep="\n")  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
