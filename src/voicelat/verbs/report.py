"""``voicelat report``."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from voicelat.verbs.options import AsJson, GateText, Sets, examples, finish, gates, load_settings

__all__ = ["EXAMPLES", "report"]


EXAMPLES = examples(
    "voicelat report turns.jsonl",
    "voicelat report monday.jsonl tuesday.jsonl --from turn-start",
    "voicelat report turns.jsonl --gate total_p95=3000,cutoffs=0",
    "cat turns.jsonl | voicelat report - --json",
)


def report(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Files of turns; - is standard input.")
    ],
    gate: GateText = None,
    view: Annotated[
        Literal["speech-end", "turn-start"],
        typer.Option("--from", help="Count the numbers from here."),
    ] = "speech-end",
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Say how long callers waited, why, and what to try: percentiles, targets, diagnosis."""
    from voicelat.report import report_files

    targets = load_settings(sets).targets()
    result = report_files(files, targets=targets, gates=gates(gate), view=view)
    finish(result, as_json)
