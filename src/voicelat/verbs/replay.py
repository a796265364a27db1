"""``voicelat replay``."""

from __future__ import annotations

from collections.abc import Sequence
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

    from voicelat.caller import Heard as Question
    from voicelat.lab.latency import ReplyLatency
    from voicelat.lab.listen import Heard
    from voicelat.lab.realtime import RealtimePlan, RealtimeResult
    from voicelat.lab.replay import ReplayResult, VerbatimResult
    from voicelat.metrics.targets import Gate
    from voicelat.settings import Settings

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
    from voicelat.lab.realtime import RealtimePlan, media_url
    from voicelat.lab.recordings import find
    from voicelat.lab.replay import ReplayResult, write_turns
    from voicelat.lab.replay import verbatim as compared

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
        result = _otherwise(heard, loaded, provider, latency, wanted)
    else:
        plan = RealtimePlan(
            url=url, callers=callers, turns_file=turns, targets=loaded.targets(), gates=wanted
        )
        result = _played(heard, plan, labels, caller, console)
    if out is not None:
        write_turns(result.records, out)
    for line in result.complaints:
        console.print(line, style="bold red")
    if not as_json and isinstance(result, ReplayResult):
        console.print(f"replies: {result.latency}\n{result.bias}", style="dim")
    finish(result.report, as_json, result.exit_code, told=result.to_json())


def _otherwise(
    heard: Sequence[Heard],
    loaded: Settings,
    provider: str,
    latency: ReplyLatency,
    wanted: Sequence[Gate],
) -> ReplayResult:
    """The calls under the settings that are loaded."""
    from functools import partial

    from voicelat.lab.calls import traces_of
    from voicelat.lab.replay import counterfactual
    from voicelat.turn.policies import policy

    traces, broken = traces_of(heard)
    chosen = (loaded.eou_policy, loaded.eou_context)
    return counterfactual(
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


def _played(
    heard: Sequence[Heard],
    plan: RealtimePlan,
    labels: Path | None,
    caller: int | None,
    console: Console,
) -> RealtimeResult:
    """The callers, played to the server of the plan."""
    import asyncio
    from functools import partial

    from voicelat.lab.calls import spoken_calls
    from voicelat.lab.realtime import play

    spoken, silent = spoken_calls(heard, labels, caller)
    for line in silent:
        console.print(line, style="bold red")
    if not spoken:
        raise UsageError("nothing to play: give recordings with two channels, or labels")
    console.print(f"{sum(len(one.turns) for one in spoken)} turns to say", style="dim")
    return asyncio.run(play(spoken, plan, on_heard=partial(_tell_turn, console)))


def _tell_turn(console: Console, name: str, turn: Question) -> None:
    from voicelat.metrics.durations import duration

    waited = "talked over" if turn.talked_over else f"answered after {duration(turn.v2v_ms)}"
    console.print(f"{name} turn {turn.question}: {'no answer' if turn.censored else waited}")


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
