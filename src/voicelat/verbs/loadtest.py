"""``voicelat loadtest``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voicelat.errors import UsageError
from voicelat.verbs.options import (
    AsJson,
    GateText,
    Sets,
    examples,
    finish,
    gates,
    load_settings,
    new_console,
)

if TYPE_CHECKING:
    from rich.console import Console

    from voicelat.loadtest.plan import Calls, LoadPlan
    from voicelat.loadtest.run import LoadResult
    from voicelat.loadtest.utterances import Utterance

__all__ = ["EXAMPLES", "loadtest"]


EXAMPLES = examples(
    "voicelat loadtest ws://127.0.0.1:8080/media",
    "voicelat loadtest https://bot.example.com/voice --callers 10 --turns 20",
    "voicelat loadtest ws://127.0.0.1:8080/media --callers 50 --duration 2m --ramp 30s --web",
    "voicelat loadtest ws://127.0.0.1:8080/media --arrival poisson:0.5 --duration 10m",
    "voicelat loadtest ws://127.0.0.1:8080/media --scenario rush.toml --gate v2v_p95=1500",
    "voicelat loadtest wss://bot.example.com/media --callers 2000 --master --expect-workers 4",
    "voicelat loadtest --worker --master-host 10.0.0.5",
)

_WEB = "127.0.0.1:8089"
_PORT = 5557


def loadtest(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET",
            help="A media socket (ws://, wss://) or a webhook (http://, https://).",
        ),
    ] = None,
    callers: Annotated[int, typer.Option(min=1, help="Calls at once.")] = 10,
    turns: Annotated[
        int | None,
        typer.Option(min=1, help="Questions a call.", show_default="as the scenario says"),
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Call again until this is over (2m); else each once."),
    ] = None,
    ramp: Annotated[
        str, typer.Option(metavar="TIME", help="Within which all callers have begun.")
    ] = "1s",
    arrival: Annotated[
        str, typer.Option(metavar="closed|poisson:RATE", help="When calls come: see docs.")
    ] = "closed",
    scenario: Annotated[
        Path | None, typer.Option(metavar="FILE", help="How callers and lines behave (TOML).")
    ] = None,
    utterances: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Callers speak the WAV files in here.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same calls.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Append one JSON line per turn here.")
    ] = None,
    gate: GateText = None,
    web: Annotated[bool, typer.Option("--web", help="Show Locust's pages while it runs.")] = False,
    web_at: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where.")] = _WEB,
    master: Annotated[
        bool, typer.Option("--master", help="Place no calls: --expect-workers machines do.")
    ] = False,
    expect_workers: Annotated[int, typer.Option(min=1, help="Wait for so many.")] = 1,
    bind: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where workers reach the master.")
    ] = f"127.0.0.1:{_PORT}",
    worker: Annotated[
        bool, typer.Option("--worker", help="Place a share of a master's calls.")
    ] = False,
    master_host: Annotated[
        str, typer.Option(metavar="HOST[:PORT]", help="Where the master is.")
    ] = "127.0.0.1",
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Call a Twilio media server, any, with many simulated callers and report what they heard.

    Latency is voice to voice, at the caller. With TWILIO_AUTH_TOKEN requests are signed.
    """
    from voicelat.loadtest.plan import LoadPlan, parse_arrival, parse_duration

    console = new_console(stderr=as_json)
    if worker:
        _work(_address(master_host, "--master-host"), console)
        return
    if target is None:
        raise UsageError("give a TARGET: ws://HOST/media, or https://HOST/voice")
    loaded = load_settings(sets)
    plan = LoadPlan(
        calls=_calls(target, scenario, utterances, turns, seed, loaded.twilio_auth_token, console),
        callers=callers,
        duration_s=None if duration is None else parse_duration(duration),
        ramp_s=parse_duration(ramp),
        arrivals_per_s=parse_arrival(arrival),
        web=_address(web_at, "--web-at") if web else None,
        workers=expect_workers if master else 0,
        bind=_address(bind, "--bind"),
        targets=loaded.targets(),
        gates=gates(gate),
    )
    if plan.web is not None:
        console.print(f"Locust shows its pages at http://{web_at}", style="dim")
    result = _run(plan, out, console)
    console.print(result.about_itself, style="dim")
    for line in result.complaints:
        console.print(line, style="bold red")
    if result.interrupted:
        console.print("stopped: this is what was measured so far", style="bold")
    finish(result.report, as_json, code=result.exit_code, told=result.to_json())


def _calls(
    target: str,
    scenario: Path | None,
    folder: Path | None,
    turns: int | None,
    seed: int,
    auth_token: str | None,
    console: Console,
) -> Calls:
    from voicelat.loadtest.plan import Calls
    from voicelat.loadtest.scenario import Scenario, read_scenario

    behaviour = Scenario() if scenario is None else read_scenario(scenario)
    return Calls(
        target=target,
        utterances=_utterances(folder, console),
        scenario=behaviour,
        turns=turns,
        seed=seed,
        auth_token=auth_token,
    )


def _utterances(folder: Path | None, console: Console) -> list[Utterance]:
    import asyncio

    from voicelat.audio.vad import EnergyVad
    from voicelat.loadtest.utterances import Recordings, Utterance, built_in
    from voicelat.providers import local

    if folder is None:
        if (missing := local.available()) is not None:
            console.print(
                f"{missing}; callers murmur instead, in which a detector like Silero hears no "
                "speech: give recordings with --utterances",
                style="dim",
            )
        return asyncio.run(built_in())
    found = Recordings.load(folder, EnergyVad)
    console.print(
        f"{len(found.utterances)} utterances in {found.files} files of {folder} "
        f"({found.silent} without speech)",
        style="dim",
    )
    for line in found.broken:
        console.print(f"left out: {line}", style="dim")
    return [Utterance(audio) for audio in found.utterances]


def _run(plan: LoadPlan, out: Path | None, console: Console) -> LoadResult:
    """Place the calls, with a line that says how it goes."""
    import asyncio

    from voicelat.loadtest.run import Load, new_event_loop
    from voicelat.metrics.recorder import MetricRecorder
    from voicelat.report.progress import LoadProgress

    progress = LoadProgress(console, plan.callers)
    load = Load(plan, on_turn=progress.turn, on_note=progress.note, on_open=progress.calls)
    with ExitStack() as stack:
        if out is not None:
            load.on_record = stack.enter_context(MetricRecorder(out)).record
        stack.enter_context(progress)
        runner = stack.enter_context(asyncio.Runner(loop_factory=new_event_loop))
        return runner.run(load.run())


def _work(master: tuple[str, int], console: Console) -> None:
    import asyncio

    from voicelat.loadtest.run import new_event_loop, work_for
    from voicelat.report.progress import LoadProgress

    console.print(f"working for {master[0]}:{master[1]}", style="dim")
    progress = LoadProgress(console, None)
    with progress, asyncio.Runner(loop_factory=new_event_loop) as runner:
        placed = runner.run(
            work_for(master, on_turn=progress.turn, on_note=progress.note, on_open=progress.calls)
        )
    console.print(f"{placed} calls placed; the report is at the master")


def _address(text: str, option: str) -> tuple[str, int]:
    """Host and port; only ``--master-host`` may leave the port out."""
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = port, str(_PORT) if option == "--master-host" else ""
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise UsageError(f"{option} {text}: must be HOST:PORT")
    return host, int(port)
