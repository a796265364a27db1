"""``voicelat replay``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from voicelat.errors import UsageError
from voicelat.verbs.listening import CallerChannel, LabelsFolder, Paths, Replies, hear, replies_of
from voicelat.verbs.options import (
    AsJson,
    GateText,
    Sets,
    Stt,
    examples,
    finish,
    gates,
    given,
    load_settings,
    new_console,
)

if TYPE_CHECKING:
    from rich.console import Console

    from voicelat.caller import Heard
    from voicelat.lab.realtime import RealtimeResult
    from voicelat.lab.replay import ReplayResult, VerbatimResult

__all__ = ["EXAMPLES", "replay"]

EXAMPLES = examples(
    "voicelat replay calls/ --verbatim",
    "voicelat replay calls/ --set VAD_HANGOVER_MS=200 --set SPEAK_GATE_MS=700",
    "voicelat replay calls/ --set EOU_POLICY=semantic --replies turns.jsonl --out replayed.jsonl",
    "voicelat replay calls/ --realtime ws://127.0.0.1:8080/media --callers 3",
)


def replay(
    paths: Paths,
    verbatim: Annotated[
        bool,
        typer.Option("--verbatim", help="Change nothing: assert that every recorded effect comes."),
    ] = False,
    realtime: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Play the callers to a running server, in real time."),
    ] = None,
    callers: Annotated[int, typer.Option(min=1, help="Calls at once, with --realtime.")] = 1,
    turns: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The turns file that server writes, with --realtime."),
    ] = None,
    replies: Replies = "google-openai-google",
    labels: LabelsFolder = None,
    caller: CallerChannel = None,
    stt: Stt = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the replayed turns here.")
    ] = None,
    gate: GateText = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Put recorded calls through the machine again: verbatim, or under other settings."""
    import asyncio
    from functools import partial

    from voicelat.lab.calls import spoken_calls, traces_of
    from voicelat.lab.realtime import RealtimePlan, media_url, play
    from voicelat.lab.recordings import find
    from voicelat.lab.replay import ReplayResult, counterfactual, write_turns
    from voicelat.lab.replay import verbatim as compared
    from voicelat.turn.policies import policy

    if verbatim and realtime is not None:
        raise UsageError("--verbatim and --realtime: give one of them")
    if verbatim:
        _tell(compared(find(paths)), as_json)
    if out is not None and out.exists():  # said before the work, not behind it
        raise UsageError(f"--out {out}: exists already, give another name")
    loaded = load_settings(sets, given({"STT_PROVIDER": stt}))
    wanted, console = gates(gate), new_console(stderr=True)
    url = None if realtime is None else media_url(realtime)
    provider, latency = replies_of(replies)
    heard = hear(console, loaded, find(paths), caller)
    result: ReplayResult | RealtimeResult
    if url is None:
        traces, broken = traces_of(heard)
        chosen = (loaded.eou_policy, loaded.eou_context)
        result = counterfactual(
            traces,
            loaded.turn(),
            partial(policy, *chosen),
            latency,
            replies=provider,
            settings=dict(zip(("EOU_POLICY", "EOU_CONTEXT"), chosen, strict=True)),
            targets=loaded.targets(),
            gates=wanted,
            broken=broken,
        )
    else:
        spoken, silent = spoken_calls(heard, labels, caller)
        for line in silent:
            console.print(line, style="bold red")
        if not spoken:
            raise UsageError("nothing to play: give recordings with two channels, or labels")
        plan = RealtimePlan(
            url=url,
            callers=callers,
            turns_file=turns,
            targets=loaded.targets(),
            gates=wanted,
        )
        console.print(f"{sum(len(one.turns) for one in spoken)} turns to say", style="dim")
        result = asyncio.run(play(spoken, plan, on_heard=partial(_tell_turn, console)))
    if out is not None:
        write_turns(result.records, out)
    for line in result.complaints:
        console.print(line, style="bold red")
    if not as_json and isinstance(result, ReplayResult):
        console.print(f"replies: {result.latency}\n{result.bias}", style="dim")
    finish(result.report, as_json, result.exit_code, told=result.to_json())


def _tell_turn(console: Console, name: str, heard: Heard) -> None:
    from voicelat.metrics.durations import duration

    waited = "talked over" if heard.talked_over else f"answered after {duration(heard.v2v_ms)}"
    console.print(f"{name} turn {heard.question}: {'no answer' if heard.censored else waited}")


def _tell(result: VerbatimResult, as_json: bool) -> NoReturn:
    if as_json:
        typer.echo(result.to_json())
    else:
        for line in result.lines:
            typer.echo(line)
    if result.interrupted:
        raise typer.Exit(130)
    if result.different:
        raise typer.Exit(1)
    raise typer.Exit(0 if result.ok else 2)
