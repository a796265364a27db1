"""``voicelat demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voicelat.verbs.options import (
    AsJson,
    GateText,
    Llm,
    ProfileName,
    Sets,
    Stt,
    Tts,
    examples,
    finish,
    gates,
    given,
    load_settings,
    new_console,
    providers,
)

if TYPE_CHECKING:
    from voicelat.demo import DemoResult

__all__ = ["EXAMPLES", "demo", "demo_code"]


EXAMPLES = examples(
    "voicelat demo",
    "voicelat demo --calls 10 --callers 3 --out demo/",
    "voicelat demo --utterances recordings/ --json",
    "voicelat demo --profile google-openai-google --set VAD_HANGOVER_MS=300",
    "voicelat demo --gate total_p95=1200",
)


def demo(
    calls: Annotated[
        int | None, typer.Option(min=1, help="Calls in all.", show_default="as many as callers")
    ] = None,
    callers: Annotated[int, typer.Option(min=1, max=200, help="Calls at once.")] = 3,
    utterances: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Callers speak the WAV files in here (any rate, codec)."),
    ] = None,
    turns: Annotated[int, typer.Option(min=1, help="Questions per call, with --utterances.")] = 5,
    stt: Stt = None,
    llm: Llm = None,
    tts: Tts = None,
    profile: ProfileName = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep turns, recordings and traces here.")
    ] = None,
    gate: GateText = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Hold a few simulated phone calls with the server and report how long callers wait."""
    import asyncio

    from voicelat.demo import DemoPlan, run_demo
    from voicelat.report.live import TurnTable

    loaded = load_settings(sets, given(providers(stt, llm, tts, profile)))
    chosen = ("STT_PROVIDER", "LLM_PROVIDER", "TTS_PROVIDER", "VAD")
    plan = DemoPlan(
        calls=calls or callers,
        callers=callers,
        turns=turns,
        utterances=utterances,
        settings=dict(pair.split("=", 1) for pair in sets or ()),
        providers={name: str(loaded.value(name)) for name in chosen},
        targets=loaded.targets(),
        gates=gates(gate),
        out=out,
    )
    console = new_console(stderr=as_json)
    console.print("getting ready: the callers' voices, then the server", style="dim")
    table = TurnTable(console)
    result = asyncio.run(
        run_demo(
            plan,
            on_note=lambda note: console.print(note, style="dim"),
            on_turn=lambda turn: table.add(turn.record, turn.heard_ms),
        )
    )
    for line in result.complaints:
        console.print(line, style="bold red")
    if result.interrupted:
        console.print("stopped: this is what was measured so far", style="bold")
    console.print()
    finish(result.report, as_json, code=demo_code(result))


def demo_code(result: DemoResult) -> int:
    """The exit code of a demo, its gates aside: stopped, or no call came about."""
    if result.interrupted:
        return 130
    return 3 if result.failed and not result.calls else 0
