"""From settings to the console's running parts."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelat.agentkit.runs.store import Store as AgentsStore
from voicelat.asgi import is_loopback
from voicelat.console.app import Console, Sources
from voicelat.console.calls import Calls
from voicelat.console.peers import AgentsPeer, CallsPeer, ChannelsPeer, OfficePeer
from voicelat.console.runs import Runs
from voicelat.console.store import Session, Store
from voicelat.errors import UsageError
from voicelat.settings.agents import minter, publishing, tools, workflow_store

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from starlette.responses import Response

    from voicelat.settings.load import Settings

__all__ = ["check_address", "console", "public_url"]


def public_url(settings: Settings) -> str:
    """The console as browsers reach it, without a slash at its end."""
    return (settings.console_public_url or settings.console_url).rstrip("/")


def check_address(settings: Settings, own: SplitResult) -> None:
    """Raises UsageError where the console would be open to others than this machine without TLS."""
    if is_loopback(own.hostname or ""):
        return
    if not (settings.console_public_url or "").startswith("https://"):
        raise UsageError(
            f"refusing to listen on {own.hostname}: the console is for browsers over https; put a "
            "proxy with TLS before it and set CONSOLE_PUBLIC_URL=https://..., or use an ssh tunnel"
        )


def console(
    settings: Settings,
    store: Store,
    findings: Callable[[], list[dict[str, Any]]],
    *,
    own_url: str,
) -> Console:
    """Everything, not started. ``findings``: looks for what makes calls slow, now.

    Raises UsageError for a setting that cannot work, ConnectError for a database that is away.
    """
    catalog = tools(settings)
    office = OfficePeer(settings.backoffice_url, settings.console_token)
    mint = None if settings.approver_token is None else minter(settings)
    agents = AgentsStore(settings.agents_db_url)
    runs = Runs(agents, catalog, office, mint)
    sources = Sources(
        calls=Calls(
            None if settings.turns_file is None else Path(settings.turns_file),
            None if settings.record_dir is None else Path(settings.record_dir),
            settings.targets(),
        ),
        runs=runs,
        chat=_chat(settings, store, agents, runs),
        office=office,
        channels=ChannelsPeer(settings.channels_url, settings.channels_token),
        server=CallsPeer(settings.serve_url),
        workflows=workflow_store(settings),
        publish=_publish(settings),
        settings=lambda: settings.described()["settings"],
        findings=findings,
    )
    public = settings.console_public_url or own_url
    return Console(store, sources, public_url=public, own_url=own_url)


def _chat(
    settings: Settings, store: Store, agents: AgentsStore, runs: Runs
) -> Callable[[bytes, Session], Awaitable[Response]] | None:
    """None where the extra is not installed."""
    if find_spec("chatkit") is None:
        return None
    from voicelat.console.chatkit import AgentsChat, Chats

    peer = AgentsPeer(settings.agents_url, settings.agents_token)
    return AgentsChat(Chats(store.engine), agents, runs, peer.tell).answer


def _publish(settings: Settings) -> Callable[[str, str, str], str]:
    """Publishes a graph that a person wrote, where its starter cases pass.

    A graph alone, never a module: a module is code, and would run here.
    """

    def publish(name: str, text: str, who: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.yaml"
            if path.parent != Path(folder):
                raise UsageError("a workflow's name has no slashes")
            path.write_text(text, encoding="utf-8")
            store = workflow_store(settings)
            if name not in store.names():
                raise UsageError(f"no workflow {name}; publish a new one on the command line")
            gate = publishing(settings)

            def judged(workflow: Any) -> str | None:
                if workflow.name != name:
                    return f"it is named {workflow.name}, not {name}"
                return gate(workflow)

            return store.publish(path, who=who, gate=judged).version

    return publish
