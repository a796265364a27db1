"""The settings of the live runtime, with their reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from voicelat.errors import InvalidSetting

__all__ = ["EngineConfig"]

_FROM_ONE: Final = (
    "max_reply_words",
    "first_clause_words",
    "history_words",
    "llm_first_token_ms",
    "llm_stall_ms",
    "tts_first_byte_ms",
    "tts_stall_ms",
    "whole_reply_ms",
    "fallback_audio_ms",
    "fallback_timeout_ms",
    "unread_timeout_ms",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """How one call is run. Durations in ms. Raises InvalidSetting for values out of range."""

    language: str = "en-US"
    """BCP-47 tag given to every provider."""
    greeting: str = "Hello, how can I help you?"
    """Said when the call begins. Empty: the agent waits for the caller."""
    repeat_phrase: str = "Sorry, could you say that again?"
    """Said when a turn brought no text."""
    apology_phrase: str = "Sorry, I am having trouble. Please say that again."
    """Said when a reply failed or is late."""
    send_lead_ms: int = 200
    """How far ahead of its play time audio is sent. Less leaves no slack for stalls, more makes
    barge-in depend on ``clear``: field reports converge on 100 to 400."""
    max_reply_words: int | None = 24
    """Of each turn's reply: asked of the model, and enforced between clauses (`ClauseSplitter`).
    None: no limit."""
    opener: str = ""
    """Said from the cache when the gate opens and the reply is not in hand yet ("Let me see.").
    Empty: nothing. It is no content: FIRST_CONTENT_MS goes on counting."""
    by_clause: bool = True
    """Speak each clause as soon as it is written. False: the reply when it is whole."""
    first_clause_words: int | None = 12
    """The voice gets so many words of a first clause that has no end by then: about 4 s of
    speech, time enough to write the rest. None: it waits for the end."""
    history_messages: int = 12
    """How many messages of the conversation the model is shown."""
    history_words: int | None = 400
    """And how many words at most: some three minutes of talk, that a model reads in tens of
    milliseconds. None: only the messages count."""
    llm_first_token_ms: int = 5000
    """The longest wait for a model's first token: a caller who hears nothing for longer asks
    whether anybody is there. With ``tts_first_byte_ms`` it makes the default REPLY_TIMEOUT_MS."""
    llm_stall_ms: int = 4000
    """The longest wait for its next one. A caller may hear all of it: what was written before
    has been said by then."""
    tts_first_byte_ms: int = 3000
    """The longest wait for the first audio of a clause: ten times what a voice takes."""
    tts_stall_ms: int = 2000
    """The longest wait for its next. Voices are faster than speech, so this is a hole of almost
    two seconds in the middle of a word."""
    whole_reply_ms: int = 60_000
    """The longest a reply may be in the making: nobody listens for longer than a minute, and
    what trickles in for ever keeps every other deadline."""
    fallback_audio_ms: int = 30_000
    """How much of a turn is kept for the fallback transcriber: what Whisper hears in one go."""
    fallback_timeout_ms: int = 6000
    """How long its text can be of use: the repeated answer is there by then. The record of the
    turn waits for it, the call does not."""
    fallback_min_confidence: float = 0.6
    """Below this confidence its text is not used; assumed, no published figure. One that tells
    no confidence is used in the history only."""
    unread_timeout_ms: int = 5000
    """A peer that takes nothing of what is sent for so long is cut off. Twilio reads at once; what
    it has not taken after five seconds nobody wants to hear."""
    start_timeout_ms: int = 10_000
    """How long a socket may be open without Twilio's ``start``."""

    def __post_init__(self) -> None:
        if not 20 <= self.send_lead_ms <= 1000:
            raise InvalidSetting("send_lead_ms", self.send_lead_ms, "must be 20 to 1000")
        if self.history_messages < 0:
            raise InvalidSetting("history_messages", self.history_messages, "must be 0 or more")
        if not 0 <= self.fallback_min_confidence <= 1:
            raise InvalidSetting(
                "fallback_min_confidence", self.fallback_min_confidence, "must be 0 to 1"
            )
        for name in _FROM_ONE:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidSetting(name, value, "must be 1 or more")
