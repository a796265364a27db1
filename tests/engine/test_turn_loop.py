"""Whole calls: a scripted caller, simulated ears, and what both sides make of it."""

from __future__ import annotations

import asyncio

import pytest
from tests.engine.fakes import Voice, Wire, Words, tone
from tests.engine.phone import Desk, Phone
from tests.engine.virtual_loop import virtual_time

from voicelat.caller import BargeIn, CallSetup, Dtmf, HangUp, Pause, Say, Silence, WaitForReply
from voicelat.engine.config import EngineConfig
from voicelat.engine.turn_loop import CallSummary
from voicelat.providers.simulated import SimulatedLlm, SimulatedStt, SimulatedTts, profile
from voicelat.turn.config import TurnConfig
from voicelat.twilio.messages import Clear, Connected, Media, OutMedia, Start, Stop

_SID = CallSetup().stream_sid
_START = (Connected(), Start(_SID, sequence=1, call_sid="CA1"))
_QUESTION = (Say(tone(900), "a question"), WaitForReply())


def _frame(n: int, audio: bytes = tone(20)) -> Media:
    return Media(_SID, audio, sequence=n + 2, chunk=n + 1, timestamp_ms=n * 20)


# -- conversations ----------------------------------------------------------------------------


@virtual_time
async def test_a_conversation_of_several_turns_is_recorded_turn_by_turn() -> None:
    desk = Desk()
    summary, call = await desk.take(Phone(Silence(500), *_QUESTION * 3))
    assert summary == CallSummary(call.call_sid, "stop", turns=3)
    assert [record.turn for record in desk.records] == [1, 2, 3]
    assert all(record.outcome == "answered" for record in desk.records)
    assert [heard.censored for heard in call.heard] == [False] * 3


@virtual_time
async def test_with_providers_that_take_no_time_only_the_hangover_is_waited() -> None:
    desk = Desk(turn=TurnConfig(hangover_ms=160, speak_gate_ms=0))
    _, call = await desk.take(Phone(Silence(500), *_QUESTION * 3))
    for record, heard in zip(desk.records, call.heard, strict=True):
        assert record.TOTAL_LATENCY_MS == heard.v2v_ms == 160
        assert record.legs == {"endpointing": 160, "llm": 0, "clause": 0, "tts": 0, "gate": 0}
        assert record.residual_ms == 0
        assert record.EOU_REASON == "silence"


@virtual_time
async def test_what_the_server_measures_is_what_the_caller_hears() -> None:
    slow = profile("google-openai-google")
    desk = Desk(stt=SimulatedStt(slow, 1), llm=SimulatedLlm(slow, 2), tts=SimulatedTts(slow, 3))
    _, call = await desk.take(Phone(Silence(500), *_QUESTION * 5))
    assert len(desk.records) == 5
    for record, heard in zip(desk.records, call.heard, strict=True):
        assert record.TOTAL_LATENCY_MS is not None
        assert heard.v2v_ms is not None
        assert abs(record.TOTAL_LATENCY_MS - heard.v2v_ms) <= 24  # a frame and a 4 ms block
        assert sum(record.legs.values()) + (record.residual_ms or 0) == record.TOTAL_LATENCY_MS


@virtual_time
async def test_the_caller_gets_whole_frames_without_gaps_or_faults() -> None:
    phone = Phone(Silence(500), *_QUESTION * 2)
    _, call = await Desk().take(phone)
    assert call.violations == {}
    assert call.pacing_ms == ()
    media = [message for _, message in phone.sent if isinstance(message, OutMedia)]
    assert media
    assert {len(message.payload) for message in media} == {160}


@virtual_time
async def test_the_greeting_is_said_at_once_and_is_no_turn() -> None:
    desk = Desk(engine=EngineConfig(greeting="Good morning."))
    _, call = await desk.take(Phone(WaitForReply(), *_QUESTION))
    assert call.greeting_ms == 0
    assert [record.turn for record in desk.records] == [1]


