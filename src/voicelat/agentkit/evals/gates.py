"""Gates over a run of evals: ``pass_rate=1,forbidden=0`` is two of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from voicelat.errors import UsageError

if TYPE_CHECKING:
    from voicelat.agentkit.evals.run import EvalResult

__all__ = ["Gate", "GateVerdict", "judge", "parse_gates"]

_VALUES: Final[dict[str, Callable[[EvalResult], float | None]]] = {
    "pass_rate": lambda result: result.pass_rate,
    "forbidden": lambda result: result.forbidden,
    "stopped": lambda result: result.stopped,
    "held": lambda result: result.held,
    "skipped": lambda result: result.skipped,
    "latency_p95_ms": lambda result: result.latency_p95_ms,
    "cost_usd": lambda result: result.cost_usd,
}
"""Name -> its value. ``pass_rate`` is a least, all others are a most."""


class Gate(msgspec.Struct, frozen=True):
    """One limit."""

    name: str
    limit: float


class GateVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """A gate against what was measured."""

    name: str
    """What was limited."""
    limit: float
    """The limit."""
    value: float | None
    """None: unknown, which passes no gate."""
    ok: bool
    """Whether it holds."""


def parse_gates(text: str) -> list[Gate]:
    """Read ``NAME=NUMBER,...``. Raises UsageError."""
    gates: list[Gate] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (piece.strip() for piece in part.partition("="))
        try:
            limit = float(value)
        except ValueError:
            limit = math.nan
        if name not in _VALUES or not math.isfinite(limit):
            raise UsageError(f"--gate {part!r}: write NAME=NUMBER with {', '.join(_VALUES)}")
        gates.append(Gate(name, limit))
    return gates


def judge(result: EvalResult, gate: Gate) -> GateVerdict:
    """Whether a result passes a gate."""
    value = _VALUES[gate.name](result)
    ok = value is not None and (
        value >= gate.limit if gate.name == "pass_rate" else value <= gate.limit
    )
    return GateVerdict(name=gate.name, limit=gate.limit, value=value, ok=ok)
