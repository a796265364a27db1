"""``voicelat agents office``: the reference back office under the policy in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from voicelat.errors import MissingExtra
from voicelat.verbs.options import AsJson, Sets, examples, load_settings, print_json

if TYPE_CHECKING:
    from voicelat.settings import Settings

__all__ = ["EXAMPLES", "agents_settings", "office"]

EXAMPLES = examples(
    "voicelat agents office",
    "voicelat agents office --database postgresql://voicelat@localhost/office --port 8091",
    "python -m voicelat.backoffice token --agent Voice --tenant shop --scope calls.log_create",
)


def agents_settings(sets: list[str] | None) -> Settings:
    """The settings; MissingExtra before anything else is tried without the packages."""
    from importlib.util import find_spec

    if any(find_spec(package) is None for package in ("dbos", "agents", "fastapi")):
        raise MissingExtra("agents", "voicelat agents")
    return load_settings(sets)


def office(
    database: Annotated[
        str, typer.Option(metavar="URL", help="sqlite:///FILE or postgresql://USER@HOST/NAME.")
    ] = "sqlite:///backoffice.sqlite3",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="On loopback; 0: any that is free.")
    ] = 8091,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Serve the reference back office on loopback until Ctrl-C. Every write is judged by the policy
    once more; tokens are minted by python -m voicelat.backoffice token.

    With --json it prints one line once it listens: {"url": ...}.
    """
    settings = agents_settings(sets)

    from voicelat.backoffice.app import create_app
    from voicelat.backoffice.config import Config
    from voicelat.backoffice.run import serve
    from voicelat.settings.agents import gate

    def say_ready(url: str) -> None:
        if as_json:
            print_json({"url": url}, indent=None)
        else:
            typer.echo(f"the back office is at {url}")

    serve(create_app(Config(database=database), gate=gate(settings)), port, say_ready)