@virtual_time
async def test_a_greeting_spoken_over_is_interrupted() -> None:
    desk = Desk(engine=EngineConfig(greeting=" ".join(["Welcome"] * 50)))
    phone = Phone(BargeIn(tone(900), 1000), WaitForReply())
    _, call = await desk.take(phone)
    assert call.clears == 1
    assert [record.turn for record in desk.records] == [1]


@virtual_time
async def test_a_pause_inside_a_question_is_not_answered() -> None:
    desk = Desk()
    steps = Say(tone(700)), Pause(100), Say(tone(700)), WaitForReply()
    _, call = await desk.take(Phone(Silence(500), *steps))
    assert len(desk.records) == 1
    assert not call.heard[0].talked_over


@virtual_time
async def test_a_caller_who_goes_on_before_the_first_audio_reopens_the_turn() -> None:
    desk = Desk(tts=Voice(any=1.0))
    steps = Say(tone(700)), Pause(600), Say(tone(700)), WaitForReply()
    _, call = await desk.take(Phone(Silence(500), *steps))
    (record,) = desk.records
    assert record.reopened
    assert record.outcome == "answered"
    assert not call.heard[0].talked_over


@virtual_time
async def test_a_barge_in_is_cleared_before_anything_else_and_nothing_follows() -> None:
    desk = Desk(llm=Words(" ".join(["word"] * 60)), engine=EngineConfig(greeting=""))
    phone = Phone(Silence(500), Say(tone(700)), BargeIn(tone(900), 1500), WaitForReply())
    _, call = await desk.take(phone)
    first, second = desk.records
    assert (first.outcome, second.outcome) == ("barged_in", "answered")
    cleared = next(n for n, (_, m) in enumerate(phone.sent) if isinstance(m, Clear))
    assert phone.sent[cleared][0] == first.stamps.barge_in
    later = [at for at, m in phone.sent[cleared:] if isinstance(m, OutMedia)]
    assert min(later) == second.stamps.first_audio_sent
    stopped = call.heard[1].barge_stop_ms
    assert stopped is not None
    assert stopped <= TurnConfig().onset_ms + 80


@virtual_time
async def test_an_interrupted_reply_is_remembered_as_far_as_it_was_heard() -> None:
    words = Words("One two three, four five six, ", *["and so on and on, "] * 10)
    desk = Desk(llm=words, engine=EngineConfig(greeting="", max_reply_words=None))
    await desk.take(Phone(Silence(500), Say(tone(700)), BargeIn(tone(900), 800), WaitForReply()))
    assert desk.records[0].heard == "One two three, four five six,"
    assert [message.text for message in words.prompts[-1].history] == [
        desk.records[0].text,
        "One two three, four five six,",
    ]


@virtual_time
async def test_keys_make_a_turn() -> None:
    desk = Desk()
    await desk.take(Phone(Silence(500), Dtmf("42#"), WaitForReply()))
    assert [(record.text, record.outcome) for record in desk.records] == [("42#", "answered")]


@virtual_time
async def test_a_caller_who_never_speaks_has_no_turns() -> None:
    desk = Desk()
    summary, call = await desk.take(Phone(Silence(60_000)))
    assert summary == CallSummary(call.call_sid, "stop")
    assert desk.records == []
    assert call.media_received == 0


@pytest.mark.parametrize("frame_bytes", [(160,), (80,), (1, 400, 33), (8000,)])
def test_messages_may_have_any_size(frame_bytes: tuple[int, ...]) -> None:
    @virtual_time
    async def check() -> None:
        desk = Desk()
        setup = CallSetup(frame_bytes=frame_bytes)
        _, call = await desk.take(Phone(Silence(500), *_QUESTION, setup=setup))
        assert [record.outcome for record in desk.records] == ["answered"]
        assert not call.heard[0].censored

    check()


