"""``voicelat report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from voicelat.errors import UsageError
from voicelat.verbs.options import (
    AsJson,
    GateText,
    Sets,
    asked,
    examples,
    finish,
    load_settings,
    new_console,
    writable,
)

if TYPE_CHECKING:
    from voicelat.metrics.turnsfile import Turns
    from voicelat.report.pictures.page import Evidence

__all__ = ["EXAMPLES", "report"]


EXAMPLES = examples(
    "voicelat report turns.jsonl",
    "voicelat report monday.jsonl tuesday.jsonl --from turn-start",
    "voicelat report turns.jsonl --gate total_p95=3000,cutoffs=0 --junit report.xml",
    "voicelat report after.jsonl --compare before.jsonl --gate total_p95=+5%/50",
    "voicelat report turns.jsonl --html report.html --recordings calls/",
    "voicelat report turns.jsonl --watch",
    "cat turns.jsonl | voicelat report - --json",
)


def report(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Files of turns; - is standard input.")
    ],
    compare: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Turns of an earlier run; may be repeated."),
    ] = None,
    gate: GateText = None,
    view: Annotated[
        Literal["speech-end", "turn-start"],
        typer.Option("--from", help="Count the numbers from here."),
    ] = "speech-end",
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow the files; Ctrl-C ends with the report.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report as one page, too.")
    ] = None,
    recordings: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Show the calls' recordings on the page."),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the verdicts as JUnit XML.")
    ] = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Say how long callers waited, why, and what to try: percentiles, targets, diagnosis.

    With --compare it says what got better or worse than in an earlier run, or that these turns
    cannot tell, and how many more could.
    """
    from voicelat.metrics.targets import parse_gates
    from voicelat.metrics.turnsfile import read_turns
    from voicelat.report import compared, report_turns
    from voicelat.report.junit import junit as to_junit
    from voicelat.report.page.drawing import drawing_code
    from voicelat.report.pictures.page import page

    targets = load_settings(sets).targets()
    limits, changes = ([], []) if gate is None else parse_gates(asked(gate))
    if changes and not compare:
        raise UsageError(f"gate {changes[0].name} is about a change: it needs --compare FILE")
    before = read_turns(compare) if compare else None
    if recordings is not None and html is None:
        raise UsageError("--recordings is for the page: it needs --html FILE")
    write_junit, write_html = writable("--junit", junit), writable("--html", html)
    if html is not None:
        # A missing package is said before the work, not behind it.
        drawing_code("the page of a report")
    turns = _watched(files, as_json) if watch else read_turns(files)
    result = report_turns(turns, targets=targets, gates=limits, view=view)
    if before is not None:
        result = compared(result, before, turns, changes)
    write_junit(lambda: to_junit(result))
    write_html(lambda: page(result, _evidence(turns, before, recordings)))
    if html is not None:
        new_console(stderr=True).print(f"The page: {html}")
    finish(result, as_json)


def _evidence(turns: Turns, before: Turns | None, recordings: Path | None) -> Evidence:
    from voicelat.report.pictures.page import Evidence
    from voicelat.report.pictures.waves import waves_in

    earlier = before.records if before is not None else ()
    if recordings is None:
        return Evidence(turns.records, earlier)
    waves, broken = waves_in(recordings, turns.records)
    return Evidence(turns.records, earlier, waves, broken)


def _watched(files: list[str], as_json: bool) -> Turns:
    """The turns there were when somebody pressed Ctrl-C."""
    from voicelat.metrics.turnsfile import Turns
    from voicelat.report.watch import Follower, watch

    if "-" in files:
        raise UsageError("--watch needs files: standard input cannot be followed")
    follower = Follower([Path(name) for name in files])
    try:
        watch(follower, new_console(stderr=as_json))
    except KeyboardInterrupt:
        return Turns(follower.records)
