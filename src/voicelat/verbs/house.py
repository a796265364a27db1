"""``voicelat agents demo``: calls, agents, WhatsApp and the console, together, on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from voicelat.errors import MissingExtra
from voicelat.verbs.options import AsJson, examples, print_json

if TYPE_CHECKING:
    from voicelat.demo.house import House

__all__ = ["EXAMPLES", "demo"]

EXAMPLES = examples("voicelat agents demo", "voicelat agents demo --calls 10 --json")


def demo(
    calls: Annotated[int, typer.Option(min=0, max=100, help="How many callers ring.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Run the whole house on loopback until Ctrl-C, and open it to you: callers ring, somebody
    writes, and what the agents want to send waits for you in the console. No key is needed: the
    model is scripted, and a stand-in for Twilio takes the messages. Nothing is kept.

    With --json it prints one line once everything runs: {"console": ..., "link": ..., ...}.
    """
    from importlib.util import find_spec

    if any(find_spec(package) is None for package in ("argon2", "sse_starlette", "dbos")):
        raise MissingExtra("console", "voicelat agents demo")

    import asyncio
    import contextlib
    import tempfile
    from dataclasses import asdict
    from pathlib import Path

    from voicelat.demo.evening import spend

    def say_ready(house: House) -> None:
        if as_json:
            print_json(asdict(house), indent=None)
            return
        typer.echo("everything runs; sign in (once, within 15 minutes) by")
        typer.echo(f"  {house.link}")
        typer.echo("Agents: what waits for you. WhatsApp: what was sent, and read. Ctrl-C ends it.")

    with tempfile.TemporaryDirectory(prefix="voicelat-house-") as folder:
        if not as_json:
            typer.echo("starting six processes ...")
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(spend(Path(folder), say_ready, calls))
