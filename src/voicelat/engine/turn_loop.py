"""The turn loop: drives calls over any transport that carries Media Streams messages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from voicelat.clock import Clock
from voicelat.engine.call import Call, Tape
from voicelat.engine.config import EngineConfig
from voicelat.engine.guards import LoopWatch
from voicelat.engine.stack import Stack
from voicelat.engine.transport import Transport, hang_up
from voicelat.metrics.record import CallInfo, TurnRecord
from voicelat.turn.config import TurnConfig
from voicelat.turn.endpointing import EndpointPolicy
from voicelat.turn.tuner import EouTuner
from voicelat.twilio.inbox import Inbox
from voicelat.twilio.messages import Start, Stop

__all__ = ["CallSummary", "TurnLoop"]

_LOG = logging.getLogger("voicelat.call")
_TUNER_LOG = logging.getLogger("voicelat.tuner")


@dataclass(frozen=True, slots=True)
class CallSummary:
    """What became of one socket."""

    call_id: str | None
    """None: it closed, or was refused, before a call began."""
    why: str
    """Why it ended."""
    turns: int = 0
    drops: dict[str, int] = field(default_factory=dict)
    """Messages and events that were dropped, by reason."""
    audio_ms: dict[str, int] = field(default_factory=dict)
    """Caller audio that was not heard as it was sent: ``missing`` between messages (Twilio throws
    away what is not read), ``late`` (its time had been filled already), ``echo`` of the agent."""
    playout_gap_ms: int = 0
    """Silence inside replies because audio came too late."""
    recogniser_errors: tuple[str, ...] = ()
    turn_model_errors: tuple[str, ...] = ()
    fallback_errors: tuple[str, ...] = ()
    fallback_lost_ms: int = 0
    """Audio of turns that were longer than is kept for the fallback transcriber."""
    errors: tuple[str, ...] = ()
    """What broke in the call without ending it, one line each."""


class TurnLoop:
    """Runs calls on one stack. One object serves any number of calls at once.

    ``on_turn``: called on the loop with each closed turn; it must not block
    (`MetricRecorder.record` does not). ``policy``: makes each call's policy, None waits as set.
    ``tuner``: every call begins with its settings, and it learns from every turn; None leaves
    them as they are. ``tape``: makes what keeps a call, given its info. ``watch``: has every turn
    say when the event loop stood still; None: none does.
    ``admit``: says why a call is refused, None to take it (one-time tokens). ``clock``: makes
    each call's clock when it begins, None takes the system's.
    """

    def __init__(
        self,
        stack: Stack,
        *,
        turn: TurnConfig | None = None,
        engine: EngineConfig | None = None,
        on_turn: Callable[[TurnRecord], None] | None = None,
        policy: Callable[[], EndpointPolicy] | None = None,
        tuner: EouTuner | None = None,
        tape: Callable[[CallInfo, TurnConfig], Tape] | None = None,
        watch: LoopWatch | None = None,
        admit: Callable[[Start], str | None] | None = None,
        settings: dict[str, str | int | float | bool] | None = None,
        source: str = "serve",
        clock: Callable[[], Clock] | None = None,
    ) -> None:
        self._stack = stack
        self._engine = engine or EngineConfig(language=stack.language)
        turn = turn or TurnConfig()
        self._turn = replace(turn, greeting=bool(self._engine.greeting))
        self._on_turn = on_turn or (lambda _record: None)
        self._policy = policy
        self._tuner = tuner
        self._tape = tape
        self._watch = watch
        self._admit = admit
        self._settings = settings or {}
        self._source = source
        self._clock = clock
        self.calls = 0
        """Calls going on now."""

    @property
    def phrases(self) -> tuple[str, ...]:
        """The stock phrases of this loop, for `Stack.warm`."""
        engine = self._engine
        stock = (engine.greeting, engine.repeat_phrase, engine.apology_phrase)
        return (*stock, engine.opener) if engine.opener else stock

    async def run(self, transport: Transport) -> CallSummary:
        """Serve one socket until it ends. Cancelling it ends the call and records its turn."""
        inbox = Inbox()
        try:
            start = await self._first_start(inbox, transport)
            if isinstance(start, str):
                return CallSummary(None, start, drops=_drops(inbox))
            return await self._run_call(start, inbox, transport)
        finally:
            await hang_up(transport)

    async def _run_call(self, start: Start, inbox: Inbox, transport: Transport) -> CallSummary:
        call = self._begin(start, transport)
        self.calls += 1
        why = "cancelled"
        try:
            why = await self._pump(call, inbox, transport)
        finally:
            self.calls -= 1
            await call.close(why)
        return self._summary(call, inbox, why)

    async def _first_start(self, inbox: Inbox, transport: Transport) -> Start | str:
        """The start message, or why there will be none in time."""
        try:
            async with asyncio.timeout(self._engine.start_timeout_ms / 1000):
                return await self._await_start(inbox, transport)
        except TimeoutError:
            return "no start message came in time"

    async def _await_start(self, inbox: Inbox, transport: Transport) -> Start | str:
        while (text := await transport.receive()) is not None:
            match inbox.receive(text):
                case Start() as start:
                    refused = self._admit(start) if self._admit is not None else None
                    return start if refused is None else f"refused: {refused}"
                case Stop():
                    return "stopped before start"
                case _:
                    pass
        return "closed before start"

    def _begin(self, start: Start, transport: Transport) -> Call:
        info = CallInfo(
            call_id=start.call_sid or start.stream_sid,
            stream_sid=start.stream_sid,
            started_utc=datetime.now(UTC).isoformat(timespec="milliseconds"),
            source=self._source,
            providers=self._stack.names,
            settings={**self._settings, **(self._tuner.settings if self._tuner else {})},
        )
        turn = self._turn
        if self._tuner is not None:
            turn = replace(self._tuner.config, greeting=turn.greeting)
        tape = self._tape(info, turn) if self._tape is not None else None
        return Call(
            self._stack,
            transport,
            info,
            turn,
            self._engine,
            on_turn=self._close_turn,
            policy=self._policy() if self._policy is not None else None,
            transcriber=self._stack.transcriber,
            tape=tape,
            watch=self._watch,
            clock=self._clock() if self._clock is not None else None,
        )

    def _close_turn(self, record: TurnRecord) -> None:
        self._on_turn(record)
        if self._tuner is not None and (change := self._tuner.observe(record)) is not None:
            _TUNER_LOG.info(
                "%s %d -> %d: %s", change.setting, change.from_ms, change.to_ms, change.why
            )

    @staticmethod
    async def _pump(call: Call, inbox: Inbox, transport: Transport) -> str:
        while call.why is None:
            text = await transport.receive()
            if text is None:
                return call.why or "socket closed"
            message = inbox.receive(text)
            if message is not None:
                call.receive(message)
        return call.why

    @staticmethod
    def _summary(call: Call, inbox: Inbox, why: str) -> CallSummary:
        summary = CallSummary(
            call.info.call_id,
            why,
            call.turns,
            {**_drops(inbox), **call.machine.dropped, **_hints_dropped(call), **_unheard(call)},
            _unheard_ms(call, inbox),
            call.playout.gap_ms,
            tuple(call.listener.errors),
            tuple(call.hinter.errors) if call.hinter is not None else (),
            tuple(call.fallback.errors),
            call.fallback.lost_ms,
            tuple(call.errors),
        )
        _LOG.info("call %s ended: %s, %d turns", summary.call_id, why, summary.turns)
        return summary


def _drops(inbox: Inbox) -> dict[str, int]:
    return {str(reason): count for reason, count in inbox.drops.items()}


def _hints_dropped(call: Call) -> dict[str, int]:
    """Questions to the turn model that came to nothing, by why."""
    dropped = call.hinter.dropped if call.hinter is not None else {}
    return {f"hint: {why}": count for why, count in dropped.items()}


def _unheard(call: Call) -> dict[str, int]:
    """Messages whose audio was not taken for what they said, by why."""
    counts = {
        "implausible timestamp": call.ear.implausible,
        "before a recogniser was there": call.listener.lost,
    }
    return {why: count for why, count in counts.items() if count}


def _unheard_ms(call: Call, inbox: Inbox) -> dict[str, int]:
    """The same in ms of audio: see `CallSummary.audio_ms`."""
    lost = {"missing": inbox.gap_ms, "late": call.ear.late_ms, "echo": call.ear.echo_ms}
    return {what: ms for what, ms in lost.items() if ms}
