"""Voice agents with one vice each, for whoever builds or judges a load test.

An agent here is a table row: how long it takes to answer, how it sends its audio, what it does
when it is interrupted. `VICES` has one that is healthy and one for each thing that can be wrong.
No I/O: text and time go in, what to send comes out. `converse` puts one and a scripted caller on a
fake wire in virtual time; `serve_agent` puts it behind a real WebSocket.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Final

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from voicelat.audio.framing import FRAME_BYTES, FRAME_MS
from voicelat.audio.level import is_audible
from voicelat.caller import Caller, CallResult, CallSetup, Close, Closed, Opened, Script, Tick
from voicelat.clock import CallClock
from voicelat.twilio.codec import encode_clear, encode_mark, encode_media
from voicelat.twilio.inbox import Inbox
from voicelat.twilio.messages import Media, Start, Stop

__all__ = ["VICES", "Agent", "Vice", "converse", "serve_agent"]

_VOICE: Final = b"\x80\x00" * (FRAME_BYTES // 2)
_ONSET_MS: Final = 120
"""Voice over the agent's that interrupts it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vice:
    """How an agent behaves. The defaults are healthy."""

    says: str = ""
    """What a report must say of it, as a part of a sentence; empty: nothing."""
    latency_ms: Callable[[int], int | None] = lambda turn: 300
    """Turn -> from the end of patience to the first audio. None: never."""
    patience_ms: int = 200
    """Silence that ends the caller's turn."""
    jumps_in_ms: int | None = None
    """Voice after which it answers, finished or not. None: it waits for silence."""
    reply_ms: int = 1200
    lead_ms: int = 200
    """How far ahead of real time it sends."""
    chunk_ms: int = FRAME_MS
    """Audio sent at a time ..."""
    every_ms: int = FRAME_MS
    """... and how often."""
    stops: bool = True
    """Whether it stops, and sends ``clear``, when it is interrupted."""
    noise: tuple[str | bytes, ...] = ()
    """Sent before each reply as it is."""
    turns: int | None = None
    """It hangs up after so many. None: never."""


VICES: Final[dict[str, Vice]] = {
    "healthy": Vice(),
    "early": Vice(says="answers too early", jumps_in_ms=400),
    "mute": Vice(says="never answers", latency_ms=lambda turn: None),
    "deaf": Vice(says="ignores interruptions", stops=False, reply_ms=5000),
    "flood": Vice(says="floods the line", reply_ms=120_000, lead_ms=120_000),
    "bad-frames": Vice(
        says="breaks the protocol",
        noise=(
            "{",
            b"\x00\x01",
            '{"event":"media","streamSid":"MZelsewhere","media":{"payload":"//8="}}',
            '{"event":"media","media":{"payload":"not base64"}}',
        ),
    ),
    "stalls": Vice(
        says="stalls on every 7th turn", latency_ms=lambda turn: 300 if turn % 7 else 3300
    ),
    "slower": Vice(says="gets slower as the call goes on", latency_ms=lambda turn: 200 + 80 * turn),
    "drifts": Vice(
        says="comes slower than it is played", lead_ms=0, chunk_ms=200, every_ms=340, reply_ms=1600
    ),
    "hangs-up": Vice(says="hung up on", turns=2),
}
"""Vice -> behaviour."""


