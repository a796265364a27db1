"""A back office, a double of Twilio, and the channels between them, all on loopback."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

pytest.importorskip(
    "sqlalchemy", reason="the extra is not installed: pip install 'voicelat[agents]'"
)

from voicelat.asgi import Server
from voicelat.backoffice import tokens
from voicelat.backoffice.app import create_app
from voicelat.backoffice.config import Config
from voicelat.backoffice.database import Database
from voicelat.channels.app import Channels, Twilio
from voicelat.channels.carrier import Carrier
from voicelat.channels.inbox import Inbox
from voicelat.channels.journal import Journal
from voicelat.channels.media import MediaStore, Signer
from voicelat.channels.peers import OfficePeer
from voicelat.channels.provider import Provider, ProviderName
from voicelat.channels.templates import Templates, read_templates
from voicelat.channels.twilio import TwilioWhatsApp
from voicelat.channels.webhooks import INCOMING, STATUS
from voicelat.doubles.whatsapp import TwilioDouble

PHONE = "+972501234567"
SENDER = "+15550100"
TOKEN = "channels"
TEMPLATES = """
version: 1
free_text: notice
templates:
  notice:
    en: {content_sid: HX1, text: "A message from us: {1}"}
    he: {content_sid: HX2, text: "הודעה מאיתנו: {1}"}
  call_follow_up:
    en: {content_sid: HX3, text: "Hello {1}, thank you for your call."}
"""
AT_TWILIO = {
    "HX1": "A message from us: {{1}}",
    "HX2": "הודעה מאיתנו: {{1}}",
    "HX3": "Hello {{1}}, thank you for your call.",
}


async def until(holds: Callable[[], bool]) -> None:
    """Look every 20 ms until it is so."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - there is nothing to wait on
            await asyncio.sleep(0.02)


@asynccontextmanager
async def serving(app: Any, port: int = 0) -> AsyncIterator[str]:
    """The application's URL, while it is served."""
    ready = asyncio.Event()
    server = Server(
        uvicorn.Config(app, port=port, log_config=None, timeout_graceful_shutdown=1), ready.set
    )
    work = asyncio.create_task(server._serve())
    await ready.wait()
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await work


@dataclass
class Desk:
    """The back office, asked as the console and agents do."""

    url: str
    http: httpx.AsyncClient
    token: str

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """One operation that works."""
        answer = await self.http.post(
            f"{self.url}/v1/{tool.replace('.', '/')}",
            json=arguments,
            headers={"Authorization": f"Bearer {self.token}", "Idempotency-Key": uuid.uuid4().hex},
        )
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()
        return result

    async def send(self, text: str | None = "hello", **changed: Any) -> str:
        """Queue a message; its id."""
        asked = {
            "to_lead_id": None,
            "to_phone": PHONE,
            "text": text,
            "template": None,
            "template_variables": [],
            "language": "en",
            **changed,
        }
        queued = await self.call("whatsapp.send", **asked)
        return str(queued["message_id"])

    async def messages(self) -> list[dict[str, Any]]:
        """Every message of every thread, oldest thread last."""
        threads = await self.call("whatsapp.list_threads", before=None, limit=100)
        found: list[dict[str, Any]] = []
        for thread in threads["threads"]:
            page = await self.call(
                "whatsapp.list_messages", thread_id=thread["thread_id"], before=None, limit=100
            )
            found += page["messages"]
        return found

    async def until(self, **wanted: Any) -> dict[str, Any]:
        """The one message that is like this, once it is."""
        async with asyncio.timeout(30):
            while True:
                for message in await self.messages():
                    if all(message[key] == value for key, value in wanted.items()):
                        return message
                await asyncio.sleep(0.05)


