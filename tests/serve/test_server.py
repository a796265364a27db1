"""The server as operators run it: a process that is started, signalled and killed."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import resource
import signal
import socket
import sys
from pathlib import Path

import httpx
import msgspec
import pytest
from tests.serve.running import INSTANT, QUESTION, ServerProcess, spawned, start, until
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from voicelat.audio import mulaw
from voicelat.audio.level import audible_span
from voicelat.audio.mulaw import BYTES_PER_MS
from voicelat.audio.wav import read
from voicelat.caller import BargeIn, CallResult, Say, Script, Silence, WaitForReply
from voicelat.loadtest.line import place_call
from voicelat.metrics.turnsfile import read_turns
from voicelat.turn.effects import ClearPlayout
from voicelat.turn.trace import Trace, replay

ROOT = Path(__file__).parents[2]
QUESTIONS: Script = [Say(QUESTION), WaitForReply(quiet_ms=100)]
LONG_CALL: Script = [*QUESTIONS, Silence(60_000)]
BRIEF = (*INSTANT, "--set", "AI_MAX_WORDS_FIRST_REPLY=1")
LOST = "voicelat_recording_lost_total{File too large}"


async def on_a_call(
    server: ServerProcess, script: Script, questions: int = 1
) -> asyncio.Task[CallResult]:
    """A call that goes on, ``questions`` questions of which are answered."""
    answered = asyncio.Event()
    left = iter(range(questions - 1))

    def count(_heard: object) -> None:
        if next(left, None) is None:
            answered.set()

    call = asyncio.create_task(place_call(server.media, script, on_question=count))
    await asyncio.wait_for(answered.wait(), 20)
    return call


async def drained(server: ServerProcess) -> None:
    """Send the first SIGTERM and wait until it has been seen."""
    server.send(signal.SIGTERM)

    async def drains() -> bool:
        return (await server.http.get("/healthz")).status_code == 503

    await until(drains)


def only(folder: Path, kind: str) -> Path:
    (path,) = folder.glob(f"*.{kind}")
    return path


def read_trace(path: Path) -> Trace:
    with path.open("rb") as file:
        return Trace.decode(file, path)


def texts(path: Path) -> list[str]:
    return [record.text for record in read_turns([path]).records]


async def test_it_says_where_it_is_and_writes_turns(tmp_path: Path) -> None:
    async with spawned(tmp_path, *BRIEF) as server:
        result = await place_call(server.media, QUESTIONS)
        server.send(signal.SIGTERM)
        code, err = await server.ended()
    assert code == 0
    (record,) = read_turns([tmp_path / "turns.jsonl"]).records
    assert (record.call_id, record.outcome) == (result.call_sid, "answered")
    assert record.TOTAL_LATENCY_MS is not None
    (line,) = err.splitlines()
    assert line.endswith(f"INFO voicelat.call: call {result.call_sid} ended: stop, 1 turns")


async def test_debug_shows_frames_and_what_uvicorn_says(tmp_path: Path) -> None:
    async with spawned(tmp_path, *BRIEF, "--set", "DEBUG=1") as server:
        result = await place_call(server.media, [Silence(100)])
        server.send(signal.SIGTERM)
        _, err = await server.ended()
    assert err.count(f"voicelat.frames: {result.call_sid} in 160 bytes") == result.frames_sent
    assert "uvicorn.error" in err


async def test_the_first_sigterm_lets_calls_finish_and_takes_no_new_one(tmp_path: Path) -> None:
    async with spawned(tmp_path, *BRIEF) as server:
        call = await on_a_call(server, [*QUESTIONS, *QUESTIONS, *QUESTIONS])
        await drained(server)
        with pytest.raises(InvalidStatus, match="403"):
            await connect(server.media)
        result = await call
        code, err = await server.ended()
    assert result.ended == "hung_up"
    assert [heard.v2v_ms is not None for heard in result.heard] == [True, True, True]
    assert code == 0
    assert len(texts(tmp_path / "turns.jsonl")) == 3
    assert "stopping: 1 calls may finish" in err


async def test_the_second_sigterm_closes_calls_and_still_writes_their_turns(tmp_path: Path) -> None:
    async with spawned(tmp_path, *BRIEF) as server:
        call = await on_a_call(server, LONG_CALL)
        await drained(server)
        server.send(signal.SIGTERM)
        result = await call
        code, err = await server.ended()
    assert result.ended == "closed"
    assert code == 0
    assert len(texts(tmp_path / "turns.jsonl")) == 1
    assert f"call {result.call_sid} ended: socket closed, 1 turns" in err
    assert "Traceback" not in err


HASTY = """
from voicelat.serve.app import TwilioServer
from voicelat.serve.config import ServeConfig
from voicelat.serve.server import run
from tests.serve.running import QUIET, instant_stack

