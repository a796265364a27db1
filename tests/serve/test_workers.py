"""Several worker processes on one port, for real."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest
from tests.serve.running import INSTANT, QUESTION, ServerProcess, spawned, until

from voicelat.caller import CallResult, Say, Script, Silence, WaitForReply
from voicelat.loadtest.line import place_call
from voicelat.loadtest.target import stream_of
from voicelat.metrics.turnsfile import read_turns
from voicelat.twilio.signature import signature_of

WORKERS = (
    *("--workers", "2", *INSTANT),
    *("--set", "AI_MAX_WORDS_FIRST_REPLY=1", "--set", "LOG_LEVEL=WARNING"),
)
SCRIPT: Script = [Silence(100), Say(QUESTION), WaitForReply(quiet_ms=300)]


@asynccontextmanager
async def two_workers(folder: Path, *options: str) -> AsyncIterator[ServerProcess]:
    async with spawned(folder, *WORKERS, *options) as server:
        yield server


def workers_of(server: ServerProcess) -> list[psutil.Process]:
    workers: list[psutil.Process] = psutil.Process(server.process.pid).children()
    return workers


async def calls(server: ServerProcess, count: int) -> list[CallResult]:
    return await asyncio.gather(*(place_call(server.media, SCRIPT) for _ in range(count)))


async def test_calls_are_spread_and_everything_adds_up(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as server:
        results = await calls(server, 16)
        await until(server.idle)
        metrics = await server.metrics()
        server.send(signal.SIGTERM)
        code, err = await server.ended()
    assert all(result.heard[0].v2v_ms is not None for result in results)
    assert code == 0
    records = read_turns([tmp_path / "turns.jsonl"]).records
    assert len(records) == 16
    assert {record.call_id for record in records} == {result.call_sid for result in results}
    assert metrics["voicelat_workers"] == 2
    assert (
        sum(value for name, value in metrics.items() if name.startswith("voicelat_turns_t")) == 16
    )
    assert "Traceback" not in err


async def test_a_token_issued_by_any_worker_is_taken_by_any(tmp_path: Path) -> None:
    public = ("--set", "PUBLIC_BASE_URL=https://bot", "--set", "TWILIO_AUTH_TOKEN=secret")
    handshake = {"X-Twilio-Signature": signature_of("secret", "wss://bot/media", {})}
    async with two_workers(tmp_path, *public) as server:
        ended = []
        for number in range(8):
            form = {"CallSid": f"CA{number}"}
            signed = {"X-Twilio-Signature": signature_of("secret", "https://bot/voice", form)}
            answer = await server.http.post("/voice", data=form, headers=signed)
            found = stream_of(answer.content, "https://bot/voice")
            assert not isinstance(found, str)
            result = await place_call(
                server.media, SCRIPT, custom_parameters=found[1], headers=handshake
            )
            ended.append(result.ended)
    assert ended == ["hung_up"] * 8


async def test_a_worker_that_is_killed_is_replaced_and_the_others_go_on(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as server:
        victim, survivor = workers_of(server)
        victim.kill()

        async def replaced() -> bool:
            alive = workers_of(server)
            if survivor not in alive or victim in alive or len(alive) < 2:
                return False
            with suppress(OSError):
                metrics = await server.metrics()
                return metrics.get("voicelat_workers") == 2
            return False

        await until(replaced)
        results = await calls(server, 4)
        server.send(signal.SIGTERM)
        code, err = await server.ended()
    assert all(result.heard[0].v2v_ms is not None for result in results)
    assert code == 0
    assert "died (signal 9): starting another" in err


async def test_a_killed_supervisor_leaves_nobody(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as server:
        workers = workers_of(server)
        server.send(signal.SIGKILL)
        await server.process.wait()

        async def gone() -> bool:
            return not any(worker.is_running() and _lives(worker) for worker in workers)

        await until(gone)


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


async def test_a_mistake_is_told_once_and_nobody_is_started_again(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="a worker cannot start") as told:
        async with two_workers(tmp_path, "--set", "TURNS_FILE=/nowhere/at/all.jsonl"):
            pass
    assert "Traceback" not in str(told.value)
