"""Which two settings a heat map walks, and the settings in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from voicelat.lab.sweep.pictures.story import KNOBS, Knob, knob_text
from voicelat.lab.sweep.result import PolicyName, SettingResult, SweepResult

__all__ = ["Axes", "Fixed", "Slice", "axes", "heat_slices", "slice_around"]

_Point = tuple[float, float]
Fixed = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Axes:
    """The knob that runs down, the knob that runs across, and those held fixed."""

    down: Knob
    across: Knob
    fixed: tuple[Knob, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """One heat map: a policy, the values held fixed, and the settings that are left."""

    axes: Axes
    policy: PolicyName
    fixed: Fixed
    """In the order of ``axes.fixed``."""
    rows: tuple[float, ...]
    """Values of the knob that runs down, ascending."""
    columns: tuple[float, ...]
    cells: dict[_Point, SettingResult]
    """By (row, column); a combination that was not swept is absent."""

    def place(self, setting: SettingResult) -> _Point:
        """Row and column of a setting."""
        return getattr(setting, self.axes.down), getattr(setting, self.axes.across)

    def fixed_says(self) -> str:
        """What does not change within the map."""
        own = (f"{KNOBS[knob]} {knob_text(knob, value)}" for knob, value in self.held())
        return ", ".join([f"{self.policy} policy", *own])

    def held(self) -> list[tuple[Knob, float]]:
        """The knobs held fixed and their values."""
        return list(zip(self.axes.fixed, self.fixed, strict=True))


_FIRST: Final[Knob] = "hangover_ms"


def axes(result: SweepResult, policy: PolicyName) -> Axes | None:
    """The hangover down, where it varies, and across it the knob that moves the figures most.

    None where no knob of this policy has two values.
    """
    own = [setting for setting in result.settings if setting.policy == policy]
    moved = {knob: _moved(own, knob) for knob in KNOBS}
    varied = [knob for knob in KNOBS if len({getattr(setting, knob) for setting in own}) > 1]
    if not varied:
        return None
    # sorted() is stable: knobs that move nothing keep the order in which people name them.
    by_weight = sorted(varied, key=lambda knob: -moved[knob])
    down = _FIRST if _FIRST in varied else by_weight[0]
    rest = [knob for knob in by_weight if knob != down]
    across = rest[0] if rest else next(knob for knob in KNOBS if knob != down)
    return Axes(down, across, tuple(knob for knob in KNOBS if knob not in (down, across)))


def _moved(settings: list[SettingResult], knob: Knob) -> float:
    """How far this knob alone moves total P50 and cutoffs, as a share of how far all do."""
    groups: defaultdict[tuple[float, ...], list[SettingResult]] = defaultdict(list)
    for setting in settings:
        groups[tuple(getattr(setting, other) for other in KNOBS if other != knob)].append(setting)
    share = 0.0
    for figure in ("total_p50", "cutoff_rate"):
        whole = _spread(getattr(setting, figure) for setting in settings)
        own = [_spread(getattr(setting, figure) for setting in group) for group in groups.values()]
        share += sum(own) / len(own) / whole if whole else 0.0
    return share


def _spread(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return max(known) - min(known) if known else 0.0


def heat_slices(result: SweepResult, chosen: Axes) -> list[Slice]:
    """Every heat map with these axes, in the order of the sweep."""
    parts: defaultdict[tuple[PolicyName, Fixed], dict[_Point, SettingResult]] = defaultdict(dict)
    for setting in result.settings:
        key = (setting.policy, tuple(getattr(setting, knob) for knob in chosen.fixed))
        point = (getattr(setting, chosen.down), getattr(setting, chosen.across))
        parts[key][point] = setting
    return [
        Slice(
            axes=chosen,
            policy=policy,
            fixed=fixed,
            rows=tuple(sorted({row for row, _ in cells})),
            columns=tuple(sorted({column for _, column in cells})),
            cells=cells,
        )
        for (policy, fixed), cells in parts.items()
    ]


def slice_around(found: list[Slice], setting: SettingResult) -> Slice:
    """The heat map that this setting lies in."""
    return next(
        grid
        for grid in found
        if grid.policy == setting.policy
        and all(getattr(setting, knob) == value for knob, value in grid.held())
    )
