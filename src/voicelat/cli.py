"""The command line: it parses, calls, and prints. No logic lives here.

Exit codes: 0 fine, 1 a gate failed, 2 bad usage or input, 3 could not connect, 130 stopped by
Ctrl-C. Each verb imports its module when it runs: ``voicelat --help`` stays quick.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer
from typer.core import TyperGroup

from voicelat import __version__
from voicelat.errors import InternalError, ProviderError, UsageError, VoicelatError

if TYPE_CHECKING:
    from rich.console import Console

    from voicelat.demo import DemoResult
    from voicelat.metrics.targets import Gate
    from voicelat.report import ReportResult
    from voicelat.settings import Settings

__all__ = ["OneLineErrors", "app", "demo_code", "providers"]


class OneLineErrors(TyperGroup):
    """The one error boundary: a user's mistake is one line on stderr, without a traceback."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the options before the verb."""
        with _one_line_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Read the verb's options and run it."""
        with _one_line_errors():
            return super().invoke(ctx)


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Turns what is raised on purpose into a line and an exit code."""
    try:
        yield
    except InternalError:
        raise  # our own bug: whoever reports it needs the traceback
    except VoicelatError as error:
        _leave(str(error), 2 if _is_the_users(error) else 3)
    except typer.TyperException as error:
        said = " ".join(error.format_message().split()).removesuffix(".")
        context = getattr(error, "ctx", None)
        help_line = f" (see {context.command_path} --help)" if context else ""
        _leave(f"{said}{help_line}", error.exit_code)
    except KeyboardInterrupt:
        _leave("stopped", 130)


def _is_the_users(error: VoicelatError) -> bool:
    """Whether trying again without a change is pointless: bad usage, a missing or wrong key."""
    wrong_key = isinstance(error, ProviderError) and error.advice == "fix_key"
    return wrong_key or isinstance(error, UsageError)


def _leave(message: str, code: int) -> NoReturn:
    typer.echo(f"voicelat: {message}", err=True)
    raise typer.Exit(code)


def _examples(*lines: str) -> str:
    return "\n\n".join(["[bold]Examples[/bold]", *lines])


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"voicelat {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=OneLineErrors,
    add_completion=False,
    rich_markup_mode="rich",
    # A traceback with local variables would show keys and tokens.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_PROVIDERS = "local, openai (model only), simulated:PROFILE or package.module:Class"

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead.")]
Stt = Annotated[str | None, typer.Option(help=f"Speech to text: {_PROVIDERS}.")]
Llm = Annotated[str | None, typer.Option(help=f"Language model: {_PROVIDERS}.")]
Tts = Annotated[str | None, typer.Option(help=f"Text to speech: {_PROVIDERS}.")]
ProfileName = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="All three simulated, with the latencies of a stack."),
]
GateText = Annotated[
    str | None,
    typer.Option(
        "--gate",
        metavar="NAME=LIMIT,...",
        help="Exit with 1 when a percentile (ms) or a count is above its limit.",
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Set one setting for this run; may be repeated. [bold]voicelat settings[/bold]"
        " lists them.",
    ),
]


@app.callback(invoke_without_command=True)
def voicelat(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    """Find, cut and prove the time between a caller's question and the answer."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without a sign for "█" is no error
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


