"""What a call tells the agents, through a server that carries one."""

from __future__ import annotations

from pathlib import Path

from tests.agentkit.runs.test_outbox import agents
from tests.serve.running import INSTANT, QUESTION, spawned, until

from voicelat.loadtest.cast import Cast
from voicelat.loadtest.line import place_call
from voicelat.loadtest.scenario import Scenario, Talk
from voicelat.loadtest.utterances import Utterance


async def a_call(url: str) -> None:
    talk = Talk(questions=1, think_ms=(50, 100))
    script, setup = Cast([Utterance(QUESTION)], Scenario(talk=talk)).call(1)
    assert len((await place_call(url, script, setup=setup, call_sid="CA1")).heard) == 1


async def test_a_server_tells_each_turn_and_the_end_and_counts_them(tmp_path: Path) -> None:
    with agents() as there:
        told = ("--set", "AGENTS_ENABLED=1", "--set", f"AGENTS_URL={there.url}")
        other = ("--set", "AGENTS_TOKEN=secret", "--set", "GREETING=Hello")
        async with spawned(tmp_path, *INSTANT, *told, *other) as server:
            await a_call(server.media)

            async def all_delivered() -> bool:
                fates = await server.metrics()
                return fates["voicelat_agent_events_total{delivered}"] == 2

            await until(all_delivered)
            fates = await server.metrics()
    assert there.seen == ["CA1.1", "CA1.end"]
    assert there.tokens == {"Bearer secret"}
    assert fates["voicelat_agent_events_waiting"] == 0
    assert fates["voicelat_agent_events_total{dropped}"] == 0


async def test_without_agents_nothing_is_told_nor_shown(tmp_path: Path) -> None:
    async with spawned(tmp_path, *INSTANT) as server:
        assert not any("agent_events" in name for name in await server.metrics())
