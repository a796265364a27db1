"""The waits the suite measures, for every provider the same way.

Each begins when the suite hands over its last word and ends with what a caller would notice: the
first text, the first sound that can be heard, the final.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from voicelat.audio.level import first_audible
from voicelat.clock import Clock
from voicelat.providers.protocols import Transcript

__all__ = ["first_sound_ms", "first_text_ms", "until_final_ms"]


async def first_text_ms(pieces: AsyncGenerator[str, None], clock: Clock) -> int | None:
    """Request -> first piece of text that is more than blanks. None: there was none."""
    began_ms = clock.now_ms()
    async with aclosing(pieces):
        async for piece in pieces:
            if piece.strip():
                return clock.now_ms() - began_ms
    return None


async def first_sound_ms(chunks: AsyncGenerator[bytes, None], clock: Clock) -> int | None:
    """Request -> chunk with the first audible sound. None: all of it was silent."""
    began_ms = clock.now_ms()
    async with aclosing(chunks):
        async for chunk in chunks:
            if first_audible(chunk) is not None:
                return clock.now_ms() - began_ms
    return None


async def until_final_ms(transcripts: AsyncIterator[Transcript], clock: Clock) -> int | None:
    """Now -> next final. None: the stream ended without one."""
    began_ms = clock.now_ms()
    async for transcript in transcripts:
        if transcript.final:
            return clock.now_ms() - began_ms
    return None
