"""The reference server for real: inside this event loop, or as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import uvicorn
from prometheus_client.parser import text_string_to_metric_families

from voicelat.audio.mulaw import BYTES_PER_MS, encode
from voicelat.engine.config import EngineConfig
from voicelat.engine.stack import Stack
from voicelat.metrics.exporters.live import LiveSink
from voicelat.providers.registry import ProviderOptions
from voicelat.providers.registry import language_model as llm
from voicelat.providers.registry import speech_to_text as stt
from voicelat.providers.registry import text_to_speech as tts
from voicelat.serve.app import TwilioServer
from voicelat.serve.config import ServeConfig
from voicelat.serve.server import uvicorn_config
from voicelat.turn.config import TurnConfig

__all__ = [
    "INSTANT",
    "QUESTION",
    "QUIET",
    "Running",
    "ServerProcess",
    "instant_stack",
    "scraped",
    "serving",
    "spawned",
    "until",
]

_NOISE = np.random.default_rng(1).normal(0.0, 3000.0, 600 * BYTES_PER_MS)
QUESTION = encode(_NOISE.astype(np.int16))
"""600 ms at the level of speech, audible from its first sample to its last."""

QUIET = EngineConfig(greeting="", max_reply_words=1)
"""The caller begins, and one word is the answer: 400 ms."""

NO_GATE = TurnConfig(speak_gate_ms=0)

INSTANT = (
    *("--profile", "instant", "--set", "VAD=energy"),
    *("--set", "GREETING=", "--set", "SPEAK_GATE_MS=0"),
)
"""Options of ``voicelat serve`` for an answer as soon as the turn is over."""

VERB = ("-m", "voicelat", "serve")

_PATIENCE_S = 20.0
"""Only a broken server comes near it."""


def instant_stack() -> Stack:
    """Simulated providers that take no time, on the energy detector."""
    name, options = "simulated:instant", ProviderOptions()
    return Stack(stt(name, options), llm(name, options), tts(name, options))


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Look every 10 ms: a server in another process has nothing to wait on."""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.01)


def scraped(text: str) -> dict[str, float]:
    """A scrape as Prometheus reads it, by ``name`` or ``name{label}`` (one label's value)."""
    return {
        sample.name + "".join(f"{{{value}}}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@dataclass(frozen=True)
class Running:
    """A server that takes calls."""

    url: str
    http: httpx.AsyncClient

    @property
    def media(self) -> str:
        """Its media socket."""
        return f"{self.url.replace('http', 'ws', 1)}/media"

    async def metrics(self) -> dict[str, float]:
        """What ``/metrics`` says."""
        return scraped((await self.http.get("/metrics")).text)

    async def events(self, why: str) -> float:
        """How many sockets or messages had this fate."""
        return (await self.metrics()).get(f"voicelat_socket_events_total{{{why}}}", 0)

    async def calls(self) -> int:
        """How many calls it says are going on."""
        calls: int = (await self.http.get("/healthz")).json()["calls"]
        return calls

    async def taken(self) -> bool:
        """Whether a call is going on."""
        return await self.calls() > 0

    async def idle(self) -> bool:
        """Whether no call is."""
        return await self.calls() == 0


@dataclass(frozen=True)
class Inside(Running):
    """A server in this event loop."""

    server: TwilioServer


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@asynccontextmanager
async def serving(
    config: ServeConfig | None = None,
    *,
    stack: Stack | None = None,
    engine: EngineConfig = QUIET,
    sinks: Sequence[LiveSink] = (),
    ping_s: float = 20.0,
) -> AsyncIterator[Inside]:
    """Serve on a free loopback port. ``ping_s``: between pings, and to wait for their pongs."""
    config = config or ServeConfig()
    stack = stack or instant_stack()
    server = TwilioServer(stack, config, turn=NO_GATE, engine=engine, sinks=sinks)
    uvicorns = uvicorn_config(server)
    uvicorns.ws_ping_interval = uvicorns.ws_ping_timeout = ping_s
    runner = _Uvicorn(uvicorns)
    listener = socket.create_server(("127.0.0.1", 0))
    running = asyncio.create_task(runner.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        await asyncio.wait_for(runner.ready.wait(), _PATIENCE_S)
        async with httpx.AsyncClient(base_url=url) as http:
            yield Inside(url, http, server)
    finally:
        runner.should_exit = True
        await running


@dataclass(frozen=True)
class ServerProcess(Running):
    """A server in a process of its own."""

    process: Process
    workers: tuple[int, ...] = ()
    """Their process ids, where there are several."""

    def send(self, sig: signal.Signals) -> None:
        """Signal it."""
        self.process.send_signal(sig)

    async def ended(self) -> tuple[int, str]:
        """Its exit code and stderr, once it has ended."""
        _, err = await asyncio.wait_for(self.process.communicate(), _PATIENCE_S)
        assert self.process.returncode is not None
        return self.process.returncode, err.decode()


@asynccontextmanager
async def spawned(
    folder: Path,
    *options: str,
    program: Sequence[str] = VERB,
    env: Mapping[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> AsyncIterator[ServerProcess]:
    """Run ``program`` with ``options`` in ``folder`` on a free port, until it says where.

    ``before`` runs in the new process before the server does.
    """
    options = ("--port", "0", "--json", *options)
    process = await start(folder, options, program=program, env=env, before=before)
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), _PATIENCE_S)
        if not line:
            assert process.stderr is not None
            raise AssertionError((await process.stderr.read()).decode())
        ready = json.loads(line)
        url, workers = ready["url"], tuple(ready.get("workers", ()))
        async with httpx.AsyncClient(base_url=url) as http:
            yield ServerProcess(url, http, process, workers)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def start(
    folder: Path,
    options: Sequence[str],
    *,
    program: Sequence[str] = VERB,
    env: Mapping[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> Process:
    """The bare process of `spawned`."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, *program, *options),
        cwd=folder,
        env={**os.environ, "TWILIO_AUTH_TOKEN": "", **(env or {})},
        stdout=PIPE,
        stderr=PIPE,
        preexec_fn=before,
    )
