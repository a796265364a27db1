"""Messages by the real Baileys client, with bridge and WhatsApp killed in between."""

from __future__ import annotations

import asyncio
import subprocess
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from tests.channels.bridge import BRIDGE, TOKEN, RunningBridge, WhatsAppDouble, installed, whatsapp
from tests.channels.conftest import PHONE, Desk, Line, line_of
from tests.postgres import new_database

from voicelat.channels.baileys import Baileys
from voicelat.channels.provider import Address, Incoming, Outgoing, SendFailed
from voicelat.channels.templates import Templates
from voicelat.doubles.whatsapp import TwilioDouble

pytestmark = pytest.mark.timeout(170)


def message(message_id: str, text: str = "hello") -> Outgoing:
    to = Address(phone=PHONE, external_id=None)
    return Outgoing(message_id=message_id, to=to, text=text, template=None)


async def so(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await holds():  # noqa: ASYNC110 - another process: there is nothing to wait on
            await asyncio.sleep(0.1)


@asynccontextmanager
async def client(bridge: RunningBridge) -> AsyncIterator[Baileys]:
    provider = Baileys(bridge.url, TOKEN, first_wait_s=0.1)
    try:
        await so(lambda: ready(provider))
        yield provider
    finally:
        await provider.aclose()


async def ready(provider: Baileys) -> bool:
    return (await provider.health()).state == "ready"


def ids(double: WhatsAppDouble) -> set[str]:
    """Of the messages that reached WhatsApp: its own, by which a telephone knows one it has."""
    return {line["body"]["attrs"]["id"] for line in double.received()}


async def next_message(provider: Baileys, after: int) -> tuple[int, Incoming]:
    async for number, told in provider.told(after):
        if isinstance(told, Incoming):
            return number, told
    raise AssertionError("it ended")


def test_what_closes_a_connection_is_answered_as_it_must_be() -> None:
    """Node's own tests: pairing, every reason of a disconnect, keys, receipts, signs of a ban."""
    installed()
    for command in (["node", "--test", "test/line.test.js"], ["npx", "tsc", "--noEmit"]):
        done = subprocess.run(
            command, cwd=BRIDGE, capture_output=True, text=True, timeout=160, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


async def test_messages_go_both_ways_and_bridge_and_whatsapp_may_die(tmp_path: Path) -> None:
    async with whatsapp(tmp_path) as (double, bridge), client(bridge) as provider:
        sent = await provider.send(message("m1"))
        assert sent.status == "sent"
        assert ids(double) == {sent.provider_id}
        # The same again is the same message.
        assert await provider.send(message("m1")) == sent
        assert await provider.settle(message("m1")) == sent
        assert await provider.settle(message("never")) is None
        assert len(double.received()) == 1

        await double.write("first")
        number, first = await next_message(provider, 0)
        assert (first.text, first.sender.phone) == ("first", PHONE)

        # What came in while nobody listened is there after a kill, and told once.
        await double.write("second")
        await asyncio.sleep(0.5)
        await bridge.kill()
        with pytest.raises(SendFailed) as down:
            await provider.send(message("m2"))
        assert down.value.retry
        assert (await provider.health()).state == "down"
        await bridge.start()
        _, second = await next_message(provider, number)
        assert second.text == "second"

        # WhatsApp goes away under a send: what became of it is found out, with one id.
        await so(lambda: ready(provider))
        await double.kill()
        with pytest.raises(SendFailed) as lost:
            await provider.send(message("m3", "while it was away"))
        assert lost.value.uncertain or lost.value.retry
        await double.start()
        await so(lambda: ready(provider))
        again = await provider.settle(message("m3")) or await provider.send(message("m3"))
        assert again.status == "sent"
        assert again.provider_id in ids(double)
        assert len(ids(double)) == 2


async def test_postgresql_keeps_the_account_and_what_was_sent(
    tmp_path: Path, postgres: str
) -> None:
    database = new_database(postgres, uuid.uuid4().hex)
    async with whatsapp(tmp_path, database) as (double, bridge), client(bridge) as provider:
        sent = await provider.send(message("m1"))
        await double.write("hello")
        await next_message(provider, 0)
        await bridge.kill()
        await bridge.start()
        await so(lambda: ready(provider))
        assert await provider.send(message("m1")) == sent
        assert len(double.received()) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, 422),
        ({"message_id": "m", "to": {"phone": "x", "external_id": None}, "text": "t"}, 422),
        ({"message_id": "m", "to": {"phone": PHONE, "external_id": None}, "text": None}, 422),
        ({"message_id": "\n", "to": {"phone": PHONE, "external_id": None}, "text": "t"}, 422),
        ([], 422),
    ],
)
async def test_the_bridge_refuses_what_is_no_message(
    body: object, code: int, bridge: RunningBridge, http: httpx.AsyncClient
) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = await http.post(f"{bridge.url}/messages", json=body, headers=headers)
    assert answer.status_code == code
    assert set(answer.json()) >= {"error", "says"}


async def test_the_bridge_says_nothing_without_its_token(
    bridge: RunningBridge, http: httpx.AsyncClient
) -> None:
    for path in ("/status", "/events", "/threads", "/media/x", "/messages/x"):
        for headers in ({}, {"Authorization": "Bearer of another token, longer"}):
            assert (await http.get(bridge.url + path, headers=headers)).status_code == 401


@pytest.fixture
async def bridge(tmp_path: Path) -> AsyncIterator[RunningBridge]:
    """A bridge that is paired with nobody and reaches no WhatsApp."""
    installed()
    lonely = RunningBridge(tmp_path, "ws://127.0.0.1:9/ws")
    await lonely.start()
    try:
        yield lonely
    finally:
        await lonely.kill()


async def test_a_conversation_moves_from_one_provider_to_the_other(
    tmp_path: Path,
    desk: Desk,
    twilio: TwilioDouble,
    templates: Templates,
    http: httpx.AsyncClient,
) -> None:
    async with whatsapp(tmp_path) as (double, running):
        provider = Baileys(running.url, TOKEN, first_wait_s=0.1)
        await so(lambda: ready(provider))
        async with line_of(
            tmp_path, desk, twilio, templates, http, others={"baileys": provider}
        ) as line:
            await by_both(line, double)


async def by_both(line: Line, double: WhatsAppDouble) -> None:
    await double.write("do you have time?")
    came = await line.desk.until(direction="in", provider="baileys")
    assert came["text"] == "do you have time?"
    assert (await line.agents.heard(1))[0]["data"]["provider"] == "baileys"

    await line.desk.send("by Twilio")
    assert (await line.twilio.sent(1))[0].form["Body"] == "by Twilio"
    told = await line.asked("POST", "/v1/provider", json={"provider": "baileys"})
    assert told.json()["provider"] == "baileys"
    await line.desk.send("by Baileys")
    sent = await line.desk.until(text="by Baileys", status="sent")
    assert sent["provider"] == "baileys"
    assert len(double.received()) == len(line.twilio.messages) == 1
    # One person, one conversation.
    threads = await line.desk.call("whatsapp.list_threads", before=None, limit=10)
    assert len(threads["threads"]) == 1
