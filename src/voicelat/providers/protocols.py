"""The three things a voice agent is made of, as voicelat sees them.

All audio is raw mu-law, 8 kHz, mono: 8 bytes a millisecond, as Twilio speaks it. Providers
keep computation off the event loop (threads) and map their vendor's errors to `ProviderError`
at their own edge. One provider object serves many calls at once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = [
    "LanguageModel",
    "Message",
    "Prompt",
    "SpeechToText",
    "SttStream",
    "TextToSpeech",
    "Transcriber",
    "Transcript",
]


@dataclass(frozen=True, slots=True)
class Transcript:
    """A recogniser's text for the segment since its last final."""

    text: str
    final: bool
    """True closes the segment; the next transcript is about the audio after it."""
    confidence: float | None = None
    """0..1, None when the recogniser tells none."""


class SttStream(Protocol):
    """One call's recogniser. Iterate it for transcripts; it ends after `aclose`.

    Iterating raises `ProviderError` when the recogniser is lost for good.
    """

    def feed(self, audio: bytes) -> None:
        """Take the next mu-law audio, any length. Never blocks."""
        ...

    def voice(self, active: bool) -> None:
        """The voice detector heard speech begin (True) or fall silent (False). A hint."""
        ...

    def finalize(self) -> None:
        """Give the final for what was fed so far as soon as possible. Never blocks."""
        ...

    def __aiter__(self) -> AsyncIterator[Transcript]: ...

    async def aclose(self) -> None:
        """Stop and free everything. Safe to call twice."""
        ...


class SpeechToText(Protocol):
    """Ears."""

    name: str

    async def warm(self) -> None:
        """Load models, open connections. Called once, before the first call."""
        ...

    async def open(self, language: str) -> SttStream:
        """Start one call's stream. ``language`` is a BCP-47 tag (``en-US``, ``he-IL``)."""
        ...

    async def aclose(self) -> None: ...


class Transcriber(Protocol):
    """Ears for a whole utterance at once, where the live recogniser brought no text."""

    name: str

    async def warm(self) -> None: ...

    async def transcribe(self, audio: bytes, language: str) -> Transcript:
        """The text of mu-law ``audio``, final; "" when there are no words in it.

        Raises `ProviderError`. Cancelling it cancels the request."""
        ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of a conversation's history."""

    role: Literal["caller", "agent"]
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a language model is asked: the history, oldest first, then the caller's text."""

    call_id: str
    turn: int
    text: str
    history: tuple[Message, ...] = ()
    language: str = "en-US"
    max_words: int | None = None
    """Ask for at most this many words. None: no limit."""


class LanguageModel(Protocol):
    """The responder: a turn's text in, the reply's text out."""

    name: str

    async def warm(self) -> None: ...

    def reply(self, prompt: Prompt) -> AsyncGenerator[str, None]:
        """Stream the reply as pieces of text. Closing the generator cancels the request."""
        ...

    async def aclose(self) -> None: ...


class TextToSpeech(Protocol):
    """A voice."""

    name: str

    async def warm(self) -> None: ...

    def speak(self, text: str, language: str) -> AsyncGenerator[bytes, None]:
        """Stream ``text`` as mu-law chunks of any length. Closing the generator cancels it.
        Empty or unspeakable text yields nothing."""
        ...

    async def aclose(self) -> None: ...
