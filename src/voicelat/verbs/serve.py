"""``voicelat serve``."""

from __future__ import annotations

from typing import Annotated

import typer

from voicelat.verbs.options import (
    AsJson,
    Llm,
    ProfileName,
    Sets,
    Stt,
    Tts,
    examples,
    given,
    load_settings,
    print_json,
    providers,
)

__all__ = ["EXAMPLES", "serve"]


EXAMPLES = examples(
    "voicelat serve",
    "voicelat serve --stt local --llm openai --set OPENAI_BASE_URL=http://127.0.0.1:8000/v1",
    "voicelat serve --record calls/ --turns turns.jsonl",
    "TWILIO_AUTH_TOKEN=... voicelat serve --host 0.0.0.0 "
    "--set PUBLIC_BASE_URL=https://bot.example.com",
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
    loaded = load_settings(sets, given(options))

    def say_ready(url: str) -> None:
        if as_json:
            print_json({"url": url}, indent=None)
        else:
            seen = (loaded.public_base_url or url).rstrip("/")
            typer.echo(f"voicelat takes calls at {seen}/voice (listening at {url})")

    with wiring.logs(loaded) as queue:
        server = wiring.server(loaded, insecure=insecure, lost_logs=lambda: queue.dropped)
        run(server, on_ready=say_ready)
