from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator

import pytest
from tests.engine.fakes import FOREVER, Ears, Step, Voice, Words, tone
from tests.engine.stubborn import Grip, StubbornVoice, StubbornWords
from tests.engine.virtual_loop import LoopClock, virtual_time

from voicelat.audio.mulaw import silence
from voicelat.engine.config import EngineConfig
from voicelat.engine.reply import Part, ReplyTask
from voicelat.engine.stack import Stack
from voicelat.errors import ProviderError
from voicelat.providers.protocols import Prompt
from voicelat.turn import events as on

_LOST = ProviderError("words", "lost", "retry")


class _Reply:
    """A reply in the making, and what it posted. The gate is open unless ``shut``."""

    def __init__(
        self,
        *script: str | Step,
        words: Words | None = None,
        voice: Voice | None = None,
        shut: bool = False,
        config: EngineConfig | None = None,
        phrase: str | None = None,
        **prompt: int,
    ) -> None:
        self.words = words or Words(*script)
        self.voice = voice or Voice()
        self.clock = LoopClock()
        self.events: list[on.Event] = []
        self.at_ms: dict[type[on.Event], int] = {}
        """When each kind of event was first posted."""
        self.wakes = 0
        self.stack = Stack(Ears(), self.words, self.voice)
        source = phrase or Prompt("CA1", 3, "hello", **prompt)  # type: ignore[arg-type]
        self.task = ReplyTask(
            self.stack, 3, 7, source, post=self._post, wake=self._wake, config=config
        )
        self.task.open = not shut

    def _post(self, event: on.Event) -> None:
        self.events.append(event)
        self.at_ms.setdefault(type(event), self.clock.now_ms())

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
    assert task.take() == Part(audio=tone(100), filler=True)


@virtual_time
async def test_words_beyond_the_limit_are_neither_said_nor_waited_for() -> None:
    reply = _Reply("One two, ", "three four, ", FOREVER, max_words=4)
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


# -- the first clause -------------------------------------------------------------------------


@virtual_time
@pytest.mark.parametrize("clause", ["Of course,", "Certainly.", "When?", "בטח,", "אפשר לקבוע."])
async def test_a_clause_whose_end_is_certain_is_handed_over_in_no_time(clause: str) -> None:
    *before, last = clause.split()
    reply = _Reply(0.2, *(f"{word} " for word in before), last, 0.3, " And then more.", shut=True)
    await asyncio.sleep(1)
    assert reply.at_ms[on.ReplyTextStarted] == 200
    assert reply.at_ms[on.SpeechRequested] - reply.at_ms[on.ReplyTextStarted] == 0
    assert reply.clauses[0] == clause


@virtual_time
async def test_only_a_mark_that_could_be_inside_a_number_waits_for_the_next_piece() -> None:
    reply = _Reply("It costs 45.", 0.03, " Is that fine?", shut=True)
    await asyncio.sleep(1)
    assert reply.at_ms[on.SpeechRequested] == 30


@virtual_time
async def test_a_first_clause_without_a_mark_is_not_waited_for() -> None:
    words = [step for n in range(20) for step in (f"word{n} ", 0.1)]
    reply = _Reply(*words, shut=True, config=EngineConfig(first_clause_words=5))
    await asyncio.sleep(3)
    assert reply.at_ms[on.SpeechRequested] == 400
    assert [len(clause.split()) for clause in reply.clauses] == [5, 15]


@virtual_time
async def test_a_single_syllable_is_said_together_with_what_follows() -> None:
    reply = _Reply("No, ", "not ", "today. ", "Oh.", shut=True)
    await asyncio.sleep(1)
    assert reply.clauses == ["No, not today.", "Oh."]


@virtual_time
async def test_a_model_that_does_not_close_holds_nothing_up() -> None:
    grip = Grip()

    class Clinging(Words):
        async def reply(self, prompt: Prompt) -> AsyncGenerator[str, None]:
            try:
                yield "One two, "
                yield "three four, "
            finally:
                await grip.hold()

    reply = _Reply(words=Clinging(), max_words=2)
    parts = await reply.parts()
    assert parts[-1] == Part(done=True, clause="One two,")
    await asyncio.sleep(60)
    await grip.release()
    assert not any(isinstance(event, on.ReplyFailed) for event in reply.events)


# -- deadlines --------------------------------------------------------------------------------

_SOON = EngineConfig(
    llm_first_token_ms=1000,
    llm_stall_ms=800,
    tts_first_byte_ms=600,
    tts_stall_ms=400,
    whole_reply_ms=5000,
)


