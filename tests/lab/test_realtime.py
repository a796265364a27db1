"""Recorded callers on real sockets, with the real server on loopback; simulated speech is short."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.serve.running import QUESTION, serving
from websockets.asyncio.server import ServerConnection, serve

from voicelat.audio.mulaw import BYTES_PER_MS, duration_ms, encode, silence
from voicelat.caller import Heard, Say, WaitForReply
from voicelat.caller.script import plan as compiled
from voicelat.errors import InvalidFile, UsageError
from voicelat.lab.realtime import (
    RealtimePlan,
    RealtimeResult,
    SpokenCall,
    media_url,
    play,
    script_of,
    utterances,
)
from voicelat.lab.truth import TruePause, TrueTurn, Truth
from voicelat.metrics.targets import parse_gate
from voicelat.serve.config import ServeConfig
from voicelat.turn import events as on
from voicelat.turn.trace import TraceStep

WITH_PAUSE = QUESTION + silence(100) + QUESTION
"""The pause is shorter than the hangover: one turn for everybody."""


def noise(ms: int) -> bytes:
    return encode(np.random.default_rng(ms).normal(0, 3000, ms * BYTES_PER_MS).astype(np.int16))


def recording(*spans: tuple[int, int]) -> tuple[list[TraceStep], bytes]:
    """The steps and the audio of a caller who speaks in ``spans``."""
    steps: list[TraceStep] = []
    audio = b""
    for begin_ms, end_ms in spans:
        audio += silence(begin_ms - duration_ms(audio)) + noise(end_ms - begin_ms)
        steps.append(TraceStep(at_ms=begin_ms + 40, event=on.SpeechStarted(begin_ms)))
        steps.append(TraceStep(at_ms=end_ms + 60, event=on.SpeechStopped(end_ms)))
    return steps, audio + silence(1000)


def truth(*turns: Sequence[int]) -> Truth:
    """Each turn as the indices of its spans."""
    return Truth(
        tuple(
            TrueTurn(
                2 * spans[0],
                tuple(
                    TruePause(
                        2 * span + 1,
                        None if span == spans[-1] else 2 * span + 2,
                        2 * span + 2,
                        span != spans[-1],
                    )
                    for span in spans
                ),
            )
            for spans in turns
        ),
        "derived",
        {},
    )


IMPATIENT = {"greeting_timeout_ms": 0, "reply_timeout_ms": 1500, "written_within_ms": 300}


def fast(url: str, **more: object) -> RealtimePlan:
    """No greeting to wait for, and no patience."""
    return RealtimePlan(url=url, **{**IMPATIENT, **more})  # type: ignore[arg-type]


# -- what is said -----------------------------------------------------------------------------


def test_a_turn_is_cut_at_its_true_end_and_keeps_the_pauses_in_it() -> None:
    steps, audio = recording((500, 1100), (1400, 2000), (5000, 5600))
    cut = utterances(steps, truth((0, 1), (2,)), audio)
    assert [duration_ms(turn) for turn in cut] == [2000 - 440, 600 + 60]
    assert cut[0] == audio[440 * 8 : 2000 * 8]
    assert cut[0][660 * 8 : 960 * 8] == silence(300)


def test_no_turn_says_again_what_the_one_before_has_said() -> None:
    steps, audio = recording((0, 600), (630, 1200))
    first, second = utterances(steps, truth((0,), (1,)), audio)
    assert first + second == audio[: 1200 * 8]


def test_a_turn_that_is_not_in_the_audio_is_not_said() -> None:
    steps, audio = recording((500, 1100), (5000, 5600))
    assert len(utterances(steps, truth((0,), (1,)), audio[: 2000 * 8])) == 1


def test_the_caller_waits_for_every_reply_and_for_the_greeting_if_there_is_one() -> None:
    call = SpokenCall("a", (QUESTION, WITH_PAUSE))
    steps = script_of(call, fast("ws://x"))
    compiled(steps)
    said = [type(step) for step in steps[:4]]
    assert said == [Say, WaitForReply, Say, WaitForReply]
    assert isinstance(script_of(call, RealtimePlan(url="ws://x"))[0], WaitForReply)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("ws://127.0.0.1:8080/media", "ws://127.0.0.1:8080/media"),
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/media"),
        ("https://bot.example.com/", "wss://bot.example.com/media"),
        ("wss://bot.example.com/stream?x=1", "wss://bot.example.com/stream?x=1"),
    ],
)
def test_a_servers_address_stands_for_its_media_socket(given: str, meant: str) -> None:
    assert media_url(given) == meant


@pytest.mark.parametrize("given", ["", "localhost:8080", "ftp://a/b", "ws://", "bot.example.com"])
def test_what_is_no_address_is_refused_with_an_example(given: str) -> None:
    with pytest.raises(UsageError, match="give the media socket, like ws://"):
        media_url(given)


# -- what is heard ----------------------------------------------------------------------------


async def test_two_callers_say_their_turns_and_hear_every_reply() -> None:
    told: list[tuple[str, Heard]] = []
    calls = [SpokenCall("one", (QUESTION, WITH_PAUSE)), SpokenCall("two", (QUESTION,))]
    async with serving() as server:
        result = await play(
            calls,
            fast(server.media, callers=2, gates=parse_gate("censored=0,heard_p95=1400")),
            on_heard=lambda name, heard: told.append((name, heard)),
        )
    summary = result.report.summary
    assert [call.name for call in result.calls] == ["one", "two"]
    assert sorted(name for name, _ in told) == ["one", "one", "two"]
    assert (summary.calls, summary.turns, summary.measured_at) == (2, 3, "caller")
    assert result.report.gate_failures == []
    assert summary.numbers["HEARD_LATENCY_MS"].n == 3
    total, heard = (summary.numbers[n] for n in ("TOTAL_LATENCY_MS", "HEARD_LATENCY_MS"))
    assert total.p50 == heard.p50, "the caller stands where Twilio stands"
    assert [record.source for record in result.records] == ["replay"] * 3
    assert not result.failed
    assert not result.interrupted


async def test_a_caller_who_is_answered_in_a_pause_says_so() -> None:
    cut_off = noise(600) + silence(700) + noise(900)
    async with serving() as server:
        result = await play([SpokenCall("one", (cut_off,))], fast(server.media))
    summary = result.report.summary
    assert (summary.turns, summary.cutoffs) == (1, 1)


async def test_the_servers_own_turns_are_joined_by_call(tmp_path: Path) -> None:
    turns_file = tmp_path / "turns.jsonl"
    async with serving(ServeConfig(turns_file=turns_file)) as server:
        plan = fast(server.media, turns_file=turns_file)
        before = await play([SpokenCall("one", (QUESTION, WITH_PAUSE))], plan)
        again = await play([SpokenCall("one", (QUESTION,))], plan)
    for result, turns in ((before, 2), (again, 1)):
        summary = result.report.summary
        assert (summary.calls, summary.turns, summary.measured_at) == (1, turns, "server")
        assert {record.call_id for record in result.records} == {result.calls[0].call_id}
        assert summary.numbers["TOTAL_LATENCY_MS"].n == turns
        assert json.loads(result.to_json())["caller"]["v2v_ms"]["n"] == turns
        assert result.unread == ()
    assert before.calls[0].call_id != again.calls[0].call_id


async def test_a_turns_file_of_another_server_is_told(tmp_path: Path) -> None:
    turns_file = tmp_path / "turns.jsonl"
    turns_file.write_bytes(b"an older line of whatever kind\n")
    async with serving() as server:
        result = await play(
            [SpokenCall("one", (QUESTION,))], fast(server.media, turns_file=turns_file)
        )
    assert result.records == []
    assert list(result.unread) == [f"one: {turns_file} has no turn of this call"]
    assert set(result.unread) <= set(result.complaints)
    # What the caller heard is there all the same.
    assert json.loads(result.to_json())["caller"]["v2v_ms"]["n"] == 1


async def test_a_turns_file_that_is_not_there_is_said_before_the_first_call(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="give the TURNS_FILE of the server"):
        await play([], fast("ws://127.0.0.1:1/media", turns_file=tmp_path / "missing"))


async def test_ctrl_c_keeps_the_turns_that_were_heard() -> None:
    heard = asyncio.Event()
    calls = [SpokenCall("one", (QUESTION,) * 50), SpokenCall("two", (QUESTION,) * 50)]
    async with serving() as server:
        playing = asyncio.create_task(
            play(calls, fast(server.media, callers=1), on_heard=lambda _name, _heard: heard.set())
        )
        await heard.wait()
        playing.cancel()
        result: RealtimeResult = await playing
    assert result.interrupted
    assert [(call.name, len(call.heard), call.result) for call in result.calls] == [
        ("one", 1, None)
    ]
    assert result.report.summary.turns == 1
    assert json.loads(result.to_json())["interrupted"] is True


async def test_a_server_that_is_not_there_is_a_failed_call() -> None:
    result = await play([SpokenCall("one", (QUESTION,))], fast("ws://127.0.0.1:1/media"))
    assert result.calls == ()
    assert len(result.failed) == 1
    assert result.failed[0].startswith("one: ws://127.0.0.1:1/media: ")
    assert result.report.summary.turns == 0


async def test_a_server_that_hangs_up_is_told() -> None:
    async def hang_up(socket: ServerConnection) -> None:
        await socket.recv()

    async with serve(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        result = await play([SpokenCall("one", (QUESTION,))], fast(f"ws://127.0.0.1:{port}"))
    assert "one: the server hung up in the middle of the call" in result.complaints
    (record,) = result.records
    assert record.outcome == "abandoned", "it was not said to its end"
    assert result.calls[0].side.unanswered_ms == []
