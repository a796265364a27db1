"""What agents beside the calls cost the calls: an offer, and a P95 while the agents suffer.

    python benchmarks/outbox.py [--json] [--quick] [--rounds 4] [--callers 10] [--questions 6]

Ten callers on a server with ``AGENTS_ENABLED``, voice to voice at the caller, less the hangover.
Five conditions take turns in every round, so that a busy machine is busy for all of them:
without agents (the baseline), with agents at rest, at 100 % of a core, stopped (SIGSTOP), and
killed. Printed: P95 of each and its difference from the baseline, with 95 % intervals (bootstrap
over calls), and what became of the events. The agents' process is the real receiver; what it
would work on is left out: a thread that spins stands for it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np

from voicelat.agentkit.runs.event import Event
from voicelat.agentkit.runs.outbox import Outbox
from voicelat.audio.mulaw import encode
from voicelat.demo.server import running_server
from voicelat.loadtest.cast import Cast
from voicelat.loadtest.line import place_call
from voicelat.loadtest.scenario import Scenario, Talk
from voicelat.loadtest.utterances import Utterance

BASELINE = "no agents"
CONDITIONS = (BASELINE, "at rest", "at 100 %", "stopped", "killed")
HANGOVER_MS = 160
SETTINGS = {
    **dict.fromkeys(("STT_PROVIDER", "LLM_PROVIDER", "TTS_PROVIDER"), "simulated:instant"),
    **{"VAD": "energy", "VAD_HANGOVER_MS": str(HANGOVER_MS), "SPEAK_GATE_MS": "0"},
    **{"TURNS_FILE": "", "AI_MAX_WORDS_FIRST_REPLY": "1", "GREETING": "Hello"},
}


def ns_per_offer(count: int) -> dict[str, float]:
    """With nobody at the other end: taken, and dropped by a full outbox."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        event = Event(id="CA1.1", kind="turn", text="hello", at_utc="2026-01-01T00:00:00+00:00")
        figures = {}
        for name, size in (("taken", count), ("dropped", 0)):
            outbox = Outbox(url, size=size)
            began = time.perf_counter_ns()
            for _ in range(count):
                outbox.offer(event)
            figures[name] = (time.perf_counter_ns() - began) / count
            outbox.close(0)
    return figures


class Nobody:
    """A worker that forgets what it is given."""

    def start(self) -> None:
        pass

    def stop(self, grace_s: float = 5.0) -> None:
        pass

    def enqueue(self, event: Event) -> None:
        pass


def be_agents(spin: bool) -> None:
    """The agents' process: says where it listens, and works if it is to."""
    from voicelat.agentkit.runs.process import serve

    def work() -> None:
        while True:
            sum(range(10_000))

    if spin:
        threading.Thread(target=work, daemon=True).start()
    serve(Nobody(), "http://127.0.0.1:0", None, on_ready=lambda url: print(url, flush=True))


@contextmanager
def agents(condition: str) -> Iterator[str | None]:
    """Their address, in that condition; None where there are none."""
    if condition == BASELINE:
        yield None
        return
    command = [sys.executable, __file__, "--be-agents", *(["--spin"] * (condition == "at 100 %"))]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if condition in ("stopped", "killed"):
                process.send_signal(signal.SIGSTOP if condition == "stopped" else signal.SIGKILL)
            yield url
        finally:
            process.kill()


async def calls(condition: str, callers: int, questions: int, seed: int) -> dict[str, Any]:
    """Each call's waits, and the server's counts of events."""
    noise = np.random.default_rng(1).normal(0.0, 3000.0, 6400).astype(np.int16)
    talk = Talk(questions=questions, think_ms=(100, 700))
    cast = Cast([Utterance(encode(noise))], Scenario(talk=talk))
    with tempfile.TemporaryDirectory() as folder, agents(condition) as where:
        told = {} if where is None else {"AGENTS_ENABLED": "1", "AGENTS_URL": where}
        async with running_server(Path(folder), {**SETTINGS, **told}) as base:
            url = f"{base.replace('http', 'ws', 1)}/media"

            async def call(number: int) -> list[int]:
                script, setup = cast.call(seed * callers + number)
                heard = (await place_call(url, script, setup=setup)).heard
                return [one.v2v_ms - HANGOVER_MS for one in heard if one.v2v_ms is not None]

            waits = await asyncio.gather(*(call(number) for number in range(callers)))
            scrape = await asyncio.to_thread(lambda: urlopen(f"{base}/metrics").read().decode())
    counts = {
        line.split('"')[1] if '"' in line else "waiting": int(float(line.split()[-1]))
        for line in scrape.splitlines()
        if line.startswith("voicelat_agent_events")
    }
    return {"waits": waits, "events": counts}


def p95_of(rng: np.random.Generator, per_call: list[list[int]], draws: int = 2000) -> Any:
    """P95 of whole calls drawn with replacement, ``draws`` times."""
    picks = rng.integers(0, len(per_call), (draws, len(per_call)))
    kept = [np.asarray(one) for one in per_call]
    return np.array([np.percentile(np.concatenate([kept[i] for i in row]), 95) for row in picks])


def measure(rounds: int, callers: int, questions: int, offers: int) -> dict[str, Any]:
    waits: dict[str, list[list[int]]] = defaultdict(list)
    events: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for seed in range(rounds):
        order = CONDITIONS[seed % len(CONDITIONS) :] + CONDITIONS[: seed % len(CONDITIONS)]
        for condition in order:
            found = asyncio.run(calls(condition, callers, questions, seed))
            waits[condition] += [one for one in found["waits"] if one]
            for fate, count in found["events"].items():
                events[condition][fate] += count
    rng = np.random.default_rng(1)
    base = p95_of(rng, waits[BASELINE])
    figures = {}
    for condition in CONDITIONS:
        drawn = p95_of(rng, waits[condition])
        every = np.concatenate([np.asarray(one) for one in waits[condition]])
        figures[condition] = {
            "turns": len(every),
            "p50_ms": float(np.percentile(every, 50)),
            "p95_ms": float(np.percentile(every, 95)),
            "p95_ci": [float(edge) for edge in np.percentile(drawn, (2.5, 97.5))],
            "more_ci": [float(edge) for edge in np.percentile(drawn - base, (2.5, 97.5))],
            "events": dict(events[condition]),
        }
    load = os.getloadavg()[0]
    return {"ns_per_offer": ns_per_offer(offers), "conditions": figures, "load_average": load}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="one small round")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--callers", type=int, default=10)
    parser.add_argument("--questions", type=int, default=6)
    parser.add_argument("--be-agents", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--spin", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be_agents:
        be_agents(options.spin)
        return
    size = (1, 2, 1, 10_000) if options.quick else None
    figures = measure(*(size or (options.rounds, options.callers, options.questions, 200_000)))
    if options.json:
        print(json.dumps(figures))
        return
    for name, ns in figures["ns_per_offer"].items():
        print(f"an event {name}: {ns:.0f} ns")
    for name, one in figures["conditions"].items():
        low, high = one["more_ci"]
        print(
            f"{name:<10} P50 {one['p50_ms']:4.0f}  P95 {one['p95_ms']:4.0f} ms "
            f"[{one['p95_ci'][0]:.0f}, {one['p95_ci'][1]:.0f}], more than the baseline: "
            f"[{low:+.0f}, {high:+.0f}] ms, {one['turns']} turns, events {one['events']}"
        )
    print(f"load average at the end: {figures['load_average']:.1f}")


if __name__ == "__main__":
    main()
