"""The heat maps of a sweep's page: one at a time, and what the reader may choose from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from voicelat.lab.sweep.pictures.figures import Figure, heat_limits, heat_map, heat_slice
from voicelat.lab.sweep.pictures.slices import Axes, Slice, axes, heat_slices, slice_around
from voicelat.lab.sweep.pictures.story import KNOBS, Knob, Named, knob_text, named_settings, subject
from voicelat.lab.sweep.result import SweepResult
from voicelat.report.page.frame import Json

__all__ = ["Choice", "HeatMaps", "heat_maps"]

_FIGURES: Final[tuple[Figure, ...]] = ("total_p50", "cutoff_rate")


@dataclass(frozen=True, slots=True)
class Choice:
    """Something to choose a map by: the policy, or a knob that is held fixed."""

    key: str
    name: str
    options: list[tuple[str, str]]
    """Value and what the reader sees."""


@dataclass(frozen=True, slots=True)
class HeatMaps:
    """All maps with the same axes, the one around the subject first shown."""

    axes: Axes
    about: Named
    """The setting with the star."""
    slices: list[Slice]
    unmapped: list[str]
    """Policies left out, because their maps would be a single row or column."""

    @property
    def first(self) -> Slice:
        """The map around the subject."""
        return slice_around(self.slices, self.about.setting)

    def choices(self) -> list[Choice]:
        """What differs between the maps; nothing, where there is one."""
        names: dict[str, str] = {"policy": "policy", **{str(k): name for k, name in KNOBS.items()}}
        every = [_at(grid) for grid in self.slices]
        found = []
        for key in every[0]:
            values = dict.fromkeys(at[key] for at in every)
            if len(values) > 1:
                options = [(value, _option(key, value)) for value in values]
                found.append(Choice(key, names[key], options))
        return found

    def always(self) -> list[tuple[Knob, float]]:
        """The knobs that have one value in all maps."""
        chosen = {choice.key for choice in self.choices()}
        return [(knob, value) for knob, value in self.first.held() if knob not in chosen]

    def first_values(self) -> dict[str, str]:
        """What is chosen at first, by the keys of the choices."""
        return _at(self.first)

    def figures(self) -> dict[str, Json]:
        """The two drawings of the first map."""
        return {
            figure: heat_map(
                self.first, self.about.setting, figure, heat_limits(self.slices, figure)
            )
            for figure in _FIGURES
        }

    def drawings(self) -> list[Json]:
        """Per map: its values of the choices, and what changes in the drawings."""
        keys = [choice.key for choice in self.choices()]
        return [
            {
                "at": [_at(grid)[key] for key in keys],
                "figures": {
                    figure: heat_slice(grid, self.about.setting, figure) for figure in _FIGURES
                },
            }
            for grid in self.slices
        ]


def heat_maps(result: SweepResult) -> HeatMaps | None:
    """None where there is nothing to map: no setting has a name, or no knob varies."""
    about = subject(result) or next(iter(named_settings(result)), None)
    if about is None:
        return None
    found = axes(result, about.setting.policy)
    if found is None:
        return None
    every = heat_slices(result, found)
    first = slice_around(every, about.setting)
    kept = [one for one in every if one is first or len(one.rows) > 1 < len(one.columns)]
    mapped = {one.policy for one in kept}
    unmapped = [one.policy for one in every if one.policy not in mapped]
    return HeatMaps(found, about, kept, list(dict.fromkeys(unmapped)))


def _at(grid: Slice) -> dict[str, str]:
    return {"policy": grid.policy, **{knob: f"{value:g}" for knob, value in grid.held()}}


def _option(key: str, value: str) -> str:
    return next((knob_text(knob, float(value)) for knob in KNOBS if knob == key), value)
