"""The settings of a sweep: ranges as they are typed, and all their combinations as columns."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, get_args

import numpy as np

from voicelat.errors import UsageError
from voicelat.lab.sweep.pauses import Column
from voicelat.lab.sweep.result import PolicyName

__all__ = [
    "BRIEF",
    "MAX_SETTINGS",
    "Columns",
    "Grid",
    "Setting",
    "columns",
    "policies",
    "share",
    "values",
]

MAX_SETTINGS: Final = 200_000
"""More is a typing error: nobody reads them, and they do not fit in the memory."""

MOST_MS: Final = 60_000
"""A wait of a minute is a typing error too, and so many values are enough for a range."""
_ROUNDING: Final = 1e-6


@dataclass(frozen=True, slots=True, order=True)
class Setting:
    """One combination, in ms."""

    policy: PolicyName
    debounce_ms: int
    hangover_ms: int
    min_utt_ms: int
    stt_timeout_ms: int
    speak_gate_ms: int

    @property
    def alone(self) -> bool:
        """Whether it is a silence timer alone: no work before it has run out, and what it has
        decided is said."""
        return self.policy == "silence"


BRIEF: Final = Setting("fixed", 60, 160, 250, 240, 0)
"""What many bots start from: debounce 60, hangover 160, 0.25 s, timeout 240, no gate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Which values to try. Each is a tuple of whole ms. Raises UsageError for too many settings."""

    debounce: tuple[int, ...] = (20, 60, 100, 200)
    hangover: tuple[int, ...] = tuple(range(80, 801, 80))
    min_utt: tuple[int, ...] = (250,)
    stt_timeout: tuple[int, ...] = (240,)
    speak_gate: tuple[int, ...] = tuple(range(0, 2401, 100))
    policies: tuple[PolicyName, ...] = ("fixed", "adaptive", "semantic")
    silence: tuple[int, ...] = tuple(range(80, 4001, 40))
    """Hangovers of the baseline: a silence timer alone."""

    def __post_init__(self) -> None:
        size = math.prod(map(len, (self.policies, *self._axes)))
        if size > MAX_SETTINGS:
            raise UsageError(
                f"{size} settings are too many (at most {MAX_SETTINGS}): take wider steps"
            )

    @property
    def _axes(self) -> tuple[tuple[int, ...], ...]:
        return self.debounce, self.hangover, self.min_utt, self.stt_timeout, self.speak_gate

    def settings(self) -> list[Setting]:
        """Every combination, the baseline and the brief's."""
        made = {
            Setting(policy, *point): None
            for policy in self.policies
            for point in itertools.product(*self._axes)
        }
        made.setdefault(BRIEF)
        for hangover in self.silence:
            made.setdefault(
                Setting(
                    "silence",
                    BRIEF.debounce_ms,
                    hangover,
                    BRIEF.min_utt_ms,
                    BRIEF.stt_timeout_ms,
                    0,
                )
            )
        return list(made)


@dataclass(frozen=True, slots=True)
class Columns:
    """Settings of one policy, side by side."""

    debounce: Column
    hangover: Column
    min_utt: Column
    stt_timeout: Column
    speak_gate: Column

    def __len__(self) -> int:
        return len(self.debounce)


def columns(settings: Sequence[Setting]) -> Columns:
    """Settings as columns of int32."""
    rows = np.array(
        [
            (s.debounce_ms, s.hangover_ms, s.min_utt_ms, s.stt_timeout_ms, s.speak_gate_ms)
            for s in settings
        ],
        np.int32,
    ).reshape(-1, 5)
    return Columns(*(np.ascontiguousarray(column) for column in rows.T))


def values(text: str, option: str, *, scale: int = 1, most: int = MOST_MS) -> tuple[int, ...]:
    """``20:200:20`` (from, to and the step, the end included), ``60``, or ``60,100:200:50``.

    ``scale`` makes ms of what is typed (1000 for seconds); what is no whole ms is refused, not
    rounded. A step that does not divide stops before the end. Raises UsageError.
    """
    found: dict[int, None] = {}
    for part in text.split(","):
        try:
            numbers = [float(number) * scale for number in part.split(":")]
        except ValueError:
            numbers = []
        if len(numbers) == 1:
            numbers = [numbers[0], numbers[0], 1]
        if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
            raise UsageError(
                f"{option} {text}: give FROM:TO:STEP, one value, or several with commas"
            )
        start, stop, step = numbers
        if not (0 <= start <= stop <= most and step > 0):
            raise UsageError(
                f"{option} {text}: from 0 to {most / scale:g}, upwards, in steps above 0"
            )
        # Seconds as typed are not exact in binary: 0.29 * 1000 is 290 all the same.
        if round(step) < 1 or any(abs(number - round(number)) > _ROUNDING for number in numbers):
            raise UsageError(f"{option} {text}: a millisecond is not divided any further")
        found |= dict.fromkeys(range(round(start), round(stop) + 1, round(step)))
    return tuple(found)


def share(text: str, option: str) -> float:
    """``5%`` or ``0.05`` as a share from 0 to 1. Raises UsageError."""
    number, percent = (text.removesuffix("%"), 100) if text.endswith("%") else (text, 1)
    try:
        value = float(number) / percent
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(f"{option} {text}: give a share from 0 to 1, or 0% to 100%")
    return value


def policies(text: str) -> tuple[PolicyName, ...]:
    """``fixed,semantic`` as names. Raises UsageError."""
    known: list[PolicyName] = [name for name in get_args(PolicyName) if name != "silence"]
    found: list[PolicyName] = []
    for word in text.split(","):
        named = [name for name in known if name == word.strip()]
        if not named:
            raise UsageError(f"--policy {text}: there are {', '.join(known)}")
        found += named
    return tuple(dict.fromkeys(found))
