"""What the verbs share: their options, their settings, and how they print and leave."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from voicelat.errors import ProviderError, UsageError, VoicelatError

if TYPE_CHECKING:
    from rich.console import Console

    from voicelat.metrics.targets import Gate
    from voicelat.report import ReportResult
    from voicelat.settings import Settings

__all__ = [
    "AsJson",
    "GateText",
    "Llm",
    "ProfileName",
    "Sets",
    "Stt",
    "Tts",
    "examples",
    "exit_code",
    "finish",
    "gates",
    "given",
    "leave",
    "load_settings",
    "new_console",
    "print_json",
    "providers",
    "writable",
]

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


def exit_code(error: VoicelatError) -> int:
    """2 where trying again without a change is pointless (bad usage, a missing or wrong key),
    else 3."""
    wrong_key = isinstance(error, ProviderError) and error.advice == "fix_key"
    return 2 if wrong_key or isinstance(error, UsageError) else 3


def leave(message: str, code: int) -> NoReturn:
    typer.echo(f"voicelat: {message}", err=True)
    raise typer.Exit(code)


def examples(*lines: str) -> str:
    return "\n\n".join(["[bold]Examples[/bold]", *lines])


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


def given(options: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in options.items() if value is not None}


def gates(text: str | None) -> list[Gate]:
    """The gates asked for."""
    from voicelat.metrics.targets import parse_gate

    return [] if text is None else parse_gate(asked(text))


def asked(text: str) -> str:
    """A build that asks for no gate by mistake must not pass."""
    if not text.strip(" ,"):
        raise UsageError("--gate is empty: give NAME=LIMIT, like total_p95=3000")
    return text


def finish(
    result: ReportResult, as_json: bool, code: int = 0, *, told: bytes | None = None
) -> NoReturn:
    """Print a report (``told``: its JSON with more beside it) and leave with what its gates say."""
    from voicelat.report.terminal import print_report

    if as_json:
        typer.echo(told or result.to_json())
    else:
        print_report(result)
    if result.gate_failures:
        leave("; ".join(failed.says for failed in result.gate_failures), 1)
    raise typer.Exit(code)


def writable(option: str, path: Path | None) -> Callable[[Callable[[], str]], None]:
    """Writes a text to ``path`` once there is one; None writes nothing. Raises UsageError, before
    long work, for a folder that does not exist."""
    if path is None:
        return lambda _: None
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{option} {path}: there is no folder {path.parent}")

    def write(text: Callable[[], str]) -> None:
        try:
            path.write_text(text(), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{option} {path}: cannot be written ({error.strerror})") from None

    return write


def load_settings(sets: list[str] | None, options: dict[str, str] | None = None) -> Settings:
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


def new_console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    # A path that is broken in two cannot be found again: long lines are the terminal's to wrap.
    return Console(markup=False, highlight=False, soft_wrap=True, stderr=stderr)


def print_json(what: Any, indent: int | None = 2) -> None:
    """JSON is UTF-8, whatever the terminal is."""
    typer.echo(json.dumps(what, ensure_ascii=False, indent=indent).encode())
