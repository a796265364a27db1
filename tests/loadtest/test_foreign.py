"""A server that is not ours: a Pipecat bot from its own wheel, in an environment of its own."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from voicelat.audio.mulaw import encode
from voicelat.loadtest.plan import Calls, LoadPlan
from voicelat.loadtest.run import Load
from voicelat.loadtest.scenario import Patience, Scenario, Talk
from voicelat.loadtest.utterances import Utterance

HERE = Path(__file__).parent / "foreign"
LOCK = HERE / "pipecat.lock"
SAID = encode(np.random.default_rng(1).normal(0.0, 4000.0, 6400).astype(np.int16))

if find_spec("locust") is None:
    pytest.skip("needs the extra loadtest", allow_module_level=True)


@pytest.fixture(scope="module")
def pipecat() -> Path:
    """The Python of an environment that has what the lock says. Its packages clash with ours."""
    key = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    folder = Path(sys.prefix) / "foreign" / f"pipecat-{key}"
    python = folder / "bin" / "python"
    uv = Path(sys.prefix) / "bin" / "uv"
    if python.exists() and (folder / "ready").exists():
        return python
    if not uv.exists():
        pytest.skip("needs uv beside this Python to make Pipecat's environment")
    environment = {**os.environ, "VIRTUAL_ENV": str(folder)}
    commands: tuple[list[str | Path], ...] = (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder],
        [uv, "pip", "sync", "--quiet", "--require-hashes", LOCK],
    )
    for command in commands:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"Pipecat cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    (folder / "ready").touch()
    return python


@asynccontextmanager
async def bot(python: Path) -> AsyncIterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        python, HERE / "pipecat_bot.py", str(port), stderr=subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(40):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.1)
                else:
                    writer.close()
                    break
        yield f"ws://127.0.0.1:{port}/media"
    finally:
        process.kill()
        await process.wait()


@pytest.mark.timeout(180)
async def test_a_pipecat_bot_is_called_interrupted_and_measured(pipecat: Path) -> None:
    scenario = Scenario(
        talk=Talk(think_ms=(100, 300), barge_ins=1.0, barge_after_ms=(500, 700)),
        patience=Patience(greeting_ms=0, reply_ms=8000, quiet_ms=400),
    )
    async with bot(pipecat) as url:
        calls = Calls(target=url, utterances=[Utterance(SAID)], scenario=scenario, turns=3)
        result = await Load(LoadPlan(calls=calls, callers=3, ramp_s=0.3)).run()
    records = result.records
    assert len(records) == 9
    assert {record.outcome for record in records} == {"answered", "barged_in"}
    # It waits for 0.2 s of silence before anything else.
    assert all((record.TOTAL_LATENCY_MS or 0) >= 180 for record in records)
    assert result.report.summary.barge_ins == 6
    says = " ".join(finding.says for finding in result.report.summary.diagnosis)
    assert "protocol" not in says
    assert "ignores" not in says