@dataclass
class Agents:
    """Takes events as the agents' process does."""

    events: list[dict[str, Any]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def tell(self, event: Mapping[str, Any]) -> bool:
        """Take it."""
        self.events.append(dict(event))
        self.came.set()
        return True

    async def heard(self, count: int) -> list[dict[str, Any]]:
        """All events, once there are so many."""
        async with asyncio.timeout(30):
            while len(self.events) < count:
                self.came.clear()
                await self.came.wait()
        return self.events

    async def aclose(self) -> None:
        """Nothing is held."""


@dataclass
class Line:
    """Everything, with the channels running."""

    url: str
    desk: Desk
    twilio: TwilioDouble
    agents: Agents
    channels: Channels
    http: httpx.AsyncClient
    journal: Journal
    carrier: Carrier

    @property
    def incoming(self) -> str:
        """Where Twilio tells of messages."""
        return self.url + INCOMING

    async def asked(self, method: str, path: str, **more: Any) -> httpx.Response:
        """As the console does."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return await self.http.request(method, self.url + path, headers=headers, **more)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


@pytest.fixture
async def desk(tmp_path: Path, http: httpx.AsyncClient) -> AsyncIterator[Desk]:
    """A back office with a token for everything."""
    database = Database(f"sqlite:///{tmp_path / 'office.sqlite3'}")
    app = create_app(Config(database=f"sqlite:///{tmp_path / 'office.sqlite3'}"))
    with database.write("shop") as db:
        token = tokens.mint(
            db,
            agent="channels",
            tenant="shop",
            scopes=tokens.SCOPES - {tokens.APPROVE},
            ttl=timedelta(hours=1),
            now=datetime.now(UTC),
        )
    database.close()
    async with serving(app) as url:
        yield Desk(url, http, token)


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioDouble]:
    async with TwilioDouble(templates=AT_TWILIO).run() as double:
        yield double


@pytest.fixture
def templates(tmp_path: Path) -> Templates:
    path = tmp_path / "templates.yaml"
    path.write_text(TEMPLATES)
    return read_templates(path)


@asynccontextmanager
async def line_of(
    folder: Path,
    desk: Desk,
    twilio: TwilioDouble,
    templates: Templates,
    http: httpx.AsyncClient,
    *,
    others: Mapping[ProviderName, Provider] | None = None,
    per_minute: int = 600,
) -> AsyncIterator[Line]:
    """The channels' application, served. A second one in the same folder is the next process."""
    journal = Journal(f"sqlite:///{folder / 'channels.sqlite3'}")
    media = MediaStore(folder / "media")
    signer = Signer(journal.secret())
    office, agents = OfficePeer(desk.url, desk.token), Agents()
    base: list[str] = []
    sender = TwilioWhatsApp(
        twilio.account_sid,
        twilio.auth_token,
        SENDER,
        callback="",
        api=twilio.url,
        tells_late=timedelta(seconds=1),
    )
    carrier = Carrier(
        journal,
        office,
        {"twilio": sender, **(others or {})},
        templates,
        media,
        first="twilio",
        per_minute=per_minute,
        media_url=lambda media_id: f"{base[0]}/media/{signer.sign(media_id)}",
        asks_s=(0.2, 0.3, 0.5, 1, 1),
    )
    inbox = Inbox(journal, office, agents, carrier, media, first_wait_s=0.05)  # type: ignore[arg-type]
    channels = Channels(
        journal,
        inbox,
        carrier,
        media,
        signer,
        token=TOKEN,
        twilio=Twilio(
            account_sid=twilio.account_sid, auth_token=twilio.auth_token, public_base_url=None
        ),
        missing={},
        peers=(office, agents),
    )
    async with serving(channels.app) as url:
        base.append(url)
        sender._callback = url + STATUS
        yield Line(url, desk, twilio, agents, channels, http, journal, carrier)


@pytest.fixture
async def line(
    tmp_path: Path,
    desk: Desk,
    twilio: TwilioDouble,
    templates: Templates,
    http: httpx.AsyncClient,
) -> AsyncIterator[Line]:
    async with line_of(tmp_path, desk, twilio, templates, http) as running:
        yield running
