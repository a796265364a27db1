"""The caller: one door in, one door out, and time as an argument.

``handle(event, now_ms)`` takes what came off the socket, or that time has passed, and gives the
texts to send; ``deadline_ms`` says when it wants to be woken. Frame k of its audio is due when
its last sample was said, on an absolute clock that starts with the call. A late wake-up sends
what is overdue, in order, and is counted against the caller's own measurements.
"""

from __future__ import annotations

from collections import Counter, deque
from enum import Enum
from typing import Literal, NamedTuple

from voicelat.audio.mulaw import BYTES_PER_MS
from voicelat.caller.call import (
    CallerEvent,
    CallResult,
    CallSetup,
    Close,
    Closed,
    Leave,
    Opened,
    Output,
    Violation,
)
from voicelat.caller.ear import Ear, Heard, whole_ms
from voicelat.caller.playout import Mouthpiece, Playout
from voicelat.caller.script import (
    AwaitVoice,
    HangUp,
    Move,
    Press,
    Script,
    Silence,
    Utter,
    WaitForReply,
    plan,
)
from voicelat.errors import ClockWentBack, IllegalMove, UsageError
from voicelat.twilio.messages import (
    Connected,
    DtmfPressed,
    InboundMessage,
    Mark,
    Media,
    OutMark,
    OutMedia,
    Start,
    Stop,
)
from voicelat.twilio.mirror import OutboundError, decode_outbound, encode_inbound

__all__ = ["Caller"]


class _State(Enum):
    WAITING = "waiting"
    ON_CALL = "on call"
    DONE = "done"


class _Packet(NamedTuple):
    """A frame on its way to Twilio."""

    due: int
    audio: bytes
    begin_ms: int


