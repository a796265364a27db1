"""An event to try the agents with: something said or written, or the turns of a call."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from voicelat.agentkit.runs.event import Event
from voicelat.errors import InvalidFile, UsageError
from voicelat.metrics.turnsfile import read_turns

__all__ = ["happened"]


def happened(text: str | None, whatsapp: str | None, turns: Path | None) -> Event:
    """One of the three as an event. Raises UsageError for none or several, InvalidFile for turns
    that cannot be read."""
    if [text, whatsapp, turns].count(None) != 2:
        raise UsageError("give one of --text, --whatsapp and --turns")
    at_utc = datetime.now(UTC).isoformat(timespec="milliseconds")
    if whatsapp is not None:
        sender = {"phone": "+15550100", "name": None, "external_id": "try", "provider": "try"}
        return Event(
            id="try.message",
            kind="whatsapp_message",
            thread_id="try",
            text=whatsapp,
            at_utc=at_utc,
            data=sender,
        )
    if text is not None:
        said = [{"turn": 1, "speaker": "caller", "text": text, "at": at_utc}]
        return Event(
            id="try.1",
            kind="turn",
            call_id="try",
            turn=1,
            text=text,
            at_utc=at_utc,
            data={"turns": said},
        )
    assert turns is not None
    return _ended(turns, at_utc)


def _ended(path: Path, at_utc: str) -> Event:
    records = read_turns([path]).records
    if not records:
        raise InvalidFile(path, "has no turns")
    last = records[-1].call_id
    said = [
        {"turn": one.turn, "speaker": speaker, "text": text, "at": at_utc}
        for one in records
        if one.call_id == last
        for speaker, text in (("caller", one.text), ("agent", one.reply))
        if text
    ]
    return Event(
        id="try.end",
        kind="call_ended",
        call_id="try",
        text="\n".join(f"{one['speaker']}: {one['text']}" for one in said),
        at_utc=at_utc,
        data={"turns": said},
    )
