"""One event run to its end, here, with a back office of its own; nothing of it is kept."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from voicelat.agentkit.runs import decide
from voicelat.agentkit.runs.event import Event
from voicelat.agentkit.runs.store import Approval, Entry, Store
from voicelat.agentkit.runs.worker import Worker
from voicelat.agentkit.tools import AGENTS
from voicelat.demo.office import running_office
from voicelat.errors import ConnectError
from voicelat.settings import Settings
from voicelat.settings.agents import FEEDER, minter, parts, tools

__all__ = ["try_event"]

_LIMIT_S: Final = 300.0
_LOOK_S: Final = 0.1


def try_event(settings: Settings, event: Event, wanted: Callable[[Approval], bool]) -> list[Entry]:
    """The run's log. ``wanted`` is asked for every approval. Raises what the parts raise."""
    with tempfile.TemporaryDirectory(prefix="voicelat-agents-") as name:
        folder = Path(name)
        every = tools(settings)
        scopes = {agent: [tool.id for tool in every.of(agent)] for agent in AGENTS}
        scopes[FEEDER] = ["stt.append_turns"]
        with running_office(folder, scopes, settings) as office:
            published = Path(settings.workflows_file)
            kept = published if published.exists() else folder / "workflows.sqlite3"
            here = replace(
                settings,
                workflows_file=str(kept),
                agents_db_url=f"sqlite:///{folder / 'agents.db'}",
                backoffice_url=office.url,
                backoffice_token=office.agents_token,
                approver_token=office.approver_token,
            )
            return _run(here, event, wanted)


def _run(settings: Settings, event: Event, wanted: Callable[[Approval], bool]) -> list[Entry]:
    store = Store(settings.agents_db_url)
    worker = Worker(parts(settings, store), settings.agents_db_url)
    worker.start()
    try:
        worker.enqueue(event)
        until = time.monotonic() + _LIMIT_S
        while time.monotonic() < until:
            for waiting in store.approvals():
                _decide(settings, store, waiting, yes=wanted(waiting))
            entries = store.entries(event.id)
            if entries and entries[-1].kind in ("ended", "dead"):
                return entries
            time.sleep(_LOOK_S)
    finally:
        worker.stop(1)
        store.close()
    raise ConnectError(f"the run did not end within {_LIMIT_S:.0f} s")


def _decide(settings: Settings, store: Store, waiting: Approval, *, yes: bool) -> None:
    if yes:
        now = lambda: datetime.now(UTC)  # noqa: E731
        asyncio.run(decide.approve(store, waiting.id, minter(settings), who="you", now=now))
    else:
        decide.reject(store, waiting.id, "rejected", who="you", now=datetime.now(UTC))
