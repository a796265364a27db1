from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from tests.engine.fakes import FOREVER, Ears, Step, Voice, Words, tone
from tests.engine.virtual_loop import virtual_time

from voicelat.audio.mulaw import silence
from voicelat.engine.reply import Part, ReplyTask
from voicelat.engine.stack import Stack
from voicelat.errors import ProviderError
from voicelat.providers.protocols import Prompt
from voicelat.turn import events as on

_LOST = ProviderError("words", "lost", "retry")


class _Reply:
    """A reply in the making, and what it posted. The gate is open unless ``shut``."""

    def __init__(
        self, *script: str | Step, voice: Voice | None = None, shut: bool = False, **prompt: int
    ) -> None:
        self.words = Words(*script)
        self.voice = voice or Voice()
        self.events: list[on.Event] = []
        self.wakes = 0
        stack = Stack(Ears(), self.words, self.voice)
        source = Prompt("CA1", 3, "hello", **prompt)  # type: ignore[arg-type]
        self.task = ReplyTask(stack, 3, 7, source, post=self.events.append, wake=self._wake)
        self.task.open = not shut

    def _wake(self) -> None:
        self.wakes += 1

    async def parts(self, after_s: float = 1.0) -> list[Part]:
        """Everything that can be taken then."""
        await asyncio.sleep(after_s)
        parts = []
        while (part := self.task.take()) is not None:
            parts.append(part)
        return parts

    @property
    def clauses(self) -> list[str]:
        """What the voice was asked for."""
        return self.voice.said


@virtual_time
async def test_a_reply_is_spoken_clause_by_clause_and_ends_with_its_text() -> None:
    reply = _Reply("Sure, I ", "can. ", "When?")
    parts = await reply.parts()
    assert reply.clauses == ["Sure,", "I can.", "When?"]
    assert [part.clause for part in parts if part.clause] == [
        "Sure,",
        "I can.",
        "When?",
        "Sure, I can. When?",
    ]
    assert [bool(part.audio) for part in parts] == [
        True,
        False,
        *[True] * 2,
        False,
        True,
        *[False] * 2,
    ]
    assert parts[-1].done
    assert reply.wakes == len(parts)


@virtual_time
async def test_the_first_clause_does_not_wait_for_the_rest_of_the_text() -> None:
    reply = _Reply("Sure, ", FOREVER)
    assert [part.clause for part in await reply.parts()] == ["", "Sure,"]
    await asyncio.gather(reply.task.cancel(), return_exceptions=True)


@virtual_time
async def test_its_progress_is_posted_once_and_in_order() -> None:
    reply = _Reply("Sure, ", "I can.", shut=True)
    await asyncio.sleep(1)
    assert reply.events == [
        on.ReplyTextStarted(3, 7),
        on.SpeechRequested(3, 7),
        on.SpeechReady(3, 7, cached=False),
    ]


@virtual_time
async def test_nothing_can_be_taken_while_the_gate_is_shut() -> None:
    reply = _Reply("Sure.", shut=True)
    assert await reply.parts() == []
    reply.task.open = True
    assert len(await reply.parts()) == 3


@virtual_time
async def test_silence_in_front_of_the_first_sound_is_cut_to_a_breath() -> None:
    class Slow(Voice):
        async def speak(self, text: str, language: str):  # type: ignore[no-untyped-def]
            yield silence(300)
            yield silence(200) + tone(100)
            yield silence(100)

    parts = await _Reply("Sure.", voice=Slow()).parts()
    audio = b"".join(part.audio for part in parts)
    assert audio == silence(10) + tone(100) + silence(100)


@virtual_time
async def test_a_stock_phrase_asks_no_model() -> None:
    stack = Stack(Ears(), Words(FOREVER), Voice())
    await stack.warm(["Pardon?"])
    events: list[on.Event] = []
    task = ReplyTask(stack, 1, 2, "Pardon?", post=events.append, wake=lambda: None)
    task.open = True
    await asyncio.sleep(1)
    assert task.filler
    assert events[-1] == on.SpeechReady(1, 2, cached=True)
    assert task.take() == Part(audio=tone(100))


@virtual_time
async def test_words_beyond_the_limit_are_neither_said_nor_waited_for() -> None:
    reply = _Reply("One two, ", "three four, ", FOREVER, max_words=3)
    parts = await reply.parts()
    assert reply.clauses == ["One two,", "three four,"]
    assert parts[-1].done
    assert reply.words.open == 0


