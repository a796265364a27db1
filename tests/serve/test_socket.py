"""The media socket: whom it takes, and what it survives. Every socket here is a real one."""

from __future__ import annotations

import asyncio
import json
import random

import pytest
from tests.serve.running import QUESTION, Inside, serving, until
from twilio.request_validator import RequestValidator
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from voicelat.caller import CallResult, HangUp, Say, Script, Silence, WaitForReply
from voicelat.engine.config import EngineConfig
from voicelat.loadtest.line import place_call
from voicelat.serve.config import ServeConfig
from voicelat.twilio.messages import Mark, Media, Start, Stop
from voicelat.twilio.mirror import encode_inbound

SECRET = "12345"
PUBLIC = "https://bot.example"
SIGNED = ServeConfig(auth_token=SECRET, public_base_url=PUBLIC)
SID = "MZ0123"
QUESTIONS: Script = [Say(QUESTION), WaitForReply(quiet_ms=100)]
START = encode_inbound(Start(SID, 1, call_sid="CA0123"))


def signature(secret: str = SECRET, path: str = "/media") -> dict[str, str]:
    url = f"wss://bot.example{path}"
    return {"X-Twilio-Signature": RequestValidator(secret).compute_signature(url, {})}


async def token(server: Inside) -> str:
    """The one-time token of a genuine webhook."""
    signed = RequestValidator(SECRET).compute_signature(f"{PUBLIC}/voice", {"CallSid": "CA1"})
    headers = {"X-Twilio-Signature": signed}
    answer = await server.http.post("/voice", data={"CallSid": "CA1"}, headers=headers)
    found: str = answer.text.partition('name="token" value="')[2].partition('"')[0]
    assert found
    return found


def was_answered(result: CallResult) -> bool:
    return result.ended == "hung_up" and all(h.v2v_ms is not None for h in result.heard)


# -- whom it takes ----------------------------------------------------------------------------


async def test_a_genuine_call_with_its_token_is_answered() -> None:
    async with serving(SIGNED) as server:
        parameters = {"token": await token(server)}
        result = await place_call(
            server.media, QUESTIONS, custom_parameters=parameters, headers=signature()
        )
        assert was_answered(result)
        assert result.violations == {}
        assert await server.events("stop") == 1


@pytest.mark.parametrize(
    "headers", [{}, {"X-Twilio-Signature": "x"}, signature("54321"), signature(path="/voice")]
)
async def test_a_forged_handshake_is_refused_and_counted(headers: dict[str, str]) -> None:
    async with serving(SIGNED) as server:
        with pytest.raises(InvalidStatus) as refused:
            await connect(server.media, additional_headers=headers)
        assert refused.value.response.status_code == 403
        assert await server.events("forged handshake") == 1


async def test_a_replayed_handshake_has_no_second_token() -> None:
    async with serving(SIGNED) as server:
        parameters = {"token": await token(server)}
        first, second = [
            await place_call(
                server.media, QUESTIONS, custom_parameters=parameters, headers=signature()
            )
            for _ in range(2)
        ]
        assert was_answered(first)
        assert (second.ended, second.media_received) == ("closed", 0)
        assert await server.events("refused: the stream token is missing, old or used") == 1


@pytest.mark.parametrize("parameters", [{}, {"token": ""}, {"token": "guessed"}])
async def test_a_stream_without_its_token_is_closed(parameters: dict[str, str]) -> None:
    async with serving(SIGNED) as server:
        result = await place_call(
            server.media, QUESTIONS, custom_parameters=parameters, headers=signature()
        )
        assert (result.ended, result.media_received) == ("closed", 0)


async def test_an_old_token_is_no_token() -> None:
    config = ServeConfig(auth_token=SECRET, public_base_url=PUBLIC, token_life_s=0)
    async with serving(config) as server:
        parameters = {"token": await token(server)}
        result = await place_call(
            server.media, QUESTIONS, custom_parameters=parameters, headers=signature()
        )
        assert (result.ended, result.media_received) == ("closed", 0)


