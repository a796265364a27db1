"""``voicelat serve``."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from voicelat.errors import InternalError, VoicelatError
from voicelat.verbs.options import (
    AsJson,
    Llm,
    ProfileName,
    Sets,
    Stt,
    Tts,
    examples,
    exit_code,
    given,
    load_settings,
    print_json,
    providers,
)

if TYPE_CHECKING:
    from voicelat.serve.crew import Place
    from voicelat.settings import Settings

__all__ = ["EXAMPLES", "serve"]


EXAMPLES = examples(
    "voicelat serve",
    "voicelat serve --stt local --llm openai --set OPENAI_BASE_URL=http://127.0.0.1:8000/v1",
    "voicelat serve --workers 4",
    "voicelat serve --record calls/ --turns turns.jsonl",
    "TWILIO_AUTH_TOKEN=... voicelat serve --host 0.0.0.0 "
    "--set PUBLIC_BASE_URL=https://bot.example.com",
)


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0: any free one.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that share the port and the calls.")
    ] = None,
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

    With --json it prints one line once it takes calls: {"url": ...}, and "workers" with their
    process ids where there are several.
    """
    from voicelat.serve.crew import ENVIRONMENT, place_of

    options = given(
        {
            "HOST": host,
            "PORT": None if port is None else str(port),
            "WORKERS": None if workers is None else str(workers),
            "TURNS_FILE": turns,
            "RECORD_DIR": record,
            **providers(stt, llm, tts, profile),
        }
    )
    loaded = load_settings(sets, options)

    def say_ready(url: str, pids: list[int] | None = None) -> None:
        if as_json:
            print_json({"url": url} if pids is None else {"url": url, "workers": pids}, indent=None)
        else:
            seen = (loaded.public_base_url or url).rstrip("/")
            typer.echo(f"voicelat takes calls at {seen}/voice (listening at {url})")

    place = place_of(os.environ.pop(ENVIRONMENT, None))  # no process that we start is that worker
    if loaded.workers > 1 and place is None:
        _supervise(loaded, options, sets or [], insecure, say_ready)
        return
    _serve(loaded, insecure, place, say_ready)


def _serve(
    settings: Settings, insecure: bool, place: Place | None, say_ready: Callable[[str], None]
) -> None:
    """Serve in this process, alone or as one of several."""
    from voicelat.serve.crew import Crew
    from voicelat.serve.server import run
    from voicelat.settings import wiring

    with wiring.logs(settings, None if place is None else place.index) as queue:
        crew = None if place is None else Crew(place)
        try:
            server = wiring.server(
                settings, insecure=insecure, lost_logs=lambda: queue.dropped, crew=crew
            )
            run(server, on_ready=say_ready)
        except VoicelatError as error:
            if crew is None or isinstance(error, InternalError):
                raise
            crew.last_words(str(error))
            raise typer.Exit(exit_code(error)) from None


def _supervise(
    settings: Settings,
    options: dict[str, str],
    sets: list[str],
    insecure: bool,
    say_ready: Callable[[str, list[int]], None],
) -> None:
    """Serve in several."""
    from voicelat.serve.config import ServeConfig
    from voicelat.serve.supervisor import supervise

    logging.basicConfig(format="%(asctime)s supervisor %(levelname)s %(name)s: %(message)s")
    ServeConfig(
        host=settings.host, auth_token=settings.twilio_auth_token, insecure=insecure
    ).check()
    command = [sys.executable, "-m", "voicelat", "serve"]
    for pair in (*(f"{name}={value}" for name, value in options.items()), *sets):
        command += ["--set", pair]
    if insecure:
        command.append("--insecure")
    supervise(
        command,
        settings.workers,
        settings.host,
        settings.port,
        on_ready=say_ready,
        grace_s=settings.grace_s,
    )