@virtual_time
@pytest.mark.parametrize(
    ("script", "voice", "failed_ms", "why"),
    [
        ((FOREVER,), Voice(), 1000, "words: no text in 1000 ms"),
        (("", 0.9, "", FOREVER), Voice(), 1000, "words: no text in 1000 ms"),
        ((0.9, "Sure", FOREVER), Voice(), 1700, "words: no more text in 800 ms"),
        ((0.5, "Sure.", FOREVER), Voice(any=FOREVER), 1100, "voice: no audio in 600 ms"),
    ],
)
async def test_whoever_is_late_before_any_sound_fails_the_reply_on_time(
    script: tuple[str | Step, ...], voice: Voice, failed_ms: int, why: str
) -> None:
    reply = _Reply(*script, voice=voice, config=_SOON)
    await asyncio.sleep(10)
    assert reply.events[-1] == on.ReplyFailed(3, 7, why)
    assert reply.at_ms[on.ReplyFailed] == failed_ms
    assert reply.task.over
    assert (reply.words.open, reply.voice.open) == (0, 0)
    assert await reply.parts() == []


_BREAKS_OFF = {
    "the model": (("Well now, ", FOREVER), Voice(), 800, "words: no more text in 800 ms"),
    "the voice in a clause": (
        ("Well now.",),
        Voice(late=True, well=FOREVER),
        400,
        "voice: no more audio in 400 ms",
    ),
    "the voice between clauses": (
        ("Two words. ", 0.7, "More."),
        Voice(more=FOREVER),
        1300,
        "voice: no audio in 600 ms",
    ),
    "an error": (("Well now, ", 0.2, _LOST), Voice(), 200, "words: lost"),
}


@pytest.mark.parametrize("how", list(_BREAKS_OFF))
def test_a_reply_that_breaks_off_behind_its_first_sound_ends_with_an_apology(how: str) -> None:
    @virtual_time
    async def check() -> None:
        script, voice, failed_ms, why = _BREAKS_OFF[how]
        reply = _Reply(*script, voice=voice, config=_SOON)
        apology = _SOON.apology_phrase
        await reply.stack.phrases.prewarm([apology])
        assert all(part.failure is None for part in await reply.parts((failed_ms - 1) / 1000))
        *_, sound, said, failure = await reply.parts(0.002)
        assert sound == Part(audio=tone(100 * len(apology.split())))
        assert said == Part(clause=apology)
        assert failure == Part(failure=why)
        await asyncio.sleep(10)
        assert (reply.words.open, voice.open) == (0, 0)
        assert await reply.parts() == []

    check()


@virtual_time
async def test_an_apology_that_is_not_in_hand_is_not_asked_of_the_voice_that_failed() -> None:
    reply = _Reply("Two words. ", voice=Voice(late=True, two=FOREVER), config=_SOON)
    parts = await reply.parts(5)
    assert [part.failure for part in parts] == [None, "voice: no more audio in 400 ms"]
    assert reply.clauses == ["Two words."]


@virtual_time
async def test_a_stock_phrase_that_breaks_off_is_not_apologised_for() -> None:
    reply = _Reply(phrase="Two words.", voice=Voice(late=True, two=FOREVER), config=_SOON)
    await reply.stack.phrases.prewarm([_SOON.apology_phrase])
    parts = await reply.parts(5)
    assert [part.failure for part in parts] == [None, "voice: no more audio in 400 ms"]


@virtual_time
async def test_what_trickles_in_for_ever_ends_at_the_limit_of_a_whole_reply() -> None:
    trickle: list[str | Step] = [step for _ in range(100) for step in ("Well then, ", 0.5)]
    reply = _Reply(*trickle, config=_SOON)
    await reply.parts(4.999)
    assert not reply.task.over
    parts = await reply.parts(0.002)
    assert parts[-1].failure == "the reply was not complete after 5000 ms"
    empty = _Reply(*[step for _ in range(99) for step in ("", 0.5)], config=_SOON)
    await empty.parts(10)
    assert empty.at_ms[on.ReplyFailed] == 1000


@virtual_time
async def test_a_reply_that_keeps_every_deadline_by_a_hair_is_complete() -> None:
    reply = _Reply(
        0.999, "Two words. ", 0.799, "More.", voice=Voice(two=0.599, more=0.599), config=_SOON
    )
    parts = await reply.parts(10)
    assert parts[-1] == Part(done=True, clause="Two words. More.")


@virtual_time
async def test_a_reply_that_is_over_is_not_kept_for_its_deadlines() -> None:
    reply = _Reply("Two words. ")
    await reply.parts()
    over = weakref.ref(reply.task)
    del reply
    gc.collect()
    assert over() is None


@virtual_time
async def test_a_model_slower_than_its_voice_is_not_taken_for_a_late_voice() -> None:
    reply = _Reply("Two words. ", 0.7, "Two more. ", 0.7, "Two others.", config=_SOON)
    assert (await reply.parts(10))[-1].done


# -- providers that cannot be stopped ---------------------------------------------------------


