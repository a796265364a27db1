"""``voicelat agents init``: the back office's database, and every process' keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicelat.verbs.office import agents_settings
from voicelat.verbs.options import AsJson, Sets, examples, print_json

__all__ = ["EXAMPLES", "init"]

EXAMPLES = examples(
    "voicelat agents init",
    "voicelat agents init keys/ --tenant shop --days 365",
    "VOICELAT_CONFIG=keys/agents.toml voicelat agents serve",
)


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the files go.")] = Path(
        "keys"
    ),
    database: Annotated[
        str,
        typer.Option(
            metavar="URL", help="The back office's: sqlite:///FILE or postgresql://USER@HOST/NAME."
        ),
    ] = "sqlite:///backoffice.sqlite3",
    tenant: Annotated[str, typer.Option(help="Whose data it is.")] = "shop",
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long the tokens open.")] = 365,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Mint the tokens of every process, and write a file of settings for each, to be named in
    VOICELAT_CONFIG. None has a key it does not need; the agents' has none to approve with.

    With --json it prints {"schema": 1, "files": {process: path}}.
    """
    from datetime import UTC, datetime, timedelta

    settings = agents_settings(sets)

    from voicelat.settings.agents import tools
    from voicelat.settings.keys import cut_keys

    written = cut_keys(
        folder, database, tenant, tools(settings), timedelta(days=days), datetime.now(UTC)
    )
    if as_json:
        print_json({"schema": 1, "files": {path.stem: str(path) for path in written}})
        return
    typer.echo(f"{len(written)} files in {folder}, readable by you alone. Then, each by itself:")
    typer.echo(f"  voicelat agents office --database {database}")
    for name, verb in (
        ("agents", "agents serve"),
        ("channels", "channels serve"),
        ("console", "console"),
        ("calls", "serve"),
    ):
        typer.echo(f"  VOICELAT_CONFIG={folder / name}.toml voicelat {verb}")
