"""Erases what is kept of a person, of a call, or of everybody before a time, wherever it is kept.

Each store is asked by itself: one that is away is said, and the others are done. Run again, it
finishes. Numbers stay, for they are nobody's: of a turn, what was said goes.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from voicelat.engine.recording import tape_name
from voicelat.errors import ConnectError, UsageError, VoicelatError
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.turnsfile import blank_texts

if TYPE_CHECKING:
    from voicelat.settings.load import Settings

__all__ = ["Erased", "erase"]

_PATIENCE_S: Final = 60.0
_NOBODY: Final = dict.fromkeys(("phone", "lead_id", "customer_id", "call_id", "before"))


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it in one store."""

    store: str
    erased: int
    """Rows, files or turns."""
    says: str | None = None
    """Why it is not done. None: it is."""


def erase(
    settings: Settings,
    *,
    phone: str | None = None,
    lead_id: str | None = None,
    call_id: str | None = None,
    before: datetime | None = None,
) -> list[Erased]:
    """Erase; exactly one is given. What each store says, the back office first: it knows which
    calls and messages belong to a person. Raises UsageError for several, or none."""
    given = (phone, lead_id, call_id, before)
    if sum(one is not None for one in given) != 1:
        raise UsageError("give one of --call, --phone, --lead, --older-than and --retention")
    asked = {
        **_NOBODY,
        "phone": phone,
        "lead_id": lead_id,
        "call_id": call_id,
        "before": None if before is None else before.isoformat(),
    }
    found: dict[str, Any] = {}

    def office() -> int:
        found.update(_office(settings, asked))
        return sum(found["erased"].values())

    done = [_tried("back office", office)]
    calls = [*found.get("call_ids", []), *([call_id] if call_id else [])]
    turns: list[TurnRecord] = []

    def said() -> int:
        turns.extend(_turns(settings, calls, before))
        return len(turns)

    return [
        *done,
        _tried("turns", said),
        _tried("recordings", lambda: _recordings(settings, turns, before)),
        _tried("turns in SQL", lambda: _sql(settings, turns)),
        _tried("agents", lambda: _agents(settings, calls, found.get("provider_ids", []), before)),
        _tried("channels", lambda: _channels(settings, found)),
    ]


def _tried(store: str, work: Callable[[], int]) -> Erased:
    try:
        return Erased(store=store, erased=work())
    except (VoicelatError, OSError) as error:
        return Erased(store=store, erased=0, says=str(error))


def _office(settings: Settings, asked: dict[str, Any]) -> dict[str, Any]:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    url = f"{settings.backoffice_url.rstrip('/')}/v1/privacy/erase"
    return _asked("the back office", url, settings.console_token, asked, headers)


def _turns(settings: Settings, calls: list[str], before: datetime | None) -> list[TurnRecord]:
    path = None if settings.turns_file is None else Path(settings.turns_file)
    if path is None or not path.exists():
        return []

    def meant(row: dict[str, Any]) -> bool:
        started = row.get("started_utc")
        old = before is not None and isinstance(started, str) and _before(started, before)
        return row.get("call_id") in calls or old

    return blank_texts(path, meant)


def _before(started_utc: str, before: datetime) -> bool:
    try:
        started = datetime.fromisoformat(started_utc)
    except ValueError:
        return False
    return started.tzinfo is not None and started < before


def _recordings(settings: Settings, turns: list[TurnRecord], before: datetime | None) -> int:
    """By the calls' own names; and whatever was written last before then."""
    if settings.record_dir is None or not Path(settings.record_dir).is_dir():
        return 0
    folder = Path(settings.record_dir)
    names = {tape_name(record) for record in turns}
    files = [folder / f"{name}{kind}" for name in names for kind in (".wav", ".trace.jsonl")]
    if before is not None:
        every = [*folder.glob("*.wav"), *folder.glob("*.trace.jsonl")]
        files += [path for path in every if path.stat().st_mtime < before.timestamp()]
    there = {path for path in files if path.exists()}
    for path in there:
        path.unlink()
    return len(there)


def _sql(settings: Settings, turns: list[TurnRecord]) -> int:
    """A turn that is written again replaces the one that is there."""
    if settings.turns_sql_url is None or not turns:
        return 0
    from voicelat.metrics.exporters.sql import SqlWriter

    writer = SqlWriter(settings.turns_sql_url)
    try:
        if complaints := writer.write(turns):
            raise ConnectError(complaints[0])
    finally:
        writer.close()
    return len(turns)


def _agents(
    settings: Settings, calls: list[str], provider_ids: list[str], before: datetime | None
) -> int:
    from voicelat.agentkit.runs import worker
    from voicelat.agentkit.runs.store import Store, stamp

    store = Store(settings.agents_db_url)
    try:
        runs = store.runs_of(calls, None if before is None else stamp(before))
        return worker.erase(store, [*runs, *(f"wa:{one}" for one in provider_ids)])
    finally:
        store.close()


def _channels(settings: Settings, found: dict[str, Any]) -> int:
    body = {key: found.get(key, []) for key in ("media_ids", "message_ids")}
    if not any(body.values()):
        return 0
    url = f"{settings.channels_url.rstrip('/')}/v1/erase"
    told = _asked("the channels", url, settings.channels_token, body, {})
    return int(told["media"]) + int(told["sends"])


def _asked(
    name: str, url: str, token: str | None, body: dict[str, Any], headers: dict[str, str]
) -> dict[str, Any]:
    """The answer. Raises ConnectError, UsageError for what is refused."""
    sent = {"Content-Type": "application/json", **headers}
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, json.dumps(body).encode(), sent)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_PATIENCE_S) as answer:
            told: dict[str, Any] = json.load(answer)
            return told
    except urllib.error.HTTPError as error:
        raise UsageError(f"{name} answered {error.code}: {_says(error)}") from None
    except (OSError, ValueError) as error:
        raise ConnectError(f"{name} does not answer at {url}: {error}") from None


def _says(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["says"])
    except (ValueError, KeyError, TypeError, OSError):
        return error.reason
