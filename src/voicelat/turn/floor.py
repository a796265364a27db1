"""Who has the floor: the two halves coupled, turn by turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import assert_never

from voicelat.metrics.record import CallInfo, EouReason
from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.agent_half import AgentHalf
from voicelat.turn.barge_in import is_backchannel, is_cutoff
from voicelat.turn.caller_half import CallerHalf
from voicelat.turn.config import TurnConfig
from voicelat.turn.draft import Draft
from voicelat.turn.endpointing import EndpointPolicy
from voicelat.turn.overlap import Overlap
from voicelat.turn.owed import OwedFinal
from voicelat.turn.states import Agent, Caller, CallerMove
from voicelat.turn.timers import Timer, Timers
from voicelat.turn.transcript import TurnText, words_of

__all__ = ["Floor"]


class Floor:
    """Opens, ends, re-opens and closes turns as the caller and the agent take the floor.

    The machine says what time it is (``now_ms``), then what happened.
    """

    def __init__(
        self,
        config: TurnConfig,
        call: CallInfo,
        policy: EndpointPolicy,
        timers: Timers,
        emit: Callable[[do.Effect], None],
    ) -> None:
        self._config = config
        self._call = call
        self._timers = timers
        self._emit = emit
        self._draft: Draft | None = None
        """The turn the caller holds, or whose reply is awaited or played."""
        self._overlap = Overlap()
        self._owed = OwedFinal()
        self._turns = 0
        self.now_ms = 0
        self.caller = CallerHalf(config, policy, timers)
        self.agent = AgentHalf(config, timers, emit)
        self.dropped: Counter[str] = Counter()
        """Events that changed nothing, by why: stale ones, impossible ones, mere noises."""
        if config.greeting:
            self._draft = Draft(0)
            self._draft.stamp("turn_end", 0)

    def on_timer(self, timer: Timer) -> None:
        """A timer is due."""
        draft = self._draft
        if draft is None:  # pragma: no cover - no timer outlives its turn
            return
        match timer:
            case Timer.ONSET:
                self._onset()
            case Timer.HANGOVER | Timer.DEBOUNCE | Timer.STT_TIMEOUT:
                self._consider()
            case Timer.GATE:
                self.agent.open_gate(draft, self.now_ms)
            case Timer.REPLY:
                if self.agent.audio_is_late(draft, self.now_ms):
                    self._close(draft, None)
            case Timer.PLAYOUT:
                if self.agent.playout_is_late(draft):
                    self._close(draft, self.agent.heard)
            case _:
                assert_never(timer)

    # -- voice, words and keys ----------------------------------------------------------------

    def on_voice(self, at_ms: int) -> None:
        """The caller's voice began at ``at_ms``: in a turn, or over the agent."""
        at_ms = self._instant(at_ms)
        if not self.caller.may(CallerMove.VOICE):
            self.dropped["voice while speaking"] += 1
            return
        draft = self._draft or self._open_turn(at_ms)
        self.caller.voice(at_ms)
        if draft.over:
            self._overlap.begin(at_ms)
            self._timers.arm(Timer.ONSET, at_ms + self._config.onset_ms)
            self.agent.hold()
        else:
            self.agent.cancel(draft, "resumed")

    def on_silence(self, at_ms: int) -> None:
        """It fell silent at ``at_ms``."""
        at_ms = self._instant(at_ms)
        if self.caller.state is not Caller.SPEAKING:
            self.dropped["silence while silent"] += 1
        elif self._overlap.voice_ms is None:
            self.caller.pause(at_ms)
            self._consider()
        else:
            self.caller.move(CallerMove.IGNORED)
            self._timers.cancel(Timer.ONSET)
            self._overlap.fade(at_ms)
            self.agent.release()
            self.dropped["voice too short to interrupt"] += 1
            assert self._draft is not None
            self.agent.open_gate(self._draft, self.now_ms)

    def on_text(self, text: str, *, final: bool, confidence: float | None = None) -> None:
        """The recogniser says ``text``: sorted by whose turn it is about.

        ``confidence``: 0..1, None when it tells none.
        """
        if confidence is not None and not 0 <= confidence <= 1:
            self.dropped["impossible confidence"] += 1
            confidence = None
        lately = self._overlap.heard_lately(self.now_ms)
        voice = lately or self.caller.state is not Caller.SILENT
        new = self._owed.new_part(text, self.now_ms, final=final, voice=voice)
        draft = self._draft
        if new is None:
            self._late_text(self._owed.late_part(text), final=final, confidence=confidence)
        elif draft is not None and draft.over:
            self._overlapping_text(new, final=final, confidence=confidence)
        elif draft is not None:
            self._turn_text(draft, new, final=final, confidence=confidence)
        elif not new or (lately and is_backchannel(new)):
            self.dropped["words without a turn"] += 1
        else:
            self._turn_text(self._open_turn(None), new, final=final, confidence=confidence)

    def _instant(self, at_ms: int) -> int:
        """``at_ms`` if the caller's voice can have changed then, else the nearest such instant."""
        possible_ms = min(max(at_ms, self.caller.last_ms), self.now_ms)
        if possible_ms != at_ms:
            self.dropped["impossible instant"] += 1
        return possible_ms

    def _turn_text(self, draft: Draft, text: str, *, final: bool, confidence: float | None) -> None:
        changed = self.caller.hear(text, self.now_ms, final=final, confidence=confidence)
        draft.hear(self.now_ms if changed else None, self.now_ms, final=final)
        if changed:
            self.agent.words_changed(draft, self.caller.text.words)
        self._consider()

    def _overlapping_text(self, text: str, *, final: bool, confidence: float | None) -> None:
        """Words while the agent has the floor: an interruption only with a voice behind it."""
        overlap = self._overlap
        if overlap.heard_lately(self.now_ms):
            overlap.text.put(text, self.now_ms, final=final, confidence=confidence)
            if overlap.text.words and not overlap.only_nods:
                self._take_floor(overlap.blip_ms)
                self._consider()
        else:  # once we sound, a recogniser also hears our echo: that settles nothing
            final = final and self.agent.state is Agent.THINKING
            self._late_text(text, final=final, confidence=confidence)

    def _late_text(self, text: str, *, final: bool, confidence: float | None) -> None:
        """Words for a turn that is over already. Until the gate opens a final can still be
        acted on: the reply is started over. After that it is only counted."""
        draft = self._draft
        if not final or draft is None or not draft.over or draft.turn == 0:
            self.dropped["late words"] += 1
            return
        draft.settle_final(text, self.now_ms)
        if not (words_of(text) and self.agent.uncommitted) or draft.guessed:
            return
        words = self.caller.text
        words.put(text, self.now_ms, final=True, confidence=confidence)
        self.caller.confirm()
        draft.confidence = words.confidence
        if draft.clipped or self.caller.doubtful:
            draft.correct(words, self.caller.speech_end_ms, self.now_ms)
            self._reply(draft)
        if self._gate_can_move():
            self._move_gate()

    def on_fallback(self, turn: int, text: str) -> None:
        """The fallback transcriber is sure of a turn's words. Until the gate opens they are acted
        on like the recogniser's own; after that the caller is being asked, and may be about to
        answer: to speak then would be to interrupt."""
        draft, silent = self._draft, self.caller.state is Caller.SILENT
        asking = draft is not None and draft.turn == turn and draft.fallback
        if draft is None or not (asking and silent and self.agent.uncommitted and words_of(text)):
            self.dropped["late fallback"] += 1
            return
        self.caller.guess(text, self.now_ms)
        draft.guess(text, self.now_ms)
        self._reply(draft)

    def on_hint(self, probability: float) -> None:
        """An estimate that the turn is over, for the policy. Work may have begun already: until
        the gate opens, the estimate can still move it."""
        if self.caller.state is Caller.PAUSED:
            self.caller.hint(probability)
            self._consider()
        elif self._gate_can_move():
            self.caller.hint(probability)
            self._move_gate()
        else:
            self.dropped["hint outside a pause"] += 1

    def on_key(self, digit: str) -> None:
        """A key interrupts the agent at once; keys and their pauses make a turn of their own."""
        if self.caller.state is Caller.SPEAKING:
            self.dropped["key while speaking"] += 1
            return
        draft = self._draft
        if draft is None:
            draft = self._open_turn(None)
        elif draft.over:
            draft = self._take_floor(None)
        self.caller.press(digit, self.now_ms)
        self.agent.words_changed(draft, self.caller.text.words)
        draft.stamp_once("first_partial", self.now_ms)
        self._consider()

    # -- when is the turn over ----------------------------------------------------------------

    def _consider(self) -> None:
        draft, caller = self._draft, self.caller
        if draft is None or caller.state is not Caller.PAUSED:
            return
        match caller.consider(self.now_ms):
            case None:
                pass
            case "speculate":
                self.agent.speculate(draft, caller.text.text, caller.text.words, self.now_ms)
            case "ignore":
                caller.end(CallerMove.IGNORED)
                self._draft = None
                self.dropped["too short for an utterance"] += 1
            case reason:
                self._end_turn(draft, reason)

    def _open_turn(self, at_ms: int | None) -> Draft:
        """A turn begins: with voice at ``at_ms``, or with words alone (None)."""
        self._draft = draft = Draft(self._turns + 1)
        self._overlap.clear()
        self.caller.new_turn()
        if at_ms is None:
            self.caller.words_without_voice(None)
        else:
            draft.stamp("speech_start", at_ms)
        return draft

    def _end_turn(self, draft: Draft, reason: EouReason) -> None:
        caller, words, now_ms = self.caller, self.caller.text, self.now_ms
        self._turns = draft.turn
        draft.end(reason, words, caller.speech_end_ms, now_ms, final=caller.final_here)
        if not caller.final_here:
            self._owed.expect(words.open, now_ms)
            self._emit(do.FinalizeStt(draft.turn))
        self._timers.arm(Timer.GATE, max(caller.gate_ms(now_ms), now_ms))
        caller.end(CallerMove.TURN_OVER)
        self._reply(draft)

    def _reply(self, draft: Draft) -> None:
        """The turn is over with the caller's words as they are now: act on them."""
        words = self.caller.text
        if self.caller.doubtful:
            self.agent.ask_to_repeat(draft, words.words, self.now_ms)
        else:
            self.agent.words_changed(draft, words.words)
            self.agent.answer(draft, words.text, words.words, self.now_ms)

    def _gate_can_move(self) -> bool:
        """Whether the turn is over, the caller still silent, and the gate still to open."""
        silent = self.caller.state is Caller.SILENT and self.caller.speech_end_ms is not None
        return silent and self._timers.armed(Timer.GATE)

    def _move_gate(self) -> None:
        """The policy may think otherwise now."""
        self._timers.arm(Timer.GATE, max(self.caller.gate_ms(self.now_ms), self.now_ms))

    # -- the floor ----------------------------------------------------------------------------

    def _onset(self) -> None:
        if self._overlap.only_nods:
            self._timers.arm(Timer.ONSET, self.now_ms + max(1, self._config.onset_ms))
        else:
            self._take_floor(None)

    def _take_floor(self, speech_end_ms: int | None) -> Draft:
        """The caller's voice over the agent is real: re-open the turn, or interrupt the reply.

        ``speech_end_ms``: where that voice ended, when only its words tell that it was real.
        """
        draft = self._draft
        assert draft is not None
        voice_ms, words = self._overlap.take()
        self.agent.release()
        self._timers.cancel(Timer.ONSET, Timer.GATE)
        if self.agent.state is Agent.SPEAKING or draft.turn == 0:
            self._interrupt(draft, voice_ms if voice_ms is not None else speech_end_ms)
            draft = self._next_turn(voice_ms, words)
        else:
            self.agent.cancel(draft, "reopened")
            if voice_ms is not None:
                self.caller.went_on(voice_ms)
            self.caller.text.absorb(words)
            draft.reopen()
            draft.adopt(words)
        if voice_ms is None:
            self.caller.words_without_voice(speech_end_ms)
        return draft

    def _interrupt(self, draft: Draft, voice_ms: int | None) -> None:
        sent_ms = draft.at("first_audio_sent")
        draft.stamp("barge_in", self.now_ms)
        if voice_ms is not None and sent_ms is not None:
            draft.cutoff = is_cutoff(voice_ms, sent_ms)
            if draft.cutoff:
                self.caller.went_on(voice_ms)
        self.agent.cancel(draft, "barge_in")
        self._emit(do.ClearPlayout(draft.turn))
        self._close(draft, self.agent.heard)

    def _next_turn(self, voice_ms: int | None, words: TurnText) -> Draft:
        """The voice and words over the agent's reply become the caller's next turn."""
        self._draft = draft = Draft(self._turns + 1)
        self.caller.adopt(words, voice_ms)
        if voice_ms is not None:
            draft.stamp("speech_start", voice_ms)
        draft.adopt(words)
        return draft

    # -- the end of a turn --------------------------------------------------------------------

    def on_reply_event(self, event: on.ReplyEvent) -> None:
        """Something happened to a reply: the live one, or it is dropped."""
        draft = self._draft
        if draft is None or not self.agent.is_live(event.turn, event.attempt):
            self.dropped["stale reply event"] += 1
        elif not self.agent.may(event, draft):
            self.dropped["impossible reply event"] += 1
        elif self.agent.handle(event, draft, self.now_ms):
            self._close(draft, None)

    def on_mark(self, name: str) -> None:
        """A mark came back."""
        draft = self._draft
        if draft is None:
            self.dropped["unknown mark"] += 1
            return
        expected, over = self.agent.echoed(name, draft, self.now_ms)
        if not expected:
            self.dropped["unknown mark"] += 1
        elif over:
            self._close(draft, None)

    def _close(self, draft: Draft, heard: str | None) -> None:
        """The turn is over and measured; voice over its end begins the next one.

        ``heard``: what the marks confirm of the reply, None when it was all of it.
        """
        draft.stamp("reply_end", self.now_ms)
        if draft.turn > 0:
            self._emit(do.TurnClosed(draft.record(self._call, heard)))
        self._draft = None
        self._timers.cancel(Timer.ONSET, Timer.GATE)
        if self._overlap.voice_ms is not None:
            self.agent.release()
            self._next_turn(*self._overlap.take())

    def on_stop(self) -> None:
        """The call is over: close the turn if there is anything to tell of it."""
        draft = self._draft
        if draft is None:
            return
        if draft.over or self.caller.is_utterance_at(self.now_ms):
            draft.text = draft.text or self.caller.text.text
            self.agent.cancel(draft, "stopped")
            self._overlap.clear()
            self._close(draft, self.agent.heard if draft.at("first_audio_sent") else None)
        else:
            self._draft = None
