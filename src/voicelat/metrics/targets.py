"""Targets a report judges by, and gates that fail a build.

The names are ``<number>_<percentile>``: ``total_p95``, ``tts_ready_max``. Gates know counts,
too: ``cutoffs=2`` allows two. Against an earlier run a gate may allow a change:
``total_p95=+5%/50`` fails when the P95 rose by more than 5 % and by more than 50 ms, and not by
chance.

``final`` is STT_FINAL_MS (speech_end -> turn_end), not STT_FINAL_AFTER_PARTIAL_MS: the latter
contains the rest of the caller's sentence after its first recognised words, so on longer
sentences it says how long callers talk. It can be gated as ``final_after_partial``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

import msgspec

from voicelat.errors import UsageError
from voicelat.metrics.durations import duration

__all__ = [
    "CHANGE_NAMES",
    "COUNTS",
    "DEFAULT_TARGETS",
    "GATE_NAMES",
    "ChangeGate",
    "CountGate",
    "Gate",
    "GateResult",
    "Statistic",
    "Target",
    "TargetResult",
    "check_gates",
    "judge",
    "parse_gate",
    "parse_gates",
    "target",
]

Statistic = Literal["p50", "p90", "p95", "p99", "max"]
_STATISTICS: Final[tuple[Statistic, ...]] = ("p50", "p90", "p95", "p99", "max")

_NUMBERS: Final = {
    "first_partial": "STT_FIRST_PARTIAL_MS",
    "final": "STT_FINAL_MS",
    "final_after_partial": "STT_FINAL_AFTER_PARTIAL_MS",
    "tts_ready": "TTS_READY_MS",
    "total": "TOTAL_LATENCY_MS",
    "content": "FIRST_CONTENT_MS",
    "heard": "HEARD_LATENCY_MS",
    "v2v": "v2v_ms",
}
"""Short name -> number; ``v2v`` is the caller's own, voice to voice."""

COUNTS: Final = ("cutoffs", "reopened", "censored", "clipped", "fallbacks", "implausible")

_TIMED: Final[dict[str, tuple[str, Statistic]]] = {
    f"{short}_{statistic}": (number, statistic)
    for short, number in _NUMBERS.items()
    for statistic in _STATISTICS
}
GATE_NAMES: Final = (*_TIMED, *COUNTS)
CHANGE_NAMES: Final[dict[str, tuple[str, Statistic]]] = {
    name: _TIMED[name]
    for name in (
        *("total_p50", "total_p95", "content_p50", "content_p95"),
        *("final_p50", "final_p95", "tts_ready_p50", "tts_ready_p95"),
    )
}
"""What is compared with an earlier run, beside ``cutoff_rate``: its number and percentile."""


class Target(msgspec.Struct, frozen=True):
    """A percentile of a number must be at most ``limit_ms``."""

    name: str
    number: str
    percentile: Statistic
    limit_ms: float


class CountGate(msgspec.Struct, frozen=True):
    """A count must be at most ``limit``."""

    name: str
    limit: float


class ChangeGate(msgspec.Struct, frozen=True):
    """A figure must not have risen by more than both ``percent`` and ``floor``."""

    name: str
    """One of `CHANGE_NAMES`, or ``cutoff_rate``."""
    percent: float
    floor: float
    """Milliseconds; for ``cutoff_rate`` points, of 100."""


Gate = Target | CountGate


class TargetResult(msgspec.Struct, frozen=True):
    """One target judged."""

    name: str
    """``<number>_<percentile>``, like ``total_p95``."""
    limit_ms: float
    value_ms: float | None
    ok: bool | None
    """``None`` when the value is unknown."""


class GateResult(msgspec.Struct, frozen=True):
    """One gate judged."""

    name: str
    """``<number>_<percentile>``, or a count."""
    limit: float
    """Milliseconds, or a count."""
    value: float | None
    ok: bool
    """An unknown value does not pass."""
    says: str
    """The same in one line."""


def target(name: str, limit_ms: float) -> Target:
    """A target by its name. Raises `UsageError` for an unknown one."""
    if name not in _TIMED:
        raise UsageError(f"unknown target {name!r}; known: {_known(_STATISTICS)}")
    number, statistic = _TIMED[name]
    return Target(name, number, statistic, limit_ms)


