"""``voicelat doctor``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from voicelat.errors import UsageError
from voicelat.verbs.options import (
    AsJson,
    Sets,
    examples,
    leave,
    load_settings,
    new_console,
    print_json,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from rich.console import Console

    from voicelat.doctor.result import CheckResult, Examination, Subject
    from voicelat.settings import Settings

    Told = Callable[[CheckResult], None]
    Examine = Callable[[Told], Coroutine[Any, Any, None]]

__all__ = ["EXAMPLES", "doctor"]


EXAMPLES = examples(
    "voicelat doctor",
    "voicelat doctor https://bot.example.com/voice --calls 5",
    "voicelat doctor ws://127.0.0.1:8080/media --skip round-trip,dns",
    "voicelat doctor myserver:app --worker gthread",
    "voicelat doctor --turns turns.jsonl --json",
    "voicelat doctor --set STT_PROVIDER=google --only keys,voices,round-trip",
    "voicelat doctor --list",
)

_APP = re.compile(r".+:[^\W\d][\w.]*(\(\))?")
"""A module or a file, and a name in it."""


def doctor(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET",
            help="A webhook (https://HOST/voice), a media socket (wss://HOST/media) or an"
            " application (module:app).",
            show_default="the settings in force",
        ),
    ] = None,
    turns: Annotated[
        str | None, typer.Option(metavar="FILE", help="Examine this file of turns, too.")
    ] = None,
    only: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="Do these checks and no others.")
    ] = None,
    skip: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="Do all checks but these.")
    ] = None,
    calls: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=100,
            help="Test calls: at a URL one after the other, at an application at once.",
            show_default="2, and 1",
        ),
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="An application's voice webhook, where it is not found."),
    ] = None,
    media: Annotated[
        str | None, typer.Option(metavar="PATH", help="Its media socket, likewise.")
    ] = None,
    worker: Annotated[
        str | None,
        typer.Option(metavar="CLASS", help="The gunicorn worker it runs under: gthread, gevent..."),
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="Print every check there is, and do none.")
    ] = False,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Look for what makes calls slow, and measure before accusing: settings, a server, its turns.

    Each fault comes with what it is, why it matters, the evidence, and what to change. Exits with
    1 when there is one. With TWILIO_AUTH_TOKEN requests are signed.
    """
    from voicelat.doctor.result import Examination

    if list_:
        _print_catalog(as_json)
        return
    wanted = _wanted(only, skip)
    settings = load_settings(sets)
    work = []
    if target is not None or turns is None:
        how = _How(calls, webhook, media, worker)
        work.append(_examiner(target, settings, wanted, how))
    if turns is not None:
        work.append(_examiner_of_turns(turns, wanted))
    console = new_console(stderr=as_json)
    done: list[Examination] = []
    stopped = False
    for subject, name, examine in work:
        done.append(Examination(subject=subject, target=name, checks=[]))
        console.print(f"{subject}: {name}", style="bold")
        stopped = not _finished(examine, wanted, done[-1], console)
        if stopped:
            break
    _finish(done, as_json, console, stopped)


class _How(NamedTuple):
    """What is said about how to examine a server; None: nothing."""

    calls: int | None
    webhook: str | None
    media: str | None
    worker: str | None


def _examiner(
    target: str | None, settings: Settings, wanted: frozenset[str], how: _How
) -> tuple[Subject, str, Examine]:
    """Who examines TARGET. Raises UsageError for what is none."""
    if target is None:
        from voicelat.doctor.of_settings import examine_settings

        name = "as they are in force here"
        return "settings", name, lambda told: examine_settings(settings, told, wanted)
    if target.startswith(("http://", "https://", "ws://", "wss://")):
        from voicelat.doctor.of_url import examine_url

        calls = 2 if how.calls is None else how.calls
        return "url", target, lambda told: examine_url(target, settings, told, wanted, calls=calls)
    if not _APP.fullmatch(target):
        raise UsageError(
            f"{target}: give a webhook (https://HOST/voice), a socket (wss://HOST/media), an "
            "application (module:app), or nothing for the settings"
        )
    from voicelat.doctor.of_app import examine_app

    return (
        "app",
        target,
        lambda told: examine_app(
            target,
            settings,
            told,
            calls=how.calls or 1,
            webhook=how.webhook,
            media=how.media,
            worker=how.worker,
        ),
    )


def _examiner_of_turns(file: str, wanted: frozenset[str]) -> tuple[Subject, str, Examine]:
    from voicelat.doctor.of_turns import examine_turns

    return "turns", file, lambda told: examine_turns(file, told, wanted)


def _wanted(only: str | None, skip: str | None) -> frozenset[str]:
    """The checks asked for. Raises UsageError for a name that is none."""
    from voicelat.doctor.catalog import CHECKS

    chosen = _names("--only", only) if only is not None else frozenset(CHECKS)
    return chosen - (_names("--skip", skip) if skip is not None else frozenset())


def _names(option: str, text: str) -> frozenset[str]:
    from voicelat.doctor.catalog import CHECKS

    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError(f"{option} is empty: name checks, as `voicelat doctor --list` does")
    for name in names:
        if name not in CHECKS:
            raise UsageError(f"{option}: there is no check {name!r}; see `voicelat doctor --list`")
    return frozenset(names)


def _finished(
    examine: Examine,
    wanted: frozenset[str],
    into: Examination,
    console: Console,
) -> bool:
    """Examine, and print each result as it comes; False when somebody pressed Ctrl-C."""
    import asyncio

    from voicelat.doctor.terminal import print_line

    def told(result: CheckResult) -> None:
        if result.check in wanted:
            into.checks.append(result)
            print_line(result, console)

    try:
        asyncio.run(examine(told))
    except KeyboardInterrupt:
        return False
    return True


def _finish(done: list[Examination], as_json: bool, console: Console, stopped: bool) -> None:
    """Print the faults in full, or everything as JSON, and leave."""
    import msgspec

    from voicelat.doctor.terminal import print_faults, summary

    faults = [one for ex in done for one in ex.checks if one.outcome == "fault"]
    if as_json:
        examined = msgspec.to_builtins(done)
        print_json({"schema": 1, "faults": len(faults), "examinations": examined})
    else:
        print_faults(faults, console)
    console.print(summary(done), style="bold red" if faults else "bold green")
    if stopped:
        leave("stopped: this is what was found so far", 130)
    raise typer.Exit(1 if faults else 0)


def _print_catalog(as_json: bool) -> None:
    from voicelat.doctor.catalog import CHECKS

    if as_json:
        import msgspec

        print_json({"schema": 1, "checks": msgspec.to_builtins(list(CHECKS.values()))})
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("check", no_wrap=True)
    table.add_column("of", no_wrap=True)
    table.add_column("looks at", overflow="fold")
    for check in CHECKS.values():
        table.add_row(check.name, ", ".join(check.subjects), check.looks_at)
    new_console().print(table)
