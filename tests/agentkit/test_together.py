"""A call, its agents and their back office as they are run: four processes and a person."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.serve.running import INSTANT, QUESTION, spawned

pytest.importorskip("dbos", reason="the extra is not installed: pip install 'voicelat[agents]'")

import sqlalchemy as sa

from voicelat.agentkit.runs.store import Store
from voicelat.agentkit.tools import AGENTS, ToolSet
from voicelat.backoffice import tokens
from voicelat.backoffice.database import Database
from voicelat.backoffice.tables import Base, Customer
from voicelat.caller import Say, Silence, WaitForReply
from voicelat.loadtest.line import place_call

VOICELAT = ("-m", "voicelat")
NUMBER = "+972501234567"
CALL = "CA" + "7" * 32
RUN = f"{CALL}.end"


def opened(url: str) -> dict[str, str]:
    """A back office with one customer. Returns who calls it -> with which token."""
    database = Database(url)
    database.upgrade()
    scopes = {agent: [tool.id for tool in ToolSet.builtin().of(agent)] for agent in AGENTS}
    scopes |= {"feeder": ["stt.append_turns"], "Dana's boss": ["approvals.grant"]}
    with database.write("shop") as db:
        db.add(
            Customer(
                tenant="shop",
                customer_id="customer_1",
                name="Dana Levi",
                phone=NUMBER,
                email=None,
                notes="",
                found_by=f"dana levi {NUMBER}",
            )
        )
        minted = {
            agent: tokens.mint(
                db,
                agent=agent,
                tenant="shop",
                scopes=opens,
                ttl=timedelta(hours=1),
                now=datetime.now(UTC),
            )
            for agent, opens in scopes.items()
        }
    database.close()
    return minted


def rows(url: str, table: str) -> list[dict[str, Any]]:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = connection.execute(sa.select(Base.metadata.tables[table])).mappings().all()
    engine.dispose()
    return [dict(row) for row in found]


async def said(folder: Path, env: Mapping[str, str], *words: str) -> dict[str, Any]:
    """One of the agents' verbs, as a person types it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *VOICELAT, "agents", *words, "--json"),
        cwd=folder,
        env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    answer: dict[str, Any] = json.loads(out)
    return answer


@asynccontextmanager
async def agents_process(folder: Path, env: Mapping[str, str]) -> AsyncIterator[str]:
    """Where the agents' process takes events, while it runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *VOICELAT, "agents", "serve", "--json"),
        cwd=folder,
        env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        yield json.loads(await process.stdout.readline())["url"]
    finally:
        process.kill()
        await process.communicate()


async def until(happened: Callable[[], bool]) -> None:
    """Looks into the agents' database itself: each verb is a process, and starts in seconds."""
    async with asyncio.timeout(90):
        while not happened():  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.05)


async def called(url: str) -> None:
    """A call from `NUMBER`, to its end."""
    await place_call(
        url.replace("http", "ws") + "/media",
        [Say(QUESTION), WaitForReply(), Silence(300)],
        call_sid=CALL,
        custom_parameters={"from": NUMBER},
    )


async def test_a_call_becomes_a_summary_a_note_and_a_message_that_a_person_approves(
    tmp_path: Path,
) -> None:
    database = f"sqlite:///{tmp_path / 'office.sqlite3'}"
    minted = opened(database)
    person = minted.pop("Dana's boss")
    office = (*VOICELAT, "agents", "office", "--database", database)
    async with spawned(tmp_path, program=office) as desk:
        env = {
            "AGENTS_ENABLED": "1",
            "AGENTS_DB_URL": f"sqlite:///{tmp_path / 'agents.db'}",
            "BACKOFFICE_URL": desk.url,
        }
        own = env | {
            "AGENTS_URL": "http://127.0.0.1:0",
            "BACKOFFICE_TOKEN": ",".join(f"{name}={token}" for name, token in minted.items()),
        }

        store = Store(env["AGENTS_DB_URL"])
        async with agents_process(tmp_path, own) as agents_url:
            calls = {**env, "AGENTS_URL": agents_url}
            llm = ("--llm", "voicelat.demo.reception:Reception")
            async with spawned(tmp_path, *INSTANT, *llm, env=calls) as server:
                await called(server.url)
                await until(lambda: any(one.run_id == RUN for one in store.approvals()))
            listed = await said(tmp_path, env, "approve")
            waiting = [one for one in listed["approvals"] if one["run_id"] == RUN]
            assert [one["tool"] for one in waiting] == ["whatsapp.send"]
            assert rows(database, "messages") == []
            await said(tmp_path, env | {"APPROVER_TOKEN": person}, "approve", waiting[0]["id"])

            await until(lambda: store.entries(RUN)[-1].kind == "ended")
            store.close()
            log = (await said(tmp_path, env, "log", RUN))["log"]

    (summary,) = rows(database, "summaries")
    assert summary["call_id"] == CALL
    (field,) = rows(database, "customer_fields")
    assert (field["customer_id"], field["key"]) == ("customer_1", "last_call")
    (message,) = rows(database, "messages")
    assert (message["status"], message["template"]) == ("queued", "call_follow_up")
    written = [entry["tool"] for entry in log if entry["kind"] == "called"]
    assert written.count("whatsapp.send") == written.count("crm.update") == 1