async def test_without_an_auth_token_anybody_here_may_call() -> None:
    async with serving() as server:
        assert was_answered(await place_call(server.media, QUESTIONS))


async def test_there_are_never_more_calls_than_lines() -> None:
    async with serving(ServeConfig(max_calls=2)) as server:
        async with connect(server.media) as early:  # opened while a line was free
            calls = [asyncio.create_task(place_call(server.media, QUESTIONS)) for _ in range(2)]
            await until(lambda: _are(server, 2))
            with pytest.raises(InvalidStatus):
                await connect(server.media)
            await early.send(START)
            with pytest.raises(ConnectionClosed):
                await early.recv()
        assert all(was_answered(result) for result in await asyncio.gather(*calls))
        assert await server.events("refused: busy") == 2


async def _are(server: Inside, calls: int) -> bool:
    return await server.calls() == calls


# -- what it survives -------------------------------------------------------------------------

NOT_MESSAGES: list[str | bytes] = [
    "",
    "{",
    "null",
    "[]",
    "hello",
    b"\xff\x00\xfe",
    "[" * 60_000,
    '{"event":"media"}',
    '{"event":5}',
    '{"event":"media","streamSid":"MZ0123","media":{"payload":"!!!"}}',
    '{"event":"media","streamSid":"MZ0123","media":{"payload":"/w==","timestamp":"-1"}}',
    '{"event":"media","streamSid":"MZ0123","media":{"payload":"/w==","timestamp":"9' + "9" * 40,
    '{"event":"start","streamSid":"MZ0123","start":{"mediaFormat":{"encoding":"opus"}}}',
]


async def speak(socket: ClientConnection, first: int = 2, after_ms: int = 0) -> None:
    """Say the question as fast as the socket takes it, then half a second of silence."""
    audio = QUESTION + b"\xff" * 4000
    for n in range(0, len(audio), 160):
        frame, k = audio[n : n + 160], n // 160
        await socket.send(
            encode_inbound(Media(SID, frame, "inbound", first + k, k + 1, after_ms + k * 20))
        )


async def hears_audio(socket: ClientConnection) -> None:
    """Wait until the agent speaks."""
    async with asyncio.timeout(10):
        async for text in socket:
            if json.loads(text)["event"] == "media":
                return
    raise AssertionError("closed before the agent spoke")


async def test_a_call_goes_on_through_garbage_and_every_piece_is_counted() -> None:
    async with serving() as server, connect(server.media) as socket:
        for text in NOT_MESSAGES:
            await socket.send(text)
        await socket.send(START)
        for text in NOT_MESSAGES:
            await socket.send(text)
        await speak(socket)
        await hears_audio(socket)
        await socket.send(encode_inbound(Stop(SID)))
        await until(server.idle)
        assert await server.events("dropped: malformed") == 2 * len(NOT_MESSAGES)


async def test_messages_out_of_place_and_order_are_counted_drops() -> None:
    frame = b"\xff" * 160
    async with serving() as server, connect(server.media) as socket:
        await socket.send(encode_inbound(Media(SID, frame, "inbound", 1, 1, 0)))  # before start
        await socket.send(START)
        await socket.send(START)
        await speak(socket)
        await socket.send(encode_inbound(Media(SID, frame, "inbound", 3, 2, 20)))  # seen already
        await socket.send(encode_inbound(Media(SID, frame, "outbound", 900, 2, 20)))
        await socket.send(encode_inbound(Media("MZother", frame, "inbound", 901, 2, 20)))
        await socket.send(encode_inbound(Mark(SID, "never asked for", 902)))
        await socket.send('{"event":"applause","streamSid":"MZ0123"}')
        await hears_audio(socket)
        await socket.send(encode_inbound(Stop(SID)))
        await until(server.idle)
        for why, count in {
            "out_of_place": 2,
            "out_of_order": 1,
            "other_track": 1,
            "wrong_stream": 1,
            "unknown_event": 1,
            "unknown mark": 1,
        }.items():
            assert (why, await server.events(f"dropped: {why}")) == (why, count)