class Agent:
    """One call. `take` what comes, send what is `due`, come back at `deadline_ms`."""

    def __init__(self, vice: Vice) -> None:
        self.gone = False
        """It has hung up."""
        self._vice = vice
        self._inbox = Inbox()
        self._sid = ""
        self._turn = 0
        self._voiced_ms = self._silent_ms = 0
        self._owes = False
        self._spoken_until_ms = 0
        self._queue: list[tuple[int, int, str | bytes]] = []
        self._order = count()

    @property
    def deadline_ms(self) -> int | None:
        """When the next thing is due; None: nothing is."""
        return self._queue[0][0] if self._queue else None

    def take(self, text: str | bytes, now_ms: int) -> None:
        """A message of Twilio's."""
        match self._inbox.receive(text):
            case Start(stream_sid=sid):
                self._sid = sid
                self._speak(now_ms, 400)
            case Media(payload=payload):
                self._hear(is_audible(payload), now_ms)
            case Stop():
                self._queue.clear()
            case _:
                pass

    def due(self, now_ms: int) -> list[str | bytes]:
        """What is to be sent by now."""
        out: list[str | bytes] = []
        while self._queue and self._queue[0][0] <= now_ms:
            out.append(heapq.heappop(self._queue)[2])
        return out

    def _hear(self, voice: bool, now_ms: int) -> None:
        vice = self._vice
        if not voice:
            self._silent_ms += FRAME_MS
            self._voiced_ms = 0
            if self._owes and self._silent_ms >= vice.patience_ms:
                self._answer(now_ms)
            return
        self._voiced_ms += FRAME_MS
        self._silent_ms = 0
        self._owes = self._owes or self._voiced_ms >= FRAME_MS * 3
        if self._voiced_ms == _ONSET_MS and vice.stops and now_ms < self._spoken_until_ms:
            self._queue.clear()
            self._spoken_until_ms = now_ms
            self._put(now_ms, encode_clear(self._sid))
        if self._voiced_ms == vice.jumps_in_ms:
            self._answer(now_ms)
            self._owes = False

    def _answer(self, now_ms: int) -> None:
        self._owes = False
        self._turn += 1
        for noise in self._vice.noise:
            self._put(now_ms, noise)
        latency_ms = self._vice.latency_ms(self._turn)
        if latency_ms is not None:
            self._speak(now_ms + latency_ms, self._vice.reply_ms)
        if self._turn == self._vice.turns:
            self.gone = True

    def _speak(self, at_ms: int, length_ms: int) -> None:
        vice = self._vice
        for said_ms in range(0, length_ms, vice.chunk_ms):
            due_ms = at_ms + max(0, said_ms // vice.chunk_ms * vice.every_ms - vice.lead_ms)
            frames = min(vice.chunk_ms, length_ms - said_ms) // FRAME_MS
            self._put(due_ms, encode_media(self._sid, _VOICE * frames))
            self._spoken_until_ms = max(due_ms, at_ms + said_ms) + vice.chunk_ms
        self._put(self._queue[-1][0] if self._queue else at_ms, encode_mark(self._sid, "end"))

    def _put(self, at_ms: int, text: str | bytes) -> None:
        heapq.heappush(self._queue, (at_ms, next(self._order), text))


def converse(script: Script, vice: Vice, setup: CallSetup | None = None) -> CallResult:
    """A whole call on a fake wire, in virtual time: an hour takes seconds."""
    caller, agent = Caller(script, setup), Agent(vice)
    now_ms = 0
    out = caller.handle(Opened(), now_ms)
    while not caller.done:
        for output in out:
            if isinstance(output, Close):
                return caller.result()
            agent.take(output, now_ms)
        out = []
        for text in agent.due(now_ms):
            out += caller.handle(text, now_ms)
        if agent.gone:
            out += caller.handle(Closed(), now_ms)
        if out:
            continue
        deadlines = [ms for ms in (caller.deadline_ms, agent.deadline_ms) if ms is not None]
        now_ms = max(now_ms, min(deadlines))
        out = caller.handle(Tick(), now_ms)
    return caller.result()


@asynccontextmanager
async def serve_agent(vice: Vice, port: int = 0) -> AsyncIterator[str]:
    """The agent behind a real WebSocket on loopback. Yields its URL."""
    async with serve(lambda socket: _hold(socket, vice), "127.0.0.1", port) as server:
        bound = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{bound}/media"


async def _hold(socket: ServerConnection, vice: Vice) -> None:
    agent, clock = Agent(vice), CallClock()
    try:
        while not agent.gone:
            for text in agent.due(clock.now_ms()):
                await socket.send(text)
            deadline_ms = agent.deadline_ms
            wait_s = None if deadline_ms is None else max(0, deadline_ms - clock.now_ms()) / 1000
            try:
                async with asyncio.timeout(wait_s):
                    text = await socket.recv()
            except TimeoutError:
                continue
            agent.take(text, clock.now_ms())
    except ConnectionClosed:
        return