config = ServeConfig(port=0, grace_s=0.2, turns_file="turns.jsonl")
run(TwilioServer(instant_stack(), config, engine=QUIET), on_ready=lambda url: print(
    '{"url": "%s"}' % url, flush=True))
"""


async def test_calls_that_outlast_the_grace_period_are_closed(tmp_path: Path) -> None:
    program = ("-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}){HASTY}")
    async with spawned(tmp_path, program=program) as server:
        call = await on_a_call(server, LONG_CALL)
        server.send(signal.SIGTERM)
        result = await call
        code, _ = await server.ended()
    assert (result.ended, code) == ("closed", 0)
    assert len(texts(tmp_path / "turns.jsonl")) == 1


async def test_ctrl_c_is_exit_code_130(tmp_path: Path) -> None:
    async with spawned(tmp_path, *BRIEF) as server:
        server.send(signal.SIGINT)
        code, err = await server.ended()
    assert (code, err) == (130, "voicelat: stopped\n")


async def test_a_killed_server_has_lost_no_turn_older_than_a_flush(tmp_path: Path) -> None:
    turns = tmp_path / "turns.jsonl"
    record = tmp_path / "calls"
    async with spawned(tmp_path, *BRIEF, "--record", str(record)) as server:
        # The first turn was over before the second question was asked, a second ago.
        call = await on_a_call(server, [*QUESTIONS, *LONG_CALL], questions=2)
        server.send(signal.SIGKILL)
        await server.process.wait()
        result = await call
    assert result.ended == "closed"
    assert len(texts(turns)) >= 1
    assert turns.read_bytes().endswith(b"\n")
    trace = read_trace(only(record, "trace.jsonl"))
    assert replay(trace) is None
    assert trace.steps[-1].at_ms > 1000


async def test_a_recorded_call_is_heard_as_it_was_and_its_trace_replays(tmp_path: Path) -> None:
    interruption = BargeIn(QUESTION, after_ms=300)
    async with spawned(tmp_path, *INSTANT, "--record", "calls") as server:
        result = await place_call(server.media, [Silence(300), Say(QUESTION), interruption])
        server.send(signal.SIGTERM)
        await server.ended()
    wav, path = (only(tmp_path / "calls", kind) for kind in ("wav", "trace.jsonl"))
    caller, agent = (mulaw.encode(channel) for channel in read(wav).channels)
    first, second = result.heard
    assert first.v2v_ms is not None
    assert second.barge_stop_ms is not None
    asked, answered = audible_span(caller[: 2000 * 8]), audible_span(agent)
    assert asked is not None
    assert answered is not None
    # Two clocks, two processes: a frame of difference is what they may have.
    question_ms = asked[0] // BYTES_PER_MS + len(QUESTION) // BYTES_PER_MS
    assert abs(answered[0] // BYTES_PER_MS - question_ms - first.v2v_ms) <= 40

    trace = read_trace(path)
    assert not trace.torn
    done = [effect for step in trace.steps for effect in step.effects or ()]
    assert sum(isinstance(effect, ClearPlayout) for effect in done) == 1
    assert replay(trace) is None
    # Far enough: the recorded tick may itself have come a moment after the hangover.
    turn = dataclasses.replace(trace.header.turn, hangover_ms=trace.header.turn.hangover_ms + 200)
    other = replay(Trace(msgspec.structs.replace(trace.header, turn=turn), trace.steps))
    assert other is not None
    assert other.recorded != other.replayed


async def test_a_port_that_is_taken_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await start(tmp_path, ("--port", str(port), *INSTANT))
        out, err = await process.communicate()
    assert process.returncode == 2
    assert out == b""
    why = f"voicelat: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert err.decode() == why


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--host", "0.0.0.0"], r"refusing to listen on 0\.0\.0\.0 without TWILIO_AUTH_TOKEN.*"),
        (["--host", "no.such.host.invalid", "--insecure"], r"cannot listen on no\.such\.host.*"),
        (["--turns", "no/such/folder/t.jsonl"], r"turn records cannot be written to no/such/.*"),
        (["--record", "/dev/null/calls"], r"cannot record into /dev/null/calls: .*"),
        (["--llm", "nobody"], r"no llm provider 'nobody'.*"),
        (["--profile", "slow"], r"no latency profile 'slow'; there are .*"),
        (["--tts", "tests.serve.test_server:Broken"], r"broken: has no voice"),
    ],
)
async def test_what_cannot_be_served_is_one_line(
    tmp_path: Path, options: list[str], line: str
) -> None:
    env = {"PYTHONPATH": str(ROOT)}
    process = await start(tmp_path, ("--port", "0", *INSTANT, *options), env=env)
    out, err = await process.communicate()
    assert process.returncode in {2, 3}
    assert out == b""
    assert re.fullmatch(f"voicelat: {line}\n", err.decode()), err.decode()


class Broken:
    """A voice that cannot be warmed, for the server process of a test."""

    name = "broken"

    async def warm(self) -> None:
        from voicelat.errors import ProviderError

        raise ProviderError(self.name, "has no voice", "give_up")

    async def speak(self, text: str, language: str) -> None: ...

    async def aclose(self) -> None: ...


class Hung(Broken):
    """A voice that is never warm."""

    async def warm(self) -> None:
        sys.stdout.write("warming\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


@pytest.mark.parametrize(("sig", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_server_that_never_gets_warm_can_be_stopped(
    sig: signal.Signals, code: int, tmp_path: Path
) -> None:
    options = ("--port", "0", *INSTANT, "--tts", "tests.serve.test_server:Hung")
    process = await start(tmp_path, options, env={"PYTHONPATH": str(ROOT)})
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"warming\n"
        process.send_signal(sig)
        assert await asyncio.wait_for(process.wait(), 20) == code
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_with_a_host_everybody_reaches_insecure_is_enough(tmp_path: Path) -> None:
    options = ("--host", "0.0.0.0", "--insecure")
    async with spawned(tmp_path, *BRIEF, *options) as server:
        port = httpx.URL(server.url).port
        assert (await server.http.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is simulated by /dev/full")
async def test_on_a_full_disk_calls_go_on_and_lost_turns_are_shown(tmp_path: Path) -> None:
    async with spawned(tmp_path, *BRIEF, "--turns", "/dev/full") as server:
        result = await place_call(server.media, QUESTIONS)
        assert [heard.v2v_ms is not None for heard in result.heard] == [True]

        async def shown() -> bool:
            return (await server.metrics())["voicelat_turn_records_total{failed}"] == 1

        await until(shown)
        server.send(signal.SIGTERM)
        code, err = await server.ended()
    assert code == 0
    assert "turns were lost (No space left on device)" in err


async def test_recordings_that_do_not_fit_are_counted_and_calls_go_on(tmp_path: Path) -> None:
    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    options = ("--record", "calls", "--set", "TURNS_FILE=")
    async with spawned(tmp_path, *BRIEF, *options, before=small_disk) as server:
        result = await place_call(server.media, [*QUESTIONS, *QUESTIONS])
        assert [heard.v2v_ms is not None for heard in result.heard] == [True, True]

        async def shown() -> bool:
            return (await server.metrics()).get(LOST, 0) > 0

        await until(shown)
        server.send(signal.SIGTERM)
        code, err = await server.ended()
    assert code == 0
    assert err.count("File too large") == 1


async def test_the_ready_line_is_json(tmp_path: Path) -> None:
    process = await start(tmp_path, ("--port", "0", "--json", *INSTANT))
    assert process.stdout is not None
    line = json.loads(await process.stdout.readline())
    process.terminate()
    await process.communicate()
    assert set(line) == {"url"}
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", line["url"])
