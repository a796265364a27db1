"""What a load test is to do, and how people write it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from voicelat.errors import UsageError
from voicelat.loadtest.scenario import Scenario
from voicelat.loadtest.utterances import Utterance
from voicelat.metrics.targets import DEFAULT_TARGETS, Gate, Target

__all__ = ["Calls", "LoadPlan", "parse_arrival", "parse_duration"]

_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"(?P<value>\d+(\.\d+)?)(?P<unit>ms|s|m|h)?")


class Calls(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed to place calls: all that a worker machine gets from its master."""

    target: str
    """``ws(s)://`` socket, or ``http(s)://`` webhook."""
    utterances: list[Utterance]
    scenario: Scenario = Scenario()
    turns: int | None = None
    """Questions a call; None: as the scenario says."""
    seed: int = 0
    auth_token: str | None = None
    """Twilio's, to sign as it does. None: unsigned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """Which calls, how many at once, and for how long."""

    calls: Calls
    callers: int = 10
    """Calls at once."""
    duration_s: float | None = None
    """How long callers go on calling. None: each calls once."""
    ramp_s: float = 1.0
    """Within which all of them have begun."""
    arrivals_per_s: float | None = None
    """Calls come by chance, so many a second on average, whether the last ones are over or not;
    ``callers`` is then the most at once, and whoever finds them all busy is counted as not
    placed. None: each caller calls again when its last call is over."""
    web: tuple[str, int] | None = None
    """Where Locust shows its pages. None: nowhere."""
    workers: int = 0
    """Machines that place the calls in our stead. 0: this one does."""
    bind: tuple[str, int] = ("127.0.0.1", 5557)
    """Where those machines reach this one."""
    targets: Sequence[Target] = DEFAULT_TARGETS
    gates: Sequence[Gate] = field(default_factory=tuple)

    def check(self) -> None:
        """Raises UsageError for what cannot be done."""
        if self.callers < 1:
            raise UsageError(f"--callers {self.callers}: must be 1 or more")
        if self.arrivals_per_s is not None and self.duration_s is None:
            raise UsageError("--arrival poisson:RATE needs --duration: calls come until it is over")


def parse_duration(text: str) -> float:
    """Seconds from ``90``, ``90s``, ``2m``, ``500ms`` or ``1h``. Raises UsageError."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no duration: write 90s, 2m or 1h")
    return float(found["value"]) * _UNITS_S[found["unit"] or "s"]


def parse_arrival(text: str) -> float | None:
    """Calls a second from ``poisson:0.5``, None from ``closed``. Raises UsageError."""
    if text == "closed":
        return None
    kind, _, rate = text.partition(":")
    try:
        per_s = float(rate)
    except ValueError:
        per_s = 0.0
    if kind != "poisson" or not 0 < per_s <= 10_000:
        raise UsageError(
            f"--arrival {text}: must be closed, or poisson:RATE in calls a second (poisson:0.5)"
        )
    return per_s
