from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from tests.engine.fakes import FOREVER, Ears, Voice, Words, tone
from tests.engine.stubborn import Scribe
from tests.engine.virtual_loop import virtual_time

from voicelat.audio.vad import EnergyVad
from voicelat.engine.cache_tiers import MemoryTier
from voicelat.engine.phrases import stock_phrases
from voicelat.engine.prewarm import PrewarmConfig
from voicelat.engine.reply import ReplyTask
from voicelat.engine.stack import Stack
from voicelat.engine.tts_cache import TtsCache
from voicelat.errors import ProviderError
from voicelat.providers.protocols import Prompt
from voicelat.turn import events as on


class _Lifecycle(Words):
    """A model that notes what is done to it."""

    def __init__(self, failure: ProviderError | None = None) -> None:
        super().__init__()
        self.done: list[str] = []
        self.failure = failure

    async def warm(self) -> None:
        self.done.append("warm")
        if self.failure is not None:
            raise self.failure

    async def aclose(self) -> None:
        self.done.append("aclose")


@virtual_time
async def test_providers_are_warmed_and_freed_with_the_stack() -> None:
    model = _Lifecycle()
    async with Stack(Ears(), model, Voice()) as stack:
        assert model.done == ["warm"]
        assert stack.names == {"stt": "ears", "llm": "words", "tts": "voice"}
    assert model.done == ["warm", "aclose"]


@virtual_time
async def test_a_fallback_transcriber_is_one_of_them() -> None:
    class Noted(Scribe):
        def __init__(self) -> None:
            super().__init__()
            self.done: list[str] = []

        async def warm(self) -> None:
            self.done.append("warm")

        async def aclose(self) -> None:
            self.done.append("aclose")

    scribe = Noted()
    async with Stack(Ears(), Words(), Voice(), transcriber=scribe) as stack:
        assert stack.names["fallback"] == "scribe"
    assert scribe.done == ["warm", "aclose"]


@virtual_time
async def test_a_provider_that_cannot_be_used_is_told_before_the_first_call() -> None:
    failure = ProviderError("words", "the key was refused", "fix_key")
    with pytest.raises(ProviderError) as caught:
        await Stack(Ears(), _Lifecycle(failure), Voice()).warm()
    assert caught.value is failure


@virtual_time
async def test_phrases_in_hand_are_said_without_the_voice() -> None:
    voice = Voice()
    stack = Stack(Ears(), Words(), voice)
    await stack.warm(["One moment."])
    voice.said.clear()
    assert [part async for part in stack.speak("One moment.")] == [(tone(100) * 2, True)]
    assert voice.said == []


@virtual_time
async def test_everything_else_is_streamed_from_the_voice() -> None:
    stack = Stack(Ears(), Words(), Voice())
    assert [part async for part in stack.speak("Two words.")] == [(tone(100), False)] * 2


@virtual_time
async def test_who_stops_listening_stops_the_voice() -> None:
    voice = Voice(late=True, any=FOREVER)
    async with aclosing(Stack(Ears(), Words(), voice).speak("Two words.")) as parts:
        await anext(parts)
        assert voice.open == 1
    assert voice.open == 0


def test_each_call_gets_a_detector_of_its_own() -> None:
    stack = Stack(Ears(), Words(), Voice())
    assert stack.detector() is not stack.detector()
    assert isinstance(stack.detector(), EnergyVad)


@virtual_time
async def test_configured_phrases_are_in_hand_and_the_voice_is_kept_warm_until_the_end() -> None:
    voice = Voice()
    prewarm = PrewarmConfig(phrases=stock_phrases("he-IL"), every_s=480)
    async with Stack(Ears(), Words(), voice, prewarm=prewarm, language="he-IL") as stack:
        assert [part async for part in stack.speak("שלום!")] == [(tone(100), True)]
        made = len(voice.said)
        await asyncio.sleep(600)
        assert len(voice.said) == made + 1


@virtual_time
async def test_phrases_can_be_kept_where_other_workers_find_them() -> None:
    shared = MemoryTier(1_000_000)
    for _ in range(2):
        voice = Voice()
        stack = Stack(Ears(), Words(), voice, phrases=TtsCache(voice, "en-US", shared=shared))
        await stack.warm(["One moment."])
        assert stack.phrases.lookup("One moment.") is not None
        await asyncio.sleep(0)  # what was made is shared behind the warm-up
    assert voice.said == []


@virtual_time
async def test_a_reply_that_opens_with_a_phrase_in_hand_sounds_while_the_rest_is_made() -> None:
    voice = Voice(the=2.0)
    stack = Stack(Ears(), Words("Sure, ", "the shop is open."), voice)
    await stack.warm(stock_phrases("en-US"))
    begin_s = asyncio.get_running_loop().time()
    posted: list[tuple[float, on.Event]] = []
    heard_s: list[float] = []

    def now() -> float:
        return asyncio.get_running_loop().time() - begin_s

    def take() -> None:
        while (part := reply.take()) is not None:
            if part.audio:
                heard_s.append(now())

    reply = ReplyTask(
        stack,
        1,
        0,
        Prompt("CA1", 1, "Are you open?"),
        post=lambda event: posted.append((now(), event)),
        wake=take,
    )
    reply.open = True
    await asyncio.sleep(5)
    assert (0.0, on.SpeechReady(1, 0, cached=True)) in posted
    assert heard_s[0] == 0.0
    assert heard_s[1] == pytest.approx(2.0)
    assert voice.said[-1] == "the shop is open."
