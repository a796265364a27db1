"""Everything beside the calls, and the calls: each process of voicelat, on loopback, with its keys.

For trying it, and for the tests that go from a caller's voice to a message on a telephone.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from voicelat.agentkit.tools import ToolSet
from voicelat.demo.process import running
from voicelat.demo.server import SERVE
from voicelat.settings.keys import CALLS, cut_keys

__all__ = ["TENANT", "House", "running_house"]

TENANT: Final = "demo"
_A_DAY: Final = timedelta(days=1)
_RECEPTION: Final = {
    **dict.fromkeys(("STT_PROVIDER", "TTS_PROVIDER"), "simulated:instant"),
    "LLM_PROVIDER": "voicelat.demo.reception:Reception",
    "VAD": "energy",
    "GREETING": "",
    "SPEAK_GATE_MS": "0",
    # Our callers are not Twilio and sign nothing; the server is on loopback.
    "TWILIO_AUTH_TOKEN": "",
    "PUBLIC_BASE_URL": "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Where everything is."""

    database: str
    """The back office's."""
    office: str
    agents: str
    channels: str
    console: str
    link: str
    """Signs its first user in, once, as an admin."""
    calls: str


@asynccontextmanager
async def running_house(folder: Path, settings: Mapping[str, str]) -> AsyncIterator[House]:
    """Run every process, data and logs in ``folder``. ``settings``: for all of them, above all who
    carries WhatsApp messages. Raises the own words of a process that does not start."""
    database = f"sqlite:///{folder / 'backoffice.sqlite3'}"
    cut_keys(folder, database, TENANT, ToolSet.builtin(), _A_DAY, datetime.now(UTC))
    async with AsyncExitStack() as stack:

        async def start(name: str, words: list[str], **own: str) -> dict[str, str]:
            config, log = folder / f"{name}.toml", folder / f"{name}.log"
            said: dict[str, str] = await stack.enter_async_context(
                running(
                    f"voicelat {words[0]}",
                    words,
                    {**settings, **own},
                    log,
                    config=config if config.exists() else None,
                )
            )
            return said

        desk = ["agents", "office", "--port", "0", "--database", database]
        office = (await start("office", desk))["url"]
        agents = (
            await start("agents", ["agents", "serve"], AGENTS_URL=_free(), BACKOFFICE_URL=office)
        )["url"]
        both = {"AGENTS_URL": agents, "BACKOFFICE_URL": office}
        channels = _free()
        own = {"CHANNELS_URL": channels, "PUBLIC_BASE_URL": channels}
        await start("channels", ["channels", "serve"], **own, **both)
        records = {"TURNS_FILE": str(folder / "turns.jsonl"), "RECORD_DIR": str(folder / "calls")}
        calls = (await start(CALLS, SERVE, AGENTS_URL=agents, **records, **_RECEPTION))["url"]
        console = await start(
            "console",
            ["console"],
            CONSOLE_URL=_free(),
            CHANNELS_URL=channels,
            SERVE_URL=calls,
            **both,
            **records,
        )
        yield House(
            database=database,
            office=office,
            agents=agents,
            channels=channels,
            console=console["url"],
            link=console["link"],
            calls=calls,
        )


def _free() -> str:
    """A loopback address nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