@virtual_time
async def test_a_model_that_ignores_its_cancellation_is_not_waited_for() -> None:
    grip = Grip()
    reply = _Reply(words=StubbornWords(grip), config=_SOON)
    await asyncio.sleep(1)
    assert reply.events == [on.ReplyFailed(3, 7, "words: no text in 1000 ms")]
    assert reply.task.over
    task = reply.task.cancel()
    assert not task.done()
    await grip.release()
    assert task.done()
    assert grip.cancels > 0
    assert len(reply.events) == 1, "what it writes now is nobody's"
    assert await reply.parts() == []


@virtual_time
async def test_a_voice_that_ignores_its_cancellation_is_not_waited_for() -> None:
    grip = Grip()
    reply = _Reply("Two words. ", voice=StubbornVoice(grip, ms=100), config=_SOON)
    parts = await reply.parts(0.4)
    assert [part.failure for part in parts] == [None, "voice: no more audio in 400 ms"]
    await grip.release()
    assert await reply.parts() == [], "what it says now is nobody's"


@pytest.mark.parametrize("moment_ms", [0, 1, 50, 99, 100, 101, 250, 500, 900])
@pytest.mark.parametrize("stubborn", [None, "model", "voice", "voice that ends"])
def test_a_reply_cancelled_at_any_moment_says_and_posts_nothing_more(
    stubborn: str | None, moment_ms: int
) -> None:
    @virtual_time
    async def check() -> None:
        grip = Grip()
        words = StubbornWords(grip, "Well now, ") if stubborn == "model" else None
        voice = Voice(any=0.1)
        if stubborn is not None and stubborn.startswith("voice"):
            voice = StubbornVoice(grip, 100, ends=stubborn.endswith("ends"))
        script = (0.1, "Well now, ", 0.3, "and then. ", 0.3, "Bye.")
        reply = _Reply(*script, words=words, voice=voice, config=_SOON)
        await asyncio.sleep(moment_ms / 1000)
        task = reply.task.cancel()
        events, wakes, said = len(reply.events), reply.wakes, len(reply.clauses)
        await asyncio.sleep(0.01)
        assert task.done() or stubborn
        await grip.release()
        await asyncio.sleep(10)
        assert task.done()
        assert (len(reply.events), reply.wakes, len(reply.clauses)) == (events, wakes, said)
        assert reply.task.take() is None
        assert (reply.words.open, reply.voice.open) == (0, 0)

    check()


@virtual_time
async def test_a_whole_reply_is_one_clause_where_clauses_are_not_wanted() -> None:
    reply = _Reply("Sure, I ", 0.3, "can. ", "When?", config=EngineConfig(by_clause=False))
    parts = await reply.parts()
    assert reply.clauses == ["Sure, I can. When?"]
    assert reply.at_ms[on.SpeechRequested] == 300
    assert parts[-1].done


def _opening(*script: str | Step) -> _Reply:
    return _Reply(*script, config=EngineConfig(opener="Let me see."), shut=True)


@virtual_time
async def test_an_opener_in_hand_is_said_while_the_reply_is_not() -> None:
    reply = _opening(0.4, "At nine.")
    await reply.stack.phrases.prewarm(["Let me see."])
    reply.task.open = True
    first, named = reply.task.take(), reply.task.take()
    assert first == Part(audio=tone(300), filler=True)
    assert named == Part(clause="Let me see.")
    assert reply.task.take() is None
    assert reply.events == [
        on.SpeechRequested(3, 7),
        on.SpeechReady(3, 7, cached=True),
    ]
    rest = await reply.parts()
    assert [part.filler for part in rest if part.audio] == [False] * 2
    assert rest[-1] == Part(done=True, clause="Let me see. At nine.")


@virtual_time
async def test_no_opener_is_said_before_a_reply_that_is_in_hand() -> None:
    reply = _opening("At nine.")
    await reply.stack.phrases.prewarm(["Let me see."])
    await asyncio.sleep(1)
    reply.task.open = True
    assert [part.clause for part in await reply.parts()][-1] == "At nine."


@virtual_time
async def test_an_opener_that_is_not_in_hand_is_not_waited_for() -> None:
    reply = _opening(0.4, "At nine.")
    reply.task.open = True
    assert reply.task.take() is None
    assert reply.events == []
    assert [part.clause for part in await reply.parts()][-1] == "At nine."


@virtual_time
async def test_a_reply_that_fails_behind_its_opener_ends_as_one_that_was_heard() -> None:
    reply = _opening(0.4, _LOST)
    await reply.stack.phrases.prewarm(["Let me see."])
    reply.task.open = True
    assert reply.task.take() is not None
    parts = await reply.parts()
    assert parts[-1].failure == "words: lost"
    assert not any(isinstance(event, on.ReplyFailed) for event in reply.events)
