"""``voicelat export``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voicelat.errors import UsageError
from voicelat.verbs.options import AsJson, examples, new_console, print_json

if TYPE_CHECKING:
    from voicelat.metrics.exporters.export import ExportResult, FileWriter
    from voicelat.metrics.exporters.live import TurnWriter

__all__ = ["EXAMPLES", "export"]

EXAMPLES = examples(
    "voicelat export turns.jsonl --csv turns.csv --parquet turns.parquet",
    "voicelat export monday.jsonl tuesday.jsonl --sql sqlite:///turns.db",
    "voicelat export turns.jsonl --sql postgresql://voicelat@db.example.com/calls",
    "cat turns.jsonl | voicelat export - --otlp http://localhost:4318 --json",
)


def export(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Files of turns; - is standard input.")
    ],
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a CSV file, a row a turn.")
    ] = None,
    parquet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a Parquet file, a row a turn.")
    ] = None,
    sql: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Insert or replace in SQLite or PostgreSQL."),
    ] = None,
    otlp: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Send as OpenTelemetry spans to this collector."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring turns to other tools: tables, a database, a tracing backend.

    The same turns exported twice are in a database once.
    """
    from rich.progress import Progress

    from voicelat.metrics.exporters.export import export_turns
    from voicelat.metrics.turnsfile import read_turns

    places = _places(csv, parquet, sql, otlp)
    turns = read_turns(files)
    with Progress(console=new_console(stderr=True), transient=True) as progress:
        tasks = {place: progress.add_task(place, total=len(turns.records)) for place in places}
        result = export_turns(
            turns, places, lambda place, count: progress.advance(tasks[place], count)
        )
    if as_json:
        from msgspec import to_builtins

        print_json(to_builtins(result), indent=None)
    else:
        _tell(result)


def _places(
    csv: Path | None, parquet: Path | None, sql: str | None, otlp: str | None
) -> dict[str, TurnWriter | FileWriter]:
    """Who writes where; said before the work when it cannot be."""
    from voicelat.metrics.exporters import tables

    places: dict[str, TurnWriter | FileWriter] = {}
    if csv is not None:
        places["csv"] = partial(tables.write_csv, path=csv)
    if parquet is not None:
        places["parquet"] = partial(tables.write_parquet, path=parquet)
    if sql is not None:
        from voicelat.metrics.exporters.sql import SqlWriter

        places["sql"] = SqlWriter(sql)
    if otlp is not None:
        from voicelat.metrics.exporters.otel import OtlpWriter

        places["otlp"] = OtlpWriter(otlp)
    if not places:
        raise UsageError("say where to: --csv FILE, --parquet FILE, --sql URL or --otlp URL")
    return places


def _tell(result: ExportResult) -> None:
    for line in result.truncated:
        typer.echo(f"voicelat: warning: {line} breaks off and was left out", err=True)
    for place, reasons in result.reasons.items():
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        typer.echo(f"voicelat: warning: {place} cannot take {reasons[0]}{more}", err=True)
    told = ", ".join(f"{count} to {place}" for place, count in result.written.items())
    typer.echo(f"{result.turns} turns of {result.calls} calls: {told}")
