"""An event to try the agents with: something a caller said, or the turns of a call."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from voicelat.agentkit.runs.event import Event
from voicelat.errors import InvalidFile, UsageError
from voicelat.metrics.turnsfile import read_turns

__all__ = ["happened"]


def happened(text: str | None, turns: Path | None) -> Event:
    """One of the two as an event. Raises UsageError for both or none, InvalidFile for turns that
    cannot be read."""
    if (text is None) is (turns is None):
        raise UsageError('give --text "what a caller said", or --turns FILE')
    at_utc = datetime.now(UTC).isoformat(timespec="milliseconds")
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
