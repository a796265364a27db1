"""One recording through the ears of a live call: what they tell, and when.

Frames arrive as Twilio would send them, and every event is noted at the time at which it would
have entered the turn machine. Nothing here depends on the machine's settings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, Literal

from voicelat import __version__
from voicelat.audio.framing import FRAME_BYTES, FRAME_MS
from voicelat.audio.mulaw import SILENCE, silence
from voicelat.audio.vad import VoiceDetector
from voicelat.engine.ear import Ear
from voicelat.engine.hinter import Hinter
from voicelat.engine.listener import Listener
from voicelat.errors import ProviderError, UsageError
from voicelat.lab.pace import CountedThread
from voicelat.lab.recordings import Channels, voice_spans
from voicelat.metrics.percentiles import percentiles
from voicelat.metrics.record import CallInfo
from voicelat.metrics.samples import Sample
from voicelat.providers import local, registry
from voicelat.providers.protocols import ComputesHere, SpeechToText, Transcript
from voicelat.providers.registry import ProviderOptions
from voicelat.providers.turn_model import TurnModel
from voicelat.turn import events as on
from voicelat.turn.config import TurnConfig
from voicelat.turn.trace import Listening, Trace, TraceHeader, TraceStep

__all__ = ["Ears", "EarsPlan", "listen"]

TAIL_MS: Final = 2000
"""Silence behind a recording, so that its last pause is heard out."""

LONGEST_TAIL_MS: Final = 10_000
"""So long a recogniser is waited for that owes a final: network ones end a segment late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarsPlan:
    """Who listens, by name: what a process needs to make its own `Ears`."""

    stt: str = "local"
    vad: Literal["silero", "energy"] = "silero"
    language: str = "en-US"
    options: ProviderOptions = field(default_factory=ProviderOptions)
    turn_model: str | None = None
    """An end-of-turn model by name. None: nobody judges the pauses."""

    def told(self) -> dict[str, str]:
        """As `Listening.ears` has it."""
        ears = {"stt": self.stt, "vad": self.vad, "language": self.language}
        return ears if self.turn_model is None else {**ears, "turn_model": self.turn_model}


@dataclass(frozen=True)
class Ears:
    """Everything that listens, to many recordings one after the other or at once."""

    plan: EarsPlan
    stt: SpeechToText
    detector: Callable[[], VoiceDetector]
    turn_model: TurnModel | None = None
    judge: CountedThread = field(default_factory=lambda: CountedThread("voicelat-turn-model"))
    """Where the turn model computes."""

    @classmethod
    def of(cls, plan: EarsPlan) -> Ears:
        """Nothing is loaded yet. Raises UsageError for a name that is none, MissingExtra."""
        if plan.stt == "local" or plan.vad == "silero":
            missing = local.available()
            if missing is not None:
                raise UsageError(missing)
        return cls(
            plan,
            registry.speech_to_text(plan.stt, plan.options),
            registry.detector(plan.vad),
            None if plan.turn_model is None else registry.turn_model(plan.turn_model),
        )

    def for_one(self, seed: int) -> Ears:
        """The same ears for a recording of its own ``seed``.

        A simulated recogniser draws its latencies call by call: with one for all, the order in
        which recordings are heard would decide what is heard.
        """
        if self.plan.stt.partition(":")[0] != "simulated":
            return self
        options = replace(self.plan.options, seed=self.plan.options.seed + seed)
        return replace(self, stt=registry.speech_to_text(self.plan.stt, options))

    @cached_property
    def compute_here(self) -> bool:
        """Whether they wait for nobody outside this process."""
        return isinstance(self.stt, ComputesHere)

    def computing(self) -> bool:
        """Whether something is being computed in this process whose result will still come."""
        return self._stt_computing() or self.judge.computing()

    @cached_property
    def _stt_computing(self) -> Callable[[], bool]:
        """Found out once: the question is asked several times a frame."""
        return self.stt.computing if isinstance(self.stt, ComputesHere) else lambda: False

    async def warm(self) -> None:
        """Load everything. Raises ProviderError, MissingExtra."""
        await self.stt.warm()
        await asyncio.to_thread(self.detector)
        if self.turn_model is not None:
            await asyncio.to_thread(self.turn_model.warm)

    async def aclose(self) -> None:
        """Let go of everything."""
        await self.stt.aclose()
        await asyncio.to_thread(self.judge.shutdown)


async def listen(name: str, sides: Channels, ears: Ears) -> Trace:
    """The caller's side of a recording as a trace: ``call_id`` is ``name``, steps have no effects.

    Runs at the pace of the event loop: on a `PacedLoop` as fast as warm ears that compute here
    can hear it, on any other in real time. Raises ProviderError when the ears are lost before
    the end: there is no half-heard trace.
    """
    hearing = _Hearing(ears)
    await hearing.hear_out(sides)
    spans = None
    if sides.agent is not None:
        spans = await asyncio.to_thread(voice_spans, sides.agent, ears.detector())
    listening = Listening(
        recording=name,
        duration_ms=sides.duration_ms,
        caller_channel=sides.caller_channel,
        channels_by=sides.by,
        agent_voice=spans,
        ears=ears.plan.told() | hearing.remarks(),
        lag_ms=_lag_ms(hearing.steps),
    )
    call = CallInfo(call_id=name, source="replay", providers={"stt": ears.plan.stt})
    header = TraceHeader(call=call, turn=TurnConfig(), voicelat=__version__, listening=listening)
    return Trace(header, hearing.steps)