@virtual_time
async def test_a_model_that_fails_before_any_sound_is_told_at_once() -> None:
    reply = _Reply(_LOST, shut=True)
    await asyncio.sleep(1)
    assert reply.events == [on.ReplyFailed(3, 7, "words: lost")]
    assert reply.task.over


@virtual_time
async def test_a_voice_that_fails_before_any_sound_is_told_at_once() -> None:
    reply = _Reply("Sure.", FOREVER, voice=Voice(any=ValueError()), shut=True)
    await asyncio.sleep(1)
    assert reply.events[-1] == on.ReplyFailed(3, 7, "ValueError()")
    assert reply.words.open == 0


@virtual_time
async def test_a_failure_behind_the_first_sound_waits_behind_it() -> None:
    reply = _Reply("Sure, ", 0.5, _LOST)
    parts = await reply.parts()
    assert [bool(part.audio) for part in parts] == [True, False, False]
    assert parts[-1].failure == "words: lost"
    assert not any(isinstance(event, on.ReplyFailed) for event in reply.events)


@virtual_time
async def test_a_voice_that_breaks_off_fails_the_reply_too() -> None:
    reply = _Reply("Two words.", "More.", voice=Voice(late=True, any=ValueError("hoarse")))
    parts = await reply.parts()
    assert parts[-1].failure == "hoarse"
    assert not any(part.clause for part in parts)


@virtual_time
async def test_a_model_and_a_voice_that_fail_at_once_are_one_failure() -> None:
    reply = _Reply("Sure, ", 0.5, _LOST, voice=Voice(any=ValueError("hoarse")))
    await asyncio.sleep(1)
    assert [e.why for e in reply.events if isinstance(e, on.ReplyFailed)] == ["hoarse"]


@virtual_time
async def test_an_empty_reply_ends_without_having_begun() -> None:
    for script in ((), ("",), (" \n",)):
        reply = _Reply(*script)
        parts = await reply.parts()
        assert parts == [Part(done=True)]
        assert reply.clauses == []


@virtual_time
async def test_cancelling_closes_the_model_and_the_voice() -> None:
    reply = _Reply("Two words. ", FOREVER, voice=Voice(late=True, any=FOREVER))
    await asyncio.sleep(1)
    assert (reply.words.open, reply.voice.open) == (1, 1)
    await asyncio.wait([reply.task.cancel()])
    assert (reply.words.open, reply.voice.open) == (0, 0)
    assert await reply.parts() == []


@virtual_time
async def test_a_reply_cancelled_before_it_began_never_begins() -> None:
    reply = _Reply("Sure.")
    await asyncio.wait([reply.task.cancel()])
    await asyncio.sleep(1)
    assert reply.words.prompts == []
    assert reply.events == []


@virtual_time
async def test_a_cancelled_reply_posts_nothing_more() -> None:
    reply = _Reply(0.5, _LOST)
    await asyncio.sleep(0.1)
    reply.task.cancel()
    await asyncio.sleep(1)
    assert reply.events == []


class _RestlessWords(Words):
    """A model that answers for ever and never waits."""

    async def reply(self, prompt: Prompt) -> AsyncGenerator[str, None]:
        while True:
            yield ""


class _RestlessVoice(Voice):
    """A voice that does."""

    async def speak(self, text: str, language: str) -> AsyncGenerator[bytes, None]:
        while True:
            yield tone(1000)


@virtual_time
@pytest.mark.parametrize(
    ("words", "voice"), [(_RestlessWords(), Voice()), (Words("Sure."), _RestlessVoice())]
)
async def test_a_provider_that_never_waits_lets_others_run(words: Words, voice: Voice) -> None:
    stack = Stack(Ears(), words, voice)
    source = Prompt("CA1", 1, "hello")
    reply = ReplyTask(stack, 1, 1, source, post=lambda _: None, wake=lambda: None)
    for _ in range(10):
        await asyncio.sleep(0)
    task = reply.cancel()
    assert not task.done()
    await asyncio.wait([task])


@virtual_time
async def test_a_voice_that_never_ends_fails() -> None:
    parts = await _Reply("Sure.", voice=_RestlessVoice()).parts()
    assert parts[-1].failure == "voice: speaks for more than 300 s"
