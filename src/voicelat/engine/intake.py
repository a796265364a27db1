"""What providers give, checked where it comes in: a bug of theirs must not become a state of ours.

The machine, its trace and the records hold for any text and any number of their types, and for
nothing else.
"""

from __future__ import annotations

from typing import Final

from voicelat.audio.mulaw import BYTES_PER_MS
from voicelat.errors import ProviderError
from voicelat.providers.protocols import Transcript

__all__ = ["LONGEST_REPLY_MS", "AudioIntake", "text_of", "transcript_of"]

LONGEST_REPLY_MS: Final = 300_000
"""Nobody listens to more in one turn. A voice that does not end would fill the memory."""


def text_of(given: object) -> str:
    """Text as it can be written to a file: half of a surrogate pair becomes a question mark.

    Raises TypeError for what is no text.
    """
    if not isinstance(given, str):
        raise TypeError(f"{type(given).__name__} instead of text")
    return given if given.isascii() else given.encode("utf-8", "replace").decode()


def transcript_of(given: Transcript) -> Transcript:
    """A transcript of plain types: recognisers like to give their library's numbers.

    Raises TypeError or ValueError for what cannot be one.
    """
    if not isinstance(given, Transcript):
        raise TypeError(f"{type(given).__name__} instead of a Transcript")
    confidence = None if given.confidence is None else float(given.confidence)
    return Transcript(text_of(given.text), bool(given.final), confidence)


class AudioIntake:
    """The audio of one reply, chunk by chunk."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._left = LONGEST_REPLY_MS * BYTES_PER_MS

    def take(self, given: object) -> bytes:
        """The next chunk. Raises TypeError for what is no bytes, ProviderError behind
        `LONGEST_REPLY_MS`."""
        if not isinstance(given, bytes | bytearray | memoryview):
            raise TypeError(f"{type(given).__name__} instead of mu-law bytes")
        audio = bytes(given)
        self._left -= len(audio)
        if self._left < 0:
            limit_s = LONGEST_REPLY_MS // 1000
            raise ProviderError(self._provider, f"speaks for more than {limit_s} s", "give_up")
        return audio