@app.command(
    epilog=_examples(
        "voicelat demo",
        "voicelat demo --calls 10 --callers 3 --out demo/",
        "voicelat demo --utterances recordings/ --json",
        "voicelat demo --profile google-openai-google --set VAD_HANGOVER_MS=300",
        "voicelat demo --gate total_p95=1200",
    )
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

    loaded = _settings(sets, _given(providers(stt, llm, tts, profile)))
    chosen = ("STT_PROVIDER", "LLM_PROVIDER", "TTS_PROVIDER", "VAD")
    plan = DemoPlan(
        calls=calls or callers,
        callers=callers,
        turns=turns,
        utterances=utterances,
        settings=dict(pair.split("=", 1) for pair in sets or ()),
        providers={name: str(loaded.value(name)) for name in chosen},
        targets=loaded.targets(),
        gates=_gates(gate),
        out=out,
    )
    console = _console(stderr=as_json)
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
    _finish(result.report, as_json, code=demo_code(result))


@app.command(
    epilog=_examples(
        "voicelat serve",
        "voicelat serve --stt local --llm openai --set OPENAI_BASE_URL=http://127.0.0.1:8000/v1",
        "voicelat serve --record calls/ --turns turns.jsonl",
        "TWILIO_AUTH_TOKEN=... voicelat serve --host 0.0.0.0 "
        "--set PUBLIC_BASE_URL=https://bot.example.com",
    )
)
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0: any free one.")] = None,
    stt: Stt = None,
    llm: Llm = None,
    tts: Tts = None,
    profile: ProfileName = None,
    turns: Annotated[
        str | None, typer.Option(metavar="FILE", help="Append one JSON line per turn here.")
    ] = None,
    record: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Keep a two-channel recording and a trace of each call."),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen publicly without TWILIO_AUTH_TOKEN.")
    ] = False,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Run the reference Twilio server until Ctrl-C: webhook, media socket, health, metrics.

    With --json it prints one line, {"url": ...}, once it takes calls.
    """
    from voicelat.serve.server import run
    from voicelat.settings import wiring

    options = {
        "HOST": host,
        "PORT": None if port is None else str(port),
        "TURNS_FILE": turns,
        "RECORD_DIR": record,
        **providers(stt, llm, tts, profile),
    }
    loaded = _settings(sets, _given(options))

    def say_ready(url: str) -> None:
        if as_json:
            _print_json({"url": url}, indent=None)
        else:
            seen = (loaded.public_base_url or url).rstrip("/")
            typer.echo(f"voicelat takes calls at {seen}/voice (listening at {url})")

    with wiring.logs(loaded):
        run(wiring.server(loaded, insecure=insecure), on_ready=say_ready)


@app.command(
    epilog=_examples(
        "voicelat report turns.jsonl",
        "voicelat report monday.jsonl tuesday.jsonl --from turn-start",
        "voicelat report turns.jsonl --gate total_p95=3000,cutoffs=0",
        "cat turns.jsonl | voicelat report - --json",
    )
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

    targets = _settings(sets).targets()
    result = report_files(files, targets=targets, gates=_gates(gate), view=view)
    _finish(result, as_json)


@app.command(
    epilog=_examples(
        "voicelat settings",
        "voicelat settings --set VAD_HANGOVER_MS=200",
        "voicelat settings --json | jq '.settings[] | select(.source != \"default\")'",
    )
)
def settings(sets: Sets = None, as_json: AsJson = False) -> None:
    """Show every setting, its value, where the value came from, and what it means."""
    from voicelat.settings import SETTINGS

    loaded = _settings(sets)
    if as_json:
        _print_json(loaded.described())
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("setting", no_wrap=True)
    for heading in ("value", "from", "meaning"):
        table.add_column(heading, overflow="fold")
    for setting in SETTINGS:
        value = setting.written(loaded.shown(setting.name))
        source = loaded.sources[setting.name]
        style = None if source == "default" else "bold"
        table.add_row(setting.name, value, source, setting.meaning, style=style)
    _print(table)


def providers(
    stt: str | None, llm: str | None, tts: str | None, profile: str | None
) -> dict[str, str | None]:
    """The settings that the provider options stand for; None where none was given."""
    simulated = f"simulated:{profile}" if profile else None
    return {
        "STT_PROVIDER": stt or simulated,
        "LLM_PROVIDER": llm or simulated,
        "TTS_PROVIDER": tts or simulated,
        # Simulated voices are shaped noise: Silero hears no speech in them, and needs an extra.
        "VAD": "energy" if simulated else None,
    }


def _given(options: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in options.items() if value is not None}


def demo_code(result: DemoResult) -> int:
    """The exit code of a demo, its gates aside: stopped, or no call came about."""
    if result.interrupted:
        return 130
    return 3 if result.failed and not result.calls else 0


def _gates(text: str | None) -> list[Gate]:
    """The gates asked for. A build that asks for none by mistake must not pass."""
    if text is None:
        return []
    from voicelat.metrics.targets import parse_gate

    gates = parse_gate(text)
    if not gates:
        raise UsageError("--gate is empty: give NAME=LIMIT, like total_p95=3000")
    return gates


def _finish(result: ReportResult, as_json: bool, code: int = 0) -> None:
    """Print a report and leave with what its gates say."""
    from voicelat.report.terminal import print_report

    if as_json:
        typer.echo(result.to_json())
    else:
        print_report(result)
    if result.gate_failures:
        _leave("; ".join(failed.says for failed in result.gate_failures), 1)
    raise typer.Exit(code)


def _settings(sets: list[str] | None, options: dict[str, str] | None = None) -> Settings:
    from voicelat.settings import load

    overrides = dict(options or {})
    for pair in sets or ():
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--set {pair}: must be NAME=VALUE")
        overrides[name] = value
    loaded = load(overrides)
    for warning in loaded.warnings:
        typer.echo(f"voicelat: warning: {warning}", err=True)
    return loaded


def _print(what: Any) -> None:
    _console().print(what)


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(markup=False, highlight=False, stderr=stderr)


def _print_json(what: Any, indent: int | None = 2) -> None:
    """JSON is UTF-8, whatever the terminal is."""
    typer.echo(json.dumps(what, ensure_ascii=False, indent=indent).encode())
