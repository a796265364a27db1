"""``voicelat agents office``: the reference back office under the policy in force."""

from __future__ import annotations

from typing import Annotated

import typer

from voicelat.errors import MissingExtra
from voicelat.verbs.options import AsJson, Sets, examples, load_settings, print_json

__all__ = ["EXAMPLES", "office"]

EXAMPLES = examples(
    "voicelat agents office",
    "voicelat agents office --database postgresql://voicelat@localhost/office --port 8091",
    "python -m voicelat.backoffice token --agent Voice --tenant shop --scope calls.log_create",
)


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
    settings = load_settings(sets)
    try:
        from voicelat.backoffice.app import create_app
        from voicelat.backoffice.config import Config
        from voicelat.backoffice.run import serve
        from voicelat.settings.agents import gate
    except ModuleNotFoundError as error:
        raise MissingExtra("agents", f"the back office ({error.name})") from None

    def say_ready(url: str) -> None:
        if as_json:
            print_json({"url": url}, indent=None)
        else:
            typer.echo(f"the back office is at {url}")

    serve(create_app(Config(database=database), gate=gate(settings)), port, say_ready)
