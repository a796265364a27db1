"""The turn machine: caller and agent coupled, one door in and one door out.

`TurnMachine.handle` takes an event and the time and answers with effects; `deadline_ms` says
when to come back with a `Tick`. The same input gives the same output, so one machine runs live,
in virtual time, and over recorded traces. Audio never enters it, only durations.

Timers that are due fire before the event that found them late: a stalled driver gets the same
effects, only later.
"""

from __future__ import annotations

from collections import Counter
from typing import assert_never

from voicelat.errors import ClockWentBack
from voicelat.metrics.record import CallInfo, EouReason
from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.agent_half import AgentHalf
from voicelat.turn.barge_in import is_backchannel, is_cutoff
from voicelat.turn.caller_half import CallerHalf
from voicelat.turn.config import TurnConfig
from voicelat.turn.draft import Draft
from voicelat.turn.endpointing import EndpointPolicy, FixedHangover
from voicelat.turn.overlap import Overlap
from voicelat.turn.owed import OwedFinal
from voicelat.turn.states import Agent, Caller, CallerMove
from voicelat.turn.timers import Timer, Timers
from voicelat.turn.transcript import TurnText

__all__ = ["TurnMachine"]


class TurnMachine:
    """All turns of one call.

    ``config``: the settings. ``call``: what every record of this call has in common.
    ``policy``: how long a pause must be to end a turn; None takes the fixed hangover.
    """

    def __init__(
        self, config: TurnConfig, call: CallInfo, policy: EndpointPolicy | None = None
    ) -> None:
        self._config = config
        self._call = call
        self._timers = Timers()
        policy = policy or FixedHangover(config.hangover_ms, config.speak_gate_ms)
        self._caller = CallerHalf(config, policy, self._timers)
        self._agent = AgentHalf(config, self._timers, self._emit)
        self._draft: Draft | None = None
        """The turn the caller holds, or whose reply is awaited or played."""
        self._overlap = Overlap()
        self._owed = OwedFinal()
        self._turns = 0
        self._now_ms = 0
        self._stopped = False
        self._effects: list[do.Effect] = []
        self.dropped: Counter[str] = Counter()
        """Events that changed nothing, by why: stale ones, impossible ones, mere noises."""
        if config.greeting:
            self._draft = Draft(0)
            self._draft.stamp("turn_end", 0)

    @property
    def deadline_ms(self) -> int | None:
        """When to call `handle` with a `Tick` at the latest. None: only events matter."""
        return self._timers.next_ms

    @property
    def caller(self) -> Caller:
        """What the caller is doing."""
        return self._caller.state

    @property
    def agent(self) -> Agent:
        """What the agent is doing."""
        return self._agent.state

    @property
    def live_reply(self) -> tuple[int, int] | None:
        """Turn and attempt of the live reply, None without one."""
        reply = self._agent.reply
        return None if reply is None else (reply.turn, reply.attempt)

    def handle(self, event: on.Event, now_ms: int) -> list[do.Effect]:
        """Take an event at ``now_ms``. Returns what to do, in order.

        Raises ClockWentBack, and changes nothing, when ``now_ms`` is before the last one.
        """
        if now_ms < self._now_ms:
            raise ClockWentBack(f"event at {now_ms} ms after one at {self._now_ms} ms")
        self._now_ms = now_ms
        self._effects = []
        if self._stopped:
            self.dropped["after stop"] += 1
            return self._effects
        self._fire_due()
        self._apply(event)
        self._fire_due()
        return self._effects

    def _emit(self, effect: do.Effect) -> None:
        self._effects.append(effect)

    # -- dispatch -----------------------------------------------------------------------------

    def _apply(self, event: on.Event) -> None:
        match event:
            case on.Tick():
                pass
            case on.SpeechStarted(at_ms=at_ms):
                self._on_voice(self._instant(at_ms))
            case on.SpeechStopped(at_ms=at_ms):
                self._on_silence(self._instant(at_ms))
            case on.Partial(text=text):
                self._on_text(text.strip(), final=False)
            case on.Final(text=text):
                self._on_text(text.strip(), final=True)
            case on.MarkEchoed(name=name):
                self._on_mark(name)
            case on.EndpointHint(probability=probability):
                self._on_hint(probability)
            case on.Dtmf(digit=digit):
                self._on_key(digit)
            case on.StreamStopped():
                self._on_stop()
            case _:
                self._on_reply_event(event)

    def _on_reply_event(self, event: on.ReplyEvent) -> None:
        draft = self._draft
        if draft is None or not self._agent.is_live(event.turn, event.attempt):
            self.dropped["stale reply event"] += 1
        elif not self._agent.may(event, draft):
            self.dropped["impossible reply event"] += 1
        elif self._agent.handle(event, draft, self._now_ms):
            self._close(draft, None)

    def _fire_due(self) -> None:
        while (timer := self._timers.pop_due(self._now_ms)) is not None:
            draft = self._draft
            if draft is None:  # pragma: no cover - no timer outlives its turn
                continue
            match timer:
                case Timer.ONSET:
                    self._onset()
                case Timer.HANGOVER | Timer.DEBOUNCE | Timer.STT_TIMEOUT:
                    self._consider()
                case Timer.GATE:
                    self._agent.open_gate(draft, self._now_ms)
                case Timer.REPLY:
                    if self._agent.audio_is_late(draft, self._now_ms):
                        self._close(draft, None)
                case Timer.PLAYOUT:
                    if self._agent.playout_is_late(draft):
                        self._close(draft, self._heard())
                case _:
                    assert_never(timer)

    def _instant(self, at_ms: int) -> int:
        """``at_ms`` if the caller's voice can have changed then, else the nearest such instant."""
        possible_ms = min(max(at_ms, self._caller.last_ms), self._now_ms)
        if possible_ms != at_ms:
            self.dropped["impossible instant"] += 1
        return possible_ms

    # -- voice, words and keys ----------------------------------------------------------------

    def _on_voice(self, at_ms: int) -> None:
        if not self._caller.may(CallerMove.VOICE):
            self.dropped["voice while speaking"] += 1
            return
        draft = self._draft or self._open_turn(at_ms)
        self._caller.voice(at_ms)
        if draft.over:
            self._overlap.begin(at_ms)
            self._timers.arm(Timer.ONSET, at_ms + self._config.onset_ms)
            self._agent.hold()
        else:
            self._agent.cancel(draft, "resumed")

    def _on_silence(self, at_ms: int) -> None:
        if self._caller.state is not Caller.SPEAKING:
            self.dropped["silence while silent"] += 1
        elif self._overlap.voice_ms is None:
            self._caller.pause(at_ms)
            self._consider()
        else:
            self._caller.move(CallerMove.IGNORED)
            self._timers.cancel(Timer.ONSET)
            self._overlap.fade(at_ms)
            self._agent.release()
            self.dropped["voice too short to interrupt"] += 1
            assert self._draft is not None
            self._agent.open_gate(self._draft, self._now_ms)

    def _on_text(self, text: str, *, final: bool) -> None:
        lately = self._overlap.heard_lately(self._now_ms)
        voice = lately or self._caller.state is not Caller.SILENT
        new = self._owed.new_part(text, self._now_ms, final=final, voice=voice)
        draft = self._draft
        if new is None:
            self._late_text(self._owed.late_part(text), final=final)
        elif draft is not None and draft.over:
            self._overlapping_text(new, final=final)
        elif draft is not None:
            self._turn_text(draft, new, final=final)
        elif not new or (lately and is_backchannel(new)):
            self.dropped["words without a turn"] += 1
        else:
            self._turn_text(self._open_turn(None), new, final=final)

    def _turn_text(self, draft: Draft, text: str, *, final: bool) -> None:
        changed = self._caller.hear(text, self._now_ms, final=final)
        if text:
            draft.stamp_once("first_partial", self._now_ms)
        if changed:
            draft.stamp("last_partial", self._now_ms)
            self._agent.words_changed(draft, self._caller.text.words)
        if final:
            draft.stamp("stt_final", self._now_ms)
        self._consider()

    def _overlapping_text(self, text: str, *, final: bool) -> None:
        """Words while the agent has the floor: an interruption only with a voice behind it."""
        overlap = self._overlap
        if overlap.heard_lately(self._now_ms):
            overlap.text.put(text, self._now_ms, final=final)
            if overlap.text.words and not overlap.only_nods:
                self._take_floor(overlap.blip_ms)
                self._consider()
        else:  # once we sound, a recogniser also hears our echo: that settles nothing
            self._late_text(text, final=final and self._agent.state is Agent.THINKING)

    def _late_text(self, text: str, *, final: bool) -> None:
        """Words for a turn that is over already: too late to act on, not to be counted."""
        draft = self._draft
        if final and draft is not None and draft.over and draft.turn > 0:
            draft.settle_final(text, self._now_ms)
        else:
            self.dropped["late words"] += 1

    def _on_hint(self, probability: float) -> None:
        if self._caller.state is Caller.PAUSED:
            self._caller.hint(probability)
            self._consider()
        else:
            self.dropped["hint outside a pause"] += 1

    def _on_key(self, digit: str) -> None:
        """A key interrupts the agent at once; keys and their pauses make a turn of their own."""
        if self._caller.state is Caller.SPEAKING:
            self.dropped["key while speaking"] += 1
            return
        draft = self._draft
        if draft is None:
            draft = self._open_turn(None)
        elif draft.over:
            draft = self._take_floor(None)
        self._caller.press(digit, self._now_ms)
        self._agent.words_changed(draft, self._caller.text.words)
        draft.stamp_once("first_partial", self._now_ms)
        self._consider()

    # -- when is the turn over ----------------------------------------------------------------

    def _consider(self) -> None:
        draft, caller = self._draft, self._caller
        if draft is None or caller.state is not Caller.PAUSED:
            return
        verdict = caller.consider(self._now_ms)
        if verdict is None:
            return
        if verdict == "speculate":
            self._agent.speculate(draft, caller.text.text, caller.text.words, self._now_ms)
        elif verdict == "ignore":
            caller.end(CallerMove.IGNORED)
            self._draft = None
            self.dropped["too short for an utterance"] += 1
        else:
            self._end_turn(draft, verdict)

    def _open_turn(self, at_ms: int | None) -> Draft:
        """A turn begins: with voice at ``at_ms``, or with words alone (None)."""
        self._draft = draft = Draft(self._turns + 1)
        self._overlap.clear()
        self._caller.new_turn()
        if at_ms is None:
            self._caller.words_without_voice(None)
        else:
            draft.stamp("speech_start", at_ms)
        return draft

    def _end_turn(self, draft: Draft, reason: EouReason) -> None:
        caller, now_ms = self._caller, self._now_ms
        text, words = caller.text.text, caller.text.words
        self._turns = draft.turn
        draft.stamp("turn_end", now_ms)
        draft.eou_reason = reason
        draft.text = text
        if caller.speech_end_ms is not None:
            draft.stamp("speech_end", caller.speech_end_ms)
            if caller.text.changed_ms is not None:
                draft.stt_lag_ms = caller.text.changed_ms - caller.speech_end_ms
        if caller.final_here:
            draft.clipped, draft.final_text = False, text
        else:
            draft.settled = caller.text.closed
            self._owed.expect(caller.text.open, now_ms)
            self._emit(do.FinalizeStt(draft.turn))
        self._timers.arm(Timer.GATE, max(caller.gate_ms(now_ms), now_ms))
        caller.end(CallerMove.TURN_OVER)
        draft.fallback = not words
        self._agent.answer(draft, text, words, now_ms)

    # -- the floor ----------------------------------------------------------------------------

    def _onset(self) -> None:
        if self._overlap.only_nods:
            self._timers.arm(Timer.ONSET, self._now_ms + max(1, self._config.onset_ms))
        else:
            self._take_floor(None)

    def _take_floor(self, speech_end_ms: int | None) -> Draft:
        """The caller's voice over the agent is real: re-open the turn, or interrupt the reply.

        ``speech_end_ms``: where that voice ended, when only its words tell that it was real.
        """
        draft = self._draft
        assert draft is not None
        voice_ms, words = self._overlap.voice_ms, self._overlap.text
        self._overlap.clear()
        self._agent.release()
        self._timers.cancel(Timer.ONSET, Timer.GATE)
        if self._agent.state is Agent.SPEAKING or draft.turn == 0:
            self._interrupt(draft, voice_ms if voice_ms is not None else speech_end_ms)
            draft = self._next_turn(voice_ms, words)
        else:
            self._agent.cancel(draft, "reopened")
            self._caller.text.absorb(words)
            draft.reopen()
            self._stamp_words(draft, words)
        if voice_ms is None:
            self._caller.words_without_voice(speech_end_ms)
        return draft

    def _interrupt(self, draft: Draft, voice_ms: int | None) -> None:
        sent_ms = draft.at("first_audio_sent")
        draft.stamp("barge_in", self._now_ms)
        if voice_ms is not None and sent_ms is not None:
            draft.cutoff = is_cutoff(voice_ms, sent_ms)
        self._agent.cancel(draft, "barge_in")
        self._emit(do.ClearPlayout(draft.turn))
        self._close(draft, self._heard())

    def _next_turn(self, voice_ms: int | None, words: TurnText) -> Draft:
        """The voice and words over the agent's reply become the caller's next turn."""
        self._draft = draft = Draft(self._turns + 1)
        self._caller.adopt(words, voice_ms)
        if voice_ms is not None:
            draft.stamp("speech_start", voice_ms)
        self._stamp_words(draft, words)
        return draft

    def _stamp_words(self, draft: Draft, words: TurnText) -> None:
        """Words said over the agent turned out to be this turn's."""
        if words.changed_ms is not None:
            draft.stamp_once("first_partial", words.changed_ms)
            draft.stamp("last_partial", words.changed_ms)
            if not words.open:
                draft.stamp("stt_final", words.changed_ms)

    # -- the end of a turn --------------------------------------------------------------------

    def _on_mark(self, name: str) -> None:
        draft = self._draft
        if draft is None:
            self.dropped["unknown mark"] += 1
            return
        expected, over = self._agent.echoed(name, draft, self._now_ms)
        if not expected:
            self.dropped["unknown mark"] += 1
        elif over:
            self._close(draft, None)

    def _heard(self) -> str:
        return " ".join(self._agent.heard)

    def _close(self, draft: Draft, heard: str | None) -> None:
        """The turn is over and measured; voice over its end begins the next one.

        ``heard``: what the marks confirm of the reply, None when it was all of it.
        """
        draft.stamp("reply_end", self._now_ms)
        if draft.turn > 0:
            self._emit(do.TurnClosed(draft.record(self._call, heard)))
        self._draft = None
        self._timers.cancel(Timer.ONSET, Timer.GATE)
        if self._overlap.voice_ms is not None:
            voice_ms, words = self._overlap.voice_ms, self._overlap.text
            self._overlap.clear()
            self._agent.release()
            self._next_turn(voice_ms, words)

    def _on_stop(self) -> None:
        self._stopped = True
        self._timers.clear()
        draft = self._draft
        if draft is None:
            return
        if draft.over or self._caller.is_utterance_at(self._now_ms):
            draft.text = draft.text or self._caller.text.text
            self._agent.cancel(draft, "stopped")
            self._overlap.clear()
            self._close(draft, self._heard() if draft.at("first_audio_sent") else None)
        else:
            self._draft = None
