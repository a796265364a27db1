"""One call's driver, event by event: effects are carried out at once and in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from tests.engine.fakes import FOREVER, Ears, Voice, Wire, Words, tone
from tests.engine.phone import MemoryTape
from tests.engine.stubborn import Grip, Scribe, StubbornScribe, StubbornVoice, StubbornWords
from tests.engine.virtual_loop import LoopClock, virtual_time

from voicelat.audio.mulaw import duration_ms, silence
from voicelat.clock import Clock
from voicelat.engine.call import Call
from voicelat.engine.config import EngineConfig
from voicelat.engine.stack import Stack
from voicelat.errors import ProviderError
from voicelat.metrics.record import CallInfo, TurnRecord
from voicelat.providers.protocols import (
    LanguageModel,
    Message,
    TextToSpeech,
    Transcriber,
    Transcript,
)
from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.config import TurnConfig
from voicelat.twilio.messages import Clear, DtmfPressed, Mark, Media, OutMark, OutMedia, Stop

_TURN = TurnConfig(speak_gate_ms=0)
_LOST = ProviderError("provider", "lost", "retry")


class _Talk:
    """A call on a bare wire: the test is the caller, its voice detector and its recogniser."""

    def __init__(
        self,
        llm: LanguageModel | None = None,
        tts: TextToSpeech | None = None,
        *,
        greeting: str = "",
        clock: Clock | None = None,
        turn: TurnConfig = _TURN,
        engine: EngineConfig | None = None,
        transcriber: Transcriber | None = None,
    ) -> None:
        self.wire = Wire()
        self.ears = Ears()
        self.records: list[TurnRecord] = []
        self.tape = MemoryTape()
        self.stack = Stack(self.ears, llm or Words("Sure."), tts or Voice())
        self._fed_ms = 0
        self.call = Call(
            self.stack,
            self.wire,
            CallInfo(call_id="CA1", stream_sid="MZ1"),
            replace(turn, greeting=bool(greeting)),
            replace(engine or EngineConfig(), greeting=greeting),
            on_turn=self.records.append,
            transcriber=transcriber,
            tape=self.tape,
            clock=clock or LoopClock(),
        )

    @property
    def now_ms(self) -> int:
        return round(asyncio.get_running_loop().time() * 1000)

    @property
    def effects(self) -> list[do.Effect]:
        """Everything the machine has asked for so far."""
        return [effect for _, _, effects in self.tape.steps for effect in effects]

    @property
    def marks(self) -> list[str]:
        """The marks sent so far."""
        return [m.name for _, m in self.wire.sent if isinstance(m, OutMark)]

    @property
    def media_ms(self) -> list[int]:
        """When each media message left."""
        return [at for at, m in self.wire.sent if isinstance(m, OutMedia)]

    async def say(self, text: str, ms: int = 500) -> None:
        """Speak, with the final there at once; returns when the turn is over."""
        self.call.post(on.SpeechStarted(self.now_ms))
        await asyncio.sleep(ms / 1000)
        self.call.post(on.SpeechStopped(self.now_ms))
        self.ears.streams[-1].tell(Transcript(text, final=True))
        await asyncio.sleep(0.161)

    async def blip(self, ms: int) -> None:
        """A voice without words."""
        self.call.post(on.SpeechStarted(self.now_ms))
        await asyncio.sleep(ms / 1000)
        self.call.post(on.SpeechStopped(self.now_ms))

    async def send(self, *audio: bytes) -> None:
        """Caller audio as Twilio sends it, frame by frame in real time."""
        sound = b"".join(audio)
        for at in range(0, len(sound), 160):
            await asyncio.sleep(0.02)
            frame = sound[at : at + 160]
            self.call.receive(Media("MZ1", frame, timestamp_ms=self._fed_ms))
            self._fed_ms += 20

    async def mumble(self) -> None:
        """A voice without words; returns when the caller is asked to repeat."""
        await self.blip(500)
        await asyncio.sleep(0.401)

    def echo_marks(self) -> None:
        """Twilio has played everything."""
        for name in self.marks:
            self.call.receive(Mark("MZ1", name))


@asynccontextmanager
async def _talking(*args: object, **kwargs: object) -> AsyncGenerator[_Talk]:
    talk = _Talk(*args, **kwargs)  # type: ignore[arg-type]
    await asyncio.sleep(0.5)
    yield talk
    await talk.call.close("hung up")


@virtual_time
async def test_marks_leave_exactly_behind_the_audio_they_are_about() -> None:
    async with _talking(Words("Yes of course, ", "we are open.")) as talk:
        await talk.say("are you open")
        await asyncio.sleep(1)
        kinds = [
            m.name.split(".")[-1] if isinstance(m, OutMark) else "x" for _, m in talk.wire.sent
        ]
        heard = kinds.index("heard")
        assert set(kinds[:heard]) == {"x"}
        kinds.remove("heard")
        assert kinds == ["x"] * 15 + ["clause"] + ["x"] * 15 + ["clause", "end"]


@virtual_time
async def test_a_barge_in_clears_in_the_same_tick() -> None:
    async with _talking(Words(" ".join(["word"] * 50))) as talk:
        await talk.say("hello")
        await asyncio.sleep(1)
        start_ms = talk.now_ms
        talk.call.post(on.SpeechStarted(start_ms))
        await asyncio.sleep(1)
        cleared = next(n for n, (_, m) in enumerate(talk.wire.sent) if isinstance(m, Clear))
        assert talk.wire.sent[cleared][0] == start_ms + TurnConfig().onset_ms
        assert talk.wire.sent[cleared:] == talk.wire.sent[-1:]
        (record,) = talk.records
        assert record.BARGE_IN_HIT


@virtual_time
async def test_the_caller_who_stirs_before_the_first_sound_holds_the_reply() -> None:
    async with _talking(tts=Voice(any=0.4)) as talk:
        await talk.say("hello")
        await talk.blip(100)
        await asyncio.sleep(0.05)
        commits = [e for e in talk.effects if isinstance(e, do.CommitReply | do.HoldReply)]
        assert [type(effect) for effect in commits] == [
            do.CommitReply,
            do.HoldReply,
            do.CommitReply,
        ]
        await asyncio.sleep(2)
        talk.echo_marks()
        assert [record.outcome for record in talk.records] == ["answered"]


@virtual_time
async def test_nothing_is_sent_while_the_reply_is_held() -> None:
    async with _talking(
        tts=Voice(any=0.4), turn=TurnConfig(min_utt_ms=100, onset_ms=2000, speak_gate_ms=0)
    ) as talk:
        await talk.say("hello")
        talk.call.post(on.SpeechStarted(talk.now_ms))
        await asyncio.sleep(1.5)
        assert talk.media_ms == []
        talk.call.post(on.SpeechStopped(talk.now_ms))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(talk.media_ms) == 5


@virtual_time
async def test_a_frame_already_on_its_way_is_all_that_leaves_during_a_hold() -> None:
    async with _talking(turn=TurnConfig(onset_ms=1000, speak_gate_ms=0)) as talk:
        talk.wire.delay_s = 0.1
        await talk.say("hello")
        await talk.blip(350)
        assert len(talk.media_ms) == 1
        talk.wire.delay_s = 0.0
        await asyncio.sleep(1)
        assert len(talk.media_ms) == 5
        talk.echo_marks()
        assert [record.outcome for record in talk.records] == ["answered"]


@virtual_time
async def test_a_reply_that_was_held_and_reopened_is_never_heard() -> None:
    async with _talking(tts=Voice(any=0.4)) as talk:
        await talk.say("hello")
        talk.call.post(on.SpeechStarted(talk.now_ms))
        await asyncio.sleep(1)
        assert [e.why for e in talk.effects if isinstance(e, do.CancelReply)] == ["reopened"]
        assert talk.media_ms == []
        talk.call.post(on.SpeechStopped(talk.now_ms))
        talk.ears.streams[-1].tell(Transcript("again", final=True))
        await asyncio.sleep(2)
        talk.echo_marks()
        (record,) = talk.records
        assert (record.text, record.reopened, record.model_calls) == ("hello again", True, 2)


@virtual_time
async def test_a_speculative_reply_is_made_but_not_sent_before_its_time() -> None:
    words = Words("Sure.")
    async with _talking(words, turn=TurnConfig(hangover_ms=800, speak_gate_ms=0)) as talk:
        asked_ms = talk.now_ms + 500
        await talk.say("hello")
        assert len(words.prompts) == 1
        assert talk.media_ms == []
        await asyncio.sleep(2)
        assert talk.media_ms[0] == asked_ms + 800


@virtual_time
async def test_a_speculative_reply_that_failed_is_tried_again() -> None:
    words = Words(_LOST)
    async with _talking(words, turn=TurnConfig(hangover_ms=800, speak_gate_ms=0)) as talk:
        await talk.say("hello")
        words.script = ("Sure.",)
        await asyncio.sleep(2)
        talk.echo_marks()
        (record,) = talk.records
        assert (record.reply, record.failure) == ("Sure.", None)


@virtual_time
async def test_a_changed_text_makes_another_reply() -> None:
    words = Words("Sure.")
    async with _talking(words, turn=TurnConfig(hangover_ms=800, speak_gate_ms=0)) as talk:
        await talk.say("one")
        talk.ears.streams[-1].tell(Transcript("two", final=True))
        await asyncio.sleep(2)
        assert [prompt.text for prompt in words.prompts] == ["one", "one two"]
        assert words.open == 0


@virtual_time
async def test_the_model_is_shown_what_was_said() -> None:
    words = Words("Sure, I can.")
    async with _talking(words) as talk:
        for text in ("one", "two", "three"):
            await talk.say(text)
            await asyncio.sleep(1)
            talk.echo_marks()
        said = [f"{message.role}: {message.text}" for message in words.prompts[-1].history]
        assert said == ["caller: one", "agent: Sure, I can.", "caller: two", "agent: Sure, I can."]
        assert words.prompts[-1].text == "three"


@virtual_time
async def test_the_recogniser_gets_audio_voice_and_the_wish_for_a_final() -> None:
    async with _talking() as talk:
        for n in range(30):
            audio = tone(20) if n < 20 else b"\xff" * 160
            talk.call.receive(Media("MZ1", audio, timestamp_ms=n * 20))
            await asyncio.sleep(0.02)
        await asyncio.sleep(1)
        given = talk.ears.streams[0].given
        assert sum(isinstance(entry, bytes) for entry in given) == 30
        assert [entry for entry in given if not isinstance(entry, bytes)] == [True, False, None]


@virtual_time
async def test_what_twilio_says_reaches_the_machine() -> None:
    async with _talking() as talk:
        talk.call.receive(DtmfPressed("MZ1", "5"))
        talk.call.receive(Mark("MZ1", "unknown"))
        talk.call.receive(Stop("MZ1"))
        events = [event for _, event, _ in talk.tape.steps]
        assert events == [on.Dtmf("5"), on.MarkEchoed("unknown"), on.StreamStopped()]
        assert talk.call.why == "stop"


@virtual_time
async def test_a_greeting_that_never_comes_is_given_up_in_time() -> None:
    turn = TurnConfig(reply_timeout_ms=3000)
    async with _talking(tts=Voice(hello=FOREVER), greeting="Hello.", turn=turn) as talk:
        assert talk.call.machine.live_reply == (0, 0)
        await asyncio.sleep(3)
        assert talk.call.machine.live_reply is None
        await talk.say("anybody there")
        await asyncio.sleep(1)
        talk.echo_marks()
        assert [record.outcome for record in talk.records] == ["answered"]


@virtual_time
async def test_a_clock_behind_the_timers_does_not_go_back() -> None:
    class Behind(LoopClock):
        def now_ms(self) -> int:
            return max(0, super().now_ms() - 3)

    async with _talking(clock=Behind()) as talk:
        await talk.say("hello")
        await asyncio.sleep(1)
        talk.echo_marks()
        times = [at for at, _, _ in talk.tape.steps]
        assert times == sorted(times)
        assert [record.outcome for record in talk.records] == ["answered"]


@virtual_time
async def test_nothing_runs_on_after_the_end() -> None:
    async with _talking(Words("Two words, ", FOREVER), Voice(late=True, any=FOREVER)) as talk:
        await talk.say("hello")
    assert talk.ears.streams[0].closed
    assert talk.wire.closed
    assert talk.tape.closed
    (record,) = talk.records
    assert record.outcome == "answered"


@virtual_time
async def test_a_provider_that_does_not_let_go_does_not_hold_the_call() -> None:
    released = asyncio.Event()

    class Clinging(Words):
        async def reply(self, prompt: object) -> AsyncGenerator[str, None]:
            try:
                yield "Sure, "
                await asyncio.Event().wait()
            finally:
                await released.wait()

    async with _talking(Clinging()) as talk:
        await talk.say("hello")
        before_ms = talk.now_ms
    assert talk.now_ms - before_ms == 3000
    assert talk.tape.closed
    released.set()
    await asyncio.sleep(0.1)


@virtual_time
async def test_a_provider_that_breaks_while_it_is_let_go_is_told() -> None:
    class Breaking(Words):
        async def reply(self, prompt: object) -> AsyncGenerator[str, None]:
            try:
                yield "Sure, "
                await asyncio.Event().wait()
            finally:
                raise ValueError("a bug in the clean-up")

    async with _talking(tts=Voice(any=FOREVER), llm=Breaking()) as talk:
        await talk.say("hello")
    assert len(talk.records) == 1


@virtual_time
async def test_closing_twice_is_one_end() -> None:
    async with _talking() as talk:
        await talk.say("hello")
        await talk.call.close("hung up")
    ends = [event for _, event, _ in talk.tape.steps if isinstance(event, on.StreamStopped)]
    assert ends == [on.StreamStopped("hung up")]
    assert len(talk.records) == 1


@pytest.mark.parametrize("tts", [Voice, lambda: Voice(any=0.3)])
def test_no_media_of_a_turn_follows_its_clear(tts: type[Voice]) -> None:
    @virtual_time
    async def check() -> None:
        async with _talking(Words("one, two, three, four, five."), tts()) as talk:
            for wait_ms in range(0, 800, 40):
                await talk.say("hello")
                await asyncio.sleep(wait_ms / 1000)
                await talk.say("stop it", ms=400)
                await asyncio.sleep(3)
                talk.echo_marks()
            sounding: set[int] = set()
            for record in talk.records:
                if record.stamps.barge_in is not None:
                    sounding.add(record.turn)
                    gone = [at for at in talk.media_ms if at > record.stamps.barge_in]
                    begun = [
                        r.stamps.gate_open
                        for r in talk.records
                        if r.turn > record.turn and r.stamps.gate_open is not None
                    ]
                    assert not gone or min(gone) >= min(begun)
            assert sounding

    check()


# -- the fallback -----------------------------------------------------------------------------

_REPEAT = EngineConfig().repeat_phrase
_APOLOGY = EngineConfig().apology_phrase


@virtual_time
async def test_a_turn_without_text_is_asked_for_again_at_once_whatever_the_fallback_does() -> None:
    totals = set()
    grip = Grip()
    for scribe in (None, Scribe(), Scribe("x", 0.8), Scribe("", _LOST), StubbornScribe(grip)):
        async with _talking(transcriber=scribe) as talk:
            await talk.send(tone(500), silence(500))
            await asyncio.sleep(2)
            talk.echo_marks()
        (record,) = talk.records
        assert (record.reply, record.fallback) == (_REPEAT, True)
        assert record.stamps.first_audio_sent == record.stamps.turn_end
        totals.add(record.TOTAL_LATENCY_MS)
        await grip.release()
    assert len(totals) == 1


@virtual_time
async def test_the_fallback_gets_the_audio_of_the_turn_it_is_asked_about() -> None:
    scribe = Scribe()
    async with _talking(transcriber=scribe) as talk:
        await talk.send(silence(3000), tone(500), silence(500))
        (audio,) = scribe.audio
        assert tone(500) in audio
        assert 900 <= duration_ms(audio) <= 2000
        await talk.send(silence(2000))
        talk.echo_marks()
        assert talk.call.fallback.kept_ms == 1000, "the rest is freed"
        assert talk.call.fallback.lost_ms == 0


@virtual_time
async def test_the_next_turn_knows_what_the_caller_probably_said() -> None:
    words = Words("Sure.")
    async with _talking(words, transcriber=Scribe("book a table", 0.7)) as talk:
        await talk.send(tone(500), silence(500))
        await asyncio.sleep(1)
        talk.echo_marks()
        await talk.say("for two")
        assert words.prompts[0].history == (
            Message("caller", "book a table", probable=True),
            Message("agent", _REPEAT),
        )
        record = talk.records[0]
        assert (record.fallback_ms, record.fallback_text) == (700, "book a table")
        assert (record.fallback_used, record.text) == ("history", "")
        assert len(words.prompts) == 1, "the question was not answered twice"


@virtual_time
async def test_a_caller_who_repeats_before_the_fallback_is_done_is_simply_answered() -> None:
    words = Words("Sure.")
    async with _talking(words, transcriber=Scribe("book a table", 3.0)) as talk:
        await talk.send(tone(500), silence(500))
        await talk.say("book a table", ms=600)
        assert [prompt.text for prompt in words.prompts] == ["book a table"]
        assert [message.role for message in words.prompts[0].history] == []
        await asyncio.sleep(3)
        talk.echo_marks()
        assert [r.turn for r in talk.records] == [1, 2]
        await talk.say("and two more")
        assert words.prompts[1].history[0] == Message("caller", "book a table", probable=True)


@virtual_time
async def test_a_fallback_in_time_is_answered_instead_of_asking() -> None:
    words = Words("Sure.")
    turn = TurnConfig(speak_gate_ms=900)
    async with _talking(words, transcriber=Scribe("book a table", 0.2), turn=turn) as talk:
        await talk.send(tone(500), silence(700))
        await asyncio.sleep(1)
        talk.echo_marks()
        (record,) = talk.records
        assert (record.text, record.reply) == ("book a table", "Sure.")
        assert (record.fallback, record.fallback_used) == (False, "answer")
        assert record.fallback_ms == 200
        assert record.TOTAL_LATENCY_MS == 900
        await talk.say("and")
        assert words.prompts[1].history[0] == Message("caller", "book a table", probable=True)


@virtual_time
async def test_a_fallback_that_tells_no_confidence_is_never_answered() -> None:
    scribe = Scribe(Transcript("book a table", final=True))
    async with _talking(transcriber=scribe, turn=TurnConfig(speak_gate_ms=900)) as talk:
        await talk.send(tone(500), silence(700))
        await asyncio.sleep(1)
        talk.echo_marks()
        (record,) = talk.records
        assert (record.reply, record.fallback_used) == (_REPEAT, "history")


@virtual_time
async def test_words_in_doubt_are_asked_for_again_and_transcribed() -> None:
    scribe, words = Scribe("book a table", 0.5), Words("Sure.")
    turn = TurnConfig(speak_gate_ms=0, min_confidence=0.5)
    async with _talking(words, transcriber=scribe, turn=turn) as talk:
        await talk.send(silence(100))
        talk.call.post(on.SpeechStarted(talk.now_ms))
        await talk.send(tone(400))
        talk.call.post(on.SpeechStopped(talk.now_ms))
        talk.ears.streams[-1].tell(Transcript("brook a cable", final=True, confidence=0.2))
        await asyncio.sleep(2)
        talk.echo_marks()
        (record,) = talk.records
        assert (record.reply, record.text, record.confidence) == (_REPEAT, "brook a cable", 0.2)
        assert (record.fallback_text, record.model_calls) == ("book a table", 0)
        await talk.say("for two")
        assert words.prompts[0].history[0].text == "book a table"


@virtual_time
async def test_a_final_that_comes_after_all_sends_the_fallback_home() -> None:
    scribe = Scribe("wrong", FOREVER)
    async with _talking(transcriber=scribe, turn=TurnConfig(speak_gate_ms=900)) as talk:
        await talk.send(tone(500), silence(500))
        assert scribe.open == 1
        talk.ears.streams[-1].tell(Transcript("right", final=True))
        await asyncio.sleep(1)
        talk.echo_marks()
        assert scribe.open == 0
        (record,) = talk.records
        assert (record.text, record.fallback) == ("right", False)
        assert record.fallback_failure == "the recogniser's text came after all"


@virtual_time
async def test_a_turn_that_is_reopened_and_not_understood_again_is_transcribed_whole() -> None:
    scribe = Scribe("book a table", 0.1, 0.1)
    async with _talking(transcriber=scribe, turn=TurnConfig(speak_gate_ms=900)) as talk:
        scribe.heard = Transcript("book", final=True, confidence=0.1)
        await talk.send(tone(1500), silence(480), tone(100))
        scribe.heard = "book a table"
        await talk.send(tone(400), silence(480))
        await asyncio.sleep(2)
        talk.echo_marks()
        first, second = scribe.audio
        assert tone(1400) in first
        assert tone(1400) in second
        assert duration_ms(second) - duration_ms(first) > 900
        (record,) = talk.records
        assert (record.reopened, record.fallback_text) == (True, "book a table")


@virtual_time
async def test_what_was_heard_of_half_a_turn_is_not_taken_for_the_whole() -> None:
    scribe, words = Scribe(Transcript("book", final=True), 0.1, _LOST), Words("Sure.")
    turn = TurnConfig(speak_gate_ms=900)
    async with _talking(words, transcriber=scribe, turn=turn) as talk:
        await talk.send(tone(500), silence(600), tone(500), silence(480))
        await asyncio.sleep(2)
        talk.echo_marks()
        (record,) = talk.records
        assert (record.reopened, record.fallback_failure) == (True, "provider: lost")
        await talk.say("a table")
        assert [m.text for m in words.prompts[0].history] == [_REPEAT]


@pytest.mark.parametrize("stubborn", [False, True])
@pytest.mark.parametrize("moment_ms", [0, 10, 300, 700, 2000])
def test_a_call_that_ends_while_the_fallback_works_keeps_the_record(
    moment_ms: int, stubborn: bool
) -> None:
    @virtual_time
    async def check() -> None:
        grip = Grip()
        scribe = StubbornScribe(grip) if stubborn else Scribe("x", FOREVER)
        async with _talking(transcriber=scribe) as talk:
            await talk.send(tone(500), silence(440))
            await asyncio.sleep(moment_ms / 1000)
            talk.echo_marks()
            before_ms = talk.now_ms
        assert talk.now_ms - before_ms == (3000 if stubborn else 0)
        (record,) = talk.records
        assert record.fallback
        assert record.fallback_failure == "the call ended"
        assert talk.tape.closed
        await grip.release()

    check()


# -- the history ------------------------------------------------------------------------------


@virtual_time
async def test_the_prompt_says_how_much_was_left_out_and_has_the_rest_on_demand() -> None:
    words = Words("Sure.")
    async with _talking(words, engine=EngineConfig(history_messages=2)) as talk:
        for text in ("one", "two", "three"):
            await talk.say(text)
            await asyncio.sleep(1)
            talk.echo_marks()
        prompt = words.prompts[-1]
        assert [message.text for message in prompt.history] == ["two", "Sure."]
        assert prompt.left_out == 2
        assert prompt.full_history is not None
        assert [m.text for m in prompt.full_history()] == ["one", "Sure.", "two", "Sure."]


# -- deadlines --------------------------------------------------------------------------------

_SOON = EngineConfig(
    llm_first_token_ms=1000, llm_stall_ms=800, tts_first_byte_ms=600, tts_stall_ms=400
)


def _hung(grip: Grip) -> dict[str, tuple[LanguageModel, Voice, int, str]]:
    """Who hangs -> the providers, when the apology sounds, and what the record says of it."""
    return {
        "model": (Words(FOREVER), Voice(), 1000, "words: no text in 1000 ms"),
        "stubborn model": (StubbornWords(grip), Voice(), 1000, "words: no text in 1000 ms"),
        "model within a clause": (
            Words("Well", FOREVER),
            Voice(),
            800,
            "words: no more text in 800 ms",
        ),
        "voice": (Words("Well now."), Voice(well=FOREVER), 600, "voice: no audio in 600 ms"),
        "stubborn voice": (
            Words("Well now."),
            StubbornVoice(grip, willing=_APOLOGY),
            600,
            "voice: no audio in 600 ms",
        ),
    }


@pytest.mark.parametrize("who", list(_hung(Grip.__new__(Grip))))
def test_whoever_hangs_costs_no_more_than_its_deadline(who: str) -> None:
    @virtual_time
    async def check() -> None:
        grip = Grip()
        llm, tts, deadline_ms, why = _hung(grip)[who]
        async with _talking(llm, tts, engine=_SOON) as talk:
            await talk.stack.phrases.prewarm([_APOLOGY])
            await talk.say("hello")
            await asyncio.sleep(5)
            talk.echo_marks()
            (record,) = talk.records
            assert (record.reply, record.failure) == (_APOLOGY, why)
            begun_ms = record.stamps.turn_end
            assert begun_ms is not None
            # A reply begins with the final, one hangover before the turn is over.
            assert record.stamps.first_audio_sent == begun_ms - 160 + deadline_ms
            assert (record.model_calls, record.wasted_calls) == (1, 1)
            await grip.release()
        assert talk.now_ms < 20_000

    check()


@virtual_time
async def test_a_model_that_hangs_in_the_middle_is_apologised_for_behind_what_it_said() -> None:
    words = Words("Well now, ", FOREVER)
    async with _talking(words, engine=_SOON) as talk:
        await talk.stack.phrases.prewarm([_APOLOGY])
        await talk.say("hello")
        await asyncio.sleep(3)
        talk.echo_marks()
        (record,) = talk.records
        assert record.reply == f"Well now, {_APOLOGY}"
        assert (record.outcome, record.failure) == ("answered", "words: no more text in 800 ms")
        assert record.wasted_calls == 0
        assert words.open == 0
        await talk.say("again")
        assert words.prompts[-1].history[-1].text == f"Well now, {_APOLOGY}"


@virtual_time
async def test_turn_after_turn_with_a_stubborn_model_goes_on() -> None:
    grip = Grip()
    async with _talking(StubbornWords(grip), engine=_SOON) as talk:
        for _ in range(3):
            await talk.say("hello")
            await asyncio.sleep(4)
            talk.echo_marks()
        assert [r.reply for r in talk.records] == [_APOLOGY] * 3
        before_ms = talk.now_ms
    assert talk.now_ms - before_ms == 3000
    await grip.release()


@virtual_time
async def test_ears_that_never_answer_cost_the_stt_timeout_and_no_more() -> None:
    async with _talking() as talk:
        await talk.mumble()
        await asyncio.sleep(2)
        talk.echo_marks()
        (record,) = talk.records
        assert (record.reply, record.STT_FINAL_MS, record.TOTAL_LATENCY_MS) == (_REPEAT, 400, 400)


# -- the end, at any moment -------------------------------------------------------------------

_HANGS: dict[str, tuple[tuple[str | float, ...], bool]] = {
    "nobody": ((0.2, "Well now, ", 0.2, "and then."), False),
    "the model": ((0.2, FOREVER), False),
    "the model later": ((0.2, "Well now, ", FOREVER), False),
    "the voice": ((0.2, "Well now."), True),
}


@pytest.mark.parametrize("moment_ms", range(0, 3000, 130))
@pytest.mark.parametrize("who", list(_HANGS))
def test_a_call_can_end_at_any_moment_and_leaves_nothing_behind(who: str, moment_ms: int) -> None:
    @virtual_time
    async def check() -> None:
        script, hung = _HANGS[who]
        words, voice = Words(*script), Voice(well=FOREVER) if hung else Voice()
        scribe = Scribe("book a table", 0.3)

        async def caller(talk: _Talk) -> None:
            await talk.send(tone(400), silence(500))
            await talk.say("hello")
            await asyncio.sleep(5)

        async with _talking(words, voice, engine=_SOON, transcriber=scribe) as talk:
            speaking = asyncio.create_task(caller(talk))
            await asyncio.sleep(moment_ms / 1000)
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)
            before_ms = talk.now_ms
        assert talk.now_ms == before_ms
        assert (words.open, voice.open, scribe.open) == (0, 0, 0)
        assert talk.call.errors == []
        assert talk.tape.closed

    check()


@virtual_time
async def test_the_first_audio_of_an_opener_and_of_the_content_are_two_instants() -> None:
    engine = EngineConfig(opener="Let me see.")
    async with _talking(Words(0.5, "At nine."), engine=engine) as talk:
        await talk.stack.phrases.prewarm([engine.opener])
        await talk.say("when do you open")
        await asyncio.sleep(2)
        talk.echo_marks()
        await asyncio.sleep(0.1)
        (record,) = talk.records
    sent, content = record.stamps.first_audio_sent, record.stamps.first_content_sent
    assert sent is not None
    assert content is not None
    assert record.TOTAL_LATENCY_MS == 160
    assert content - sent >= 300, "the opener, then what the model wrote"
    assert 160 + content - sent == record.FIRST_CONTENT_MS
    assert record.reply == "Let me see. At nine."
    assert record.cache == "hit"


@virtual_time
async def test_a_peer_that_takes_nothing_is_cut_off_with_its_reason() -> None:
    engine = EngineConfig(unread_timeout_ms=1000)
    async with _talking(greeting="Hello, how can I help you?", engine=engine) as talk:
        talk.wire.stuck = True
        await talk.say("What time is it?")
        await talk.send(silence(200))
        assert talk.call.why is None
        await talk.send(silence(1000))
        assert talk.call.why == "the peer does not read"
