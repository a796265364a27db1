"""What a call tells the agents: each turn when it is over, and the transcript at the end."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

from voicelat.agentkit.runs.event import Event
from voicelat.agentkit.runs.outbox import Outbox, OutboxCounts
from voicelat.metrics.record import TurnRecord

__all__ = ["CallFeed"]


_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")


class CallFeed:
    """Makes events of turns and ended calls, and puts them into an outbox.

    Called on the event loop of the calls: nothing here waits.
    """

    def __init__(self, outbox: Outbox, language: str | None = None) -> None:
        self._outbox = outbox
        self._language = language
        self._transcripts: dict[str, list[dict[str, Any]]] = {}
        self._numbers: dict[str, str] = {}

    def began(self, call_id: str, from_number: str | None) -> None:
        """A call begins. ``from_number``: the caller's, None: withheld. What is no number in E.164
        is none."""
        if from_number is not None and _E164.fullmatch(from_number):
            self._numbers[call_id] = from_number

    def turn(self, record: TurnRecord) -> None:
        """A turn is over. One in which nothing was said gives nobody work."""
        said = [("caller", record.text), ("agent", record.reply)]
        at_utc = _now()
        turns = [
            {"turn": record.turn, "speaker": speaker, "text": text, "at": at_utc}
            for speaker, text in said
            if text
        ]
        if not turns:
            return
        self._transcripts.setdefault(record.call_id, []).extend(turns)
        self._outbox.offer(
            Event(
                id=f"{record.call_id}.{record.turn}",
                kind="turn",
                call_id=record.call_id,
                turn=record.turn,
                text=record.text,
                language=self._language,
                at_utc=at_utc,
                data={"turns": turns, "outcome": record.outcome, **self._caller(record.call_id)},
            )
        )

    def ended(self, call_id: str, why: str) -> None:
        """A call is over, and all its turns were told."""
        turns, caller = self._transcripts.pop(call_id, []), self._caller(call_id)
        self._numbers.pop(call_id, None)
        self._outbox.offer(
            Event(
                id=f"{call_id}.end",
                kind="call_ended",
                call_id=call_id,
                text="\n".join(f"{one['speaker']}: {one['text']}" for one in turns),
                language=self._language,
                at_utc=_now(),
                data={"turns": turns, "why": why, **caller},
            )
        )

    def _caller(self, call_id: str) -> dict[str, str]:
        number = self._numbers.get(call_id)
        return {} if number is None else {"from_number": number}

    def counts(self) -> OutboxCounts:
        """What became of the events so far."""
        return self._outbox.counts()

    def close(self) -> str | None:
        """Send what is waiting and stop; says what was lost, None: nothing."""
        self._outbox.close()
        counts = self._outbox.counts()
        if not (counts.dropped or counts.refused or counts.waiting):
            return None
        return f"events for the agents were lost ({self._outbox.last_error}): {counts}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
