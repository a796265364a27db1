"""The agent's half of the machine: at most one live reply, its gate, its marks, its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, assert_never

from msgspec import Struct

from voicelat.errors import IllegalMove
from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.config import TurnConfig
from voicelat.turn.draft import Draft
from voicelat.turn.states import AGENT_MOVES, Agent, AgentMove
from voicelat.turn.timers import Timer, Timers

__all__ = ["AgentHalf", "Reply"]

MarkKind = Literal["heard", "clause", "end"]

_REPLY_TIMERS: Final = (Timer.REPLY, Timer.PLAYOUT)


class Reply(Struct):
    """The live reply."""

    turn: int
    attempt: int
    words: tuple[str, ...] = ()
    """The words it answers."""
    phrase: bool = False
    """A stock phrase (please repeat, an apology), not the model's."""
    committed: bool = False
    started_ms: int | None = None
    """When its first audio was sent."""
    queued_ms: int = 0
    """Duration of all audio that went into the playout."""
    finished: bool = False
    """No more audio will come."""


class AgentHalf:
    """Agent {idle, thinking, speaking} and the reply that makes it so.

    Methods take the open turn's ``draft`` and the time; those that can end the turn return
    True when it is over and ready to be closed.
    """

    __slots__ = (
        "_attempts",
        "_config",
        "_emit",
        "_heard",
        "_held",
        "_marked",
        "_marks",
        "_timers",
        "reply",
        "state",
    )

    def __init__(
        self, config: TurnConfig, timers: Timers, emit: Callable[[do.Effect], None]
    ) -> None:
        self._config = config
        self._timers = timers
        self._emit = emit
        self._attempts = 0
        self._held = False
        self._marked = 0
        self._marks: dict[str, tuple[MarkKind, str]] = {}
        self.state = Agent.IDLE
        self.reply: Reply | None = None
        self._heard: list[str] = []
        if config.greeting:
            self.state = Agent.THINKING
            self.reply = Reply(turn=0, attempt=0, phrase=True, committed=True)
            timers.arm(Timer.REPLY, config.reply_timeout_ms)

    @property
    def heard(self) -> str:
        """The clauses of the last reply whose marks came back."""
        return " ".join(self._heard)

    @property
    def uncommitted(self) -> bool:
        """Whether the live reply may not be sent yet, so that it can be another."""
        return self.reply is not None and not self.reply.committed

    # -- what the caller's side wants ---------------------------------------------------------

    def speculate(self, draft: Draft, text: str, words: tuple[str, ...], now_ms: int) -> None:
        """Start the reply before the turn is over, unless one is on its way or the cap is met."""
        config = self._config
        if self.reply is not None or not config.speculate:
            return
        if draft.speculations < config.max_speculations:
            draft.speculations += 1
            self._ask_model(draft, text, words, now_ms, speculative=True)

    def answer(self, draft: Draft, text: str, words: tuple[str, ...], now_ms: int) -> None:
        """The turn is over: the speculative reply becomes the reply, or one is started."""
        if draft.fallback:  # nobody has to repeat anything any more
            draft.fallback = False
            self.cancel(draft, "text_changed")
        if self.reply is None:
            self._ask_model(draft, text, words, now_ms, speculative=False)
        self._timers.arm(Timer.REPLY, now_ms + self._config.reply_timeout_ms)

    def ask_to_repeat(self, draft: Draft, words: tuple[str, ...], now_ms: int) -> None:
        """The turn is over, and nobody can be sure of its words."""
        if draft.fallback and self.reply is not None:
            self.reply.words = words  # it is being asked already
            return
        self.cancel(draft, "doubtful")
        draft.fallback, draft.fallback_used = True, None
        reply = self._start(draft, words, now_ms, phrase=True)
        self._emit(do.AskToRepeat(reply.turn, reply.attempt))
        self._emit(do.RunFallback(draft.turn))
        self._timers.arm(Timer.REPLY, now_ms + self._config.reply_timeout_ms)

    def words_changed(self, draft: Draft, words: tuple[str, ...]) -> None:
        """A speculative reply to other words is worth nothing."""
        if self.reply is not None and self.reply.words != words:
            self.cancel(draft, "text_changed")

    def cancel(self, draft: Draft, why: do.CancelReason) -> None:
        """Drop the live reply, if there is one."""
        if self.reply is None:
            return
        reply = self._drop(AgentMove.CANCEL)
        self._emit(do.CancelReply(reply.turn, reply.attempt, why))
        if reply.started_ms is None:
            draft.forget_reply()

    def open_gate(self, draft: Draft, now_ms: int) -> None:
        """Commit the reply if the turn is over, the gate's time has come and nobody speaks."""
        reply = self.reply
        if reply is None or reply.committed or not draft.over:
            return
        if self._held or self._timers.armed(Timer.GATE):
            return
        reply.committed = True
        draft.stamp("gate_open", now_ms)
        self._emit(do.CommitReply(reply.turn, reply.attempt))

    def hold(self) -> None:
        """Somebody speaks before our first audio: wait and see, keep the reply."""
        self._held = True
        reply = self.reply
        if reply is not None and reply.committed and reply.started_ms is None:
            reply.committed = False
            self._emit(do.HoldReply(reply.turn, reply.attempt))

    def release(self) -> None:
        """Nobody speaks over us any more."""
        self._held = False

    # -- what happens to the reply ------------------------------------------------------------

    def handle(self, event: on.ReplyEvent, draft: Draft, now_ms: int) -> bool:
        """Take an event of the live reply; the caller has checked that it is."""
        reply = self.reply
        assert reply is not None
        match event:
            case on.AudioQueued(duration_ms=duration_ms, text=text):
                self._queued(draft, reply, duration_ms, text, now_ms)
            case on.AudioSent(filler=filler):
                self._sent(draft, reply, now_ms, filler=filler)
            case on.ReplyTextStarted():
                draft.stamp_once("llm_first_token", now_ms)
            case on.SpeechRequested():
                draft.stamp_once("tts_request", now_ms)
            case on.SpeechReady(cached=cached):
                if draft.at("tts_ready") is None:
                    draft.stamp("tts_ready", now_ms)
                    draft.cached = cached
            case on.ReplyFinished(text=text):
                return self._finish(draft, reply, text, now_ms)
            case on.ReplyFailed(why=why):
                return self._fail(draft, reply, why, now_ms)
            case _:
                assert_never(event)
        return False

    def is_live(self, turn: int, attempt: int) -> bool:
        """Whether this is the live reply's name; every other one is stale."""
        reply = self.reply
        return reply is not None and reply.turn == turn and reply.attempt == attempt

    def may(self, event: on.ReplyEvent, draft: Draft) -> bool:
        """Whether that can be: audio is queued before it leaves, none leaves before the turn is
        over, and none is made behind the end of the reply."""
        reply = self.reply
        assert reply is not None
        match event:
            case on.AudioSent():
                return draft.over and reply.queued_ms > 0
            case on.AudioQueued(duration_ms=duration_ms):
                return duration_ms >= 0 and not reply.finished
            case on.ReplyFinished() | on.ReplyFailed():
                return not reply.finished
        return True

    def echoed(self, name: str, draft: Draft, now_ms: int) -> tuple[bool, bool]:
        """A mark came back. Returns whether we waited for it, and whether the turn is over."""
        if name not in self._marks or not draft.over:  # nothing has been sent before that
            return False, False
        kind, text = self._marks.pop(name)
        if kind == "heard":
            draft.stamp_once("first_audio_heard", now_ms)
        elif kind == "clause":
            self._heard.append(text)
        else:
            self._drop(AgentMove.PLAYED)
        return True, kind == "end"

    def audio_is_late(self, draft: Draft, now_ms: int) -> bool:
        """The caller has waited long enough in silence."""
        reply = self.reply
        if reply is None:
            return False
        self.cancel(draft, "timeout")
        draft.failure = f"no audio {self._config.reply_timeout_ms} ms after the turn was over"
        return self._apologise(draft, reply, now_ms)

    def playout_is_late(self, draft: Draft) -> bool:
        """The reply stalled, or its last mark never came: stop waiting."""
        draft.failure = draft.failure or "the end of the reply was never confirmed"
        self.cancel(draft, "timeout")
        self._emit(do.ClearPlayout(draft.turn))
        return True

    # -- inside -------------------------------------------------------------------------------

    def _move(self, move: AgentMove) -> None:
        try:
            self.state = AGENT_MOVES[self.state, move]
        except KeyError:
            raise IllegalMove(f"agent: {move} while {self.state}") from None

    def _ask_model(
        self, draft: Draft, text: str, words: tuple[str, ...], now_ms: int, *, speculative: bool
    ) -> None:
        reply = self._start(draft, words, now_ms)
        draft.model_calls += 1
        self._emit(do.StartReply(reply.turn, reply.attempt, text, speculative))

    def _start(
        self, draft: Draft, words: tuple[str, ...], now_ms: int, *, phrase: bool = False
    ) -> Reply:
        self._move(AgentMove.START)
        self._attempts += 1
        self._heard = []
        draft.stamp("reply_start", now_ms)
        self.reply = Reply(draft.turn, self._attempts, words, phrase)
        return self.reply

    def _drop(self, move: AgentMove) -> Reply:
        """The live reply is over. Its pending marks mean nothing any more: Twilio returns
        them on ``clear`` as if they had been played."""
        self._move(move)
        reply = self.reply
        assert reply is not None
        self.reply = None
        self._marks.clear()
        self._timers.cancel(*_REPLY_TIMERS)
        return reply

    def _mark(
        self, reply: Reply, kind: MarkKind, behind: Literal["sent", "queued"], text: str = ""
    ) -> None:
        self._marked += 1
        name = f"{reply.turn}.{reply.attempt}.{self._marked}.{kind}"
        self._marks[name] = (kind, text)
        self._emit(do.RequestMark(reply.turn, name, behind))

    def _queued(self, draft: Draft, reply: Reply, duration_ms: int, text: str, now_ms: int) -> None:
        reply.queued_ms += duration_ms
        self._watch_playout(reply, now_ms)
        if text:
            draft.reply.append(text)
            self._mark(reply, "clause", "queued", text)

    def _sent(self, draft: Draft, reply: Reply, now_ms: int, *, filler: bool) -> None:
        draft.stamp_once("first_audio_sent", now_ms)
        if not filler:
            draft.stamp_once("first_content_sent", now_ms)
            draft.model_sounded = not reply.phrase
        if reply.started_ms is None:
            self._move(AgentMove.SENT)
            reply.started_ms = now_ms
            self._timers.cancel(Timer.REPLY)
            self._watch_playout(reply, now_ms)
            self._mark(reply, "heard", "sent")

    def _watch_playout(self, reply: Reply, now_ms: int) -> None:
        """A voice that stalls, or a last mark that is lost, must not leave the turn open."""
        if reply.started_ms is None:
            return
        config = self._config
        patience_ms = config.playout_slack_ms if reply.finished else config.reply_timeout_ms
        dry_ms = max(now_ms, reply.started_ms + reply.queued_ms)
        self._timers.arm(Timer.PLAYOUT, dry_ms + patience_ms)

    def _finish(self, draft: Draft, reply: Reply, text: str, now_ms: int) -> bool:
        if reply.queued_ms == 0:
            return self._fail(draft, reply, "the reply had no audio", now_ms)
        reply.finished = True
        if text:
            draft.reply[:] = [text]
        self._watch_playout(reply, now_ms)
        self._mark(reply, "end", "queued")
        return False

    def _fail(self, draft: Draft, reply: Reply, why: str, now_ms: int) -> bool:
        if reply.queued_ms > 0:
            draft.failure = why
            return self._finish(draft, reply, "", now_ms)
        self._drop(AgentMove.CANCEL)
        draft.forget_reply()
        if not draft.over:  # it was speculative: the next one may do better
            return False
        draft.failure = why
        return self._apologise(draft, reply, now_ms)

    def _apologise(self, draft: Draft, failed: Reply, now_ms: int) -> bool:
        """Words instead of silence, once: a phrase that fails too ends the turn."""
        if failed.phrase:
            return True
        apology = self._start(draft, failed.words, now_ms, phrase=True)
        self._emit(do.Apologise(apology.turn, apology.attempt))
        self._timers.arm(Timer.REPLY, now_ms + self._config.reply_timeout_ms)
        self.open_gate(draft, now_ms)
        return False
