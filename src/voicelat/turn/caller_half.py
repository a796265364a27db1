"""The caller's half of the machine: voice, words, and whether the turn is over."""

from __future__ import annotations

from typing import Final, Literal

from voicelat.errors import IllegalMove
from voicelat.metrics.record import EouReason
from voicelat.turn.config import TurnConfig
from voicelat.turn.endpointing import Endpointing, EndpointPolicy, Pause, endpointing
from voicelat.turn.states import CALLER_MOVES, Caller, CallerMove
from voicelat.turn.timers import Timer, Timers
from voicelat.turn.transcript import TurnText

__all__ = ["CallerHalf", "Verdict"]

Verdict = EouReason | Literal["speculate", "ignore"]
"""What a pause amounts to: the turn is over (and why), work may start, or it was nothing."""

_PAUSE_TIMERS: Final = (Timer.HANGOVER, Timer.DEBOUNCE, Timer.STT_TIMEOUT)


class CallerHalf:
    """Caller {silent, speaking, paused} and the text of the turn the caller holds."""

    __slots__ = (
        "_config",
        "_endpointing",
        "_final_here",
        "_heard_here",
        "_hint",
        "_keys",
        "_policy",
        "_segment_ms",
        "_timers",
        "_voiced_ms",
        "_words_ms",
        "speech_end_ms",
        "state",
        "text",
    )

    def __init__(self, config: TurnConfig, policy: EndpointPolicy, timers: Timers) -> None:
        self._config = config
        self._policy = policy
        self._timers = timers
        self.state = Caller.SILENT
        self._final_here = False
        self._heard_here = False
        self._keys = False
        self._hint: float | None = None
        self._words_ms = 0
        self._endpointing: Endpointing | None = None
        self.new_turn()

    def new_turn(self) -> None:
        """Forget the words and voice of the last turn, not the state."""
        self.text = TurnText()
        self.speech_end_ms: int | None = None
        """Acoustic end of the voice before this pause. None: words without voice."""
        self._voiced_ms = 0
        self._segment_ms = 0
        self._new_pause()

    def may(self, move: CallerMove) -> bool:
        """Whether the table has this move now."""
        return (self.state, move) in CALLER_MOVES

    def move(self, move: CallerMove) -> None:
        """Make a move. Raises IllegalMove, and changes nothing, where the table has none."""
        try:
            self.state = CALLER_MOVES[self.state, move]
        except KeyError:
            raise IllegalMove(f"caller: {move} while {self.state}") from None

    def adopt(self, text: TurnText, voice_ms: int | None) -> None:
        """Begin a turn with what was said over the agent: voice since ``voice_ms``, words."""
        self.new_turn()
        self.text = text
        self._segment_ms = 0 if voice_ms is None else voice_ms

    def voice(self, at_ms: int) -> None:
        """Voice begins or goes on."""
        paused = self.state is Caller.PAUSED
        self.move(CallerMove.VOICE)
        if paused:
            self.went_on(at_ms)
        self._segment_ms = at_ms
        self._timers.cancel(*_PAUSE_TIMERS)

    def pause(self, at_ms: int) -> None:
        """Voice falls silent inside the turn."""
        self.move(CallerMove.PAUSE)
        self._voiced_ms += max(0, at_ms - self._segment_ms)
        self.speech_end_ms = at_ms
        self._new_pause()
        if self.text.heard_ms is not None and self.text.heard_ms >= at_ms:
            # The transcript overtook the event that says the voice stopped: the order in which
            # they come must not add a wait (pipecat #5416).
            self._words_are_here()

    def words_without_voice(self, speech_end_ms: int | None) -> None:
        """Words open a turn, or go on after it, although no voice lasts. ``speech_end_ms``:
        where the short voice behind them ended, None when there was none."""
        self.move(CallerMove.WORDS)
        self._new_pause()
        self.speech_end_ms = speech_end_ms
        if self.text.words:
            self._words_are_here()

    def end(self, move: CallerMove) -> None:
        """Leave the pause: the turn is over, or was nothing."""
        self.move(move)
        self._timers.cancel(*_PAUSE_TIMERS)

    @property
    def doubtful(self) -> bool:
        """Whether the caller has to be asked again: no words, or words nobody can be sure of."""
        if not self.text.words:
            return True
        asked = self._config.min_confidence
        confidence = self.text.confidence if asked else None
        return confidence is not None and confidence < asked

    def guess(self, text: str, now_ms: int) -> None:
        """Take ``text`` in place of what the recogniser made of the turn."""
        self.text = TurnText()
        self.text.put(text, now_ms, final=True)

    def hear(self, text: str, now_ms: int, *, final: bool, confidence: float | None = None) -> bool:
        """Take a transcript. Returns whether the words changed."""
        changed = self.text.put(text, now_ms, final=final, confidence=confidence)
        if self.state is Caller.PAUSED:
            self._heard_here = True
            self._final_here = final or (self._final_here and not changed)
            self._words_ms = now_ms
            self._endpointing = None
        return changed

    def press(self, digit: str, now_ms: int) -> None:
        """Take a key press while paused: it waits for the next key, ``#`` for nothing."""
        self.text.put_digit(digit, now_ms)
        self._keys = True
        self._final_here = True
        self._endpointing = None
        self._words_ms = now_ms - self._config.dtmf_gap_ms if digit == "#" else now_ms

    def hint(self, probability: float) -> None:
        """Take an endpoint hint for this pause."""
        self._hint = probability
        self._endpointing = None

    def confirm(self) -> None:
        """The final came after the turn was over: the policy judges anew."""
        self._final_here = True
        self._endpointing = None

    def went_on(self, at_ms: int) -> None:
        """The caller's voice went on at ``at_ms`` in the turn of the last pause: the policy may
        learn from its length."""
        if self.speech_end_ms is not None:
            self._policy.resumed(max(0, at_ms - self.speech_end_ms))

    def gate_ms(self, now_ms: int) -> int:
        """When the speak gate opens for the turn that ended at ``now_ms``."""
        start = now_ms if self.speech_end_ms is None else self.speech_end_ms
        return start + self._waits().gate_ms

    def consider(self, now_ms: int) -> Verdict | None:
        """Judge the pause. None: not yet; the timers for the next look are armed."""
        over_ms = self._hangover_ends_ms()
        stable_ms = self._stable_from_ms()
        stable = stable_ms is not None and now_ms >= stable_ms
        self._timers.cancel(*_PAUSE_TIMERS)
        if now_ms < over_ms:
            self._timers.arm(Timer.HANGOVER, over_ms)
            if stable_ms is not None and not stable:
                self._timers.arm(Timer.DEBOUNCE, stable_ms)
            ready = self._final_here or (self._heard_here and stable)
            may = self._waits().speculate and not self._keys
            return "speculate" if ready and not self.doubtful and may else None
        if self._final_here:
            return "silence" if self.is_utterance_at(now_ms) else "ignore"
        if stable:
            return "debounce"
        deadline_ms = over_ms + self._config.stt_timeout_ms
        if now_ms >= deadline_ms:
            return "timeout" if self.is_utterance_at(now_ms) else "ignore"
        self._timers.arm(Timer.STT_TIMEOUT, deadline_ms)
        if stable_ms is not None:
            self._timers.arm(Timer.DEBOUNCE, stable_ms)
        return None

    @property
    def last_ms(self) -> int:
        """Where the voice of this turn last began or ended; its next change comes after."""
        return max(self._segment_ms, self.speech_end_ms or 0)

    @property
    def final_here(self) -> bool:
        """Whether the recogniser has given its final in this pause."""
        return self._final_here

    def is_utterance_at(self, now_ms: int) -> bool:
        """Whether what was said so far is worth a record: words, or voice of some length."""
        voiced_ms = self._voiced_ms
        if self.state is Caller.SPEAKING:
            voiced_ms += max(0, now_ms - self._segment_ms)
        return bool(self.text.words) or voiced_ms >= self._config.min_utt_ms

    def _new_pause(self) -> None:
        self._final_here = False
        self._heard_here = False
        self._keys = False
        self._hint = None
        self._words_ms = 0
        self._endpointing = None

    def _words_are_here(self) -> None:
        self._heard_here = True
        self._final_here = not self.text.open

    def _hangover_ends_ms(self) -> int:
        if self._keys:
            return self._words_ms + self._config.dtmf_gap_ms
        start = self._words_ms if self.speech_end_ms is None else self.speech_end_ms
        return start + self._waits().hangover_ms

    def _stable_from_ms(self) -> int | None:
        """When the text counts as stable. None: no text has come since the voice began."""
        text = self.text
        if text.changed_ms is None or text.heard_ms is None or not text.words:
            return None
        if text.heard_ms < self._segment_ms:
            return None
        return text.changed_ms + self._config.debounce_ms

    def _waits(self) -> Endpointing:
        if self._endpointing is None:
            pause = Pause(self._voiced_ms, self.text.text, self._final_here, self._hint)
            self._endpointing = endpointing(
                self._config.hangover_ms, self._config.speak_gate_ms, self._policy.judge(pause)
            )
        return self._endpointing
