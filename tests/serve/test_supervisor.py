"""The process that looks after workers, with workers that do little else than die."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from asyncio.subprocess import Process
from pathlib import Path

from tests.serve.running import start

WORKER = """
import os, signal, sys
from voicelat.serve.crew import ENVIRONMENT, Crew, State, place_of

crew = Crew(place_of(os.environ[ENVIRONMENT]))

def work():
    crew.note_state(State.OPEN)
    signal.pause()

def fail(code):
    crew.last_words("this cannot be: do that")
    sys.exit(code)
"""
SUPERVISOR = """
import json, sys
from voicelat.errors import VoicelatError
from voicelat.serve.supervisor import supervise

def ready(url, workers):
    print(json.dumps(workers), flush=True)

try:
    supervise([sys.executable, "-c", sys.argv[1]], 2, "127.0.0.1", 0, on_ready=ready, grace_s=0)
except VoicelatError as error:
    print(f"{type(error).__name__}: {error}")
"""


async def supervised(folder: Path, worker: str) -> Process:
    return await start(folder, (f"{WORKER}\n{worker}",), program=("-c", SUPERVISOR))


async def ended(process: Process) -> tuple[str, str]:
    out, err = await asyncio.wait_for(process.communicate(), 20)
    return out.decode(), err.decode()


async def test_workers_that_cannot_start_end_the_server_with_their_last_words(
    tmp_path: Path,
) -> None:
    out, _ = await ended(await supervised(tmp_path, "fail(2)"))
    assert out == "UsageError: this cannot be: do that\n"


async def test_workers_that_keep_dying_end_it_too_but_are_given_another_chance(
    tmp_path: Path,
) -> None:
    out, err = await ended(await supervised(tmp_path, "fail(3)"))
    assert out == "ConnectError: this cannot be: do that\n"
    assert re.findall(
        r"worker \d ended \((.*), 0 connections\): starting another in (\d) s", err
    ) == [
        ("code 3", "1"),
        ("code 3", "2"),
    ]


async def test_workers_that_die_without_a_word_are_said_to(tmp_path: Path) -> None:
    out, _ = await ended(await supervised(tmp_path, "os.abort()"))
    assert out == "ConnectError: a worker dies at its start (signal 6; above: why)\n"


async def test_once_calls_are_taken_a_worker_that_cannot_start_again_ends_nothing(
    tmp_path: Path,
) -> None:
    once = tmp_path / "once"
    process = await supervised(
        tmp_path,
        f"""
if crew.place.index == 1:
    if os.path.exists({str(once)!r}):
        fail(2)
    open({str(once)!r}, "w").close()
work()
""",
    )
    assert process.stdout is not None
    assert process.stderr is not None
    _, victim = json.loads(await process.stdout.readline())
    os.kill(victim, signal.SIGKILL)
    told = [(await process.stderr.readline()).decode() for _ in range(3)]
    assert [re.findall(r"\((.*), .* in (\d) s", line) for line in told] == [
        [("signal 9", "0")],
        [("code 2", "1")],
        [("code 2", "2")],
    ]
    process.send_signal(signal.SIGTERM)
    assert await ended(process) == ("", "")
    assert process.returncode == 0


def test_it_imports_no_server_and_no_models() -> None:
    listed = subprocess.run(
        [sys.executable, "-c", "import sys, voicelat.serve.supervisor; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"starlette", "uvicorn", "numpy", "onnxruntime", "grpc", "prometheus_client"}
    assert heavy & set(listed.stdout.split()) == set()
