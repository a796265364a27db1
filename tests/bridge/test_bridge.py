"""Calls through the bridge, with the engine in a thread and in a process, alive and dead."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from tests.bridge.answering import INSTANT, answering
from tests.serve.running import QUESTION, scraped, until
from websockets.sync.client import connect

from voicelat.bridge import Bridge
from voicelat.caller import BargeIn, Say, Script, Silence, WaitForReply
from voicelat.errors import ConnectError, UsageError
from voicelat.loadtest.line import place_call
from voicelat.metrics.record import TurnRecord

PLACES = pytest.mark.parametrize("place", ["thread", "process"])

SCRIPT: Script = [
    WaitForReply(),
    Say(QUESTION),
    WaitForReply(),
    Say(QUESTION),
    BargeIn(QUESTION, after_ms=200),
    WaitForReply(),
]
"""A greeting, two questions, and one into the second answer."""


@pytest.fixture
def turns() -> SimpleQueue[TurnRecord]:
    return SimpleQueue()


@PLACES
async def test_a_call_is_greeted_answered_and_interrupted(
    place: Any, turns: SimpleQueue[TurnRecord]
) -> None:
    with answering(Bridge(INSTANT, on_turn=turns.put, place=place)) as (url, ends):
        result = await place_call(url, SCRIPT)
        why = await asyncio.to_thread(ends.get, timeout=20)
        told = [await asyncio.to_thread(turns.get, timeout=20) for _ in range(3)]
    assert result.greeting_ms is not None
    assert [heard.v2v_ms is not None for heard in result.heard] == [True, True, True]
    assert result.violations == {}
    assert why == "stop"
    assert [turn.turn for turn in told] == [1, 2, 3]
    assert {turn.call_id for turn in told} == {result.call_sid}
    assert [turn.BARGE_IN_HIT for turn in told] == [False, True, False]


@PLACES
async def test_calls_share_an_engine(place: Any) -> None:
    with answering(Bridge(INSTANT, place=place)) as (url, _):
        results = await asyncio.gather(*(place_call(url, SCRIPT) for _ in range(3)))
    assert all(heard.v2v_ms is not None for result in results for heard in result.heard)


@PLACES
async def test_a_scrape_is_answered_by_the_engine(place: Any) -> None:
    bridge = Bridge(INSTANT, place=place)
    with answering(bridge) as (url, ends):
        await place_call(url, [WaitForReply()])
        await asyncio.to_thread(ends.get, timeout=20)
        metrics = scraped((await asyncio.to_thread(bridge.metrics)).decode())
    assert metrics["voicelat_socket_events_total{stop}"] == 1


@PLACES
def test_the_engine_hangs_up_on_a_socket_that_says_nothing(place: Any) -> None:
    bridge = Bridge({**INSTANT, "START_TIMEOUT_MS": "100"}, place=place)
    with answering(bridge) as (url, ends), connect(url, compression=None):
        assert ends.get(timeout=20) == "no start message came in time"


def test_a_message_too_long_ends_its_call() -> None:
    bridge = Bridge({**INSTANT, "MAX_MESSAGE_BYTES": "1024"})
    with answering(bridge) as (url, ends), connect(url, compression=None) as socket:
        socket.send("x" * 1025)
        assert ends.get(timeout=20) == "cut off: a message of 1025 bytes (MAX_MESSAGE_BYTES)"


async def test_calls_of_a_dead_engine_end_and_the_next_ones_are_answered() -> None:
    bridge = Bridge(INSTANT, place="process")
    with answering(bridge) as (url, ends):
        await asyncio.to_thread(bridge.warm)
        call = asyncio.create_task(place_call(url, [Silence(60_000)]))
        await until(lambda: _calls(bridge, 1))
        first = bridge.engine_pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        result = await call
        assert result.ended == "closed"
        assert await asyncio.to_thread(ends.get, timeout=20) == (
            "the engine ended before the call did"
        )
        answered = await place_call(url, [WaitForReply()])
        assert answered.greeting_ms is not None
        assert bridge.engine_pid != first


async def _calls(bridge: Bridge, count: int) -> bool:
    metrics = scraped((await asyncio.to_thread(bridge.metrics)).decode())
    return metrics["voicelat_calls"] == count


def test_a_signal_for_the_whole_service_leaves_the_engine_to_its_worker() -> None:
    bridge = Bridge(INSTANT, place="process")
    bridge.warm()
    engine = bridge.engine_pid
    assert engine is not None
    for sig in (signal.SIGTERM, signal.SIGINT):
        os.kill(engine, sig)
        assert bridge.metrics(timeout_s=20)
    assert bridge.engine_pid == engine
    bridge.close()


async def test_closing_the_bridge_ends_its_calls_and_says_so() -> None:
    bridge = Bridge(INSTANT, place="thread")
    with answering(bridge) as (url, ends):
        call = asyncio.create_task(place_call(url, [Silence(60_000)]))
        await asyncio.to_thread(bridge.warm)
        await until(lambda: _calls(bridge, 1))
        await asyncio.to_thread(bridge.close)
        assert (await call).ended == "closed"
        assert await asyncio.to_thread(ends.get, timeout=20) == "the engine was stopped"


@PLACES
async def test_settings_that_cannot_work_are_said_and_not_tried_again(place: Any) -> None:
    bridge = Bridge({**INSTANT, "VAD_HANGOVER_MS": "soon"}, place=place)
    with answering(bridge) as (url, ends):
        with pytest.raises(UsageError, match="VAD_HANGOVER_MS='soon'"):
            bridge.warm()
        result = await place_call(url, [Silence(60_000)])
        assert result.ended == "closed"
        assert "VAD_HANGOVER_MS" in await asyncio.to_thread(ends.get, timeout=20)


COLD_VOICE = """
from voicelat.errors import ProviderError

