from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from tests.engine.fakes import FOREVER, Voice, tone
from tests.engine.virtual_loop import virtual_time

from voicelat.engine.synthesis import Synthesis
from voicelat.errors import ProviderError

LOST = ProviderError("voice", "lost", "retry")


async def heard(synthesis: Synthesis, chunks: int | None = None) -> list[bytes]:
    """What one listener hears, at most so many chunks."""
    got: list[bytes] = []
    async with aclosing(synthesis.listen()) as parts:
        async for part in parts:
            got.append(part)
            if len(got) == chunks:
                break
    return got


@virtual_time
async def test_every_listener_hears_all_of_it_however_late() -> None:
    voice = Voice(late=True, any=1.0)
    synthesis = Synthesis(voice, "Two words.", "en-US")
    first = asyncio.create_task(heard(synthesis))
    await asyncio.sleep(0.5)
    assert await heard(synthesis) == await first == await heard(synthesis) == [tone(100)] * 2
    assert voice.said == ["Two words."]
    assert synthesis.audio == tone(100) * 2


@virtual_time
async def test_a_listener_does_not_wait_for_the_end() -> None:
    synthesis = Synthesis(Voice(late=True, any=FOREVER), "Two words.", "en-US")
    assert await heard(synthesis, 1) == [tone(100)]


@virtual_time
async def test_who_leaves_first_takes_it_from_nobody() -> None:
    voice = Voice(late=True, any=1.0)
    synthesis = Synthesis(voice, "Two words.", "en-US")
    first, second = (asyncio.create_task(heard(synthesis)) for _ in range(2))
    await asyncio.sleep(0.5)
    first.cancel()
    assert await second == [tone(100)] * 2
    assert not synthesis.abandoned
    assert first.cancelled()


@virtual_time
async def test_when_the_last_one_leaves_the_voice_stops() -> None:
    voice = Voice(late=True, any=FOREVER)
    synthesis = Synthesis(voice, "Two words.", "en-US")
    await heard(synthesis, 1)
    await asyncio.sleep(0)
    assert synthesis.abandoned
    assert voice.open == 0


@pytest.mark.parametrize("late", [False, True])
def test_everybody_hears_of_a_failure_behind_what_came_before(late: bool) -> None:
    @virtual_time
    async def check() -> None:
        synthesis = Synthesis(Voice(late=late, bad=LOST), "Bad one.", "en-US")
        for _ in range(2):
            got: list[bytes] = []
            with pytest.raises(ProviderError) as caught:
                async for part in synthesis.listen():
                    got.append(part)  # noqa: PERF401 - what came before the error counts
            assert caught.value is LOST
            assert got == [tone(100)] * late

    check()


@virtual_time
async def test_a_voice_that_hangs_is_given_up() -> None:
    voice = Voice(any=FOREVER)
    with pytest.raises(ProviderError, match="voice: made no phrase in 15 s") as caught:
        await heard(Synthesis(voice, "Hello.", "en-US"))
    assert caught.value.advice == "retry"
    assert asyncio.get_running_loop().time() == pytest.approx(15)
    assert voice.open == 0


@virtual_time
async def test_a_voice_that_never_ends_and_never_waits_stops_nobody_else() -> None:
    class Endless(Voice):
        async def speak(self, text: str, language: str) -> AsyncGenerator[bytes, None]:
            while True:
                yield tone(1000)

    with pytest.raises(ProviderError, match="speaks for more than 300 s"):
        await heard(Synthesis(Endless(), "Hello.", "en-US"))


@virtual_time
async def test_its_end_is_told_before_anybody_learns_of_it() -> None:
    ends: list[str] = []
    synthesis = Synthesis(Voice(), "Hello.", "en-US", on_end=lambda s: ends.append(s.text))
    with synthesis.held():
        await synthesis.ended()
    assert ends == ["Hello."]


@virtual_time
async def test_being_stopped_from_outside_is_a_failure_one_may_retry() -> None:
    synthesis = Synthesis(Voice(any=FOREVER), "Hello.", "en-US")
    listening = asyncio.create_task(heard(synthesis))
    await asyncio.sleep(0.1)
    synthesis.task.cancel()
    with pytest.raises(ProviderError, match="voice: was stopped"):
        await listening