async def test_any_mix_of_messages_leaves_other_calls_alone() -> None:
    rng = random.Random(5)
    kinds = [
        *NOT_MESSAGES,
        START,
        encode_inbound(Stop(SID)),
        encode_inbound(Mark(SID, "1.1.1.end")),
    ]

    async def vandal() -> None:
        async with connect(server.media) as socket:
            for n in range(200):
                frame = rng.randbytes(rng.choice([1, 160, 4000]))
                noise = encode_inbound(Media(SID, frame, "inbound", n, n, rng.randrange(60_000)))
                await socket.send(rng.choice([*kinds, noise, noise, noise]))

    async def vandals() -> None:
        for _ in range(20):
            try:
                await vandal()
            except ConnectionClosed:
                continue  # it said stop

    async with serving() as server:
        attack = asyncio.create_task(vandals())
        calls = [place_call(server.media, [*QUESTIONS, *QUESTIONS]) for _ in range(2)]
        assert all(was_answered(result) for result in await asyncio.gather(*calls))
        await attack
        await until(server.idle)


@pytest.mark.parametrize(
    ("payload", "code", "why"),
    [
        (b"\xff\xfe{", 1007, "text that is not UTF-8"),
        (b"x" * 70_000, 1009, "message too long"),
    ],
)
async def test_a_message_that_is_no_text_or_too_long_closes_its_socket_only(
    payload: bytes, code: int, why: str
) -> None:
    async with serving(ServeConfig(max_message_bytes=65_536)) as server:
        other = asyncio.create_task(place_call(server.media, QUESTIONS))
        async with connect(server.media) as socket:
            await socket.send(START)
            await until(lambda: _are(server, 2))
            await socket.send(payload, text=True)
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code
        assert was_answered(await other)
        assert await server.events("socket closed") == 1
        assert await server.events(f"cut off: {why}") == 1


async def test_a_socket_that_never_says_start_is_cut() -> None:
    engine = EngineConfig(greeting="", start_timeout_ms=100)
    async with serving(engine=engine) as server, connect(server.media) as socket:
        await socket.send('{"event":"connected","protocol":"Call","version":"1.0.0"}')
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert await server.events("no start message came in time") == 1


async def test_a_socket_that_closes_before_start_is_counted() -> None:
    async with serving() as server:
        async with connect(server.media):
            pass

        async def counted() -> bool:
            return await server.events("closed before start") == 1

        await until(counted)


@pytest.mark.parametrize("heard_first", [False, True])
async def test_a_caller_that_vanishes_ends_its_call_quietly(
    heard_first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as server:
        async with connect(server.media) as socket:
            await socket.send(START)
            await until(server.taken)
            if heard_first:
                await speak(socket)
                await hears_audio(socket)
            socket.transport.abort()
        await until(server.idle)
        assert await server.events("socket closed") == 1
    assert [r.getMessage() for r in caplog.records if r.exc_info] == []


async def test_callers_that_vanish_leave_the_others_alone() -> None:
    vanish: Script = [Say(QUESTION[:2000]), HangUp(abrupt=True)]
    async with serving() as server:
        results = await asyncio.gather(
            *(place_call(server.media, vanish) for _ in range(10)),
            *(place_call(server.media, QUESTIONS) for _ in range(3)),
        )
        assert all(was_answered(result) for result in results[10:])
        await until(server.idle)


async def test_a_caller_that_reads_nothing_holds_nobody_up() -> None:
    talkative = EngineConfig(greeting="word " * 600, max_reply_words=1)
    async with serving(engine=talkative) as server:
        async with connect(server.media, max_queue=1) as deaf:
            await deaf.send(START)
            result = await place_call(server.media, [Silence(1000)])
            assert result.media_received > 10
            deaf.transport.abort()
        await until(server.idle)


async def test_one_line_is_logged_for_a_call(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "voicelat")
    async with serving() as server:
        result = await place_call(server.media, QUESTIONS)
    lines = [r.getMessage() for r in caplog.records if r.name.startswith("voicelat")]
    assert lines == [f"call {result.call_sid} ended: stop, 1 turns"]
