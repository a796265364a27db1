"""One call's driver, event by event: effects are carried out at once and in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from tests.engine.fakes import FOREVER, Ears, Voice, Wire, Words, tone
from tests.engine.phone import MemoryTape
from tests.engine.virtual_loop import LoopClock, virtual_time

from voicelat.clock import Clock
from voicelat.engine.call import Call
from voicelat.engine.config import EngineConfig
from voicelat.engine.stack import Stack
from voicelat.errors import ProviderError
from voicelat.metrics.record import CallInfo, TurnRecord
from voicelat.providers.protocols import LanguageModel, TextToSpeech, Transcript
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
    ) -> None:
        self.wire = Wire()
        self.ears = Ears()
        self.records: list[TurnRecord] = []
        self.tape = MemoryTape()
        self.call = Call(
            Stack(self.ears, llm or Words("Sure."), tts or Voice()),
            self.wire,
            CallInfo(call_id="CA1", stream_sid="MZ1"),
            replace(turn, greeting=bool(greeting)),
            EngineConfig(greeting=greeting),
            on_turn=self.records.append,
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