@virtual_time
async def test_a_call_is_the_same_in_every_run() -> None:
    async def effects() -> list[object]:
        desk = Desk(tts=Voice(any=0.3))
        steps = Say(tone(700)), BargeIn(tone(900), 300), WaitForReply(), Dtmf("1"), WaitForReply()
        _, call = await desk.take(Phone(Silence(500), *steps))
        rows = desk.tapes[call.call_sid].steps
        return [
            (at, event, [str(e) for e in out if "record" not in str(e)]) for at, event, out in rows
        ]

    assert await effects() == await effects()


@virtual_time
async def test_calls_do_not_disturb_each_other() -> None:
    desk = Desk()
    phones = [
        Phone(
            Silence(500 + 37 * n),
            *_QUESTION * 2,
            setup=CallSetup(stream_sid=f"MZ{n}", call_sid=f"CA{n}"),
        )
        for n in range(20)
    ]
    dying = [Phone(Say(tone(700)), HangUp(abrupt=True)) for _ in range(5)]
    calls = await asyncio.gather(*map(desk.take, [*phones, *dying]))
    for _, call in calls[:20]:
        assert [heard.v2v_ms is not None and heard.v2v_ms <= 180 for heard in call.heard] == [
            True
        ] * 2
    assert desk.loop.calls == 0


# -- the tape ---------------------------------------------------------------------------------


@virtual_time
async def test_the_tape_has_both_sides_in_their_places() -> None:
    desk = Desk()
    _, call = await desk.take(Phone(Silence(500), *_QUESTION))
    tape = desk.tapes[call.call_sid]
    assert [at for at, _ in tape.caller_audio] == list(range(0, call.frames_sent * 20, 20))
    assert tape.agent_audio[0][0] == desk.records[0].stamps.first_audio_sent
    assert tape.closed


@virtual_time
async def test_the_tape_knows_what_was_never_played() -> None:
    desk = Desk(llm=Words(" ".join(["word"] * 60)))
    phone = Phone(Silence(500), Say(tone(700)), BargeIn(tone(900), 1500), WaitForReply())
    _, call = await desk.take(phone)
    assert desk.tapes[call.call_sid].clears == [desk.records[0].stamps.barge_in]


# -- before start -----------------------------------------------------------------------------


@virtual_time
async def test_a_socket_that_never_starts_is_closed_in_time() -> None:
    desk, wire = Desk(engine=EngineConfig(greeting="", start_timeout_ms=3000)), Wire()
    wire.deliver(Connected())
    summary = await desk.loop.run(wire)
    assert summary == CallSummary(None, "no start message came in time")
    assert wire.closed
    assert asyncio.get_running_loop().time() == pytest.approx(3.0)


@pytest.mark.parametrize("end", ["closed before start", "stopped before start"])
def test_a_socket_that_ends_before_start_is_no_call(end: str) -> None:
    @virtual_time
    async def check() -> None:
        desk, wire = Desk(), Wire()
        wire.deliver(Connected(), *([Stop(_SID)] if end.startswith("stopped") else []))
        if not end.startswith("stopped"):
            wire.hang_up()
        assert await desk.loop.run(wire) == CallSummary(None, end)
        assert wire.closed
        assert desk.tapes == {}

    check()


@virtual_time
async def test_a_refused_call_is_closed_and_leaves_nothing() -> None:
    desk, wire = Desk(), Wire()
    desk.refused = "the token was used before"
    wire.deliver(*_START)
    summary = await desk.loop.run(wire)
    assert summary == CallSummary(None, "refused: the token was used before")
    assert wire.closed
    assert wire.sent == []
    assert desk.tapes == {}


@virtual_time
async def test_media_before_start_is_dropped_and_counted() -> None:
    desk, wire = Desk(), Wire()
    wire.deliver(Connected(), _frame(0), _frame(1), *_START[1:], Stop(_SID))
    summary = await desk.loop.run(wire)
    assert summary == CallSummary("CA1", "stop", drops={"out_of_place": 2})
