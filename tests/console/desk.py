"""A console over stores with something in them, served here, with a back office that is real."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbos", reason="not installed: pip install 'voicelat[console]'")
pytest.importorskip("argon2", reason="not installed: pip install 'voicelat[console]'")
pytest.importorskip("chatkit", reason="not installed: pip install 'voicelat[chatkit]'")

import httpx
from tests.channels.conftest import serving

from voicelat.agentkit.runs.store import Approval, Entry
from voicelat.agentkit.runs.store import Store as AgentsStore
from voicelat.agentkit.tools import ToolSet
from voicelat.backoffice import tokens
from voicelat.backoffice.app import create_app
from voicelat.backoffice.config import Config
from voicelat.backoffice.database import Database
from voicelat.console.app import Console, Sources
from voicelat.console.calls import Calls
from voicelat.console.chatkit import AgentsChat, Chats
from voicelat.console.peers import CallsPeer, ChannelsPeer, OfficePeer
from voicelat.console.runs import Runs
from voicelat.console.store import Role, Store
from voicelat.metrics.record import Stamps, TurnRecord
from voicelat.metrics.turnsfile import encode
from voicelat.settings import Settings
from voicelat.settings.agents import workflow_store

PASSWORD = "a long password"
USERS: dict[str, Role] = {"vera": "view", "paul": "approve", "ada": "admin"}


@dataclass
class Desk:
    """Everything, and where it is."""

    url: str
    folder: Path
    store: Store
    agents: AgentsStore
    minted: list[dict[str, Any]]
    office: str
    token: str
    told: list[dict[str, Any]]
    """Events that the chat handed to the agents' process."""

    async def office_call(self, tool: str, arguments: dict[str, Any]) -> None:
        """One operation of the back office, as a channel asks for it."""
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.post(
                f"{self.office}/v1/{tool.replace('.', '/')}",
                json=arguments,
                headers={"Authorization": f"Bearer {self.token}", "Idempotency-Key": "k"},
            )
        assert answer.is_success, answer.text

    @property
    def turns(self) -> Path:
        """The file of turns that the console follows."""
        return self.folder / "turns.jsonl"

    def ask(self, number: int = 1, text: str = "hello", **changed: Any) -> Approval:
        """Have a tool call wait for a person."""
        now = datetime.now(UTC)
        approval = Approval(
            **{
                "id": f"CA1.end:{number}",
                "run_id": "CA1.end",
                "call_id": "CA1",
                "agent": "Voice",
                "tool": "whatsapp.send",
                "arguments": {
                    "to_lead_id": None,
                    "to_phone": "+972501234567",
                    "text": text,
                    "template": None,
                    "template_variables": [],
                    "language": "en",
                },
                "rule": "messages",
                "why": "to be approved by messages",
                "sdk_version": "0.24",
                "asked_at": now.isoformat(),
                "expires_at": (now + timedelta(days=7)).isoformat(),
                "state": "waiting",
                **changed,
            }
        )
        self.agents.ask(approval)
        return approval

    def log(
        self,
        seq: int,
        kind: str = "note",
        run_id: str = "CA1.end",
        tool: str | None = None,
        **facts: Any,
    ) -> None:
        """A line of a run's log."""
        at = datetime.now(UTC).isoformat()
        line = Entry(
            run_id=run_id, call_id="CA1", seq=seq, at=at, kind=kind, tool=tool, facts=facts
        )
        self.agents.append([line])

    def turn(self, number: int, text: str = "hello", call_id: str = "CA1") -> None:
        """A turn ends."""
        record = TurnRecord(
            call_id=call_id,
            started_utc="2026-11-25T09:00:00+00:00",
            turn=number,
            outcome="answered",
            stamps=Stamps(
                speech_start=0,
                speech_end=1000,
                turn_end=1200,
                reply_start=1200,
                llm_first_token=1500,
                tts_request=1550,
                tts_ready=1700,
                first_audio_sent=1710,
            ),
            text=text,
            reply=text,
        ).measured()
        with self.turns.open("ab") as file:
            file.write(encode(record))


@asynccontextmanager
async def desk_at(folder: Path, port_url: str | None = None) -> AsyncIterator[Desk]:
    """Users vera (view), paul (approve) and ada (admin), all with `PASSWORD`."""
    store = Store(f"sqlite:///{folder / 'console.sqlite3'}")
    for name, role in USERS.items():
        store.put_user(name, role, PASSWORD, datetime.now(UTC))
    agents = AgentsStore(f"sqlite:///{folder / 'agents.sqlite3'}")
    database = f"sqlite:///{folder / 'office.sqlite3'}"
    app = create_app(Config(database=database))
    kept = Database(database)
    with kept.write("shop") as db:
        token = tokens.mint(
            db,
            agent="console",
            tenant="shop",
            scopes=tokens.SCOPES - {tokens.APPROVE},
            ttl=timedelta(hours=1),
            now=datetime.now(UTC),
        )
    kept.close()
    minted: list[dict[str, Any]] = []

    async def mint(_approval: Approval, arguments: dict[str, Any]) -> str:
        minted.append(arguments)
        return "grant"

    settings = Settings(workflows_file=str(folder / "workflows.sqlite3"))
    async with serving(app) as office:
        peer = OfficePeer(office, token)
        runs = Runs(agents, ToolSet.builtin(), peer, mint)
        told: list[dict[str, Any]] = []

        async def tell(event: dict[str, Any]) -> None:
            told.append(event)

        sources = Sources(
            calls=Calls(folder / "turns.jsonl", folder / "calls", settings.targets()),
            runs=runs,
            chat=AgentsChat(Chats(store.engine), agents, runs, tell).answer,
            office=peer,
            channels=ChannelsPeer("http://127.0.0.1:9", None),
            server=CallsPeer("http://127.0.0.1:9"),
            workflows=workflow_store(settings),
            publish=lambda _name, _yaml, _who: "0" * 64,
            settings=lambda: settings.described()["settings"],
            findings=lambda: [
                {"check": "keys", "level": "ok", "says": "well", "evidence": "", "fix": ""}
            ],
        )
        holder: list[Console] = []

        async def late(scope: Any, receive: Any, send: Any) -> None:
            """The console, once its own address is known: it refuses any other host."""
            await holder[0].app(scope, receive, send)

        # The address decides which hosts and origins are right, so it comes first.
        import socket

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        url = port_url or f"http://127.0.0.1:{port}"
        holder.append(Console(store, sources, public_url=url, own_url=url))
        async with serving(late, httpx.URL(url).port or 0):
            yield Desk(url, folder, store, agents, minted, office, token, told)
    store.close()
    agents.close()


class Visitor:
    """Somebody with a browser's manners, signed in."""

    def __init__(self, url: str) -> None:
        self.http = httpx.AsyncClient(base_url=url, trust_env=False)
        self.csrf = ""

    async def sign_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        """By password."""
        answer = await self.http.post("/api/login", json={"user": name, "password": password})
        self.csrf = answer.json().get("csrf", "")
        return answer

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """With the page's token."""
        sent = {"X-CSRF-Token": self.csrf, **headers}
        return await self.http.post(path, json=body if body is not None else {}, headers=sent)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """As it is."""
        return await self.http.get(path, headers=headers)
