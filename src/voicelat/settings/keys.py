"""Who gets which key: the tokens of every process that works beside the calls.

Each process has a file of settings of its own, to be named in ``VOICELAT_CONFIG``, so that none has
a key it does not need: above all, the agents' has none to approve with.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from voicelat.agentkit.tools import AGENTS
from voicelat.backoffice import tokens
from voicelat.backoffice.database import Database
from voicelat.errors import UsageError
from voicelat.settings.agents import FEEDER

if TYPE_CHECKING:
    from voicelat.agentkit.tools import ToolSet

__all__ = ["CALLS", "PROCESSES", "cut_keys"]

CALLS: Final = "calls"
PROCESSES: Final = (CALLS, "agents", "channels", "console", "bridge")
"""Their files are ``NAME.toml``; the bridge, which is no Python, has ``bridge.env``."""
_CHANNELS: Final = (
    "whatsapp.append_message",
    "whatsapp.claim",
    "whatsapp.link_identity",
    "whatsapp.set_status",
)
_CONSOLE: Final = (
    "audit.read",
    "privacy.erase",
    "whatsapp.list_messages",
    "whatsapp.list_threads",
)


def cut_keys(
    folder: Path, database: str, tenant: str, catalog: ToolSet, life: timedelta, now: datetime
) -> list[Path]:
    """Mint every token and write the files, which only their owner may read.

    ``folder``: for the files and, by the settings in them, for the processes' own databases.
    ``database``: the back office's, brought up to date. Raises UsageError when there are files
    already (their tokens would go on to open), or for a database that cannot be used.
    """
    if standing := [one for one in (_path(folder, name) for name in PROCESSES) if one.exists()]:
        raise UsageError(f"{standing[0]} is there already: move it away, and revoke its tokens")
    folder.mkdir(parents=True, exist_ok=True)
    opened = _minted(database, tenant, catalog, life, now)
    shared = {name: secrets.token_urlsafe(32) for name in ("agents", "channels", "bridge")}
    agents = {"AGENTS_ENABLED": True, "AGENTS_TOKEN": shared["agents"]}
    runs = {
        "AGENTS_DB_URL": _sqlite(folder, "agents"),
        "WORKFLOWS_FILE": str(folder.resolve() / "workflows.sqlite3"),
    }
    files: dict[str, Mapping[str, object]] = {
        CALLS: agents,
        "agents": {**agents, **runs, "BACKOFFICE_TOKEN": _of_agents(opened)},
        "channels": {
            **agents,
            "BACKOFFICE_TOKEN": opened["channels"],
            "CHANNELS_DB_URL": _sqlite(folder, "channels"),
            "CHANNELS_TOKEN": shared["channels"],
            "MEDIA_DIR": str(folder.resolve() / "media"),
            "WHATSAPP_BRIDGE_TOKEN": shared["bridge"],
        },
        "console": {
            **runs,
            "AGENTS_TOKEN": shared["agents"],
            "APPROVER_TOKEN": opened["approver"],
            "CHANNELS_TOKEN": shared["channels"],
            "CONSOLE_DB_URL": _sqlite(folder, "console"),
            "CONSOLE_TOKEN": opened["console"],
        },
        "bridge": {
            "WHATSAPP_BRIDGE_TOKEN": shared["bridge"],
        },
    }
    return [_write(_path(folder, name), files[name]) for name in PROCESSES]


def _minted(
    database: str, tenant: str, catalog: ToolSet, life: timedelta, now: datetime
) -> dict[str, str]:
    """Who calls the back office -> with which token."""
    opens = {agent: [tool.id for tool in catalog.of(agent)] for agent in AGENTS}
    opens[FEEDER] = ["stt.append_turns"]
    opens["channels"] = [*_CHANNELS]
    opens["console"] = [*_CONSOLE]
    opens["approver"] = [tokens.APPROVE]
    office = Database(database)
    try:
        office.upgrade()
        with office.write(tenant) as db:
            return {
                name: tokens.mint(db, agent=name, tenant=tenant, scopes=scopes, ttl=life, now=now)
                for name, scopes in opens.items()
            }
    finally:
        office.close()


def _of_agents(opened: Mapping[str, str]) -> str:
    return ",".join(f"{name}={opened[name]}" for name in (*AGENTS, FEEDER))


def _path(folder: Path, name: str) -> Path:
    return folder / (f"{name}.env" if name == "bridge" else f"{name}.toml")


def _sqlite(folder: Path, name: str) -> str:
    return f"sqlite:///{folder.resolve() / name}.sqlite3"


def _write(path: Path, settings: Mapping[str, object]) -> Path:
    """Never readable by others, not even for a moment."""
    if path.suffix == ".toml":
        # A TOML value of these types is written as JSON writes it.
        lines = [
            f"{name} = {msgspec.json.encode(value).decode()}" for name, value in settings.items()
        ]
    else:
        lines = [f"{name}={value}" for name, value in settings.items()]
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write("\n".join(lines) + "\n")
    return path
