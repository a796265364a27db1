"""Whole calls in memory and in virtual time: a scripted caller, and a desk that answers it."""

from __future__ import annotations

import asyncio

from tests.engine.fakes import Voice, Wire, Words
from tests.engine.virtual_loop import LoopClock

from voicelat.caller import Caller, CallerEvent, CallResult, CallSetup, Closed, Opened, Step, Tick
from voicelat.engine.config import EngineConfig
from voicelat.engine.stack import Stack
from voicelat.engine.turn_loop import CallSummary, TurnLoop
from voicelat.metrics.record import CallInfo, TurnRecord
from voicelat.providers.protocols import LanguageModel, SpeechToText, TextToSpeech, Transcriber
from voicelat.providers.simulated import SimulatedStt, profile
from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.config import TurnConfig
from voicelat.twilio.messages import Start

__all__ = ["Desk", "MemoryTape", "Phone"]


class Phone(Wire):
    """A wire with a scripted caller at its end."""

    def __init__(self, *steps: Step, setup: CallSetup | None = None) -> None:
        super().__init__()
        self.caller = Caller(steps, setup)

    async def talk(self) -> CallResult:
        """Hold the call to its end. Returns what the caller measured."""
        self._feed(Opened())
        while not self.caller.done:
            deadline_ms = self.caller.deadline_ms
            assert deadline_ms is not None
            await asyncio.sleep(max(0, deadline_ms - self._now_ms()) / 1000)
            self._feed(Tick())
        return self.caller.result()

    async def send(self, text: str) -> None:
        await super().send(text)
        self._feed(text)

    async def close(self) -> None:
        await super().close()
        self._feed(Closed())

    def _feed(self, event: CallerEvent) -> None:
        for output in self.caller.handle(event, self._now_ms()):
            if isinstance(output, str):
                self.deliver(output)
            else:
                self.hang_up()

    @staticmethod
    def _now_ms() -> int:
        return round(asyncio.get_running_loop().time() * 1000)


class MemoryTape:
    """A `voicelat.engine.call.Tape` that keeps everything."""

    def __init__(self) -> None:
        self.caller_audio: list[tuple[int, bytes]] = []
        self.agent_audio: list[tuple[int, bytes]] = []
        self.clears: list[int] = []
        self.steps: list[tuple[int, on.Event, list[do.Effect]]] = []
        self.closed = False

    def caller(self, at_ms: int, audio: bytes) -> None:
        self.caller_audio.append((at_ms, audio))

    def agent(self, at_ms: int, audio: bytes) -> None:
        self.agent_audio.append((at_ms, audio))

    def cleared(self, at_ms: int) -> None:
        self.clears.append(at_ms)

    def step(self, at_ms: int, event: on.Event, effects: list[do.Effect]) -> None:
        self.steps.append((at_ms, event, effects))

    def close(self) -> None:
        self.closed = True


class Desk:
    """A turn loop, by default on instant simulated ears, fixed words and a toneful voice, with
    the records and tapes it made. It says no greeting unless it is given one."""

    def __init__(
        self,
        *,
        stt: SpeechToText | None = None,
        llm: LanguageModel | None = None,
        tts: TextToSpeech | None = None,
        turn: TurnConfig | None = None,
        engine: EngineConfig | None = None,
        transcriber: Transcriber | None = None,
    ) -> None:
        self.records: list[TurnRecord] = []
        self.tapes: dict[str, MemoryTape] = {}
        self.refused: str | None = None
        """Why every call is refused. None: it is taken."""
        self.stack = Stack(
            stt or SimulatedStt(profile("instant")),
            llm or Words("Certainly, I have noted that."),
            tts or Voice(),
            transcriber=transcriber,
        )
        self.loop = TurnLoop(
            self.stack,
            turn=turn or TurnConfig(speak_gate_ms=0),
            engine=engine or EngineConfig(greeting=""),
            on_turn=self.records.append,
            tape=self._tape,
            admit=self._admit,
            clock=LoopClock,
        )

    async def take(self, phone: Phone) -> tuple[CallSummary, CallResult]:
        """Hold one call: what became of it at the desk, and at the caller."""
        talking = asyncio.create_task(phone.talk(), name="the caller")
        summary = await self.loop.run(phone)
        return summary, await talking

    def _tape(self, info: CallInfo, turn: TurnConfig) -> MemoryTape:
        self.tapes[info.call_id] = MemoryTape()
        return self.tapes[info.call_id]

    def _admit(self, start: Start) -> str | None:
        return self.refused
