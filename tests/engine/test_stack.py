from __future__ import annotations

from contextlib import aclosing

import pytest
from tests.engine.fakes import FOREVER, Ears, Voice, Words, tone
from tests.engine.virtual_loop import virtual_time

from voicelat.audio.vad import EnergyVad
from voicelat.engine.stack import Stack
from voicelat.errors import ProviderError


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
