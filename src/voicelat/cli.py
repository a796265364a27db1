"""The command line: it parses, calls, and prints. No logic lives here.

Exit codes: 0 fine, 1 a gate failed, 2 bad usage or input, 3 could not connect, 130 stopped by
Ctrl-C. The verbs stand in `voicelat.verbs`; each imports what it runs when it runs, so that
``voicelat --help`` stays quick.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from voicelat import __version__
from voicelat.errors import InternalError, VoicelatError
from voicelat.verbs import (
    agents,
    channels,
    console,
    demo,
    doctor,
    erase,
    export,
    loadtest,
    replay,
    report,
    serve,
    settings,
    sweep,
)
from voicelat.verbs.options import exit_code, leave

__all__ = ["OneLineErrors", "app"]


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
        leave(str(error), exit_code(error))
    except typer.TyperException as error:
        said = " ".join(error.format_message().split()).removesuffix(".")
        context = getattr(error, "ctx", None)
        help_line = f" (see {context.command_path} --help)" if context else ""
        leave(f"{said}{help_line}", error.exit_code)
    except KeyboardInterrupt:
        leave("stopped", 130)


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


for verb, its_examples in (
    (demo.demo, demo.EXAMPLES),
    (serve.serve, serve.EXAMPLES),
    (replay.replay, replay.EXAMPLES),
    (sweep.sweep, sweep.EXAMPLES),
    (loadtest.loadtest, loadtest.EXAMPLES),
    (report.report, report.EXAMPLES),
    (export.export, export.EXAMPLES),
    (erase.erase, erase.EXAMPLES),
    (doctor.doctor, doctor.EXAMPLES),
    (settings.settings, settings.EXAMPLES),
):
    app.command(epilog=its_examples)(verb)
app.add_typer(agents.agents, name="agents")
app.add_typer(channels.channels, name="channels")
app.add_typer(console.console, name="console")
