"""``voicelat channels``: the process that carries WhatsApp messages, and who carries them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from voicelat.errors import ConnectError, MissingExtra, UsageError
from voicelat.verbs.options import AsJson, Sets, examples, load_settings, print_json

if TYPE_CHECKING:
    from voicelat.settings import Settings

__all__ = ["channels"]

channels = typer.Typer(
    help="WhatsApp by Twilio or by Baileys, in a process of its own.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@channels.command(
    epilog=examples(
        "VOICELAT_CONFIG=keys/channels.toml voicelat channels serve",
        "voicelat channels serve --set WHATSAPP_PROVIDER=twilio --set WHATSAPP_FROM=+15550100",
    )
)
def serve(sets: Sets = None, as_json: AsJson = False) -> None:
    """Carry messages between the back office and WhatsApp until Ctrl-C.

    With --json it prints one line once it listens: {"url": ...}.
    """
    settings = _settings(sets)

    from voicelat import asgi
    from voicelat.settings.channels import channels as parts

    def say_ready(url: str) -> None:
        if as_json:
            print_json({"url": url}, indent=None)
        else:
            typer.echo(f"the channels are at {url}; how they stand: voicelat channels status")

    asgi.serve(
        parts(settings).app,
        settings.channels_url,
        token=settings.channels_token,
        token_name="CHANNELS_TOKEN",
        on_ready=say_ready,
    )


@channels.command(epilog=examples("voicelat channels status", "voicelat channels status --json"))
def status(sets: Sets = None, as_json: AsJson = False) -> None:
    """Say how each provider stands, what is under way, and what to do about what is wrong.

    Exit code 1 when messages cannot be carried.
    """
    told = _asked(_settings(sets), "GET", "/v1/status")
    _print_status(told, as_json)
    raise typer.Exit(0 if _carried(told) else 1)


@channels.command(
    epilog=examples("voicelat channels use baileys", "voicelat channels use none --json")
)
def use(
    provider: Annotated[
        Literal["twilio", "baileys", "none"], typer.Argument(help="Who carries from now on.")
    ],
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Have another provider carry what is not under way yet."""
    body = {"provider": None if provider == "none" else provider}
    _print_status(_asked(_settings(sets), "POST", "/v1/provider", body), as_json)


def _settings(sets: list[str] | None) -> Settings:
    from importlib.util import find_spec

    if any(find_spec(package) is None for package in ("sqlalchemy", "httpx", "yaml", "jsonschema")):
        raise MissingExtra("agents", "voicelat channels")
    return load_settings(sets)


def _asked(
    settings: Settings, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    import httpx

    token = settings.channels_token
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        with httpx.Client(base_url=settings.channels_url, headers=headers, trust_env=False) as http:
            answer = http.request(method, path, json=body)
            told: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError):
        raise ConnectError(
            f"no channels at {settings.channels_url}; start them: voicelat channels serve"
        ) from None
    if not answer.is_success:
        raise UsageError(str(told.get("says") or f"the channels answered {answer.status_code}"))
    return told


def _carried(told: dict[str, Any]) -> bool:
    chosen = told["provider"]
    return any(one["name"] == chosen and one["state"] == "ready" for one in told["providers"])


def _print_status(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json({"schema": 1, **told})
        return
    for one in told["providers"]:
        mark = "*" if one["name"] == told["provider"] else " "
        account = f" {one['account']}" if one["account"] else ""
        typer.echo(f"{mark} {one['name']:<8} {one['state']:<10}{account}  {one['says']}")
        if one["fix"]:
            typer.echo(f"             {one['fix']}")
        for warning in one["warnings"]:
            typer.echo(f"             ! {warning}")
    typer.echo(
        f"under way {told['under_way']}, uncertain {told['uncertain']}, failed today "
        f"{told['failed']}; came in and not filed yet {told['inbound']}, "
        f"refused {told['refused']}, forged {told['forged']}"
    )
    if told["waits_for"]:
        typer.echo(f"waiting: {told['waits_for']}")
