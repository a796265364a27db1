"""A model that promises the caller a message, whatever they say."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from voicelat.providers.protocols import Prompt


class Promising:
    """See `LanguageModel`."""

    name = "promising"

    async def warm(self) -> None:
        """Nothing to load."""

    async def reply(self, prompt: Prompt) -> AsyncGenerator[str, None]:
        """The promise."""
        yield "I will send you a message on WhatsApp."

    async def aclose(self) -> None:
        """Nothing to free."""
