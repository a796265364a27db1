"""``voicelat sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicelat.errors import UsageError
from voicelat.verbs.listening import CallerChannel, LabelsFolder, Paths, Replies, hear, replies_of
from voicelat.verbs.options import (
    AsJson,
    Sets,
    Stt,
    examples,
    given,
    leave,
    load_settings,
    new_console,
    writable,
)

__all__ = ["EXAMPLES", "sweep"]

EXAMPLES = examples(
    "voicelat sweep calls/",
    "voicelat sweep calls/ --max-cutoffs 3% --html sweep.html",
    "voicelat sweep 'calls/*.wav' --hangover 80:400:20 --speak-gate 0:1500:50 --policy fixed",
    "voicelat sweep calls/ --labels labels/ --replies turns.jsonl --json",
    "voicelat sweep calls/ --cluster tcp://10.0.0.5:8786",
)


def sweep(
    paths: Paths,
    debounce: Annotated[
        str,
        typer.Option(metavar="RANGE", help="STT_PARTIAL_DEBOUNCE_MS: FROM:TO:STEP, or values."),
    ] = "20,60,100,200",
    hangover: Annotated[str, typer.Option(metavar="RANGE", help="VAD_HANGOVER_MS.")] = "80:800:80",
    min_utt: Annotated[str, typer.Option(metavar="RANGE", help="MIN_UTT_SEC, in s.")] = "0.25",
    stt_timeout: Annotated[str, typer.Option(metavar="RANGE", help="STT_TIMEOUT_MS.")] = "240",
    speak_gate: Annotated[
        str, typer.Option(metavar="RANGE", help="SPEAK_GATE_MS; 0: the hangover alone.")
    ] = "0:2400:100",
    policy: Annotated[
        str, typer.Option(metavar="NAME,...", help="EOU_POLICY: fixed, adaptive, semantic.")
    ] = "fixed,adaptive,semantic",
    max_cutoffs: Annotated[
        str, typer.Option(metavar="SHARE", help="Turns that may be cut off: 5% or 0.05.")
    ] = "5%",
    replies: Replies = "google-openai-google",
    labels: LabelsFolder = None,
    caller: CallerChannel = None,
    stt: Stt = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the pictures as one page.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every setting as a row.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Sweep on the Dask cluster there.")
    ] = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Find the debounce, hangover and gate for your calls, and whom they would cut off."""
    import msgspec
    from rich.progress import Progress

    from voicelat.lab.calls import judgeable, judged_calls
    from voicelat.lab.recordings import find
    from voicelat.lab.sweep.grid import Grid, policies, share
    from voicelat.lab.sweep.pictures.page import page
    from voicelat.lab.sweep.pictures.terminal import print_sweep
    from voicelat.lab.sweep.run import SweepPlan, run_sweep
    from voicelat.lab.workers import workers
    from voicelat.report.page.drawing import drawing_code

    loaded = load_settings(sets, given({"STT_PROVIDER": stt}))
    grid = Grid(
        debounce=_values(debounce, "--debounce", "STT_PARTIAL_DEBOUNCE_MS"),
        hangover=_values(hangover, "--hangover", "VAD_HANGOVER_MS"),
        min_utt=_values(min_utt, "--min-utt", "MIN_UTT_SEC"),
        stt_timeout=_values(stt_timeout, "--stt-timeout", "STT_TIMEOUT_MS"),
        speak_gate=_values(speak_gate, "--speak-gate", "SPEAK_GATE_MS"),
        policies=policies(policy),
    )
    budget = share(max_cutoffs, "--max-cutoffs")
    _, latency = replies_of(replies)
    write_page, write_rows = writable("--html", html), writable("--csv", csv)
    console = new_console(stderr=True)
    if html is not None:
        drawing_code(
            "the page of a sweep"
        )  # a missing package is said before the work, not behind it
    found = find(paths)
    sources = judgeable(found, labels)
    if unheard := len(found) - len(sources):
        console.print(
            f"{unheard} of {len(found)} recordings have one channel and no labels: left out, nobody"
            " knows who spoke next (docs/labels.md)",
            style="dim",
        )
    with workers(cluster) as executor:
        calls = judged_calls(hear(console, loaded, sources, caller), labels)
        for note in calls.notes:
            console.print(note, style="dim")
        calls.must_have_turns()
        plan = SweepPlan(
            latency=latency,
            grid=grid,
            max_cutoffs=budget,
            max_speculations=loaded.speculation_max,
            broken=tuple(calls.broken),
            unheard=unheard,
        )
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("sweeping", total=None)
            result = run_sweep(
                calls.judged,
                plan,
                executor,
                lambda done, count: progress.update(task, completed=done, total=count),
            )
    if as_json:
        typer.echo(msgspec.json.encode(result))
    else:
        print_sweep(result)
    # Behind the result: a file that cannot be written must not cost it.
    write_page(lambda: page(result))
    write_rows(result.to_csv)
    if result.broken:
        leave(f"{len(result.broken)} of the calls could not be used; the others were swept", 2)


def _values(text: str, option: str, name: str) -> tuple[int, ...]:
    """A range in ms, all of it allowed for the setting ``name``: a recommendation that no server
    takes is none. Raises UsageError."""
    from msgspec import ValidationError

    from voicelat.lab.sweep.grid import values
    from voicelat.settings import SETTINGS

    (setting,) = (one for one in SETTINGS if one.name == name)
    scale = 1000 if setting.unit == "s" else 1
    found = values(text, option, scale=scale)
    try:
        setting.parse(f"{max(found) / scale:g}")
    except ValidationError:
        raise UsageError(f"{option} {text}: {name} must be {setting.allowed}") from None
    return found
