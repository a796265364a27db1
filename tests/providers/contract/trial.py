"""Tries one case: its provider opened, closed again, and nothing of it left behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeVar

import pytest
from tests.providers.contract.bench import Bench, Case
from tests.providers.contract.cable import Cable

from voicelat.audio.mulaw import BYTES_PER_MS, silence
from voicelat.errors import Advice, ProviderError
from voicelat.providers.protocols import (
    LanguageModel,
    SpeechToText,
    SttStream,
    TextToSpeech,
    Transcript,
)

__all__ = ["check_told", "failure", "final", "say", "trying"]

P = TypeVar("P", SpeechToText, LanguageModel, TextToSpeech)

_PATIENCE_S: Final = 10.0
"""For what must happen at once, on a machine that may be busy."""

_FRAME: Final = 20 * BYTES_PER_MS


@asynccontextmanager
async def trying(case: Case[P], *, warm: bool = True) -> AsyncGenerator[Bench[P]]:
    """The bench of ``case``. Behind the block the provider is closed, and it is checked that no
    task, request or connection of it is left."""
    if why := case.missing():
        pytest.skip(why)
    before = asyncio.all_tasks()
    with _little_to_collect():
        async with case.bench() as bench:
            try:
                if warm:
                    await bench.provider.warm()
                yield bench
            finally:
                await bench.provider.aclose()
                await bench.provider.aclose()
            if bench.far is not None:
                async with asyncio.timeout(_PATIENCE_S):
                    await bench.far.idle()
                    await _closed(bench.far.cable)
    if left := asyncio.all_tasks() - before:
        _, left = await asyncio.wait(left, timeout=_PATIENCE_S)
    assert not left, f"still running: {left}"


@contextmanager
def _little_to_collect() -> Iterator[None]:
    """All that other tests have imported and kept would make each collection of `_closed` take a
    fifth of a second."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def _closed(cable: Cable) -> None:
    """Return once no connection is open.

    gRPC keeps a closed channel's connection for as long as a call of it is remembered, and an
    error or a cancelled task remembers one in its frames, until they are collected.
    """
    while cable.open:
        gc.collect()
        await asyncio.sleep(0.01)


def check_told(error: ProviderError, provider: str, *advices: Advice) -> None:
    """An error is one line that names the provider, and says what happens next."""
    assert error.advice in advices, error
    assert "\n" not in str(error)
    assert str(error).startswith(f"{provider}: ")
    assert 0 < len(error.why) <= 300


async def failure(doing: Coroutine[Any, Any, object]) -> ProviderError:
    """How ``doing`` fails. Fails when it does not."""
    with pytest.raises(ProviderError) as caught:
        await doing
    return caught.value


async def say(stream: SttStream, speech: bytes) -> None:
    """Speech as a call gives it: frames between the voice detector's hints, then the wish for
    the final."""
    stream.voice(True)
    for at in range(0, len(speech), _FRAME):
        stream.feed(speech[at : at + _FRAME])
        await asyncio.sleep(0)
    stream.voice(False)
    stream.feed(silence(200))
    stream.finalize()


async def final(stream: SttStream) -> Transcript:
    """The next final. Fails when the stream ends before."""
    async for transcript in stream:
        if transcript.final:
            return transcript
    raise AssertionError("the stream ended without a final")
