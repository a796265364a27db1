"""ChatKit over HTTP, by its own server library: the same agents, and cards to decide."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.console.desk import Desk, Visitor, desk_at


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_at(tmp_path) as served:
        yield served


@asynccontextmanager
async def chatting(desk: Desk, name: str) -> AsyncIterator[Visitor]:
    visitor = Visitor(desk.url)
    assert (await visitor.sign_in(name)).status_code == 200
    try:
        yield visitor
    finally:
        await visitor.http.aclose()


async def asked(visitor: Visitor, kind: str, **params: Any) -> Any:
    """The answer's events, or its one JSON."""
    answer = await visitor.post("/api/chatkit", {"type": kind, "params": params})
    if "event-stream" not in answer.headers.get("content-type", ""):
        return answer
    lines = [line for line in answer.text.splitlines() if line.startswith("data:")]
    return [json.loads(line.removeprefix("data:")) for line in lines]


def written(text: str) -> dict[str, Any]:
    return {
        "content": [{"type": "input_text", "text": text}],
        "attachments": [],
        "quoted_text": None,
        "inference_options": {},
    }


async def agents(desk: Desk, *, ask: bool) -> None:
    """What the agents' process does with an event: reads, asks where it must, and ends."""
    async with asyncio.timeout(20):
        while not desk.told:  # noqa: ASYNC110 - there is nothing to wait on
            await asyncio.sleep(0.05)
    run_id = desk.told[-1]["id"]
    desk.log(0, "began", run_id)
    desk.log(1, "called", run_id, tool="crm.search_customer")
    if ask:
        approval = desk.ask(id=f"{run_id}:1", run_id=run_id)
        desk.log(2, "approval asked", run_id, approval=approval.id)
        async with asyncio.timeout(20):
            while desk.agents.approvals():  # noqa: ASYNC110 - as the worker does
                await asyncio.sleep(0.05)
        desk.log(3, "called", run_id, tool="whatsapp.send")
    desk.log(4, "ended", run_id, result={"lead_id": "lead_1"})


def thread_of(events: list[dict[str, Any]]) -> str:
    return next(str(one["thread"]["id"]) for one in events if one["type"] == "thread.created")


def items(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    done = [one["item"] for one in events if one["type"] == "thread.item.done"]
    return [one for one in done if one["type"] == kind]


async def test_a_message_runs_the_agents_and_is_answered(desk: Desk) -> None:
    async with chatting(desk, "paul") as visitor:
        work = asyncio.create_task(agents(desk, ask=False))
        events = await asked(visitor, "threads.create", input=written("who is Dana?"))
        await work
        (event,) = desk.told
        assert (event["kind"], event["text"]) == ("turn", "who is Dana?")
        steps = [one["text"] for one in events if one["type"] == "progress_update"]
        assert steps == ["crm.search_customer: called"]
        (answer,) = items(events, "assistant_message")
        assert answer["content"][0]["text"] == 'Done: {"lead_id":"lead_1"}'
        thread_id = thread_of(events)
        kept = (await asked(visitor, "threads.get_by_id", thread_id=thread_id)).json()
        assert [one["type"] for one in kept["items"]["data"]] == [
            "user_message",
            "assistant_message",
        ]
        listed = (await asked(visitor, "threads.list", limit=10)).json()
        assert [one["id"] for one in listed["data"]] == [thread_id]


@pytest.mark.parametrize("verb", ["approve", "reject"])
async def test_what_waits_is_a_card_that_is_decided_in_the_chat(desk: Desk, verb: str) -> None:
    async with chatting(desk, "paul") as visitor:
        work = asyncio.create_task(agents(desk, ask=True))
        events = await asked(visitor, "threads.create", input=written("write to Dana"))
        (card,) = items(events, "widget")
        buttons = card["widget"]["children"][-1]["children"]
        action = next(
            one["onClickAction"] for one in buttons if one["onClickAction"]["type"] == verb
        )
        after = await asked(
            visitor,
            "threads.custom_action",
            thread_id=thread_of(events),
            item_id=card["id"],
            action={"type": action["type"], "payload": action["payload"]},
        )
        await work
        assert items(after, "assistant_message") != []
        found = desk.agents.approval(action["payload"]["approval"])
        assert found is not None
        assert found.state == {"approve": "approved", "reject": "rejected"}[verb]
        assert len(desk.minted) == (verb == "approve")


async def test_a_chat_is_its_users_alone_and_decides_only_its_own_cards(desk: Desk) -> None:
    other = desk.ask()
    async with chatting(desk, "paul") as paul, chatting(desk, "ada") as ada:
        work = asyncio.create_task(agents(desk, ask=False))
        thread_id = thread_of(await asked(paul, "threads.create", input=written("hi")))
        await work
        stolen = await asked(ada, "threads.get_by_id", thread_id=thread_id)
        assert stolen.status_code == 404
        assert (await asked(ada, "threads.list", limit=10)).json()["data"] == []
        forged = await asked(
            paul,
            "threads.custom_action",
            thread_id=thread_id,
            item_id=None,
            action={"type": "approve", "payload": {"approval": other.id, "shown_sha256": "0"}},
        )
        assert "no such card" in json.dumps(forged)
        assert desk.minted == []


async def test_who_only_looks_on_decides_nothing_in_a_chat(desk: Desk) -> None:
    async with chatting(desk, "vera") as vera:
        work = asyncio.create_task(agents(desk, ask=True))
        events = await asked(vera, "threads.create", input=written("write to Dana"))
        (card,) = items(events, "widget")
        action = card["widget"]["children"][-1]["children"][0]["onClickAction"]
        told = await asked(
            vera,
            "threads.custom_action",
            thread_id=thread_of(events),
            item_id=card["id"],
            action={"type": "approve", "payload": action["payload"]},
        )
        work.cancel()
        assert "needs the role approve" in json.dumps(told)
        assert desk.minted == []


@pytest.mark.parametrize("body", [{}, {"type": "x"}, {"type": "threads.create", "params": {}}, []])
async def test_a_body_that_is_no_request_is_refused(desk: Desk, body: object) -> None:
    async with chatting(desk, "paul") as visitor:
        assert (await visitor.post("/api/chatkit", body)).status_code == 422
