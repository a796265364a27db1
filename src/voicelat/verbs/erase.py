"""``voicelat erase``: what is kept of somebody, gone."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from voicelat.errors import MissingExtra, UsageError
from voicelat.verbs.options import AsJson, Sets, examples, load_settings, print_json

__all__ = ["EXAMPLES", "erase"]

EXAMPLES = examples(
    "voicelat erase --phone +972501234567",
    "voicelat erase --call CA123 --yes --json",
    "voicelat erase --retention --yes",
)


def erase(
    call: Annotated[str | None, typer.Option(metavar="ID", help="A call.")] = None,
    phone: Annotated[str | None, typer.Option(metavar="+E164", help="A person.")] = None,
    lead: Annotated[str | None, typer.Option(metavar="ID", help="A person, as a lead.")] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="DAYS", help="Everybody, before so many days: 90d.")
    ] = None,
    retention: Annotated[
        bool, typer.Option("--retention", help="The same, before RETENTION_DAYS: for cron.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask once more.")] = False,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Erase what is kept of a call, of a person, or of everybody before a day: in the back office,
    the turns (numbers stay), recordings, the agents' database and the channels.

    Exit code 3 when a store could not be reached: run it again. It cannot be undone.
    """
    from datetime import UTC, datetime, timedelta
    from importlib.util import find_spec

    if any(find_spec(package) is None for package in ("dbos", "sqlalchemy")):
        raise MissingExtra("agents", "voicelat erase")
    settings = load_settings(sets)
    days = _days(older_than)
    if retention:
        if settings.retention_days is None:
            raise UsageError("RETENTION_DAYS is not set: nothing is to be erased")
        days = settings.retention_days
    before = None if days is None else datetime.now(UTC) - timedelta(days=days)
    if not yes:
        typer.confirm("Erase it for good?", abort=True)

    from voicelat.settings.erase import erase as erase_everywhere

    done = erase_everywhere(settings, call_id=call, phone=phone, lead_id=lead, before=before)
    if as_json:
        shown = [{"store": one.store, "erased": one.erased, "says": one.says} for one in done]
        print_json({"schema": 1, "stores": shown})
    else:
        for one in done:
            typer.echo(f"{one.store:<14} {one.says or one.erased}")
    raise typer.Exit(3 if any(one.says for one in done) else 0)


def _days(text: str | None) -> int | None:
    if text is None:
        return None
    matched = re.fullmatch(r"([1-9][0-9]{0,4})d?", text)
    if matched is None:
        raise UsageError(f"--older-than {text}: give days, like 90d")
    return int(matched[1])
