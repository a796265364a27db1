"""Every way a socket, a peer or a provider can misbehave: the call ends cleanly or goes on."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.engine.fakes import FOREVER, Ears, Voice, Wire, Words, tone
from tests.engine.phone import Desk, Phone
from tests.engine.virtual_loop import virtual_time

from voicelat.caller import CallSetup, Say, Silence, WaitForReply
from voicelat.engine.config import EngineConfig
from voicelat.engine.turn_loop import CallSummary
from voicelat.errors import ProviderError
from voicelat.providers.protocols import SttStream
from voicelat.providers.simulated import SimulatedTranscriber, profile
from voicelat.turn.config import TurnConfig
from voicelat.twilio.messages import Connected, InboundMessage, Media, Start, Stop

_SID = CallSetup().stream_sid
_START = (Connected(), Start(_SID, sequence=1, call_sid="CA1"))
_QUESTION = (Say(tone(900), "a question"), WaitForReply())


def _frame(n: int, audio: bytes = tone(20)) -> Media:
    return Media(_SID, audio, sequence=n + 2, chunk=n + 1, timestamp_ms=n * 20)


async def _started(desk: Desk, wire: Wire) -> asyncio.Task[CallSummary]:
    """A call that has begun, on a wire without a caller."""
    wire.deliver(*_START)
    running = asyncio.create_task(desk.loop.run(wire), name="run")
    await asyncio.sleep(0.1)
    return running


# -- what no Twilio would send ----------------------------------------------------------------

_BAD: dict[str, list[InboundMessage | str | bytes]] = {
    "malformed": ["", "{", "[]", b"\xff\xfe", "7", '{"event": "media"}', "x" * 100_000],
    "unknown_event": ['{"event": "hold_music", "streamSid": "MZ"}'],
    "out_of_place": [Start(_SID, sequence=900), Connected()],
    "wrong_stream": [Media("MZother", tone(20), sequence=901)],
    "other_track": [Media(_SID, tone(20), "outbound", sequence=902)],
    "empty": [Media(_SID, b"", sequence=903)],
    "out_of_order": [Media(_SID, tone(20), sequence=0)],
}


@virtual_time
async def test_garbage_is_counted_and_the_call_goes_on() -> None:
    desk = Desk()
    phone = Phone(Silence(1000), *_QUESTION)

    async def vandal() -> None:
        for messages in _BAD.values():
            await asyncio.sleep(0.1)
            phone.deliver(*messages)

    damage = asyncio.create_task(vandal())
    summary, call = await desk.take(phone)
    await damage
    assert {reason: summary.drops[reason] for reason in _BAD} == {
        reason: len(messages) for reason, messages in _BAD.items()
    }
    assert [record.outcome for record in desk.records] == ["answered"]
    assert call.heard[0].v2v_ms == 160


@virtual_time
async def test_base64_that_is_not_is_counted() -> None:
    desk, wire = Desk(), Wire()
    media = {"event": "media", "streamSid": _SID, "media": {"payload": "@@@"}}
    wire.deliver(*_START, json.dumps(media), Stop(_SID))
    assert (await desk.loop.run(wire)).drops == {"malformed": 1}


@virtual_time
async def test_marks_nobody_asked_for_are_counted() -> None:
    desk, wire = Desk(), Wire()
    wire.deliver(*_START, json.dumps({"event": "mark", "streamSid": _SID, "mark": {"name": "x"}}))
    wire.deliver(Stop(_SID))
    assert (await desk.loop.run(wire)).drops == {"unknown mark": 1}


@virtual_time
async def test_a_burst_of_a_minute_of_audio_does_not_break_the_call() -> None:
    desk = Desk()
    wire = Wire()
    running = await _started(desk, wire)
    audio = [tone(20) if n % 100 < 40 else b"\xff" * 160 for n in range(3000)]
    wire.deliver(*[_frame(n, frame) for n, frame in enumerate(audio)])
    await asyncio.sleep(1)
    wire.deliver(Stop(_SID))
    summary = await running
    assert summary.why == "stop"
    assert summary.errors == ()


# -- sockets that die -------------------------------------------------------------------------

_MOMENTS_MS = {
    "in the silence before": 300,
    "while the caller speaks": 900,
    "in the hangover": 1500,
    "while the reply is made": 1700,
    "while the reply is played": 2400,
    "when the reply is over": 4000,
}


@pytest.mark.parametrize("moment", list(_MOMENTS_MS))
@pytest.mark.parametrize("how", ["closed", "broken", "stuck", "cancelled"])
def test_a_call_that_dies_ends_cleanly_whenever_it_does(moment: str, how: str) -> None:
    @virtual_time
    async def check() -> None:
        desk = Desk(tts=Voice(any=0.3))
        phone = Phone(Silence(500), Say(tone(900)), Silence(60_000))
        talking = asyncio.create_task(phone.talk())
        running = asyncio.create_task(desk.loop.run(phone))
        await asyncio.sleep(_MOMENTS_MS[moment] / 1000)
        if how == "closed":
            phone.hang_up()
        elif how == "cancelled":
            running.cancel()
        else:
            phone.broken, phone.stuck = how == "broken", how == "stuck"
            await asyncio.sleep(10)
            phone.hang_up()
        (result,) = await asyncio.gather(running, return_exceptions=True)
        assert isinstance(result, asyncio.CancelledError if how == "cancelled" else CallSummary)
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
        assert desk.loop.calls == 0
        assert all(tape.closed for tape in desk.tapes.values())
        spoken = moment != "in the silence before" or how in ("broken", "stuck")
        assert len(desk.records) == int(spoken)

    check()


@virtual_time
async def test_a_socket_that_takes_nothing_any_more_ends_the_call() -> None:
    desk, wire = Desk(engine=EngineConfig(greeting="Good morning.")), Wire()
    wire.broken = True
    wire.deliver(*_START)
    summary = await desk.loop.run(wire)
    assert summary.why == "the wire is cut"
    assert wire.closed


@virtual_time
async def test_a_socket_that_cannot_even_be_closed_is_left() -> None:
    desk, wire = Desk(), Wire()
    running = await _started(desk, wire)
    wire.stuck = True
    wire.hang_up()
    assert (await running).why == "socket closed"


@virtual_time
async def test_a_cancelled_call_records_its_open_turn() -> None:
    desk = Desk(llm=Words(FOREVER))
    phone = Phone(Silence(500), Say(tone(900)), Silence(60_000))
    talking = asyncio.create_task(phone.talk())
    running = asyncio.create_task(desk.loop.run(phone))
    await asyncio.sleep(3)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await talking
    (record,) = desk.records
    assert record.outcome == "censored"
    assert record.text
    assert phone.closed


@virtual_time
async def test_cancelling_before_the_call_began_closes_the_socket() -> None:
    desk, wire = Desk(), Wire()
    running = asyncio.create_task(desk.loop.run(wire))
    await asyncio.sleep(1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert wire.closed


@virtual_time
async def test_a_call_that_cannot_begin_closes_the_socket() -> None:
    def no_detector() -> object:
        raise ValueError("no detector")

    desk, wire = Desk(), Wire()
    desk.stack.detector = no_detector  # type: ignore[assignment]  # a provider's bug
    wire.deliver(*_START)
    with pytest.raises(ValueError, match="no detector"):
        await desk.loop.run(wire)
    assert wire.closed
    assert desk.loop.calls == 0


# -- providers that fail ----------------------------------------------------------------------

_LOST = ProviderError("provider", "lost", "retry")


@virtual_time
async def test_a_call_goes_on_without_ears() -> None:
    desk = Desk(stt=Ears(ProviderError("ears", "bad key", "fix_key")))
    summary, _ = await desk.take(Phone(Silence(500), *_QUESTION))
    assert summary.recogniser_errors == ("ears: bad key",)
    (record,) = desk.records
    assert record.fallback
    assert record.reply == EngineConfig().repeat_phrase


@virtual_time
async def test_what_ears_miss_is_heard_by_the_fallback() -> None:
    scribe = SimulatedTranscriber(profile("instant"))
    desk = Desk(stt=Ears(FOREVER), transcriber=scribe)
    summary, call = await desk.take(Phone(Silence(500), *_QUESTION, Silence(3000)))
    (record,) = desk.records
    assert record.fallback_used == "history"
    assert record.fallback_text
    assert record.providers["fallback"] == "simulated:instant"
    assert (summary.fallback_errors, summary.fallback_lost_ms) == ((), 0)
    assert not call.heard[0].censored


@virtual_time
async def test_ears_that_never_open_leave_the_caller_with_a_question() -> None:
    desk = Desk(stt=Ears(FOREVER))
    await desk.take(Phone(Silence(500), *_QUESTION))
    assert [record.fallback for record in desk.records] == [True]


@virtual_time
async def test_ears_that_break_the_contract_are_told_and_the_call_goes_on() -> None:
    desk = Desk(stt=Ears(ValueError("a bug in ears")))
    summary, _ = await desk.take(Phone(Silence(500), *_QUESTION))
    (error,) = summary.errors
    assert "a bug in ears" in error
    assert [record.outcome for record in desk.records] == ["answered"]


class _EarsThatCannotBeFed(Ears):
    async def open(self, language: str) -> SttStream:
        stream = await super().open(language)

        def feed(audio: bytes) -> None:
            raise ValueError("a bug in feed")

        stream.feed = feed  # type: ignore[method-assign]
        return stream


@virtual_time
async def test_ears_that_raise_when_they_are_fed_are_told_and_the_call_goes_on() -> None:
    desk = Desk(stt=_EarsThatCannotBeFed())
    summary, _ = await desk.take(Phone(Silence(500), *_QUESTION))
    (error,) = summary.errors
    assert "a bug in feed" in error
    assert [record.outcome for record in desk.records] == ["answered"]


@virtual_time
async def test_a_model_that_fails_is_apologised_for() -> None:
    desk = Desk(llm=Words(_LOST))
    _, call = await desk.take(Phone(Silence(500), *_QUESTION * 2))
    for record in desk.records:
        assert record.reply == EngineConfig().apology_phrase
        assert record.failure == "provider: lost"
        assert record.stamps.first_content_sent is None
    assert len(desk.records) == 2
    assert not call.heard[0].censored


@virtual_time
async def test_a_model_that_hangs_is_apologised_for_in_time() -> None:
    desk = Desk(llm=Words(FOREVER), turn=TurnConfig(reply_timeout_ms=2000))
    await desk.take(Phone(Silence(500), *_QUESTION))
    (record,) = desk.records
    assert record.TOTAL_LATENCY_MS == 2160
    assert record.reply == EngineConfig().apology_phrase


@virtual_time
async def test_an_answer_that_comes_too_late_is_never_said() -> None:
    words = Words(3.0, "Too late.")
    voice = Voice()
    desk = Desk(llm=words, tts=voice, turn=TurnConfig(reply_timeout_ms=2000))
    await desk.take(Phone(Silence(500), *_QUESTION, Silence(10_000)))
    assert voice.said == [EngineConfig().apology_phrase]
    assert words.open == 0


@virtual_time
async def test_a_voice_that_is_lost_leaves_the_turn_censored() -> None:
    desk = Desk(tts=Voice(any=_LOST))
    _, call = await desk.take(Phone(Silence(500), *_QUESTION))
    assert [record.outcome for record in desk.records] == ["censored"]
    assert call.heard[0].censored


@virtual_time
async def test_an_empty_reply_is_apologised_for() -> None:
    desk = Desk(llm=Words())
    await desk.take(Phone(Silence(500), *_QUESTION))
    assert [record.reply for record in desk.records] == [EngineConfig().apology_phrase]


@virtual_time
async def test_a_reply_that_breaks_off_is_played_as_far_as_it_came() -> None:
    desk = Desk(llm=Words("I can tell you that, ", 0.2, _LOST))
    await desk.take(Phone(Silence(500), *_QUESTION))
    (record,) = desk.records
    assert (record.outcome, record.reply) == ("answered", "I can tell you that,")
    assert record.failure == "provider: lost"


@virtual_time
async def test_the_callers_of_one_broken_provider_do_not_disturb_another_call() -> None:
    broken, fine = Desk(llm=Words(ValueError("a bug"))), Desk()
    (_, _), (_, call) = await asyncio.gather(
        broken.take(Phone(Silence(500), *_QUESTION)), fine.take(Phone(Silence(500), *_QUESTION))
    )
    assert call.heard[0].v2v_ms == 160
