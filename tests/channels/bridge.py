"""The real bridge with the real Baileys client, against a WhatsApp on loopback."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import subprocess
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

BRIDGE = Path(__file__).parents[2] / "whatsapp-bridge"
TOKEN = "a token of the bridge's own"
ADMIN = {"x-crabline-admin-token": "crabline-admin"}
SELF = "15550100100"


def installed() -> Path:
    """The bridge with its packages. Skips where Node or the registry is absent."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("no Node here: the bridge is for Node 20 or later")
    version = subprocess.run([node, "-v"], capture_output=True, text=True, check=True).stdout
    if int(version.strip().lstrip("v").partition(".")[0]) < 20:
        pytest.skip(f"Node {version.strip()} is too old: the bridge is for 20 or later")
    lock = BRIDGE / "package-lock.json"
    mark = BRIDGE / "node_modules" / ".installed"
    with (BRIDGE / ".installing").open("w") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        if not mark.exists() or mark.read_text() != lock.read_text():
            command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(command, cwd=BRIDGE, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                pytest.skip(f"npm ci failed: {done.stderr.strip().splitlines()[-1:]}")
            mark.write_text(lock.read_text())
    return BRIDGE


async def _started(*command: str, env: dict[str, str] | None = None) -> tuple[Process, Any]:
    """A process of Node's, and the line it says once it is ready."""
    process = await asyncio.create_subprocess_exec(
        "node", *command, stdout=PIPE, cwd=BRIDGE, env={**os.environ, **(env or {})}
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        line = await process.stdout.readline()
    assert line, f"node {command[0]} did not start"
    return process, json.loads(line)


async def _ended(process: Process, how: signal.Signals) -> None:
    if process.returncode is None:
        process.send_signal(how)
        await process.wait()


@dataclass
class WhatsAppDouble:
    """What the real client speaks to. `kill` and `start` it as you like: it stays where it is."""

    folder: Path
    port: int = 0
    manifest: dict[str, Any] = field(default_factory=dict)
    process: Process | None = None

    @property
    def record(self) -> Path:
        """Everything it was sent, a line each."""
        return self.folder / "whatsapp.jsonl"

    async def start(self) -> None:
        """At the same port as before."""
        self.process, self.manifest = await _started(
            "test/whatsapp.js", str(self.port), str(self.record)
        )
        self.port = httpx.URL(self.manifest["baseUrl"]).port or 0

    async def kill(self) -> None:
        """Without a word."""
        assert self.process is not None
        await _ended(self.process, signal.SIGKILL)

    async def write(self, text: str, sender: str = "972501234567") -> None:
        """Have somebody write."""
        url = self.manifest["endpoints"]["adminInboundUrl"]
        body = {"senderJid": f"{sender}@s.whatsapp.net", "text": text, "pushName": "Dana"}
        body["chatJid"] = body["senderJid"]
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.post(url, json=body, headers=ADMIN)
        assert answer.is_success, answer.text

    def received(self) -> list[dict[str, Any]]:
        """Messages that it took from the client."""
        if not self.record.exists():
            return []
        lines = [json.loads(line) for line in self.record.read_text().splitlines() if line]
        return [line for line in lines if _is_message(line)]


def _is_message(line: dict[str, Any]) -> bool:
    body = line.get("body")
    return line.get("type") == "api" and isinstance(body, dict) and body.get("tag") == "message"


@dataclass
class RunningBridge:
    """The bridge as a process; `kill` and `start` it as you like."""

    folder: Path
    web: str
    port: int = 0
    process: Process | None = None
    database: str = ""
    """Its own; SQLite in its folder where none is given."""

    def __post_init__(self) -> None:
        self.database = self.database or f"sqlite:///{self.folder / 'bridge.sqlite3'}"

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """At the same port as before."""
        env = {
            "WHATSAPP_BRIDGE_TOKEN": TOKEN,
            "WHATSAPP_BRIDGE_URL": self.url,
            "BRIDGE_DB_URL": self.database,
            "WHATSAPP_WEB_URL": self.web,
        }
        self.process, said = await _started("src/main.js", env=env)
        self.port = httpx.URL(said["url"]).port or 0

    async def kill(self) -> None:
        """Without a word."""
        assert self.process is not None
        await _ended(self.process, signal.SIGKILL)


@asynccontextmanager
async def whatsapp(
    folder: Path, database: str = ""
) -> AsyncIterator[tuple[WhatsAppDouble, RunningBridge]]:
    """Both, paired. ``database``: the bridge's; SQLite where none is given."""
    installed()
    double = WhatsAppDouble(folder)
    await double.start()
    web = double.manifest["endpoints"]["baileysWebSocketUrl"]
    bridge = RunningBridge(folder, web, database=database)
    seed = await asyncio.create_subprocess_exec("node", "test/seed.js", bridge.database, cwd=BRIDGE)
    assert await seed.wait() == 0
    await bridge.start()
    try:
        yield double, bridge
    finally:
        for one in (bridge, double):
            if one.process is not None:
                await _ended(one.process, signal.SIGTERM)
