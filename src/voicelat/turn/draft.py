"""The record of a turn while it is being written."""

from __future__ import annotations

from typing import Literal

from msgspec import structs

from voicelat.metrics.record import CallInfo, EouReason, Outcome, Stamp, Stamps, TurnRecord
from voicelat.turn.transcript import TurnText, words_of

__all__ = ["Draft"]

_REPLY_STAMPS: tuple[Stamp, ...] = (
    "reply_start",
    "llm_first_token",
    "tts_request",
    "tts_ready",
    "gate_open",
)


class Draft:
    """One open turn: its stamps and facts so far. Turn 0 is the greeting; it has no record."""

    __slots__ = (
        "_at",
        "cached",
        "clipped",
        "confidence",
        "cutoff",
        "eou_reason",
        "failure",
        "fallback",
        "fallback_used",
        "final_text",
        "guessed",
        "model_calls",
        "model_sounded",
        "reopened",
        "reply",
        "settled",
        "speculations",
        "stt_lag_ms",
        "text",
        "turn",
    )

    def __init__(self, turn: int) -> None:
        self.turn = turn
        self._at: dict[Stamp, int] = {}
        self.eou_reason: EouReason | None = None
        self.text = ""
        self.settled = ""
        """What of the text was final when the turn was over."""
        self.final_text: str | None = None
        self.clipped: bool | None = None
        self.cutoff = False
        self.reopened = False
        self.confidence: float | None = None
        self.fallback = False
        """Whether the caller is asked to repeat it."""
        self.guessed = False
        """Whether the text is the fallback transcriber's alone."""
        self.fallback_used: Literal["answer"] | None = None
        self.cached: bool | None = None
        self.failure: str | None = None
        self.model_calls = 0
        self.model_sounded = False
        """Whether one of them was worth its price: its reply was sent, or begun to be."""
        self.speculations = 0
        self.stt_lag_ms: int | None = None
        self.reply: list[str] = []

    def stamp(self, name: Stamp, at_ms: int) -> None:
        """Note an instant; the last word counts."""
        self._at[name] = at_ms

    def stamp_once(self, name: Stamp, at_ms: int) -> None:
        """Note an instant unless it is known already."""
        self._at.setdefault(name, at_ms)

    def at(self, name: Stamp) -> int | None:
        """A stamp, None when it is not known."""
        return self._at.get(name)

    @property
    def over(self) -> bool:
        """Whether the caller's side of the turn has ended."""
        return "turn_end" in self._at

    def hear(self, changed_ms: int | None, now_ms: int, *, final: bool) -> None:
        """Note words of this turn; ``changed_ms``: when they changed, None if they did not."""
        if changed_ms is not None:
            self.stamp_once("first_partial", changed_ms)
            self.stamp("last_partial", changed_ms)
        if final:
            self.stamp("stt_final", now_ms)

    def adopt(self, words: TurnText) -> None:
        """Words said over the agent turned out to be this turn's."""
        if words.changed_ms is not None:
            self.hear(words.changed_ms, words.changed_ms, final=not words.open)

    def end(
        self,
        reason: EouReason,
        words: TurnText,
        speech_end_ms: int | None,
        now_ms: int,
        *,
        final: bool,
    ) -> None:
        """The caller's side is over, with these words; ``final``: all of them are."""
        self.eou_reason = reason
        if speech_end_ms is not None:
            self.stamp("speech_end", speech_end_ms)
        self._act_on(words, speech_end_ms, now_ms)
        if final:
            self.clipped, self.final_text = False, self.text
        else:
            self.settled = words.closed

    def correct(self, words: TurnText, speech_end_ms: int | None, now_ms: int) -> None:
        """The final came in time to be acted on: only now is the text settled."""
        self._act_on(words, speech_end_ms, now_ms)
        self.clipped, self.final_text = False, self.text

    def guess(self, text: str, now_ms: int) -> None:
        """The fallback transcriber settled the text, while nothing had been said to it."""
        self.stamp("turn_end", now_ms)
        self.text = text
        self.guessed = True
        self.fallback_used = "answer"
        self.clipped = self.confidence = None

    def _act_on(self, words: TurnText, speech_end_ms: int | None, now_ms: int) -> None:
        self.stamp("turn_end", now_ms)
        self.text = words.text
        self.confidence = words.confidence
        if speech_end_ms is not None and words.changed_ms is not None:
            self.stt_lag_ms = words.changed_ms - speech_end_ms

    def forget_reply(self) -> None:
        """The reply in the making is dropped: its stamps say nothing about the next one."""
        for name in _REPLY_STAMPS:
            self._at.pop(name, None)
        self.cached = None
        self.reply.clear()

    def reopen(self) -> None:
        """The caller goes on in the same turn."""
        self.forget_reply()
        for name in ("turn_end", "speech_end", "stt_final"):
            self._at.pop(name, None)
        self.text = ""
        self.eou_reason = self.stt_lag_ms = self.failure = None
        self.clipped = self.final_text = self.confidence = None
        self.fallback = self.guessed = False
        self.reopened = True

    def settle_final(self, text: str, now_ms: int) -> None:
        """A final for this turn came after the turn was over: was the text acted on whole?"""
        self.stamp_once("stt_final", now_ms)
        before = self.settled if self.final_text is None else self.final_text
        self.final_text = f"{before} {text}".strip()
        if not self.guessed:
            self.clipped = words_of(self.final_text) != words_of(self.text)

    def outcome(self) -> Outcome:
        """How the turn went, judged by its stamps."""
        if "first_audio_sent" not in self._at:
            return "censored" if self.over else "abandoned"
        return "barged_in" if "barge_in" in self._at else "answered"

    def record(self, call: CallInfo, heard: str | None) -> TurnRecord:
        """Close the turn. ``heard``: what the marks confirm; None when it was all of it."""
        reply = " ".join(self.reply)
        return TurnRecord(
            **structs.asdict(call),
            turn=self.turn,
            outcome=self.outcome(),
            stamps=Stamps(**self._at),
            BARGE_IN_HIT="barge_in" in self._at,
            EOU_REASON=self.eou_reason,
            stt_lag_ms=self.stt_lag_ms,
            reopened=self.reopened,
            cutoff=self.cutoff,
            clipped=self.clipped,
            confidence=self.confidence,
            fallback=self.fallback,
            fallback_used=self.fallback_used,
            cache=None if self.cached is None else "hit" if self.cached else "miss",
            model_calls=self.model_calls,
            wasted_calls=self.model_calls - self.model_sounded,
            text=self.text,
            final_text=self.final_text,
            reply=reply,
            heard=heard,
            reply_words=len(reply.split()) if reply else None,
            failure=self.failure,
        ).measured()
