"""Who answers the demo's calls: a receptionist who promises every caller a message."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from voicelat.providers.protocols import Prompt

__all__ = ["Reception"]

_PROMISES: Final = {"he": "אני אשלח לך הודעה בוואטסאפ."}
_PROMISE: Final = "I will send you a message on WhatsApp."


class Reception:
    """See `LanguageModel`. It needs no key and takes no time."""

    name = "reception"

    async def warm(self) -> None:
        """Nothing to load."""

    async def reply(self, prompt: Prompt) -> AsyncGenerator[str, None]:
        """The promise, in the caller's language where that is known."""
        yield _PROMISES.get(prompt.language.partition("-")[0], _PROMISE)

    async def aclose(self) -> None:
        """Nothing to free."""
