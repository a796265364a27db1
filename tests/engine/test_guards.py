"""Planted faults: each stops a real event loop in the middle of a turn, and is named."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import re
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from websockets.asyncio.server import ServerConnection, serve

from voicelat.caller import Say, Script, Silence, WaitForReply
from voicelat.engine.config import EngineConfig
from voicelat.engine.guards import LAG_BUCKETS_MS, STALL_MS, LoopWatch
from voicelat.engine.stack import Stack
from voicelat.engine.transport import WebsocketsTransport
from voicelat.engine.turn_loop import TurnLoop
from voicelat.loadtest.line import place_call
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.summary import summarise
from voicelat.providers.protocols import Prompt
from voicelat.providers.simulated import SimulatedStt, SimulatedTts, profile

INSTANT = profile("instant")
QUESTION = b"\x80\x00" * 2400


class Blocking:
    """A responder that does something on the loop before it answers."""

    name = "blocking"

    def __init__(self, fault: Callable[[], object]) -> None:
        self.fault = fault

    async def warm(self) -> None:
        """Nothing to load."""

    async def reply(self, prompt: Prompt) -> AsyncGenerator[str, None]:
        """See `LanguageModel`."""
        self.fault()
        yield "Certainly."

    async def aclose(self) -> None:
        """Nothing to free."""


async def turns_with(fault: Callable[[], object]) -> tuple[list[TurnRecord], LoopWatch]:
    """A real call on a real socket whose every reply runs into the fault.

    Another one where the machine gave the loop no time: that is then the worst that happened.
    Skips where it never does.
    """
    for _ in range(5):
        records, watch = await _call_with(fault)
        if not any(stall.kind == "starved" for record in records for stall in record.stalls):
            return records, watch
    pytest.skip("this machine is too busy to tell what stops a loop")


async def _call_with(fault: Callable[[], object]) -> tuple[list[TurnRecord], LoopWatch]:
    records: list[TurnRecord] = []
    watch = LoopWatch()
    stack = Stack(SimulatedStt(INSTANT), Blocking(fault), SimulatedTts(INSTANT))
    quiet = EngineConfig(greeting="")
    loop = TurnLoop(stack, engine=quiet, on_turn=records.append, watch=watch)

    async def answer(connection: ServerConnection) -> None:
        await loop.run(WebsocketsTransport(connection))

    async with stack, serve(answer, "127.0.0.1", 0) as server:
        watch.start()
        port = next(iter(server.sockets)).getsockname()[1]
        wait = WaitForReply(quiet_ms=300)
        script: Script = [Say(QUESTION), wait, Say(QUESTION), wait, Silence(100)]
        await place_call(f"ws://127.0.0.1:{port}", script)
        watch.stop()
    return records, watch


def says(records: list[TurnRecord]) -> str:
    return "; ".join(finding.says for finding in summarise(records).diagnosis)


def sleep() -> None:
    time.sleep(0.2)


def dump() -> None:
    row = {"key": list(range(50)), "text": "x" * 100}
    for _ in range(4):  # it is seen only where it lets go of the interpreter: behind each
        json.dumps([row] * 40_000)


def resolve() -> None:
    deadline = time.monotonic() + 0.2
    while time.monotonic() < deadline:
        socket.getaddrinfo("localhost", 80)


GARBAGE: list[object] = []


def collect() -> None:
    gc.collect()


@pytest.fixture
def many_objects() -> Iterator[None]:
    GARBAGE.extend(SimpleNamespace(number=number) for number in range(800_000))
    yield
    GARBAGE.clear()


@pytest.fixture
def slow_log(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """A logger that writes to a file on the spot and waits for the disk, like many."""

    class Waiting(logging.FileHandler):
        def emit(self, record: logging.LogRecord) -> None:
            super().emit(record)
            assert self.stream is not None
            os.fsync(self.stream.fileno())

    logger = logging.getLogger("tests.slow")
    handler = Waiting(tmp_path / "calls.log")
    logger.addHandler(handler)
    logger.propagate = False

    def flood() -> None:
        deadline = time.monotonic() + 0.2
        while time.monotonic() < deadline:
            logger.warning("%s", "a line about a frame " * 20)

    yield flood
    logger.removeHandler(handler)
    handler.close()


async def test_a_log_that_waits_for_the_disk_is_named(slow_log: Callable[[], None]) -> None:
    records, _ = await turns_with(slow_log)
    assert "a log handler that writes in the call's way" in says(records)


async def test_a_sleep_is_named_with_its_line_and_its_turn() -> None:
    records, watch = await turns_with(sleep)
    assert "time.sleep at " in says(records)
    assert "test_guards.py" in says(records)
    first = records[0]
    (stall, *_) = first.stalls
    assert stall.kind == "blocked"
    assert stall.ms >= STALL_MS
    assert "time.sleep(0.2)" in stall.stack[0]
    assert first.stall_ms is not None
    assert first.stall_ms >= 100
    assert watch.stalls["blocked"] >= 2


async def test_a_dns_lookup_is_named() -> None:
    records, _ = await turns_with(resolve)
    assert "a DNS lookup" in says(records)


async def test_a_big_json_dump_is_named_or_known_to_have_held_the_interpreter() -> None:
    """It is seen only where it lets go of the interpreter, if the watchdog is awake then."""
    records, _ = await turns_with(dump)
    assert re.search("a big JSON document|held the interpreter", says(records))
    assert "more work than one core" not in says(records)


async def test_a_full_collection_is_named_and_timed(many_objects: None) -> None:
    records, watch = await turns_with(collect)
    assert "a garbage collection" in says(records)
    assert sum(watch.gc[2].counts) >= 2


async def test_nobody_is_named_when_nothing_blocks() -> None:
    records, watch = await turns_with(lambda: None)
    assert "stood still" not in says(records)
    assert [record.stall_ms for record in records] == [0, 0]
    assert sum(watch.lag.counts) > 20
    assert len(watch.lag.counts) == len(LAG_BUCKETS_MS) + 1


async def test_a_loop_with_too_much_to_do_blames_no_line() -> None:
    watch = LoopWatch()
    watch.start()
    until = time.monotonic() + 0.5

    def bit() -> None:
        end = time.monotonic() + 0.004
        while time.monotonic() < end:
            pass

    # A crowd that is always ready keeps the heartbeat waiting, each for a moment only.
    while time.monotonic() < until:
        for _ in range(40):
            asyncio.get_running_loop().call_soon(bit)
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    watch.stop()
    assert watch.stalls["busy"] >= 1
    assert watch.stalls["blocked"] == 0


async def test_a_stopped_watch_watches_no_more() -> None:
    watch = LoopWatch()
    watch.start()
    watch.stop()
    watch.stop()
    beats = sum(watch.lag.counts)
    gc.collect()
    await asyncio.sleep(0.06)
    assert sum(watch.lag.counts) == beats
    assert sum(sum(one.counts) for one in watch.gc.values()) == 0


async def test_collections_that_come_while_a_stall_is_looked_at_do_no_harm() -> None:
    watch = LoopWatch()
    watch.start()
    over = threading.Event()

    def litter() -> None:
        while not over.is_set():
            gc.collect(0)

    thread = threading.Thread(target=litter)
    thread.start()
    for _ in range(15):
        time.sleep(0.1)  # noqa: ASYNC251 - the fault
        await asyncio.sleep(0.03)
    over.set()
    thread.join()
    beats = sum(watch.lag.counts)
    await asyncio.sleep(0.1)
    watch.stop()
    assert sum(watch.lag.counts) > beats, "the heart beats on"
    assert watch.stalls.total() >= 10
