"""What ``replay`` and ``sweep`` share: which calls, who listens to them, what replies take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voicelat.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from voicelat.lab.latency import ReplyLatency
    from voicelat.lab.listen import Heard
    from voicelat.lab.recordings import Source
    from voicelat.settings import Settings

__all__ = ["CallerChannel", "LabelsFolder", "Paths", "Replies", "hear", "replies_of"]

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="CALLS...",
        help="Recordings (WAV), traces (*.trace.jsonl), folders or patterns of them.",
    ),
]
LabelsFolder = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Labels (NAME.labels.json) are here, not beside the calls."),
]
CallerChannel = Annotated[
    int | None,
    typer.Option(
        "--caller", min=0, metavar="N", help="The caller's channel, from 0. Default: found out."
    ),
]
Replies = Annotated[
    str,
    typer.Option(
        metavar="WHAT",
        help="What replies take: a profile's name, a turns.jsonl they were measured in, or ms.",
    ),
]


def hear(
    console: Console, settings: Settings, sources: Sequence[Source], caller: int | None
) -> list[Heard]:
    """Every call listened to, with progress; what was heard before is not heard again."""
    from rich.progress import Progress

    from voicelat.lab.listen import Cache, EarsPlan, listen_all
    from voicelat.settings import wiring

    plan = EarsPlan(
        stt=settings.stt_provider,
        vad=settings.vad,
        language=settings.speech_language,
        options=wiring.provider_options(settings),
        turn_model=None if settings.turn_model == "none" else settings.turn_model,
    )
    cache = Cache(Path(settings.cache_dir).expanduser())
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(f"listening ({settings.stt_provider})", total=len(sources))
        return listen_all(
            sources,
            plan,
            caller=caller,
            cache=cache,
            on_done=lambda _: progress.advance(task),
        )


def replies_of(what: str) -> tuple[str, ReplyLatency]:
    """The provider name and the latency model that ``--replies`` means. Raises UsageError."""
    from voicelat.lab import latency
    from voicelat.metrics.turnsfile import read_turns
    from voicelat.providers.simulated import PROFILES

    if what in PROFILES:
        return f"simulated:{what}", latency.from_profile(what)
    if what.isdecimal() and len(what) < 7:
        return f"simulated:{what} ms", latency.constant(int(what))
    if _is_file(what):
        return f"simulated:{Path(what).name}", latency.from_turns(read_turns([what]).records)
    raise UsageError(
        f"--replies {what}: give a turns.jsonl, whole ms, or one of {', '.join(sorted(PROFILES))}"
    )


def _is_file(name: str) -> bool:
    """False for a name that no file can have, too."""
    try:
        return Path(name).is_file()
    except OSError:
        return False
