"""Several worker processes behind one door, for real."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest
from tests.serve.running import INSTANT, QUESTION, ServerProcess, scraped, spawned, start, until

from voicelat.caller import CallResult, Say, Script, Silence, WaitForReply
from voicelat.demo.server import running_server
from voicelat.loadtest.line import place_call
from voicelat.loadtest.target import stream_of
from voicelat.metrics.turnsfile import read_turns
from voicelat.twilio.signature import signature_of

WORKERS = ("--workers", "2", *INSTANT, "--set", "AI_MAX_WORDS_FIRST_REPLY=1")
ASK: Script = [Silence(100), Say(QUESTION), WaitForReply(quiet_ms=300)]
HOLD: Script = [*ASK, Silence(60_000)]


@asynccontextmanager
async def two_workers(folder: Path, *options: str) -> AsyncIterator[ServerProcess]:
    """A server of two, with a folder for temporary files of its own."""
    (folder / "tmp").mkdir()
    env = {"TMPDIR": str(folder / "tmp")}
    async with spawned(folder, *WORKERS, *options, env=env) as server:
        yield server


async def on_calls(
    server: ServerProcess, count: int, script: Script
) -> list[asyncio.Task[CallResult]]:
    """So many more calls that go on."""
    before = await server.calls()
    calls = [asyncio.create_task(place_call(server.media, script)) for _ in range(count)]

    async def all_begun() -> bool:
        return await server.calls() == before + count

    await until(all_begun)
    return calls


def gone(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    return True


async def test_workers_bring_their_turns_to_one_database(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy", reason="pip install 'voicelat[sql]'")
    sql = ("--set", f"TURNS_SQL_URL=sqlite:///{tmp_path}/turns.db")
    async with two_workers(tmp_path, *sql) as server:
        calls = await on_calls(server, 4, [*ASK, *ASK])
        await asyncio.gather(*calls)

        async def all_there() -> bool:
            return (await server.metrics())["voicelat_sql_records_total{written}"] == 8

        await until(all_there)
    with sqlite3.connect(tmp_path / "turns.db") as database:
        found = database.execute("SELECT call_id, turn FROM voicelat_turns").fetchall()
    assert len(set(found)) == len(found) == 8


async def test_calls_are_shared_out_evenly_and_everything_adds_up(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as server:
        calls = await on_calls(server, 8, [*ASK, *ASK])
        results = await asyncio.gather(*calls)

        async def all_written() -> bool:
            return (await server.metrics())["voicelat_turn_records_total{written}"] == 16

        await until(all_written)
        metrics = await server.metrics()
        last = await on_calls(server, 1, [*ASK, Silence(500)])
        server.send(signal.SIGTERM)

        async def drains() -> bool:
            return (await server.http.get("/healthz")).status_code == 503

        await until(drains)
        results += await asyncio.gather(*last)
        code, err = await server.ended()
    assert [result.ended for result in results] == ["hung_up"] * 9
    assert code == 0
    records = read_turns([tmp_path / "turns.jsonl"])
    assert records.truncated == []
    assert Counter(record.call_id for record in records.records) == {
        result.call_sid: len(result.heard) for result in results
    }
    for result in results:  # each log line says which worker wrote it
        assert err.count(f"voicelat.call: call {result.call_sid} ended: stop") == 1
    ended = Counter(line.split(" INFO")[0][-8:] for line in err.splitlines() if " ended: " in line)
    assert sorted(ended) == ["worker 0", "worker 1"]
    assert sorted(ended.values()) == [4, 5]
    turns = {name: n for name, n in metrics.items() if name.startswith("voicelat_turns_total")}
    assert sum(turns.values()) == 16
    assert metrics["voicelat_stt_final_ms_count"] == 16
    assert metrics["voicelat_calls"] == 0
    hits, misses = (metrics[f"voicelat_phrase_lookups_total{{{what}}}"] for what in ("hit", "miss"))
    assert metrics["voicelat_phrase_hit_rate"] == hits / (hits + misses)
    shown = [metrics[f"voicelat_worker{name}"] for name in ("s", "s_missing", "_restarts_total")]
    assert shown == [2, 0, 0]
    assert list((tmp_path / "tmp").iterdir()) == []


async def test_a_token_issued_by_one_worker_is_taken_by_any_and_once(tmp_path: Path) -> None:
    settings = {
        **{f"{role}_PROVIDER": "simulated:instant" for role in ("STT", "LLM", "TTS")},
        **{"VAD": "energy", "WORKERS": "2", "GREETING": "", "TURNS_FILE": ""},
        **{"PUBLIC_BASE_URL": "https://bot", "TWILIO_AUTH_TOKEN": "secret"},
    }
    handshake = {"X-Twilio-Signature": signature_of("secret", "wss://bot/media", {})}

    async def calls(url: str, parameters: dict[str, str]) -> str | None:
        media = f"{url.replace('http', 'ws')}/media"
        script: Script = [Silence(200)]
        result = await place_call(media, script, custom_parameters=parameters, headers=handshake)
        return result.ended

    async with running_server(tmp_path, settings) as url, httpx.AsyncClient(base_url=url) as http:
        parameters = []
        for number in range(8):
            form = {"CallSid": f"CA{number}"}
            signed = {"X-Twilio-Signature": signature_of("secret", "https://bot/voice", form)}
            answer = await http.post("/voice", data=form, headers=signed)
            found = stream_of(answer.content, "https://bot/voice")
            assert not isinstance(found, str)
            parameters.append(found[1])
        ended = await asyncio.gather(*(calls(url, one) for one in parameters))
        again = await asyncio.gather(*(calls(url, one) for one in parameters))
        metrics = scraped((await http.get("/metrics")).text)
    assert ended == ["hung_up"] * 8
    assert again == ["closed"] * 8
    refused = "refused: the stream token is missing, old or used"
    assert metrics[f"voicelat_socket_events_total{{{refused}}}"] == 8


async def test_a_killed_worker_is_replaced_and_a_killed_supervisor_leaves_nobody(
    tmp_path: Path,
) -> None:
    async with two_workers(tmp_path, "--set", "GRACE_S=0.5") as server:
        calls = await on_calls(server, 4, HOLD)
        victim, survivor = server.workers
        os.kill(victim, signal.SIGKILL)

        async def replaced() -> bool:
            try:
                metrics = await server.metrics()
            except httpx.ReadError:  # a connection kept from before, to the one that was killed
                return False
            return (metrics["voicelat_workers"], metrics["voicelat_worker_restarts_total"]) == (
                2,
                1,
            )

        await until(replaced)
        assert await server.calls() == 2
        more = await on_calls(server, 2, HOLD)
        workers = [child.pid for child in psutil.Process(server.process.pid).children()]
        assert survivor in workers
        assert victim not in workers
        server.send(signal.SIGKILL)
        await server.process.wait()

        async def all_gone() -> bool:
            return all(gone(worker) for worker in workers)

        await until(all_gone)
        results = await asyncio.gather(*calls, *more)
    assert [result.ended for result in results] == ["closed"] * 6
    assert list((tmp_path / "tmp").iterdir()) == []


async def test_a_mistake_is_told_once_and_nobody_is_started_again(tmp_path: Path) -> None:
    options = ("--port", "0", *WORKERS, "--turns", "no/such/folder/t.jsonl")
    process = await start(tmp_path, options)
    out, err = await process.communicate()
    assert (process.returncode, out) == (2, b"")
    told = b"voicelat: turn records cannot be written to no/such/folder/t.jsonl: "
    assert err.startswith(told)
    assert err.count(b"\n") == 1