class ColdVoice:
    name = "cold"
    def __init__(self): pass
    async def warm(self):
        raise ProviderError("cold", "the key is for another project", "fix_key")
    def speak(self, text, language): raise NotImplementedError
    async def aclose(self): pass
"""


def test_a_provider_from_the_servers_own_path_says_why_it_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cold_voice.py").write_text(COLD_VOICE)
    monkeypatch.syspath_prepend(tmp_path)
    settings = {**INSTANT, "TTS_PROVIDER": "cold_voice:ColdVoice"}
    bridge = Bridge(settings, place="process")
    with pytest.raises(ConnectError, match="the key is for another project"):
        bridge.warm()
    bridge.close()


async def test_a_callback_that_fails_costs_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = threading.Event()

    def on_turn(_turn: TurnRecord) -> None:
        told.set()
        raise ZeroDivisionError

    with answering(Bridge(INSTANT, on_turn=on_turn)) as (url, _):
        for _call in range(2):
            told.clear()
            result = await place_call(url, [WaitForReply(), Say(QUESTION), WaitForReply()])
            assert result.heard[0].v2v_ms is not None
            assert await asyncio.to_thread(told.wait, 20)
    assert "on_turn failed" in caplog.text


WORKER = f"""
import os, sys
from voicelat.bridge import Bridge
bridge = Bridge({dict(INSTANT)!r}, place="process")
bridge.warm()
print(bridge.engine_pid, flush=True)
"""


@pytest.fixture
def worker(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A process with an engine, which runs the test's program next."""
    program = WORKER + request.param
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=pipe, stdout=pipe, text=True
    ) as process:
        yield process
        process.kill()


def _says(worker: subprocess.Popen[str]) -> int:
    assert worker.stdout is not None
    return int(worker.stdout.readline())


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("worker", ["sys.stdin.read()"], indirect=True)
@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
async def test_no_engine_outlives_its_worker(
    worker: subprocess.Popen[str], sig: signal.Signals
) -> None:
    engine = await asyncio.to_thread(_says, worker)
    assert _exists(engine)
    worker.send_signal(sig)

    async def gone() -> bool:
        return not _exists(engine)

    await until(gone)


FORK = """
child = os.fork()
bridge.warm()
print(bridge.engine_pid, flush=True)
if child:
    os.waitpid(child, 0)
    bridge.metrics()
    print(bridge.engine_pid, flush=True)
"""


@pytest.mark.parametrize("worker", [FORK], indirect=True)
def test_each_forked_worker_has_an_engine_of_its_own(worker: subprocess.Popen[str]) -> None:
    first = _says(worker)
    after_the_fork = {_says(worker), _says(worker)}
    assert len(after_the_fork - {first}) == 1
    assert _says(worker) == first
    assert worker.wait(20) == 0
