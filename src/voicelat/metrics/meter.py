"""The six numbers for people who keep their own loop: say what happens, get turns.

Five calls on one object per phone call, from any thread, give all six numbers::

    meter = CallMeter(CallInfo(call_id=call_sid, source="my-bot"), recorder.record)
    meter.speech_started()        # the caller's voice begins
    meter.partial("I need a")     # the recogniser's interim results
    meter.final("I need a room")  # ... and its final
    meter.tts_ready()             # the reply's first audible audio is in hand
    meter.audio_sent(20)          # audible audio was handed to Twilio: 20 ms of it
    meter.close()                 # the call is over

Each further call makes a number exact that is otherwise counted from the nearest instant that is
known. A record never hides that: its stamps hold only what was told, and ``counted_from`` names
the numbers that begin elsewhere than they are defined to. ``docs/existing-servers.md`` has the
table.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

import msgspec

from voicelat.clock import CallClock, Clock
from voicelat.metrics.meter_turn import MeteredTurn, words_of
from voicelat.metrics.record import CallInfo, EouReason, Stamp, TurnRecord

__all__ = ["CallMeter"]

_LATEST_MS: Final = 10**12
"""A wall clock in ms is above it: on the call clock that is a mistake."""


class CallMeter:
    """The meter of one call. Thread-safe; nothing it does blocks, and nothing raises.

    ``on_turn`` gets each turn when it can no longer change: when the next one is settled, and at
    `close`. Times are milliseconds on the call clock; without one it is now. ``clock`` is that
    clock, None takes the system's from here on: make the meter at Twilio's ``start``.

    A call in an order that makes no sense changes nothing and is counted in ``ignored``.
    """

    def __init__(
        self,
        call: CallInfo,
        on_turn: Callable[[TurnRecord], None],
        *,
        clock: Clock | None = None,
    ) -> None:
        if call.started_utc is None:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            call = msgspec.structs.replace(call, started_utc=now)
        self._call = call
        self._on_turn = on_turn
        self._clock = clock or CallClock()
        self._lock = threading.RLock()
        self._turn: MeteredTurn | None = None
        self._before: MeteredTurn | None = None
        """The turn before, answered: the caller's next words tell whether they interrupted it."""
        self._told = 0
        self._closed = False
        self.ignored: Counter[str] = Counter()
        """Calls that changed nothing, by what was odd about them."""

    # -- the five ------------------------------------------------------------------------------

    def speech_started(self, at_ms: float | None = None) -> None:
        """The caller's voice began, by your detector or the recogniser's event.

        Before any audio of a reply the caller goes on with the same turn; after it this is the
        next one, and interrupts the reply if that is still being played (see `audio_sent`).
        """
        with self._lock:
            now_ms = self._time("speech_started", at_ms)
            if now_ms is None:
                return
            turn = self._turn
            if turn is None or turn.sounded:
                self._begin(now_ms)
            elif "turn_end" in turn.at:
                turn.resumed_ms, turn.resumed_end_ms = now_ms, None
            elif turn.can_be_answered:
                turn.at.pop("speech_end", None)
                turn.at.setdefault("speech_start", now_ms)
            else:  # what was heard before brought no words: it was not speech
                turn.at.pop("speech_end", None)
                turn.at["speech_start"] = now_ms

    def partial(self, text: str = "", at_ms: float | None = None) -> None:
        """The recogniser's words so far behind its last final. Without ``text`` each call counts
        as a change of them."""
        with self._lock:
            turn, now_ms = self._listening("partial", at_ms)
            if turn is None or now_ms is None:
                return
            text = _text(text)
            if text and words_of(text) == words_of(turn.partial):
                return
            if turn.resumed_ms is None and turn.decided:
                self.ignored["partial after the turn was over"] += 1
                return
            if "turn_end" in turn.at:  # words behind a final: it was not the last
                turn.go_on()
            turn.partial = text
            turn.at.setdefault("first_partial", now_ms)
            turn.at["last_partial"] = now_ms

    def final(self, text: str = "", at_ms: float | None = None) -> None:
        """The recogniser will not change these words any more. It settles the turn, unless the
        reply was begun before: then it only tells whether that was on the whole text."""
        with self._lock:
            turn, now_ms = self._listening("final", at_ms)
            if turn is None or now_ms is None:
                return
            if turn.resumed_ms is not None:
                turn.go_on()
            decided = turn.decided
            turn.finals.append(_text(text))
            turn.partial = ""
            turn.at.setdefault("first_partial", now_ms)
            turn.at["stt_final"] = now_ms
            if decided:
                return
            turn.at["turn_end"], turn.eou_reason = now_ms, "silence"
            if not turn.replying:
                turn.acted_on = turn.text
            self._pass_before()

    def tts_ready(self, at_ms: float | None = None) -> None:
        """The first audible audio of the reply is in hand. Later audio changes nothing."""
        self._reply("tts_ready", at_ms, settles=False)

    def audio_sent(
        self, audio_ms: float | None = None, at_ms: float | None = None, *, filler: bool = False
    ) -> None:
        """Audible audio of the reply was handed to the socket.

        ``audio_ms`` is how long it plays, None if you do not know: then only `barge_in` tells an
        interruption. ``filler``: it says nothing yet ("One moment"), and counts for the total
        alone. Say it of the first audio of a reply, and of all of it if you know its length.
        """
        with self._lock:
            turn, now_ms = self._turn, self._time("audio_sent", at_ms)
            if now_ms is None:
                return
            if turn is None or not turn.can_be_answered:
                self.ignored["audio_sent with nothing to answer"] += 1
                return
            self._pass_before()
            turn.at.setdefault("first_audio_sent", now_ms)
            if not filler:
                turn.at.setdefault("first_content_sent", now_ms)
            length_ms = _ms(audio_ms)
            if length_ms is not None:
                turn.plays_until_ms = max(turn.plays_until_ms or now_ms, now_ms) + length_ms

    # -- what makes the numbers exact -----------------------------------------------------------

    def speech_ended(self, at_ms: float | None = None) -> None:
        """The caller's voice ended: give the instant of the last voiced audio, not of noticing."""
        with self._lock:
            turn, now_ms = self._turn, self._time("speech_ended", at_ms)
            if now_ms is None:
                return
            if turn is None or turn.sounded:
                self.ignored["speech_ended without speech"] += 1
                return
            if turn.resumed_ms is not None:
                turn.resumed_end_ms = now_ms
            else:
                turn.at["speech_end"] = now_ms

    def turn_ended(self, reason: EouReason, at_ms: float | None = None) -> None:
        """You decided to answer, and why: for those who do not wait for a final."""
        with self._lock:
            turn, now_ms = self._listening("turn_ended", at_ms)
            if turn is None or now_ms is None:
                return
            turn.at["turn_end"] = now_ms
            turn.eou_reason, turn.acted_on = reason, turn.text
            self._pass_before()

    def reply_started(self, at_ms: float | None = None) -> None:
        """The model was asked. Without a final before it, this settles the turn."""
        self._reply("reply_start", at_ms, settles=True)

    def llm_token(self, at_ms: float | None = None) -> None:
        """The first text of the model."""
        self._reply("llm_first_token", at_ms, settles=True)

    def tts_requested(self, at_ms: float | None = None) -> None:
        """The first words of the reply were handed to the voice."""
        self._reply("tts_request", at_ms, settles=True)

    def mark_heard(self, at_ms: float | None = None) -> None:
        """The mark behind the first audible audio came back."""
        with self._lock:
            turn, now_ms = self._turn, self._time("mark_heard", at_ms)
            if now_ms is None:
                return
            if turn is None or not turn.sounded:
                self.ignored["mark_heard without audio"] += 1
                return
            turn.at.setdefault("first_audio_heard", now_ms)

    def barge_in(self, at_ms: float | None = None) -> None:
        """You cleared the playout because the caller interrupted."""
        with self._lock:
            now_ms = self._time("barge_in", at_ms)
            if now_ms is None:
                return
            turn = self._before or self._turn
            if turn is None or not turn.sounded:
                self.ignored["barge_in without a reply"] += 1
                return
            turn.at["barge_in"] = now_ms

    def close(self) -> None:
        """The call is over: what is open is told. Safe to call twice."""
        with self._lock:
            self._pass_before()
            turn, self._turn = self._turn, None
            self._closed = True
            if turn is None:
                return
            if turn.can_be_answered:
                self._tell(turn)
            else:
                self.ignored["speech without words"] += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -- inside ---------------------------------------------------------------------------------

    def _time(self, what: str, at_ms: float | None) -> int | None:
        """None: nothing can happen then, or any more."""
        if self._closed:
            self.ignored[f"{what} after the call"] += 1
            return None
        now_ms = self._clock.now_ms() if at_ms is None else _ms(at_ms)
        if now_ms is None:
            self.ignored[f"{what} at a time that is none"] += 1
        return now_ms

    def _listening(self, what: str, at_ms: float | None) -> tuple[MeteredTurn | None, int | None]:
        """The turn that words are of; words without voice begin one."""
        now_ms = self._time(what, at_ms)
        if now_ms is None:
            return None, None
        turn = self._turn
        if turn is not None and turn.sounded:
            until_ms = turn.plays_until_ms
            over = "barge_in" in turn.at or (until_ms is not None and until_ms <= now_ms)
            if turn.resumed_ms is None and not over:
                self.ignored[f"{what} after the reply sounded"] += 1
                return None, None
            self._begin(turn.resumed_ms)
        elif turn is None:
            self._begin(None)
        return self._turn, now_ms

    def _begin(self, speech_start_ms: int | None) -> None:
        """The next turn, of voice or (None) of words without."""
        self._before, self._turn = self._turn, MeteredTurn()
        if speech_start_ms is not None:
            self._turn.at["speech_start"] = speech_start_ms

    def _reply(self, name: Stamp, at_ms: float | None, *, settles: bool) -> None:
        with self._lock:
            turn, now_ms = self._turn, self._time(name, at_ms)
            if now_ms is None:
                return
            if turn is None or turn.sounded:
                self.ignored[f"{name} with nothing to answer"] += 1
                return
            if settles:
                turn.settle(now_ms)
            turn.acted_on = turn.text if turn.acted_on is None else turn.acted_on
            turn.at.setdefault(name, now_ms)
            self._pass_before()

    def _pass_before(self) -> None:
        """The turn before can no longer change: whether it was interrupted is known now."""
        before, self._before = self._before, None
        if before is None:
            return
        after = self._turn
        if after is not None and after.can_be_answered:
            before.note_voice(after.at.get("speech_start"))
        self._tell(before)

    def _tell(self, turn: MeteredTurn) -> None:
        self._told += 1
        record = turn.record(self._call, self._told)
        try:
            self._on_turn(record)
        except Exception:  # noqa: BLE001 - foreign code: its bug must not reach the call
            self.ignored["on_turn failed"] += 1


def _ms(value: object) -> int | None:
    """None for what is no time on a call clock, a wall clock's above all."""
    if isinstance(value, int | float) and -_LATEST_MS < value < _LATEST_MS:
        return round(value)
    return None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
