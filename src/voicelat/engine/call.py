"""One live call: the driver of one turn machine.

Everything happens on the event loop. Events queue up and are handled one at a time; effects are
carried out at once; parts of the reply go to the playout only when no event waits, so that
marks land exactly behind their audio.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol, assert_never

from voicelat.audio.mulaw import duration_ms
from voicelat.audio.vad import SharedVoiceDetector, VoiceDetector, VoiceEdge
from voicelat.clock import CallClock, Clock
from voicelat.engine.config import EngineConfig
from voicelat.engine.ear import Ear, SharedEar
from voicelat.engine.fallback import Fallback, Heard
from voicelat.engine.guards import LoopWatch
from voicelat.engine.hinter import Hinter
from voicelat.engine.history import History
from voicelat.engine.listener import Listener
from voicelat.engine.playout import Playout
from voicelat.engine.reply import Part, ReplyTask
from voicelat.engine.stack import Stack
from voicelat.engine.transport import Transport, hang_up
from voicelat.errors import ConnectError
from voicelat.metrics.record import CallInfo, TurnRecord
from voicelat.providers.protocols import Prompt, Transcriber, Transcript
from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.config import TurnConfig
from voicelat.turn.endpointing import EndpointPolicy
from voicelat.turn.machine import TurnMachine
from voicelat.turn.states import Agent, Caller
from voicelat.twilio.messages import DtmfPressed, InboundMessage, Mark, Media, Stop

__all__ = ["Call", "Tape"]

_LOG = logging.getLogger("voicelat.call")
_FRAMES = logging.getLogger("voicelat.frames")

_CLOSE_S: Final = 3.0
"""How long the end of a call waits for providers to let go of it."""


class Tape(Protocol):
    """What keeps a call for later. None of its methods blocks or raises."""

    def caller(self, at_ms: int, audio: bytes) -> None:
        """Caller audio that begins at ``at_ms``."""

    def agent(self, at_ms: int, audio: bytes) -> None:
        """Agent audio that the caller hears from ``at_ms`` on."""

    def cleared(self, at_ms: int) -> None:
        """The agent audio from ``at_ms`` on was never played."""

    def step(self, at_ms: int, event: on.Event, effects: list[do.Effect]) -> None:
        """An event entered the machine, and what left it."""

    def close(self) -> None:
        """The call is over."""


class Call:
    """A call from Twilio's ``start`` to its end. Make it when ``start`` arrives.

    ``policy``: how patient to be with this caller, None as set. ``transcriber``: hears the turns
    again that brought no text, None: nobody does. ``watch`` knows when the event loop stood still;
    None: nobody does. ``clock``: its zero is now; None takes the system's.
    """

    def __init__(
        self,
        stack: Stack,
        transport: Transport,
        info: CallInfo,
        turn: TurnConfig,
        engine: EngineConfig,
        *,
        on_turn: Callable[[TurnRecord], None],
        policy: EndpointPolicy | None = None,
        transcriber: Transcriber | None = None,
        tape: Tape | None = None,
        watch: LoopWatch | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.info = info
        self._stack = stack
        self._engine = engine
        self._tape = tape
        self._transport = transport
        self._clock = clock or CallClock()
        self._loop = asyncio.get_running_loop()
        self._zero = self._loop.time()
        self._watch = watch
        self._began_s = time.monotonic()
        self._lost_logs = watch.lost_logs() if watch is not None else 0
        self.machine = TurnMachine(turn, info, policy)
        self.ear = self._make_ear(stack.detector())
        self.listener = Listener(stack.stt, engine.language, self._on_transcript)
        model = stack.turn_model
        self.hinter = Hinter(model, stack.turn_threads, self.post) if model else None
        self.playout = Playout(
            transport,
            info.stream_sid or "",
            self._clock,
            engine.send_lead_ms,
            on_play=self._on_play,
            on_clear=self._on_clear,
        )
        self.turns = 0
        self.why: str | None = None
        """Why the call is over: Twilio said ``stop``, or the socket broke. None: it goes on."""
        self.errors: list[str] = []
        """What broke in it that no provider's contract allows, one line each."""
        self.fallback = Fallback(transcriber, engine, on_heard=self._on_heard, on_turn=on_turn)
        self._history = History(engine.history_messages, engine.history_words)
        self._events: deque[on.Event] = deque()
        self._reply: ReplyTask | None = None
        self._dying: set[asyncio.Task[None]] = set()
        self._draining = False
        self._now_ms = 0
        self._heard_ms = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms: int | None = None
        self._tasks = [self._spawn(self._play(), "playout")]
        self._tasks.append(self._spawn(self.listener.run(), "listener"))
        if turn.greeting:
            self._begin_reply(0, 0, engine.greeting)
            self._open_reply(0, 0)

    # -- what comes in ------------------------------------------------------------------------

    def receive(self, message: InboundMessage) -> None:
        """Take one message of the socket."""
        match message:
            case Media():
                self._hear(message)
            case Mark(name=name):
                self.post(on.MarkEchoed(name))
            case DtmfPressed(digit=digit):
                self.post(on.Dtmf(digit))
            case Stop():
                self.post(on.StreamStopped())
            case _:
                pass

    def post(self, event: on.Event) -> None:
        """Put an event into the machine and do what it asks."""
        self._events.append(event)
        self._drain()

    def _hear(self, media: Media) -> None:
        now_ms = self._clock.now_ms()
        if self.playout.stuck_ms(now_ms) > self._engine.unread_timeout_ms:
            self.post(on.StreamStopped("the peer does not read"))
            return
        at_ms, edges = self.ear.hear(media.payload, media.timestamp_ms, now_ms)
        self.listener.feed(media.payload)
        if self.hinter is not None:
            self.hinter.hear(media.payload)
        self.fallback.hear(media.payload, in_turn=self._in_turn)
        if self._tape is not None:
            self._tape.caller(at_ms, media.payload)
        if _FRAMES.isEnabledFor(logging.DEBUG):
            _FRAMES.debug("%s in %d bytes at %d ms", self.info.call_id, len(media.payload), at_ms)
        self._heard_ms = at_ms + duration_ms(media.payload)
        self._on_edges(edges)

    def _make_ear(self, detector: VoiceDetector | SharedVoiceDetector) -> Ear:
        if isinstance(detector, SharedVoiceDetector):
            return SharedEar(detector, self._on_edges)
        return Ear(detector)

    def _on_edges(self, edges: list[VoiceEdge]) -> None:
        for edge in edges:
            self.listener.voice(edge.active)
            stirred = on.SpeechStarted if edge.active else on.SpeechStopped
            self.post(stirred(edge.at_ms))
            if self.hinter is not None:
                self.hinter.voice(edge.active, max(0, self._heard_ms - edge.at_ms))

    @property
    def _in_turn(self) -> bool:
        """Whether the caller holds a turn, or could still go on with it."""
        machine = self.machine
        return machine.caller is not Caller.SILENT or machine.agent is Agent.THINKING

    def _on_transcript(self, transcript: Transcript) -> None:
        if transcript.final:
            self.post(on.Final(transcript.text, transcript.confidence))
        else:
            self.post(on.Partial(transcript.text))

    # -- the machine --------------------------------------------------------------------------

    def _drain(self) -> None:
        """Handle what is queued; an effect may queue more, so never start a second time."""
        if self._draining:
            return
        self._draining = True
        try:
            while True:
                if self._events:
                    self._step(self._events.popleft())
                elif self._reply is not None and (part := self._reply.take()) is not None:
                    self._play_part(self._reply, part)
                else:
                    break
        finally:
            self._draining = False
        self._arm_timer()

    def _step(self, event: on.Event) -> None:
        now_ms = max(self._clock.now_ms(), self._now_ms)
        if isinstance(event, on.Tick):  # a timer may fire a hair early: its deadline is the time
            now_ms = max(now_ms, self.machine.deadline_ms or now_ms)
        self._now_ms = now_ms
        effects = self.machine.handle(event, now_ms)
        if isinstance(event, on.StreamStopped):
            self.why = event.why
        if self._tape is not None:
            self._tape.step(now_ms, event, effects)
        for effect in effects:
            self._do(effect)

    def _do(self, effect: do.Effect) -> None:
        match effect:
            case do.StartReply(turn=turn, attempt=attempt, text=text):
                self.fallback.not_needed(turn)
                self._begin_reply(turn, attempt, self._prompt(turn, text))
            case do.AskToRepeat(turn=turn, attempt=attempt):
                self._begin_reply(turn, attempt, self._engine.repeat_phrase)
            case do.Apologise(turn=turn, attempt=attempt):
                self._begin_reply(turn, attempt, self._engine.apology_phrase)
            case do.CommitReply(turn=turn, attempt=attempt):
                self._open_reply(turn, attempt)
            case do.HoldReply():
                self._shut_reply()
            case do.CancelReply():
                self._cancel_reply()
            case _:
                self._do_on_the_line(effect)

    def _do_on_the_line(
        self,
        effect: do.ClearPlayout | do.RequestMark | do.FinalizeStt | do.RunFallback | do.TurnClosed,
    ) -> None:
        match effect:
            case do.ClearPlayout():
                self.playout.clear()
            case do.RequestMark(name=name, behind=behind):
                self.playout.mark(name, urgent=behind == "sent")
            case do.FinalizeStt():
                self.listener.finalize()
            case do.RunFallback(turn=turn):
                _LOG.info("%s turn %d: the caller is asked to repeat", self.info.call_id, turn)
                self._history.guess(turn, "")
                self.fallback.run(turn)
            case do.TurnClosed(record=record):
                self._close_turn(record)
            case _:
                assert_never(effect)

    def _arm_timer(self) -> None:
        deadline_ms = self.machine.deadline_ms
        if deadline_ms == self._timer_ms:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._timer_ms = deadline_ms
        if deadline_ms is not None:
            self._timer = self._loop.call_at(self._zero + deadline_ms / 1000, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = self._timer_ms = None
        self.post(on.Tick())

    # -- the reply ----------------------------------------------------------------------------

    def _prompt(self, turn: int, text: str) -> Prompt:
        history, left_out, full_history = self._history.shown()
        return Prompt(
            call_id=self.info.call_id,
            turn=turn,
            text=text,
            history=history,
            language=self._engine.language,
            max_words=self._engine.max_reply_words,
            left_out=left_out,
            full_history=full_history,
        )

    def _begin_reply(self, turn: int, attempt: int, source: Prompt | str) -> None:
        assert self._reply is None or self._reply.over, "two live replies"
        self._bury_reply()
        self._reply = ReplyTask(
            self._stack,
            turn,
            attempt,
            source,
            post=self.post,
            wake=self._drain,
            config=self._engine,
        )

    def _open_reply(self, turn: int, attempt: int) -> None:
        reply = self._reply
        assert reply is not None and (reply.turn, reply.attempt) == (turn, attempt)
        reply.open = True
        self.playout.release()

    def _shut_reply(self) -> None:
        self.playout.hold()
        if self._reply is not None:
            self._reply.open = False

    def _cancel_reply(self) -> None:
        self.playout.drop()
        self._bury_reply()

    def _bury_reply(self) -> None:
        """Nobody waits for the last reply's task: a provider may take its time to let go."""
        if self._reply is None:
            return
        task = self._reply.cancel()
        self._reply = None
        if not task.done():
            self._dying.add(task)
            task.add_done_callback(self._dying.discard)
            task.add_done_callback(self._on_task_end)

    def _play_part(self, reply: ReplyTask, part: Part) -> None:
        turn, attempt = reply.turn, reply.attempt
        if part.audio:
            known = part.filler in reply.announced
            on_audible = None if known else self._announcer(reply, part.filler)
            if self.playout.queue(part.audio, on_audible):
                reply.announced.add(part.filler)
        if part.failure is not None or part.done:
            self.playout.flush()
            reply.over = True
        if part.failure is not None:
            self.post(on.ReplyFailed(turn, attempt, part.failure))
        elif part.done:
            self.post(on.ReplyFinished(turn, attempt, part.clause))
        else:
            self.post(on.AudioQueued(turn, attempt, duration_ms(part.audio), part.clause))

    def _announcer(self, reply: ReplyTask, filler: bool) -> Callable[[], None]:
        return lambda: self.post(on.AudioSent(reply.turn, reply.attempt, filler))

    def _close_turn(self, record: TurnRecord) -> None:
        self.turns += 1
        if self._watch is not None:
            record = self._watch.attribute(record, self._began_s, self._lost_logs)
            self._lost_logs += record.lost_logs
        self._history.add(record)
        self.fallback.close_turn(record)

    def _on_heard(self, heard: Heard) -> None:
        """The fallback transcriber has come to an end with a turn."""
        if heard.text is not None and heard.failure is None:
            self._history.guess(heard.turn, heard.text)
            if heard.certain:
                self.post(on.FallbackHeard(heard.turn, heard.text))

    # -- the playout --------------------------------------------------------------------------

    async def _play(self) -> None:
        """Send while the line takes it. Without a way out there is no call, so the socket is
        closed: that is what ends the wait for the next message."""
        try:
            await self.playout.run()
        except ConnectError as error:
            if self.why is None:
                self.post(on.StreamStopped(str(error)))
        finally:
            await hang_up(self._transport)

    def _on_play(self, at_ms: int, audio: bytes) -> None:
        self.ear.echo.sent(at_ms, audio)
        if self._tape is not None:
            self._tape.agent(at_ms, audio)

    def _on_clear(self, at_ms: int) -> None:
        self.ear.echo.forget()
        if self._tape is not None:
            self._tape.cleared(at_ms)

    # -- the end ------------------------------------------------------------------------------

    async def close(self, why: str) -> None:
        """End the call: its open turn is recorded, and nothing of it runs on."""
        self.ear.close()
        if self.hinter is not None:
            self.hinter.close()
        if self.why is None:
            self.post(on.StreamStopped(why))
        self._cancel_reply()
        if self._timer is not None:
            self._timer.cancel()
        self.fallback.close("the call ended")
        tasks: set[asyncio.Task[Any]] = {*self._tasks, *self._dying, *self.fallback.tasks}
        for task in tasks:
            task.cancel()
        _, stuck = await asyncio.wait(tasks, timeout=_CLOSE_S)
        for task in stuck:
            _LOG.error("%s does not stop", task.get_name())
        if self._tape is not None:
            self._tape.close()

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"{name} of {self.info.call_id}")
        task.add_done_callback(self._on_task_end)
        return task

    def _on_task_end(self, task: asyncio.Task[None]) -> None:
        """What a task dies of, other than its cancellation, is told at once."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self.errors.append(f"{task.get_name()}: {error!r}")
            _LOG.error("%s: %r", task.get_name(), error, exc_info=error)
