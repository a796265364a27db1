"""Made-up sweeps with the shape of real ones, for tests of what draws them.

Callers pause like people do (log-normally), a reply takes about 600 ms, and the policies differ
in how patient they are on a hold; no figure in here was measured.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from voicelat.lab.sweep.result import (
    Bounds,
    HeldOut,
    InSequence,
    PolicyName,
    SettingIntervals,
    SettingResult,
    SweepResult,
)

__all__ = ["made_up", "setting"]

UNKNOWN: Final = SettingIntervals(
    delay_p50=(None, None),
    delay_p95=(None, None),
    total_p50=(None, None),
    total_p95=(None, None),
    early_rate=(None, None),
    cutoff_rate=(None, None),
    clipped_rate=(None, None),
)
_PATIENCE: Final[dict[PolicyName, tuple[float, float]]] = {  # on a hold, at the end
    "silence": (1.0, 1.0),
    "fixed": (1.0, 1.0),
    "adaptive": (1.25, 1.1),
    "semantic": (1.3, 0.9),
}
_KNOBS: Final = ("hangover_ms", "debounce_ms", "speak_gate_ms", "min_utt_s", "stt_timeout_ms")


def setting(**fields: Any) -> SettingResult:
    """One setting; what is not given is plausible."""
    defaults: dict[str, Any] = {
        "debounce_ms": 60,
        "hangover_ms": 160,
        "min_utt_s": 0.25,
        "stt_timeout_ms": 240,
        "policy": "fixed",
        "speak_gate_ms": 0,
        "delay_p50": 180.0,
        "delay_p95": 400.0,
        "total_p50": 640.0,
        "total_p95": 1210.0,
        "early_rate": 0.31,
        "reopened_rate": 0.3,
        "cutoff_rate": 0.01,
        "cut_holds_rate": 0.005,
        "clipped_rate": 0.02,
        "timeout_rate": 0.04,
        "missed_rate": 0.0,
        "model_calls_per_turn": 1.31,
        "n": 100,
        "ci95": UNKNOWN,
    }
    return SettingResult(**(defaults | fields))


@dataclass(frozen=True)
class _Pauses:
    reply: NDArray[np.float64]
    lag: NDArray[np.float64]
    holds: NDArray[np.float64]
    """Turns x holds; -inf where a turn has fewer."""
    doubt: NDArray[np.float64]
    """Turns: how well a policy that judges what is said judges this one."""


def _pauses(turns: int, seed: int) -> _Pauses:
    rng = np.random.default_rng(seed)
    holds = rng.lognormal(np.log(380), 0.55, (turns, 3))
    holds[np.arange(3) >= rng.poisson(0.8, turns)[:, None]] = -np.inf
    return _Pauses(
        rng.gamma(12, 38, turns), rng.gamma(4, 22, turns), holds, rng.normal(1, 0.3, turns)
    )


def _judged(own: tuple[Any, ...], policy: PolicyName, pauses: _Pauses) -> SettingResult:
    hangover, debounce, gate, _, timeout = own
    on_hold, at_end = _PATIENCE[policy]
    sure: Any = 1.0 if on_hold == at_end else pauses.doubt
    begun = hangover + np.minimum(np.maximum(pauses.lag, debounce) * 0.6, timeout)
    if policy == "silence":
        begun = hangover + pauses.lag
    total = np.maximum(begun + pauses.reply, gate * at_end / sure)
    heard = np.maximum(begun + pauses.reply, gate * on_hold * sure)
    early = (pauses.holds > begun[:, None]).any(1)
    cut = (pauses.holds > heard[:, None]).any(1)
    return _figures(
        dict(zip(_KNOBS, own, strict=True)), policy, begun, total, early, cut, pauses.lag > timeout
    )


def _figures(
    own: dict[str, Any],
    policy: PolicyName,
    begun: NDArray[np.float64],
    total: NDArray[np.float64],
    early: NDArray[np.bool_],
    cut: NDArray[np.bool_],
    late: NDArray[np.bool_],
) -> SettingResult:
    n = len(total)
    clipped = float(late.mean() * 0.3)
    p50s = {
        f"{name}_p{p}": float(np.percentile(of, p))
        for name, of in (("delay", begun), ("total", total))
        for p in (50, 95)
    }
    rates = {
        "early_rate": float(early.mean()),
        "cutoff_rate": float(cut.mean()),
        "clipped_rate": clipped,
    }
    bounds = {
        name: _around(value, value * (0.05 if "50" in name else 0.12))
        for name, value in p50s.items()
    }
    bounds |= {name: _around(v, 1.96 * (v * (1 - v) / n) ** 0.5) for name, v in rates.items()}
    return setting(
        **own,
        policy=policy,
        **p50s,
        **rates,
        reopened_rate=float((early & ~cut).mean()),
        timeout_rate=float(late.mean()),
        missed_rate=0.02 if own["min_utt_s"] > 0.3 else 0.0,
        model_calls_per_turn=1 + float(early.mean()) * 1.2,
        n=n,
        ci95=SettingIntervals(**bounds),
    )


def _around(value: float, half: float) -> Bounds:
    return max(0.0, value - half), value + half


def _space(policy: PolicyName, detail: int) -> Iterator[tuple[Any, ...]]:
    if policy == "silence":
        return ((hangover, 0, 0, 0.25, 240) for hangover in range(100, 1501, 1400 // (8 * detail)))
    return itertools.product(
        np.linspace(80, 440, 3 * detail + 1).astype(int).tolist(),
        (20, 60, 120, 200)[: 1 + detail],
        sorted((0, 700, 900, 300, 500, 1200)[: 2 * detail]),
        (0.25, 0.4),
        (160, 240),
    )


def made_up(
    *,
    detail: int = 1,
    turns: int = 212,
    calls: int = 12,
    policies: Sequence[PolicyName] = ("silence", "fixed", "adaptive", "semantic"),
    call_id: str = "call",
    **fields: Any,
) -> SweepResult:
    """A whole sweep, always the same one. Detail 1: 200 settings; 3: 3,000."""
    pauses = _pauses(turns, seed=7)
    settings = [_judged(own, name, pauses) for name in policies for own in _space(name, detail)]
    settings.append(_judged((160, 60, 0, 0.25, 240), "fixed", pauses))
    everyone = list(range(len(settings)))
    fronts = {
        name: _front(settings, [i for i in everyone if settings[i].policy == name])
        for name in policies
    }
    pareto = _front(settings, everyone)
    budget = 0.02
    best = next(i for i in pareto if settings[i].cutoff_rate <= budget)
    silence = [i for i in fronts.get("silence", []) if settings[i].cutoff_rate <= budget]
    named = [i for i in (best, silence[0] if silence else None, len(settings) - 1) if i is not None]
    per_call = turns // calls
    result = SweepResult(
        turns=turns,
        calls=calls,
        holds=int(np.isfinite(pauses.holds).sum()),
        truth="derived",
        labelled=0,
        unheard=0,
        max_cutoffs=budget,
        settings=settings,
        pareto=pareto,
        fronts=fronts,
        recommended=best,
        candidate=best,
        why="The fastest setting whose cutoffs stay within 2% of turns.",
        baseline=silence[0] if silence else None,
        brief=len(settings) - 1,
        held_out=[
            HeldOut(
                call_id=f"{call_id}-{index:02}",
                turns=per_call,
                setting=best if index % 5 else pareto[0],
                sure=index % 5 > 0,
                cutoffs=int(index % 4 == 0),
                total_p50=600.0 + 17 * index,
            )
            for index in range(calls)
        ]
        if calls > 1
        else [],
        in_sequence=[
            InSequence(
                setting=index,
                turns=turns,
                cutoffs=round(settings[index].cutoff_rate * turns) + 1,
                answered=turns - round(settings[index].cutoff_rate * turns) - 2,
                total_p50=(settings[index].total_p50 or 0) + 8,
                total_p95=(settings[index].total_p95 or 0) + 21,
            )
            for index in named
        ],
        latency="the google-openai-google profile: 380 ms to first token, 120 ms to first audio",
        env=_env(settings[best]),
        left_out={"while the agent spoke": 14, "no label": 3},
        broken=["noise.wav: no speech in it"],
    )
    return msgspec.structs.replace(result, **fields)


def _env(chosen: SettingResult) -> str:
    lines = (
        f"EOU_POLICY={chosen.policy}",
        f"VAD_HANGOVER_MS={chosen.hangover_ms}",
        f"STT_PARTIAL_DEBOUNCE_MS={chosen.debounce_ms}",
        f"MIN_UTT_SEC={chosen.min_utt_s:g}",
        f"STT_TIMEOUT_MS={chosen.stt_timeout_ms}",
        f"SPEAK_GATE_MS={chosen.speak_gate_ms}",
    )
    return "".join(f"{line}\n" for line in lines)


def _front(settings: list[SettingResult], among: list[int]) -> list[int]:
    front: list[int] = []
    lowest = float("inf")
    for index in sorted(among, key=lambda i: (settings[i].total_p50 or 0, settings[i].cutoff_rate)):
        if settings[index].cutoff_rate < lowest:
            lowest = settings[index].cutoff_rate
            front.append(index)
    return front