class _Hearing:
    """One recording on its way through the ears."""

    def __init__(self, ears: Ears) -> None:
        self.steps: list[TraceStep] = []
        self._ears = ears
        self._ear = Ear(ears.detector())
        self._listener = Listener(ears.stt, ears.plan.language, self._on_transcript)
        self._hinter: Hinter | None = None
        if ears.turn_model is not None:
            self._hinter = Hinter(ears.turn_model, ears.judge, self._on_hint)
        self._loop = asyncio.get_running_loop()
        self._zero_s = self._loop.time()
        self._owed = False
        """Whether a voice fell silent and no final came since."""

    async def hear_out(self, sides: Channels) -> None:
        """All of it, and the silence behind. Raises ProviderError when the ears are lost."""
        listening = asyncio.create_task(self._listener.run(), name="listener of a recording")
        try:
            at_ms = 0
            for caller, agent in _frames(sides):
                await self._frame(at_ms, caller, agent, listening)
                at_ms += FRAME_MS
            await self._silence(at_ms, listening)
        finally:
            if self._hinter is not None:
                self._hinter.close()
            listening.cancel()
            await asyncio.wait([listening])
        self._complain()

    async def _silence(self, end_ms: int, listening: asyncio.Task[None]) -> None:
        frame = silence(FRAME_MS)
        for behind_ms in range(0, LONGEST_TAIL_MS, FRAME_MS):
            if behind_ms == TAIL_MS and self._owed:
                self._listener.finalize()
            if behind_ms >= TAIL_MS and not self._owed and not self._ears.computing():
                return
            await self._frame(end_ms + behind_ms, frame, b"", listening)

    async def _frame(
        self, at_ms: int, caller: bytes, agent: bytes, listening: asyncio.Task[None]
    ) -> None:
        """A frame that begins at ``at_ms`` arrives at its end, as in `Call`."""
        now_ms = at_ms + FRAME_MS
        await asyncio.sleep(self._zero_s + now_ms / 1000 - self._loop.time())
        if listening.done():
            raise self._lost(listening)
        if agent:
            self._ear.echo.sent(at_ms, agent)
        _, edges = self._ear.hear(caller, at_ms, now_ms)
        self._listener.feed(caller)
        if self._hinter is not None:
            self._hinter.hear(caller)
        for edge in edges:
            self._listener.voice(edge.active)
            self._owed = not edge.active
            stirred = on.SpeechStarted if edge.active else on.SpeechStopped
            self._note(now_ms, stirred(edge.at_ms))
            if self._hinter is not None:
                self._hinter.voice(edge.active, now_ms - edge.at_ms)

    def _on_transcript(self, transcript: Transcript) -> None:
        if transcript.final:
            self._owed = False
            self._note(self._now_ms(), on.Final(transcript.text, transcript.confidence))
        else:
            self._note(self._now_ms(), on.Partial(transcript.text))

    def _on_hint(self, hint: on.EndpointHint) -> None:
        self._note(self._now_ms(), hint)

    def _now_ms(self) -> int:
        return int((self._loop.time() - self._zero_s) * 1000 + 1e-6)

    def _note(self, at_ms: int, event: on.Event) -> None:
        """A frame the loop was late for counts at its due time, but never before what came."""
        last_ms = self.steps[-1].at_ms if self.steps else 0
        self.steps.append(TraceStep(at_ms=max(at_ms, last_ms), event=event))

    # -- what went wrong ----------------------------------------------------------------------

    def remarks(self) -> dict[str, str]:
        """What a reader of the trace should know beside its steps; empty when nothing."""
        remarks = {}
        if self._listener.errors:
            count = len(self._listener.errors)
            remarks["reopened"] = f"{count} times, last: {self._listener.errors[-1]}"
        if self._hinter is not None and self._hinter.errors:
            remarks["hints"] = "; ".join(self._hinter.errors)
        return remarks

    def _lost(self, listening: asyncio.Task[None]) -> ProviderError:
        name = self._ears.stt.name
        if listening.cancelled():
            return ProviderError(name, "was stopped from outside", "retry")
        if (error := listening.exception()) is not None:
            return ProviderError(name, f"broke: {error!r}", "give_up")
        why = self._listener.errors[-1].removeprefix(f"{name}: ")
        return ProviderError(name, f"was lost before the end: {why}", "retry")

    def _complain(self) -> None:
        """Raises ProviderError when something that was said was not heard."""
        name = self._ears.stt.name
        if self._listener.lost:
            why = f"was not there in time: {self._listener.lost} frames were not heard"
            raise ProviderError(name, why, "retry")
        if self._hinter is not None and self._hinter.dropped["the model failed"]:
            assert self._ears.turn_model is not None
            raise ProviderError(self._ears.turn_model.name, self._hinter.errors[-1], "retry")


def _frames(sides: Channels) -> Iterator[tuple[bytes, bytes]]:
    """Both sides frame by frame, the last one filled up; b"" for an agent nobody recorded."""
    agent = sides.agent or b""
    for at in range(0, len(sides.caller), FRAME_BYTES):
        caller = sides.caller[at : at + FRAME_BYTES]
        yield caller.ljust(FRAME_BYTES, bytes((SILENCE,))), agent[at : at + FRAME_BYTES]


def _lag_ms(steps: list[TraceStep]) -> dict[str, float]:
    """From each pause to the first words behind it, if the voice did not come back first."""
    lags: list[float] = []
    stop_ms: int | None = None
    for step in steps:
        match step.event:
            case on.SpeechStopped(at_ms=at_ms):
                stop_ms = at_ms
            case on.SpeechStarted():
                stop_ms = None
            case on.Partial(text=text) | on.Final(text=text) if text and stop_ms is not None:
                lags.append(float(step.at_ms - stop_ms))
                stop_ms = None
    p50, p95 = percentiles(Sample.of((lag, True, 0) for lag in lags), (50, 95))
    if p50 is None or p95 is None:
        return {"n": 0.0}
    return {"n": float(len(lags)), "p50": p50, "p95": p95}
