"""Whole load tests: Locust in its process, callers on real sockets, rows at the end."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.server import ServerConnection, serve

from voicelat.caller import Heard
from voicelat.doubles.agents import VICES, serve_agent
from voicelat.errors import UsageError
from voicelat.loadtest.plan import Calls, LoadPlan
from voicelat.loadtest.run import Load, LoadResult
from voicelat.loadtest.scenario import Patience, Scenario, Talk
from voicelat.loadtest.utterances import Utterance
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.targets import parse_gate
from voicelat.metrics.turnsfile import read_turns

# Not imported: gevent would patch this process.
if find_spec("locust") is None:
    pytest.skip("needs the extra loadtest", allow_module_level=True)

SAID = [Utterance(b"\x80\x00" * 2000, "half a second")]
QUICK = Scenario(talk=Talk(think_ms=(20, 80)), patience=Patience(quiet_ms=300, reply_ms=1500))
BRISK = VICES["healthy"]


def calls(url: str, turns: int = 2) -> Calls:
    return Calls(target=url, utterances=SAID, scenario=QUICK, turns=turns)


async def load(plan: LoadPlan) -> tuple[LoadResult, list[TurnRecord], list[Heard]]:
    records: list[TurnRecord] = []
    heard: list[Heard] = []
    result = await Load(plan, on_turn=heard.append, on_record=records.append).run()
    return result, records, heard


async def test_every_caller_calls_once_and_every_question_is_a_row() -> None:
    async with serve_agent(BRISK) as url:
        gates = parse_gate("censored=0,total_p95=60000")
        result, records, heard = await load(
            LoadPlan(calls=calls(url), callers=3, ramp_s=0.1, gates=gates)
        )
    summary = result.report.summary
    assert (summary.calls, summary.turns, summary.measured_at) == (3, 6, "caller")
    assert (len(records), len(heard)) == (6, 6)
    assert result.report.gate_failures == []
    assert (result.generator.calls, result.generator.failed, result.exit_code) == (3, 0, 0)
    assert result.generator.pacing_p99_ms is not None
    assert json.loads(result.to_json())["generator"]["callers"] == 3
    assert len({record.call_id for record in records}) == 3


async def test_until_the_time_is_over_callers_call_again_and_then_hang_up() -> None:
    async with serve_agent(BRISK) as url:
        plan = LoadPlan(calls=calls(url, turns=1), callers=2, ramp_s=0.1, duration_s=6.0)
        result, records, _ = await load(plan)
    assert result.generator.calls > 2
    assert {record.outcome for record in records} <= {"answered", "abandoned"}


async def test_calls_that_find_everybody_busy_are_counted() -> None:
    async with serve_agent(BRISK) as url:
        plan = LoadPlan(
            calls=calls(url, turns=3), callers=1, ramp_s=0.1, duration_s=4.0, arrivals_per_s=20.0
        )
        result, _, _ = await load(plan)
    assert result.generator.not_placed > 0
    assert any("were not placed" in line for line in result.complaints)


async def test_a_server_that_is_not_there_is_told_once_with_its_count() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        result, records, _ = await load(
            LoadPlan(calls=calls(f"ws://127.0.0.1:{port}"), callers=3, ramp_s=0.1)
        )
    assert (result.exit_code, records, result.generator.failed) == (3, [], 3)
    (line,) = result.complaints
    assert "3 calls could not be placed" in line


async def test_a_server_that_hangs_up_in_the_middle_is_named() -> None:
    async with serve_agent(VICES["hangs-up"]) as url:
        result, _, _ = await load(LoadPlan(calls=calls(url, turns=4), callers=2, ramp_s=0.1))
    says = " ".join(finding.says for finding in result.report.summary.diagnosis)
    assert "hung up on 2 of 2" in says


async def test_locusts_pages_show_the_turns_while_it_runs() -> None:
    port = free_port()
    first = asyncio.Event()
    async with serve_agent(BRISK) as url, httpx.AsyncClient() as http:
        plan = LoadPlan(calls=calls(url, turns=4), callers=2, ramp_s=0.1, web=("127.0.0.1", port))
        running = asyncio.create_task(Load(plan, on_turn=lambda _: first.set()).run())
        await first.wait()
        shown: list[str] = []
        async with asyncio.timeout(20):
            while "turn" not in shown:
                stats = await http.get(f"http://127.0.0.1:{port}/stats/requests")
                shown = [row["name"] for row in stats.json()["stats"]]
        page = await http.get(f"http://127.0.0.1:{port}/")
        await running
    assert page.status_code == 200


async def test_a_socket_made_by_hand_is_as_good_as_any() -> None:
    """Thirty lines that know nothing of this package."""

    async def bot(connection: ServerConnection) -> None:
        sid, quiet, spoke = "", 0, False
        voice = '{"event":"media","streamSid":"%s","media":{"payload":"' + "gAAA" * 400 + '"}}'
        async for text in connection:
            message = json.loads(text)
            if message["event"] == "start":
                sid = message["streamSid"]
                await connection.send(voice % sid)
            elif message["event"] == "media":
                loud = "gACA" in message["media"]["payload"]
                spoke, quiet = spoke or loud, 0 if loud else quiet + 1
                if spoke and quiet == 10:
                    spoke = False
                    await connection.send(voice % sid)
            elif message["event"] == "stop":
                return

    async with serve(bot, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        result, records, _ = await load(
            LoadPlan(calls=calls(f"ws://127.0.0.1:{port}"), callers=2, ramp_s=0.1)
        )
    assert [record.outcome for record in records] == ["answered"] * 4
    assert all((record.TOTAL_LATENCY_MS or 0) >= 180 for record in records)
    assert result.generator.calls == 2


async def test_ctrl_c_hangs_up_and_keeps_what_was_heard() -> None:
    async with serve_agent(BRISK) as url:
        heard: list[Heard] = []
        first = asyncio.Event()

        def note(turn: Heard) -> None:
            heard.append(turn)
            first.set()

        plan = LoadPlan(calls=calls(url, turns=100), callers=2, ramp_s=0.1)
        running = asyncio.create_task(Load(plan, on_turn=note).run())
        await first.wait()
        running.cancel()
        result = await running
    assert (result.interrupted, result.exit_code) == (True, 130)
    assert result.report.summary.turns >= 1


async def test_nothing_to_say_and_no_target_are_errors() -> None:
    nothing = Calls(target="ws://127.0.0.1", utterances=[])
    with pytest.raises(UsageError, match="nothing to say"):
        await Load(LoadPlan(calls=nothing)).run()
    with pytest.raises(UsageError, match="webhook"):
        await Load(LoadPlan(calls=calls("bot"))).run()


# -- two machines ------------------------------------------------------------------------------


@asynccontextmanager
async def agent_process() -> AsyncIterator[str]:
    command = [sys.executable, "-m", "voicelat.doubles", "--agent", "healthy"]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield json.loads(await process.stdout.readline())["url"]
    finally:
        process.kill()
        await process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def command(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "voicelat", "loadtest", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


async def test_a_workers_rows_arrive_at_its_master(tmp_path: Path) -> None:
    scenario = tmp_path / "quick.toml"
    scenario.write_text(
        "[talk]\nthink_ms = [20, 80]\n[patience]\nquiet_ms = 300\nreply_ms = 1500\n"
    )
    port, out = free_port(), tmp_path / "turns.jsonl"
    async with agent_process() as url:
        master = await command(
            *(url, "--callers", "4", "--turns", "2", "--scenario", str(scenario)),
            *("--master", "--expect-workers", "2", "--bind", f"127.0.0.1:{port}"),
            *("--out", str(out), "--json"),
        )
        workers = [
            await command("--worker", "--master-host", f"127.0.0.1:{port}") for _ in range(2)
        ]
        told, complaint = await asyncio.wait_for(master.communicate(), 50)
        placed = [(await worker.communicate())[0].decode() for worker in workers]
    assert master.returncode == 0, complaint.decode()
    report = json.loads(told)
    assert (report["turns"], report["calls"]) == (8, 4)
    assert (report["generator"]["workers"], report["generator"]["workers_lost"]) == (2, 0)
    records = read_turns([out]).records
    assert len(records) == 8
    assert len({record.call_id for record in records}) == 4
    assert [told.splitlines()[-1].split()[:3] for told in placed] == [["2", "calls", "placed;"]] * 2
