"""The fault matrix: every provider and the media socket, every fault, every state of a call.

    python benchmarks/faults.py [--json] [--only google-stt ...] [--at-once 12] [--write-docs]

Each cell is one real call: a scripted caller on a real WebSocket, our server, the real provider
code, and behind a faulty line Google's (gRPC) and OpenAI's (HTTP) stand-ins. The fault is committed
in the state of its column and mended two seconds later. The call survives when it goes on (its last
question is answered) or ends politely (with a reason), and when the records say what happened;
afterwards no task and no file may be left. Exits with 1 when one does not survive.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import re
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import uvicorn

from voicelat.audio.mulaw import BYTES_PER_MS, encode, silence
from voicelat.caller import CallResult, Say, Script, Silence, WaitForReply
from voicelat.doubles.faulty import FAULTS, FaultyLine
from voicelat.doubles.google import GoogleDouble
from voicelat.doubles.openai import OpenAiDouble
from voicelat.engine.call import Call, Tape
from voicelat.engine.config import EngineConfig
from voicelat.engine.stack import Stack
from voicelat.engine.turn_loop import CallSummary, TurnLoop
from voicelat.errors import ConnectError
from voicelat.loadtest.line import place_call
from voicelat.metrics.record import CallInfo, TurnRecord
from voicelat.providers.registry import (
    ProviderOptions,
    language_model,
    speech_to_text,
    text_to_speech,
)
from voicelat.providers.simulated import Latency, profile
from voicelat.serve.app import TwilioServer
from voicelat.serve.config import ServeConfig
from voicelat.serve.server import uvicorn_config
from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.config import TurnConfig

ROLES: Final = ("google-stt", "google-v2-stt", "google-tts", "openai-llm", "openai-tts", "socket")
STATES: Final = ("idle", "listening", "thinking", "speaking")
ALL_FAULTS: Final = (*FAULTS, "wrong turn", "quota")
MEND_S: Final = 2.0
DOCS: Final = Path(__file__).parents[1] / "docs" / "faults.md"

_FAST: Final = Latency(60, 60, "short, so that a cell takes seconds")
_NOISE: Final = np.random.default_rng(1).normal(0.0, 3000.0, 500 * BYTES_PER_MS)
WORD: Final = encode(_NOISE.astype(np.int16))
_WAIT: Final = WaitForReply(timeout_ms=6000, quiet_ms=350)
SCRIPT: Final[Script] = [
    Silence(500),
    *(step for _ in range(4) for step in (Say(WORD + silence(60) + WORD), _WAIT)),
]
ENGINE: Final = EngineConfig(
    greeting="",
    max_reply_words=4,
    llm_first_token_ms=900,
    llm_stall_ms=700,
    tts_first_byte_ms=700,
    tts_stall_ms=500,
    unread_timeout_ms=1500,
)
TURN: Final = TurnConfig(speak_gate_ms=0, reply_timeout_ms=2500, greeting=False)


class Cell(NamedTuple):
    """One fault in one state."""

    role: str
    fault: str
    state: str
    verdict: str
    """unharmed, went on, ended politely, or what went wrong in capitals."""
    why: str
    """What the records say."""

    @property
    def survived(self) -> bool:
        return self.verdict in ("unharmed", "went on", "ended politely")


@dataclass
class Trigger:
    """Commits the fault when the call comes into the state, and mends it."""

    state: str
    commit: Callable[[], None]
    mend: Callable[[], None]
    done: bool = False

    def seen(self, state: str) -> None:
        if self.done or state != self.state:
            return
        self.done = True
        loop = asyncio.get_running_loop()
        loop.call_soon(self.commit)
        loop.call_later(MEND_S, self.mend)


class Watch:
    """A tape that only looks on: which state is the call in?"""

    def __init__(self, trigger: Trigger) -> None:
        self._trigger = trigger
        asyncio.get_running_loop().call_later(0.25, trigger.seen, "idle")

    def caller(self, at_ms: int, audio: bytes) -> None: ...
    def agent(self, at_ms: int, audio: bytes) -> None: ...
    def cleared(self, at_ms: int) -> None: ...
    def close(self) -> None: ...

    def step(self, at_ms: int, event: on.Event, effects: list[do.Effect]) -> None:
        if isinstance(event, on.SpeechStarted):
            self._trigger.seen("listening")
        elif isinstance(event, on.AudioSent):
            self._trigger.seen("speaking")
        elif any(isinstance(effect, do.StartReply) for effect in effects):
            self._trigger.seen("thinking")


class Bench(NamedTuple):
    """One server with everything around it."""

    url: str
    """Where the caller calls."""
    server: TwilioServer
    commit: Callable[[str], None]
    mend: Callable[[], None]


@asynccontextmanager
async def bench(role: str, on_summary: list[CallSummary]) -> AsyncIterator[Bench]:
    """Stand-ins, a faulty line before the one in question, and our server."""
    quick = replace(
        profile("stand-in"),
        stt_final=_FAST,
        stt_partial=_FAST,
        llm_first_token=_FAST,
        tts_first_byte=_FAST,
    )
    async with AsyncExitStack() as held:
        google = await held.enter_async_context(GoogleDouble(quick).run())
        openai = await held.enter_async_context(OpenAiDouble(quick).run())
        port = urlsplit(f"//{google.endpoint}" if "google" in role else openai.url).port or 0
        line = FaultyLine("127.0.0.1", port)
        if role != "socket":
            await held.enter_async_context(line.run())
        server = TwilioServer(_stack(role, google, openai, line), ServeConfig(), engine=ENGINE)
        server.loop = _Loop(server, on_summary)
        url = await held.enter_async_context(_serving(server))
        if role == "socket":
            line = FaultyLine("127.0.0.1", urlsplit(url).port or 0, toward="service")
            await held.enter_async_context(line.run())
            url = f"ws://127.0.0.1:{line.port}/media"

        def commit(fault: str) -> None:
            if fault == "quota":
                google.exhausted, openai.exhausted = "google" in role, "openai" in role
                server.draining = role == "socket"
            elif fault == "wrong turn":
                server.loop.confuse(role)  # type: ignore[attr-defined]
            else:
                line.commit(fault)  # type: ignore[arg-type]

        def mend() -> None:
            google.exhausted = openai.exhausted = server.draining = False
            line.mend()

        yield Bench(url, server, commit, mend)


def _stack(role: str, google: GoogleDouble, openai: OpenAiDouble, line: FaultyLine) -> Stack:
    faulty = f"127.0.0.1:{line.port}"
    ears = faulty if role.endswith("stt") else google.endpoint
    voice = faulty if role == "google-tts" else google.endpoint
    api = f"http://{faulty}/v1" if role.startswith("openai") else openai.url
    options = ProviderOptions(
        google_stt_endpoint=ears,
        google_tts_endpoint=voice,
        openai_base_url=api if role == "openai-llm" else openai.url,
        openai_api_key="double",
        openai_model="double",
    )
    speaking = replace(options, openai_base_url=api, openai_tts_model="double")
    return Stack(
        speech_to_text("google:v2" if "v2" in role else "google", options),
        language_model("openai", options),
        text_to_speech("openai", speaking)
        if role == "openai-tts"
        else text_to_speech("google", options),
    )


class _Loop(TurnLoop):
    """The server's loop, with the bench's hands in it."""

    def __init__(self, server: TwilioServer, summaries: list[CallSummary]) -> None:
        super().__init__(
            server.loop._stack,
            turn=TURN,
            engine=ENGINE,
            on_turn=self._note,
            tape=self._tape_of,
            admit=server._admit,
            watch=server.watch,
        )
        self.records: list[TurnRecord] = []
        self.trigger: Trigger | None = None
        self.call: Call | None = None
        self._summaries = summaries

    def _note(self, record: TurnRecord) -> None:
        self.records.append(record)

    def _tape_of(self, info: CallInfo, turn: TurnConfig) -> Tape:
        assert self.trigger is not None
        return Watch(self.trigger)

    def _begin(self, *args: object, **kwargs: object) -> Call:
        self.call = super()._begin(*args, **kwargs)  # type: ignore[arg-type]
        return self.call

    async def run(self, transport: object) -> CallSummary:
        summary = await super().run(transport)  # type: ignore[arg-type]
        self._summaries.append(summary)
        return summary

    def confuse(self, role: str) -> None:
        """What belongs to another turn arrives now."""
        call = self.call
        if call is None:
            return
        turn = max(0, call.turns)
        if role.endswith("stt"):
            call.post(on.Final("what was said a turn ago", 0.9))
        elif role == "openai-llm":
            call.post(on.ReplyTextStarted(turn, 99))
            call.post(on.ReplyFailed(turn + 7, 0, "another turn's"))
        elif role == "socket":
            call.post(on.MarkEchoed("never sent"))
        else:
            call.post(on.SpeechReady(turn + 5, 0))
            call.post(on.ReplyFinished(turn, 42, "another's"))


@asynccontextmanager
async def _serving(server: TwilioServer) -> AsyncIterator[str]:
    runner = uvicorn.Server(uvicorn_config(server))
    listener = socket.create_server(("127.0.0.1", 0))
    running = asyncio.create_task(runner.serve(sockets=[listener]))
    while not runner.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/media"
    finally:
        runner.should_exit = True
        await running


async def cell(role: str, fault: str, state: str) -> Cell:
    """One call with one fault in it."""
    summaries: list[CallSummary] = []
    async with bench(role, summaries) as place:
        loop = place.server.loop
        assert isinstance(loop, _Loop)
        loop.trigger = Trigger(state, lambda: place.commit(fault), place.mend)
        result: CallResult | None = None
        failed = ""
        try:
            async with asyncio.timeout(60):
                result = await place_call(place.url, SCRIPT)
        except ConnectError as error:
            failed = str(error)
        except TimeoutError:
            return Cell(role, fault, state, "THE CALL HUNG", "")
        place.mend()
        with suppress(TimeoutError):
            async with asyncio.timeout(12):
                while loop.calls:  # noqa: ASYNC110 - its end has no event
                    await asyncio.sleep(0.02)
        again = await place_call(place.url, SCRIPT[:3]) if role == "socket" else None
        if loop.calls:
            return Cell(role, fault, state, "THE SERVER HOLDS ON TO THE CALL", "")
        if not loop.trigger.done:
            return Cell(role, fault, state, "THE STATE NEVER CAME", failed)
        return judge(role, fault, state, result, again, loop.records, summaries)


def judge(
    role: str,
    fault: str,
    state: str,
    result: CallResult | None,
    again: CallResult | None,
    records: list[TurnRecord],
    summaries: list[CallSummary],
) -> Cell:
    """Did it survive, and who says what happened?"""
    told = [record.failure for record in records if record.failure]
    first = summaries[0] if summaries else None
    if first is not None:
        told += [*first.recogniser_errors, *first.errors]
        told += [f"dropped: {why} x{count}" for why, count in first.drops.items() if count]
        if first.why != "stop":
            told.append(first.why)
    told += [f"turn {r.turn} {r.outcome}" for r in records if r.outcome in ("censored",)]
    told += ["asked to repeat" for r in records if r.fallback]
    why = told[0] if told else ""
    heard = result.heard if result is not None else ()
    answered = [one.reply_start_ms is not None for one in heard]
    if again is not None and not any(one.reply_start_ms is not None for one in again.heard):
        return Cell(role, fault, state, "THE NEXT CALL WAS NOT ANSWERED", why)
    if len(answered) == 4 and all(answered) and not told:
        return Cell(role, fault, state, "unharmed", "")
    if answered and answered[-1] and len(answered) == 4:
        return Cell(role, fault, state, "went on", why or "a reply was late")
    if result is not None and result.ended == "closed" and (told or role == "socket"):
        return Cell(role, fault, state, "ended politely", why or "the socket closed")
    lost = "NOBODY SAYS WHAT HAPPENED" if not told else "THE LAST QUESTION WAS NOT ANSWERED"
    return Cell(role, fault, state, lost, why)


async def matrix(
    roles: list[str], faults: list[str], states: list[str], at_once: int
) -> tuple[list[Cell], dict[str, int]]:
    """All cells, and what was left behind."""
    room = asyncio.Semaphore(at_once)

    async def one(role: str, fault: str, state: str) -> Cell:
        async with room:
            return await cell(role, fault, state)

    await cell(roles[0], "quota", "thinking")  # what is loaded once is loaded
    before = len(asyncio.all_tasks()), _open_files()
    wanted = [(r, f, s) for r in roles for f in faults for s in states]
    cells = await asyncio.gather(*(one(*which) for which in wanted))
    gc.collect()
    await asyncio.sleep(1.0)
    left = {"tasks": len(asyncio.all_tasks()) - before[0], "files": _open_files() - before[1]}
    return list(cells), left


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the cheapest count there is


def table(cells: list[Cell], left: dict[str, int]) -> str:
    """For people, and for the page."""
    states = list(dict.fromkeys(one.state for one in cells))
    lines = [f"| provider | fault | {' | '.join(states)} |", "|---|---|" + "---|" * len(states)]
    found = {(one.role, one.fault, one.state): one for one in cells}
    for role in dict.fromkeys(one.role for one in cells):
        for fault in dict.fromkeys(one.fault for one in cells):
            row = [found[role, fault, state].verdict for state in states]
            lines.append(f"| {role} | {fault} | {' | '.join(row)} |")
    survived = sum(one.survived for one in cells)
    lines += [
        "",
        f"Faults tried: {len(cells)}; survived: {survived}. Left behind afterwards: "
        f"{left['tasks']} tasks, {left['files']} open files.",
    ]
    return "\n".join(lines)


def write_docs(text: str) -> None:
    begin, end = "<!-- begin matrix -->", "<!-- end matrix -->"
    page = DOCS.read_text(encoding="utf-8")
    found = f"{re.escape(begin)}.*?{re.escape(end)}"
    DOCS.write_text(
        re.sub(found, f"{begin}\n{text}\n{end}", page, flags=re.DOTALL), encoding="utf-8"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", nargs="+", choices=ROLES, default=list(ROLES))
    parser.add_argument("--faults", nargs="+", choices=ALL_FAULTS, default=list(ALL_FAULTS))
    parser.add_argument("--states", nargs="+", choices=STATES, default=list(STATES))
    parser.add_argument("--at-once", type=int, default=12)
    parser.add_argument("--write-docs", action="store_true")
    options = parser.parse_args()
    cells, left = asyncio.run(matrix(options.only, options.faults, options.states, options.at_once))
    text = table(cells, left)
    if options.json:
        print(json.dumps({"cells": [one._asdict() for one in cells], "left": left}))
    else:
        print(text)
        for one in cells:
            if not one.survived:
                print(f"{one.role} {one.fault} {one.state}: {one.verdict}: {one.why}")
    if options.write_docs:
        write_docs(text)
    return 0 if all(one.survived for one in cells) and left["tasks"] <= 0 else 1


if __name__ == "__main__":
    sys.exit(main())
