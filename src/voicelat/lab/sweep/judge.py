"""One setting, turn by turn, through the machine itself: what `score` must equal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from voicelat.lab.calls import JudgedCall
from voicelat.lab.latency import Millis, Reply, ReplyLatency
from voicelat.lab.simulate import Simulation
from voicelat.lab.sweep.grid import Setting
from voicelat.lab.sweep.pauses import SWEPT
from voicelat.lab.truth import TruePause, TrueTurn
from voicelat.metrics.record import CallInfo, TurnRecord
from voicelat.turn import events as on
from voicelat.turn.config import TurnConfig
from voicelat.turn.endpointing import EndpointPolicy, Patience, Pause
from voicelat.turn.machine import TurnMachine
from voicelat.turn.trace import TraceStep

__all__ = ["JudgedTurn", "judge", "turn_config"]

_FOR_EVER = 10**9
_LONG = 10**7
"""Longer than any reply takes to be ready, shorter than any sounds."""
_NOISE = "too short for an utterance"
_WAIT: Patience = Patience(least_ms=_FOR_EVER, speculate=False)


@dataclass(frozen=True, slots=True)
class JudgedTurn:
    """What one setting did in one true turn. Times count from the turn's true end."""

    early: bool
    reopened: bool
    cutoff: bool
    delay_ms: int | None
    total_ms: int | None
    clipped: bool
    timeout: bool
    missed: bool
    calls: int


class _From:
    """Another policy from one resumption on; before it, endless patience."""

    def __init__(self, policy: EndpointPolicy, resumptions: int) -> None:
        self._policy = policy
        self._left = resumptions

    def judge(self, pause: Pause) -> Patience:
        return _WAIT if self._left else self._policy.judge(pause)

    def resumed(self, pause_ms: int) -> None:
        self._left -= 1
        self._policy.resumed(pause_ms)


def turn_config(setting: Setting, max_speculations: int) -> TurnConfig:
    """The machine's settings. A reply is waited for however long it takes."""
    return TurnConfig(
        hangover_ms=setting.hangover_ms,
        debounce_ms=setting.debounce_ms,
        min_utt_ms=setting.min_utt_ms,
        stt_timeout_ms=setting.stt_timeout_ms,
        speak_gate_ms=setting.speak_gate_ms,
        speculate=not setting.alone,
        max_speculations=max_speculations,
        reply_timeout_ms=_FOR_EVER,
    )


def judge(
    call: JudgedCall,
    setting: Setting,
    policy: Callable[[], EndpointPolicy],
    latency: ReplyLatency,
    *,
    max_speculations: int,
) -> list[JudgedTurn]:
    """Every turn of a call. Each pause is judged by a machine that has waited out those before."""
    learned: list[int] = []
    turns = []
    for turn in call.truth.turns:
        turns.append(
            _judge_turn(call, turn, setting, _Learned(policy, learned), latency, max_speculations)
        )
        learned += _resumptions(call.steps, turn)
    return turns


class _Learned:
    """Makes a policy that has been told of every pause in the turns before."""

    def __init__(self, policy: Callable[[], EndpointPolicy], pauses_ms: Sequence[int]) -> None:
        self._policy = policy
        self._pauses_ms = tuple(pauses_ms)

    def make(self) -> EndpointPolicy:
        policy = self._policy()
        for pause_ms in self._pauses_ms:
            policy.resumed(pause_ms)
        return policy


def _resumptions(steps: Sequence[TraceStep], turn: TrueTurn) -> Iterator[int]:
    stop_ms: int | None = None
    for step in steps[turn.first_step : turn.pauses[-1].until_step]:
        match step.event:
            case on.SpeechStopped(at_ms=at_ms):
                stop_ms = at_ms
            case on.SpeechStarted(at_ms=at_ms) if stop_ms is not None:
                yield max(0, at_ms - stop_ms)


def _judge_turn(
    call: JudgedCall,
    turn: TrueTurn,
    setting: Setting,
    learned: _Learned,
    latency: ReplyLatency,
    max_speculations: int,
) -> JudgedTurn:
    early = reopened = cutoff = False
    left, calls = max_speculations, 0
    record: TurnRecord | None = None
    for pause in turn.pauses:
        machine = TurnMachine(
            turn_config(setting, left),
            CallInfo(call_id=call.call_id),
            _From(learned.make(), _starts(call.steps[turn.first_step : pause.stop_step]) - 1),
        )
        simulation = Simulation(machine, _Shifted(latency, call, turn), call.call_id, _FOR_EVER)
        record = _run(simulation, call.steps, turn, pause)
        left -= simulation.speculations
        calls += simulation.model_calls
        if pause.hold and record is not None and record.EOU_REASON is not None:
            early = True
            sent = setting.alone or record.stamps.first_audio_sent is not None
            cutoff |= sent
            reopened |= not sent
    ended = record is not None and record.EOU_REASON is not None
    return JudgedTurn(
        early=early,
        reopened=reopened,
        cutoff=cutoff,
        delay_ms=record.STT_FINAL_MS if ended and record else None,
        total_ms=record.TOTAL_LATENCY_MS if ended and record else None,
        clipped=bool(ended and record and record.clipped),
        timeout=bool(ended and record and record.EOU_REASON == "timeout"),
        missed=not ended,
        calls=calls,
    )


def _starts(steps: Sequence[TraceStep]) -> int:
    return sum(isinstance(step.event, on.SpeechStarted) for step in steps)


class _Shifted:
    """The latency model, its pauses counted from the call's begin although we start later."""

    def __init__(self, latency: ReplyLatency, call: JudgedCall, turn: TrueTurn) -> None:
        before = call.steps[: turn.first_step]
        self.says = latency.says
        self._latency = latency
        self._before = sum(isinstance(step.event, on.SpeechStopped) for step in before)

    def reply(self, call_id: str, pause: int) -> Reply:
        """The reply begun in the turn's how-manieth pause."""
        return self._latency.reply(call_id, self._before + pause)

    def ready_ms(self, call_id: str, pauses: int) -> Millis:
        """See `ReplyLatency`."""
        return self._latency.ready_ms(call_id, self._before + pauses)[self._before :]


def _run(
    simulation: Simulation, steps: Sequence[TraceStep], turn: TrueTurn, pause: TruePause
) -> TurnRecord | None:
    """The turn up to the end of ``pause``; None when it was taken for a noise."""
    dropped = simulation.machine.dropped
    for step in steps[turn.first_step : pause.until_step]:
        simulation.until(step.at_ms)
        if dropped[_NOISE]:
            break
        if isinstance(step.event, SWEPT):
            simulation.play([step])
    if pause.start_step is not None:
        end_ms = steps[pause.start_step].at_ms
    else:
        end_ms = simulation.now_ms + _LONG
    simulation.until(end_ms)
    if dropped[_NOISE]:
        return None
    simulation.stop(end_ms)
    return simulation.records[0] if simulation.records else None
