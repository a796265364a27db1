"""One turn of a `CallMeter` while it is being told."""

from __future__ import annotations

from typing import Final

import msgspec

from voicelat.metrics.record import (
    NUMBERS,
    CallInfo,
    EouReason,
    Outcome,
    Stamp,
    Stamps,
    TurnRecord,
)

__all__ = ["REACTION_MS", "STAND_INS", "MeteredTurn", "words_of"]

STAND_INS: Final[dict[Stamp, tuple[Stamp, ...]]] = {
    "speech_end": ("last_partial", "turn_end"),
    "tts_request": ("llm_first_token", "reply_start", "turn_end"),
}
"""Where a number begins whose own beginning was not told: the first of these that was.

From the last words a wait looks shorter than it was, by the recogniser's lag; from the model's
first token or before, the voice looks slower than it is."""

REACTION_MS: Final = 200
"""See `voicelat.turn.barge_in`, whose rule this is."""

_REPLY: Final[tuple[Stamp, ...]] = (
    "reply_start",
    "llm_first_token",
    "tts_request",
    "tts_ready",
)
_SETTLED: Final[tuple[Stamp, ...]] = ("speech_end", "turn_end", "stt_final")


class MeteredTurn:
    """A turn that is not told yet."""

    def __init__(self) -> None:
        self.at: dict[Stamp, int] = {}
        self.eou_reason: EouReason | None = None
        self.finals: list[str] = []
        self.partial = ""
        self.acted_on: str | None = None
        """The words the reply was begun on; None while it was not."""
        self.reopened = False
        self.cutoff = False
        self.resumed_ms: int | None = None
        """Voice after the turn was settled: the caller goes on, if words follow."""
        self.resumed_end_ms: int | None = None
        self.plays_until_ms: int | None = None
        """Until when the caller hears what was sent; None: its length was not told."""

    @property
    def text(self) -> str:
        return " ".join(filter(None, [*self.finals, self.partial]))

    @property
    def replying(self) -> bool:
        return not self.at.keys().isdisjoint(_REPLY)

    @property
    def decided(self) -> bool:
        """Whether more words come too late for it: it was settled by more than a final."""
        return "turn_end" in self.at and (self.replying or self.eou_reason != "silence")

    @property
    def sounded(self) -> bool:
        return "first_audio_sent" in self.at

    @property
    def can_be_answered(self) -> bool:
        """Whether audio that is sent now can be meant for it."""
        return self.replying or not self.at.keys().isdisjoint(("first_partial", "turn_end"))

    def settle(self, at_ms: int) -> None:
        """The words acted on are those of now, unless that is known already."""
        self.at.setdefault("turn_end", at_ms)
        if self.acted_on is None:
            self.acted_on = self.text

    def go_on(self) -> None:
        """The caller had not finished: what was settled, and begun on it, is void."""
        self.reopened = self.reopened or "turn_end" in self.at
        for name in (*_SETTLED, *_REPLY):
            self.at.pop(name, None)
        if self.resumed_end_ms is not None:
            self.at["speech_end"] = self.resumed_end_ms
        self.acted_on = self.eou_reason = self.resumed_ms = self.resumed_end_ms = None

    def note_voice(self, at_ms: int | None) -> None:
        """The caller's next words began at ``at_ms``: did they interrupt, or never stop? None:
        they came without voice."""
        if at_ms is None:
            return
        if self.plays_until_ms is not None and at_ms < self.plays_until_ms:
            self.at.setdefault("barge_in", at_ms)
        if "barge_in" in self.at:
            self.cutoff = at_ms < self.at["first_audio_sent"] + REACTION_MS

    def outcome(self) -> Outcome:
        if self.sounded:
            return "barged_in" if "barge_in" in self.at else "answered"
        return "censored" if "turn_end" in self.at else "abandoned"

    def record(self, call: CallInfo, number: int) -> TurnRecord:
        text = self.text if self.acted_on is None else self.acted_on
        final = " ".join(self.finals) if self.finals else None
        return _complete(
            TurnRecord(
                **msgspec.structs.asdict(call),
                turn=number,
                outcome=self.outcome(),
                stamps=Stamps(**self.at),
                BARGE_IN_HIT="barge_in" in self.at,
                EOU_REASON=self.eou_reason,
                reopened=self.reopened,
                cutoff=self.cutoff,
                clipped=None if final is None else words_of(final) != words_of(text),
                text=text,
                final_text=final,
            ).measured()
        )


def _complete(record: TurnRecord) -> TurnRecord:
    """Count the numbers whose beginning is unknown from what stands in for it, and say so."""
    found: dict[str, int] = {}
    counted_from: dict[str, str] = {}
    for number, (start, end) in NUMBERS.items():
        end_ms: int | None = getattr(record.stamps, end)
        if end_ms is None or getattr(record.stamps, start) is not None:
            continue
        for stand_in in STAND_INS.get(start, ()):
            at_ms: int | None = getattr(record.stamps, stand_in)
            if at_ms is not None and stand_in != end:
                found[number], counted_from[number] = end_ms - at_ms, stand_in
                break
    return msgspec.structs.replace(record, counted_from=counted_from, **found)


def words_of(text: str) -> list[str]:
    return text.casefold().split()
