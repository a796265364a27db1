"""The settings of the live runtime, with their reasons."""

from __future__ import annotations

from dataclasses import dataclass

from voicelat.errors import InvalidSetting

__all__ = ["EngineConfig"]


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
    """Asked of the model, and enforced at the first clause end that reaches it. None: no limit."""
    history_messages: int = 12
    """How many messages of the conversation the model is shown."""
    start_timeout_ms: int = 10_000
    """How long a socket may be open without Twilio's ``start``."""

    def __post_init__(self) -> None:
        if not 20 <= self.send_lead_ms <= 1000:
            raise InvalidSetting("send_lead_ms", self.send_lead_ms, "must be 20 to 1000")
        if self.max_reply_words is not None and self.max_reply_words < 1:
            raise InvalidSetting("max_reply_words", self.max_reply_words, "must be 1 or more")
        if self.history_messages < 0:
            raise InvalidSetting("history_messages", self.history_messages, "must be 0 or more")
