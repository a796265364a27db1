"""``voicelat console``: the page where people watch and approve, and who may."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from voicelat.errors import MissingExtra, UsageError
from voicelat.verbs.options import AsJson, Sets, examples, load_settings, print_json

if TYPE_CHECKING:
    from voicelat.console.store import Store
    from voicelat.settings import Settings

__all__ = ["console"]

console = typer.Typer(
    help="The page where people watch calls and agents, and approve what waits.",
    invoke_without_command=True,
    rich_markup_mode="rich",
    epilog=examples(
        "VOICELAT_CONFIG=keys/console.toml voicelat console",
        "voicelat console user add dana --role approve",
        "voicelat console link dana",
    ),
)
users = typer.Typer(help="Who may sign in.", no_args_is_help=True, rich_markup_mode="rich")
console.add_typer(users, name="user")

Name = Annotated[str, typer.Argument(metavar="NAME", help="A user's name.")]


@console.callback()
def serve(context: typer.Context, sets: Sets = None, as_json: AsJson = False) -> None:
    """Serve the console until Ctrl-C. While nobody may sign in yet, it prints a link that makes you
    an admin: once, within 15 minutes.

    With --json it prints one line once it listens: {"url": ..., "link": ... or null}.
    """
    if context.invoked_subcommand is not None:
        return
    settings = _settings(sets)

    from datetime import UTC, datetime
    from urllib.parse import urlsplit

    from voicelat import asgi
    from voicelat.settings.console import check_address
    from voicelat.settings.console import console as parts

    own = urlsplit(settings.console_url)
    check_address(settings, own)
    store = _store(settings)
    url = settings.console_url.rstrip("/")
    app = parts(settings, store, lambda: _findings(settings), own_url=url).app

    def say_ready(_where: str) -> None:
        base = (settings.console_public_url or url).rstrip("/")
        link = None
        if not store.users():
            store.put_user("admin", "admin", None, datetime.now(UTC))
            link = f"{base}/login#{store.link('admin', datetime.now(UTC))}"
        if as_json:
            print_json({"url": base, "link": link}, indent=None)
        elif link is None:
            typer.echo(f"the console is at {base}")
        else:
            typer.echo(f"the console is at {base}; sign in once, by {link}")
            typer.echo("then give yourself a password: voicelat console user add NAME --role admin")

    # Who may come in is checked by the application itself: a session stands for the token.
    asgi.serve(app, url, token="session", token_name="", on_ready=say_ready)
    store.close()


@users.command(
    epilog=examples(
        "voicelat console user add dana --role approve",
        "echo 'a long password' | voicelat console user add dana --role view --password-stdin",
    )
)
def add(
    name: Name,
    role: Annotated[
        Literal["view", "approve", "admin"],
        typer.Option(help="view: looks on; approve: decides, too; admin: everything."),
    ] = "view",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="Only by a link, each time.")
    ] = False,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Add a user, or give one another role or password: they have to sign in again then."""
    from datetime import UTC, datetime

    store = _store(_settings(sets))
    password = None
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif not no_password:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    store.put_user(name, role, password, datetime.now(UTC))
    if as_json:
        print_json({"schema": 1, "user": name, "role": role})
    else:
        typer.echo(f"{name} may {role}")


@users.command(name="list", epilog=examples("voicelat console user list --json"))
def list_(sets: Sets = None, as_json: AsJson = False) -> None:
    """List who may sign in."""
    found = _store(_settings(sets)).users()
    if as_json:
        shown = [
            {"user": one.name, "role": one.role, "has_password": one.has_password} for one in found
        ]
        print_json({"schema": 1, "users": shown})
        return
    for one in found:
        typer.echo(f"{one.name:<24} {one.role:<8} {'' if one.has_password else 'by link only'}")


@users.command(epilog=examples("voicelat console user remove dana"))
def remove(name: Name, sets: Sets = None, as_json: AsJson = False) -> None:
    """Remove a user; whoever is signed in by that name is out."""
    if not _store(_settings(sets)).remove_user(name):
        raise UsageError(f"no user {name}; list them: voicelat console user list")
    if as_json:
        print_json({"schema": 1, "user": name, "removed": True})
    else:
        typer.echo(f"{name} is out")


@console.command(epilog=examples("voicelat console link dana", "voicelat console link dana --json"))
def link(name: Name, sets: Sets = None, as_json: AsJson = False) -> None:
    """Print a link that signs a user in, once, within 15 minutes."""
    from datetime import UTC, datetime

    from voicelat.settings.console import public_url

    settings = _settings(sets)
    token = _store(settings).link(name, datetime.now(UTC))
    url = f"{public_url(settings)}/login#{token}"
    if as_json:
        print_json({"schema": 1, "user": name, "link": url})
    else:
        typer.echo(url)


def _settings(sets: list[str] | None) -> Settings:
    from importlib.util import find_spec

    if any(find_spec(package) is None for package in ("argon2", "sse_starlette", "dbos")):
        raise MissingExtra("console", "voicelat console")
    return load_settings(sets)


def _store(settings: Settings) -> Store:
    from voicelat.console.store import Store

    return Store(settings.console_db_url)


def _findings(settings: Settings) -> list[dict[str, Any]]:
    """What the doctor says of the settings in force, faults first."""
    import asyncio

    from voicelat.doctor.of_settings import examine_settings
    from voicelat.doctor.result import CheckResult

    found: list[CheckResult] = []
    asyncio.run(examine_settings(settings, found.append))
    order = {"fault": 0, "ok": 1, "skipped": 2}
    return [
        {
            "check": one.check,
            "level": one.outcome,
            "says": one.what,
            "evidence": one.evidence,
            "fix": one.fix,
        }
        for one in sorted(found, key=lambda one: order[one.outcome])
    ]
