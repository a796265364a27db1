"""The dashboard, asked of a real Prometheus that scrapes a real server."""

from __future__ import annotations

import asyncio
import json
import math
import re
import shutil
import socket
from asyncio.subprocess import DEVNULL, PIPE
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.serve.running import INSTANT, QUESTION, spawned, until

from voicelat.caller import Say, Script, Silence, WaitForReply
from voicelat.loadtest.line import place_call
from voicelat.metrics.exporters.prometheus import BUCKETS_MS
from voicelat.metrics.turnsfile import read_turns

FOLDER = Path(__file__).parents[1] / "examples" / "grafana"
DASHBOARD = json.loads((FOLDER / "voicelat.json").read_text(encoding="utf-8"))
CALLS, QUESTIONS = 4, 3
ASK: Script = [Silence(100), Say(QUESTION), WaitForReply(quiet_ms=100)] * QUESTIONS
BRIEF = (*INSTANT, "--set", "AI_MAX_WORDS_FIRST_REPLY=1")

NO_DATA = {
    "voicelat_otel_": "nothing is sent to a collector",
    "voicelat_recording_lost": "nothing is recorded",
    "voicelat_fallback_ms": "no fallback is asked",
}
"""What a plain server has no data for, and why."""


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression with its panel's title, variables filled in."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            asked = re.sub(r"\$(window|__range)", "5m", target["expr"])
            asked = re.sub(r"\$(job|instance)", ".*", asked)
            assert "$" not in asked
            yield panel["title"], asked


@asynccontextmanager
async def scraping(folder: Path, target: str) -> AsyncIterator[httpx.AsyncClient]:
    """A Prometheus with our configuration, but five scrapes a second. Skips where there is none."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no prometheus on the PATH: apt-get install prometheus")
    config = (FOLDER / "prometheus.yml").read_text(encoding="utf-8")
    config = config.replace("15s", "200ms").replace("127.0.0.1:8080", target)
    (folder / "prometheus.yml").write_text(config, encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    process = await asyncio.create_subprocess_exec(
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        stdout=DEVNULL,
        stderr=PIPE,
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://{address}") as http:

            async def ready() -> bool:
                if process.returncode is not None:
                    assert process.stderr is not None
                    said = (await process.stderr.read()).decode()
                    pytest.skip(f"prometheus does not start: {said[-300:]}")
                try:
                    return (await http.get("/-/ready")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(ready)
            yield http
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def answer(prometheus: httpx.AsyncClient, query: str) -> list[float]:
    """The values of an instant query, those that are none left out."""
    told: Any = (await prometheus.get("/api/v1/query", params={"query": query})).json()
    assert told["status"] == "success", f"{query}: {told}"
    values = [float(one["value"][1]) for one in told["data"]["result"]]
    return [value for value in values if not math.isnan(value)]


async def test_a_real_prometheus_answers_every_panel_and_agrees_with_the_records(
    tmp_path: Path,
) -> None:
    sql = ("--set", f"TURNS_SQL_URL=sqlite:///{tmp_path}/turns.db")
    async with (
        spawned(tmp_path, *BRIEF, *sql) as server,
        scraping(tmp_path, server.url.removeprefix("http://")) as prometheus,
    ):

        async def seen(turns: int) -> bool:
            """On all ways: counted, in the file, in the database."""
            asked = ("turns_total", "turn_records_total", "sql_records_total")
            found = [await answer(prometheus, f"sum(voicelat_{name})") for name in asked]
            return found == [[turns]] * 3

        await until(lambda: seen(0))
        await asyncio.gather(*(place_call(server.media, ASK) for _ in range(CALLS)))
        await until(lambda: seen(CALLS * QUESTIONS))
        found = {(title, asked): await answer(prometheus, asked) for title, asked in expressions()}
        (p95_ms,) = found["P95 of the total", dict(expressions())["P95 of the total"]]
    empty = [
        title
        for (title, asked), values in found.items()
        if not values and not any(name in asked for name in NO_DATA)
    ]
    assert empty == []
    assert found["Turns", dict(expressions())["Turns"]] != [0]
    totals = sorted(
        turn.TOTAL_LATENCY_MS
        for turn in read_turns([tmp_path / "turns.jsonl"]).records
        if turn.TOTAL_LATENCY_MS is not None
    )
    exact = totals[math.ceil(0.95 * len(totals)) - 1]
    bucket = bisect_left(BUCKETS_MS, exact)
    assert BUCKETS_MS[bucket - 1] <= p95_ms <= BUCKETS_MS[bucket]


def test_panels_do_not_overlap_and_say_what_they_are() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


def test_the_dashboard_asks_whichever_prometheus_is_chosen() -> None:
    assert DASHBOARD["templating"]["list"][0]["type"] == "datasource"
    sources = {str(panel["datasource"]["uid"]) for panel in DASHBOARD["panels"]}
    assert sources == {"${datasource}"}
