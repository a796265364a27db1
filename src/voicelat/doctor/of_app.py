"""`voicelat doctor package.module:app`: an application is imported, served and called.

In a process of its own, where a probe watches (`voicelat.doctor.probe`), under the server it would
have, while scripted callers on loopback speak to it. What was seen is judged here. The application
itself calls whatever services it is set up with.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from voicelat.doctor.of_app_calls import Calls, Door, Placed
from voicelat.doctor.of_app_child import AppProcess, free_port, running_app
from voicelat.doctor.of_app_command import Command, Target, command_in, target_of
from voicelat.doctor.of_app_evidence import Evidence
from voicelat.doctor.of_app_process import PROCESS_CHECKS
from voicelat.doctor.of_app_source import read_source
from voicelat.doctor.of_app_turns import TURN_CHECKS, app_answers
from voicelat.doctor.probe.seen import Plan
from voicelat.doctor.result import CheckResult
from voicelat.errors import ConnectError, InvalidFile
from voicelat.loadtest.utterances import built_in
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.turnsfile import read_turns
from voicelat.settings import Settings

__all__ = ["examine_app"]

TURNS: Final = 3
"""Of each call: what two of them do anew is done in each turn."""


async def examine_app(
    target: str,
    settings: Settings,
    told: Callable[[CheckResult], None],
    *,
    calls: int = 1,
    turns: int = TURNS,
    webhook: str | None = None,
    media: str | None = None,
    worker: str | None = None,
    folder: Path | None = None,
) -> None:
    """Examine ``package.module:attribute`` or ``path/to/file.py:attribute``; each check is told
    once.

    ``calls`` at a time, behind one that is alone. ``webhook`` and ``media`` are paths, None finds
    them; ``worker`` a gunicorn worker class; ``folder`` where the server would be started, None
    here.

    Raises UsageError when there is no such application, when it cannot be imported, or ends;
    ConnectError when it cannot be called.
    """
    folder = (folder or Path.cwd()).resolve()
    named = target_of(target, folder)
    command = command_in(folder, worker=worker)
    utterances = await built_in()
    port = free_port()
    async with running_app(_plan(named, command, port), folder) as app:
        serving = await app.serving()
        door = Door(serving, settings, port, webhook=webhook, media=media)
        placed = await _placed(app, Calls(door, utterances, turns), calls)
        last = app.last()
        compression, unknown = await _compression(door, command, serving.server)
        seen = await app.seen()
        printed, imports_ms = app.printed()
    evidence = Evidence(
        command=command,
        serving=serving,
        seen=seen,
        placed=placed,
        calls=calls,
        imports_ms=imports_ms,
        printed=printed,
        last_printed=last,
        reading=read_source(seen.own_files, named.folder),
        compression=compression,
        compression_unknown=unknown,
        records=_records(folder, settings, placed),
    )
    for judge in (app_answers, *PROCESS_CHECKS, *TURN_CHECKS):
        told(judge(evidence))


def _plan(target: Target, command: Command, port: int) -> Plan:
    return Plan(
        module=target.module,
        attribute=target.attribute,
        folder=str(target.folder),
        port=port,
        wire=-1,
        gunicorn=list(command.arguments) if command.server == "gunicorn" else None,
        uvicorn_ws=command.ws,
        uvicorn_deflate=command.deflate,
    )


async def _placed(app: AppProcess, calls: Calls, at_a_time: int) -> Placed:
    try:
        return await calls.place(at_a_time)
    except ConnectError as error:
        raise ConnectError(f"{error}; the application says: {app.last()}") from None


async def _compression(door: Door, command: Command, server: str) -> tuple[str | None, str | None]:
    """What is negotiated, and why that is not known."""
    if server == "uvicorn" and command.server != "uvicorn":
        return None, "no Procfile says how uvicorn is started, and it is uvicorn that compresses"
    try:
        return await door.compression(), None
    except ConnectError as error:
        return None, f"the media socket refused a client that offers compression: {error}"


def _records(folder: Path, settings: Settings, placed: Placed) -> list[TurnRecord] | None:
    """The turns of these calls in the file that the settings name; None without any file."""
    if not settings.turns_file:
        return None
    try:
        records = read_turns([folder / settings.turns_file]).records
    except InvalidFile:
        return None
    ours = {result.call_sid for result in placed.results}
    return [record for record in records if record.call_id in ours]