DEFAULT_TARGETS: Final = (
    target("first_partial_p50", 500),
    target("final_p50", 700),
    target("tts_ready_p50", 250),
    target("total_p50", 2000),
    target("total_p95", 3000),
)
"""What a caller accepts from a Google/OpenAI/Google agent; the settings can say otherwise."""


def parse_gate(text: str) -> list[Gate]:
    """Gates from ``total_p95=3000,cutoffs=0``. Raises `UsageError`, naming what is known, and
    for a gate about a change."""
    gates, changes = parse_gates(text)
    if changes:
        raise UsageError(f"gate {changes[0].name} is about a change: it needs report --compare")
    return gates


def parse_gates(text: str) -> tuple[list[Gate], list[ChangeGate]]:
    """The same, with gates like ``total_p95=+5%/50`` among them."""
    gates: list[Gate] = []
    changes: list[ChangeGate] = []
    for part in text.split(","):
        if not part.strip():
            continue
        gate = _one_gate(part.strip())
        if isinstance(gate, ChangeGate):
            changes.append(gate)
        else:
            gates.append(gate)
    return gates, changes


def _one_gate(part: str) -> Gate | ChangeGate:
    name, _, limit_text = (piece.strip() for piece in part.partition("="))
    if limit_text.startswith("+"):
        return _change_gate(part, name, limit_text)
    if name not in GATE_NAMES:
        known = f"{_known(_STATISTICS)}; or a count: {', '.join(COUNTS)}"
        raise UsageError(f"unknown gate {name!r}; known: {known}")
    try:
        limit = float(limit_text)
    except ValueError:
        limit = -1.0
    if not 0 <= limit < float("inf"):
        raise UsageError(
            f"gate {part!r} needs a limit, like {name}=3000 (milliseconds, or a count)"
        )
    return CountGate(name, limit) if name in COUNTS else target(name, limit)


_CHANGE: Final = re.compile(r"\+(?P<percent>\d+(\.\d+)?)%/(?P<floor>\d+(\.\d+)?)")


def _change_gate(part: str, name: str, limit_text: str) -> ChangeGate:
    known = (*CHANGE_NAMES, "cutoff_rate")
    if name not in known:
        raise UsageError(f"unknown gate {name!r} of a change; known: {', '.join(known)}")
    found = _CHANGE.fullmatch(limit_text)
    if found is None:
        raise UsageError(
            f"gate {part!r} must be like {name}=+5%/50: a rise above 5 % and above 50 ms fails"
        )
    return ChangeGate(name, float(found["percent"]), float(found["floor"]))


def _known(statistics: Iterable[str]) -> str:
    return f"<number>_<{'|'.join(statistics)}> with number one of {', '.join(_NUMBERS)}"


def judge(
    targets: Iterable[Target], value_of: Callable[[str, Statistic], float | None]
) -> list[TargetResult]:
    """Each target with its value; ``value_of(number, percentile)`` gives ms or ``None``."""
    results = []
    for goal in targets:
        value = value_of(goal.number, goal.percentile)
        ok = None if value is None else value <= goal.limit_ms
        results.append(TargetResult(goal.name, goal.limit_ms, value, ok))
    return results


def check_gates(
    gates: Iterable[Gate],
    value_of: Callable[[str, Statistic], float | None],
    counts: Mapping[str, int],
) -> list[GateResult]:
    """Each gate judged. No data, or a percentile the answered turns do not reach, fails."""
    return [_check(gate, value_of, counts) for gate in gates]


def _check(
    gate: Gate,
    value_of: Callable[[str, Statistic], float | None],
    counts: Mapping[str, int],
) -> GateResult:
    if isinstance(gate, CountGate):
        count = counts[gate.name]
        ok = count <= gate.limit
        says = f"{gate.name}: {count}, at most {gate.limit:g} allowed"
        return GateResult(gate.name, gate.limit, count, ok, says)
    value = value_of(gate.number, gate.percentile)
    limit = f"at most {duration(gate.limit_ms)} allowed"
    if value is None:
        says = (
            f"{gate.name}: unknown (no turn has {gate.number}, or too few were answered), {limit}"
        )
        return GateResult(gate.name, gate.limit_ms, None, False, says)
    says = f"{gate.name}: {duration(value)}, {limit}"
    return GateResult(gate.name, gate.limit_ms, value, value <= gate.limit_ms, says)