class Caller:
    """One scripted call. Raises `UsageError` for a script or a setup that cannot be done."""

    def __init__(self, script: Script, setup: CallSetup | None = None) -> None:
        self.setup = setup or CallSetup()
        if not self.setup.frame_bytes or min(self.setup.frame_bytes) < 1:
            raise UsageError("frame_bytes needs at least one size, and sizes of 1 or more")
        self._state = _State.WAITING
        self._ended: Literal["hung_up", "closed"] | None = None
        self._zero_ms = 0
        self._now_ms: int | None = None
        self._ear = Ear()
        self._playout = Playout()
        self._mouth = Mouthpiece(self.setup.noise)
        # A moment of nothing in front, so that every move is begun the same way.
        self._plan: tuple[Move, ...] = (Silence(0), *plan(script))
        self._step = 0
        self._step_began = 0
        self._sequence = 0
        self._said = 0
        self._frames = 0
        self._under_way: deque[_Packet] = deque()
        self._chunk = 0
        self._lost = 0
        self._ahead = 0
        self._pacing: list[int] = []
        self._lateness_ms: Counter[int] = Counter()
        self._counts: Counter[Literal["media", "bytes", "marks", "clears"]] = Counter()
        self._violations: Counter[Violation] = Counter()
        self._out: list[Output] = []

    @property
    def done(self) -> bool:
        """The call is over; nothing more will be sent."""
        return self._state is _State.DONE

    @property
    def heard(self) -> list[Heard]:
        """The questions closed so far."""
        return self._ear.heard

    @property
    def deadline_ms(self) -> int | None:
        """When to call `handle` with a `Tick`, on the clock of ``now_ms``. None: never."""
        if self._state is not _State.ON_CALL:
            return None
        return self._zero_ms + _ceil_ms(self._next_due())

    def handle(self, event: CallerEvent, now_ms: int) -> list[Output]:
        """Take one event; give what to send, in order.

        Never raises for anything a server says: faults are counted. Raises `ClockWentBack` for
        an earlier time than before, `IllegalMove` for a second `Opened`.
        """
        if self._now_ms is not None and now_ms < self._now_ms:
            raise ClockWentBack(f"caller: {now_ms} ms after {self._now_ms} ms")
        if isinstance(event, Opened) and self._state is not _State.WAITING:
            raise IllegalMove(f"caller: opened while {self._state.value}")
        self._now_ms = now_ms
        if isinstance(event, Opened):
            self._open(now_ms)
        elif self._state is _State.WAITING and isinstance(event, str | bytes):
            self._violations["before_start"] += 1
        elif self._state is _State.ON_CALL:
            now = (now_ms - self._zero_ms) * BYTES_PER_MS
            self._run_to(now)
            self._take(event, now)
        elif isinstance(event, Closed):
            self._end("closed")
        out, self._out = self._out, []
        return out

    def result(self) -> CallResult:
        """What was measured so far; complete once `done`."""
        end_ms = self._zero_ms if self._now_ms is None else self._now_ms
        return CallResult(
            stream_sid=self.setup.stream_sid,
            call_sid=self.setup.call_sid,
            ended=self._ended,
            duration_ms=end_ms - self._zero_ms,
            heard=tuple(self._ear.heard),
            greeting_ms=whole_ms(self._ear.first_voice),
            pacing_ms=tuple(self._pacing),
            violations=dict(self._violations),
            frames_sent=self._chunk,
            frames_lost=self._lost,
            media_received=self._counts["media"],
            bytes_received=self._counts["bytes"],
            marks_echoed=self._counts["marks"],
            clears=self._counts["clears"],
            ahead_ms=self._ahead // BYTES_PER_MS,
            lateness_ms=dict(self._lateness_ms),
        )

    # Time

    def _next_due(self) -> int:
        due = self._said + self._frame_size()
        mark = self._playout.next_mark
        if mark is not None and mark < due:
            due = mark
        if self._under_way and self._under_way[0].due < due:
            due = self._under_way[0].due
        return due

    def _run_to(self, now: int) -> None:
        """Do what fell due since the last time, each at its own instant."""
        while self._state is _State.ON_CALL and (due := self._next_due()) <= now:
            self._listen(due)
            while self._under_way and self._under_way[0].due <= due:
                self._deliver(self._under_way.popleft())
            if due == self._said + self._frame_size():
                self._send_frame(now)
                self._follow_script(due)
        if self._state is _State.ON_CALL:
            self._listen(now)

    def _listen(self, now: int) -> None:
        spans, names = self._playout.advance(now)
        for first, last in spans:
            self._ear.hear(first, last)
        self._ear.settle(now)
        for name in names:
            self._echo(name)

    # What comes in

    def _take(self, event: CallerEvent, now: int) -> None:
        if self._state is _State.DONE:
            return
        if isinstance(event, Closed):
            self._end("closed")
        elif isinstance(event, Leave):
            self._hang_up(abrupt=False, owed=False)
        elif isinstance(event, str | bytes):
            self._take_text(event, now)
            self._listen(now)

    def _take_text(self, text: str | bytes, now: int) -> None:
        try:
            message = decode_outbound(text)
        except OutboundError as error:
            self._violations[error.fault] += 1
            return
        if message.stream_sid != self.setup.stream_sid:
            self._violations["wrong_stream"] += 1
        elif isinstance(message, OutMedia):
            self._counts["media"] += 1
            self._counts["bytes"] += len(message.payload)
            dry_ms = (now - self._playout.end) // BYTES_PER_MS
            if dry_ms > 0 and self._ear.talking:
                self._pacing.append(dry_ms)
            self._playout.append(message.payload, now)
            self._ahead = max(self._ahead, self._playout.end - now)
        elif isinstance(message, OutMark):
            self._playout.mark(message.name, now)
        else:
            self._counts["clears"] += 1
            for name in self._playout.clear(now):
                self._echo(name)
            self._ear.cleared()

    # What goes out

    def _open(self, now_ms: int) -> None:
        setup = self.setup
        self._zero_ms = now_ms
        self._state = _State.ON_CALL
        self._send(Connected())
        self._send(
            Start(
                stream_sid=setup.stream_sid,
                sequence=self._next_sequence(),
                account_sid=setup.account_sid,
                call_sid=setup.call_sid,
                tracks=setup.tracks,
                custom_parameters=setup.custom_parameters,
            )
        )
        self._follow_script(0)

    def _frame_size(self) -> int:
        return self.setup.frame_bytes[self._frames % len(self.setup.frame_bytes)]

    def _send_frame(self, now: int) -> None:
        size = self._frame_size()
        begin_ms = self._said // BYTES_PER_MS
        audio = self._mouth.take(size)
        self._said += size
        self._frames += 1
        self._lateness_ms[now // BYTES_PER_MS - _ceil_ms(self._said)] += 1
        arrivals = self.setup.arrivals
        late_ms = arrivals[(self._frames - 1) % len(arrivals)] if arrivals else 0
        if late_ms is None:
            self._lost += 1
            return
        packet = _Packet(self._said + late_ms * BYTES_PER_MS, audio, begin_ms)
        if self._under_way or late_ms:
            held_up = self._under_way[-1].due if self._under_way else 0
            self._under_way.append(packet._replace(due=max(packet.due, held_up)))
        else:
            self._deliver(packet)

    def _deliver(self, packet: _Packet) -> None:
        self._chunk += 1
        for track in self.setup.tracks:
            self._send(
                Media(
                    self.setup.stream_sid,
                    packet.audio if track == "inbound" else b"\xff" * len(packet.audio),
                    track,
                    self._next_sequence(),
                    self._chunk,
                    packet.begin_ms,
                )
            )

    def _echo(self, name: str) -> None:
        self._counts["marks"] += 1
        self._send(Mark(self.setup.stream_sid, name, self._next_sequence()))

    def _send(self, message: InboundMessage) -> None:
        self._out.append(encode_inbound(message))

    def _next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence

    # The script

    def _follow_script(self, now: int) -> None:
        while self._state is _State.ON_CALL and self._move_is_over(now):
            self._step += 1
            self._step_began = now
            self._begin_move(self._plan[self._step], now)

    def _begin_move(self, move: Move, now: int) -> None:
        match move:
            case Utter(first=first, end=end):
                self._mouth.say(move.parts)
                self._ear.ask(move.text, now + (first or 0), None if end is None else now + end)
            case Press():
                self._ear.expect(now)
                self._send(
                    DtmfPressed(self.setup.stream_sid, move.digit, sequence=self._next_sequence())
                )
            case HangUp():
                # Who hangs up with the last word has not waited for an answer to it.
                waited = not isinstance(self._plan[self._step - 1], Utter)
                self._hang_up(abrupt=move.abrupt, owed=waited)
            case WaitForReply() | AwaitVoice() | Silence():
                pass

    def _move_is_over(self, now: int) -> bool:
        move = self._plan[self._step]
        waited_ms = (now - self._step_began) // BYTES_PER_MS
        match move:
            case Utter():
                return not self._mouth.busy
            case Silence():
                return waited_ms >= move.ms
            case AwaitVoice():
                reply = self._ear.reply
                spoken = reply is not None and now - reply >= move.after_ms * BYTES_PER_MS
                return spoken or waited_ms >= move.timeout_ms
            case WaitForReply():
                return self._reply_is_over(move, waited_ms, now)
            case Press() | HangUp():
                return True

    def _reply_is_over(self, move: WaitForReply, waited_ms: int, now: int) -> bool:
        quiet = self._ear.quiet(now) >= move.quiet_ms * BYTES_PER_MS
        if self._ear.reply is not None and quiet:
            self._ear.rest(now)
        elif waited_ms >= move.timeout_ms:
            self._ear.expect(now)
        else:
            return False
        return True

    def _hang_up(self, *, abrupt: bool, owed: bool = True) -> None:
        setup = self.setup
        if not abrupt:
            self._send(
                Stop(setup.stream_sid, setup.account_sid, setup.call_sid, self._next_sequence())
            )
        self._out.append(Close(abrupt))
        self._end("hung_up", owed=owed)

    def _end(self, how: Literal["hung_up", "closed"], *, owed: bool = True) -> None:
        now_ms = self._zero_ms if self._now_ms is None else self._now_ms
        self._ear.close((now_ms - self._zero_ms) * BYTES_PER_MS, owed=owed)
        self._lost += len(self._under_way)
        self._under_way.clear()
        self._ended = how
        self._state = _State.DONE


def _ceil_ms(samples: int) -> int:
    return -(-samples // BYTES_PER_MS)
