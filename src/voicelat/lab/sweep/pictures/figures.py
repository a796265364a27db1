"""The pictures of a sweep's page, as plotly figures."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any, Final, Literal

from voicelat.lab.sweep.pictures.slices import Slice
from voicelat.lab.sweep.pictures.story import (
    KNOBS,
    Knob,
    named_settings,
    percent,
    setting_says,
    unit_of,
    worth_seeing,
)
from voicelat.lab.sweep.result import PolicyName, SettingResult, SweepResult
from voicelat.metrics.durations import duration
from voicelat.report.page.drawing import figure_json, layout
from voicelat.report.page.frame import Json

__all__ = ["MOST_DOTS", "heat_limits", "heat_map", "heat_slice", "trade_off"]

MOST_DOTS: Final = 5000
"""More settings than this share dots: a browser draws this many without a pause."""

_TICKS: Final = (0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1)
_SYMBOLS: Final = {
    "recommended": ("star", 18, (0, 48)),
    "candidate": ("star-diamond", 17, (-70, 10)),
    "silence alone": ("diamond", 13, (56, -34)),
    "usual start": ("square", 12, (62, -22)),
}
"""Marker, its size, and where its label stands from it: apart, should two fall together."""
_SAYS: Final = (
    "<b>%{customdata[0]} total P50</b>, %{customdata[1]} cut off<br>"
    "total P95 %{customdata[2]}, early %{customdata[3]}, %{customdata[4]} model calls a turn<br>"
    "%{customdata[5]}"
)

Figure = Literal["total_p50", "cutoff_rate"]
Limits = tuple[float, float]


def trade_off(result: SweepResult) -> tuple[Json, str | None]:
    """Total P50 against cutoffs; beside it, in words, what shares a dot or is not drawn.

    Every setting is a small dot, each policy's front a staircase, the named settings are large.
    """
    from plotly import graph_objects as go

    figure = go.Figure(layout=layout())
    dots, shared = _dots(result)
    for policy, drawn in dots.items():
        figure.add_trace(_scatter(go, drawn, policy, showlegend=False, **_small(policy)))
    for policy, front in result.fronts.items():
        drawn = [_dot(result.settings[index]) for index in front]
        figure.add_trace(_scatter(go, drawn, policy, **_line(policy)))
    for named in reversed(named_settings(result)):
        symbol, size, (right, down) = _SYMBOLS[named.name]
        dot = _dot(named.setting)
        figure.add_trace(
            _scatter(
                go,
                [dot],
                named.name,
                mode="markers",
                showlegend=False,
                marker={
                    "symbol": symbol,
                    "size": size,
                    "color": f"var(--{named.setting.policy})",
                    "line": {"color": "var(--ink)", "width": 1.5},
                },
            )
        )
        if dot["x"] is not None:
            figure.add_annotation(
                x=dot["x"],
                y=dot["y"],
                ax=right,
                ay=down,
                text=f"<b>{named.name}</b>",
                font={"color": "var(--ink)", "size": 13},
                bgcolor="var(--card)",
                opacity=0.92,
                borderpad=2,
                arrowcolor="var(--ink)",
                arrowwidth=1.2,
                arrowhead=0,
                standoff=7,
            )
    _frame(figure, result)
    return figure_json(figure), shared


def _dot(setting: SettingResult, others: int = 0) -> Json:
    says = setting_says(setting).replace(", debounce", ",<br>debounce")
    if others:
        says += f"<br>and {others} more settings at this spot"
    return {
        "x": setting.total_p50,
        "y": math.sqrt(setting.cutoff_rate),
        "customdata": [
            duration(setting.total_p50),
            percent(setting.cutoff_rate),
            duration(setting.total_p95),
            percent(setting.early_rate),
            f"{setting.model_calls_per_turn:.2f}",
            says,
        ],
    }


def _scatter(go: Any, dots: list[Json], name: str, **style: Any) -> Any:
    columns = {key: [dot[key] for dot in dots] for key in ("x", "y", "customdata")}
    return go.Scatter(**columns, name=name, hovertemplate=f"{_SAYS}<extra>{name}</extra>", **style)


def _small(policy: PolicyName) -> Json:
    return {
        "mode": "markers",
        "marker": {"size": 5, "color": f"var(--{policy})", "opacity": 0.28, "line": {"width": 0}},
    }


def _line(policy: PolicyName) -> Json:
    colour = f"var(--{policy})"
    return {
        "mode": "lines+markers",
        # Between two settings of a front, the slower one's cutoffs are not reached yet.
        "line": {"color": colour, "width": 2, "shape": "hv"},
        "marker": {"size": 7, "color": colour, "line": {"color": "var(--card)", "width": 1}},
    }


def _dots(result: SweepResult) -> tuple[dict[PolicyName, list[Json]], str | None]:
    """The dots by policy, few enough to draw, and in words what that cost."""
    known = [one for one in result.settings if one.total_p50 is not None]
    notes = []
    if len(known) < len(result.settings):
        notes.append(f"{len(result.settings) - len(known):,} settings have no total.")
    cell_ms = 0
    spots = _spots(known, cell_ms)
    while len(spots) > MOST_DOTS:
        cell_ms = cell_ms * 2 or 1
        spots = _spots(known, cell_ms)
    if cell_ms:
        notes.append(
            f"{len(known):,} settings share {len(spots):,} dots: of settings of one policy within"
            f" {cell_ms} ms and 0.1% of each other, the one with the fewest cutoffs is drawn."
        )
    dots: defaultdict[PolicyName, list[Json]] = defaultdict(list)
    for settings in spots:
        best = min(settings, key=lambda one: (one.cutoff_rate, one.total_p50 or 0))
        dots[best.policy].append(_dot(best, others=len(settings) - 1))
    return dots, " ".join(notes) or None


def _spots(settings: list[SettingResult], cell_ms: int) -> list[list[SettingResult]]:
    """Settings that one dot can stand for; with a cell of 0 ms, every setting alone."""
    if not cell_ms:
        return [[setting] for setting in settings]
    spots: defaultdict[tuple[PolicyName, int, int], list[SettingResult]] = defaultdict(list)
    for one in settings:
        at = (one.policy, int((one.total_p50 or 0) / cell_ms), round(one.cutoff_rate * 1000))
        spots[at].append(one)
    return list(spots.values())


def _frame(figure: Any, result: SweepResult) -> None:
    """Axes with their units, the scale, and the line of the budget."""
    scale = worth_seeing(result)
    totals = [one.total_p50 for one in scale if one.total_p50 is not None]
    low, high = (min(totals), max(totals)) if totals else (0.0, 100.0)
    pad = max((high - low) * 0.06, 20)
    top = max(max((one.cutoff_rate for one in scale), default=0.0), result.max_cutoffs, 0.01)
    budget = math.sqrt(result.max_cutoffs)
    figure.update_xaxes(title_text="total P50 (ms)", tickformat=",d")
    figure.update_xaxes(range=[max(low - pad, 0), high + pad])
    figure.update_yaxes(
        title_text="turns cut off (%)",
        range=[-0.05 * math.sqrt(top), math.sqrt(top) * 1.1],
        tickvals=[math.sqrt(rate) for rate in _TICKS],
        ticktext=[f"{rate * 100:g}" for rate in _TICKS],
    )
    figure.add_hline(y=budget, line={"color": "var(--budget)", "width": 1.5, "dash": "dash"})
    figure.add_annotation(
        x=1,
        xref="paper",
        xanchor="right",
        y=budget,
        yanchor="bottom",
        text=f"allowed: {percent(result.max_cutoffs)}",
        font={"color": "var(--budget)", "size": 12},
        showarrow=False,
    )
    figure.update_layout(
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        margin={"l": 58, "r": 16, "t": 44, "b": 52},
        dragmode="zoom",
    )


def heat_map(grid: Slice, chosen: SettingResult, figure: Figure, limits: Limits) -> Json:
    """One map, fainter where it is better. The chosen setting has a star, where it is in it."""
    from plotly import graph_objects as go

    drawn = go.Figure(layout=layout())
    down, across = grid.axes.down, grid.axes.across
    value = "%{z:.0f} ms total P50" if figure == "total_p50" else "%{z:.1%} of turns cut off"
    shades = ("var(--pale)", f"var(--mid-{figure})", f"var(--strong-{figure})")
    drawn.add_trace(
        go.Heatmap(
            **heat_slice(grid, chosen, figure),
            texttemplate="%{text}",
            hovertemplate=f"<b>{value}</b><br>{KNOBS[down]} %{{y}} {unit_of(down)}<br>"
            f"{KNOBS[across]} %{{x}} {unit_of(across)}<extra></extra>",
            colorscale=[[0, shades[0]], [0.5, shades[1]], [1, shades[2]]],
            zmin=limits[0],
            zmax=limits[1],
            showscale=False,
            xgap=2,
            ygap=2,
        )
    )
    drawn.update_xaxes(title_text=_axis(across), type="category", showgrid=False, showline=False)
    drawn.update_yaxes(title_text=_axis(down), type="category", showgrid=False, showline=False)
    drawn.update_yaxes(autorange="reversed")
    drawn.update_layout(margin={"l": 60, "r": 4, "t": 4, "b": 46}, dragmode=False)
    return figure_json(drawn)


def heat_slice(grid: Slice, chosen: SettingResult, figure: Figure) -> Json:
    """What changes from grid to grid: axes, values, texts."""
    cells = [[grid.cells.get((row, column)) for column in grid.columns] for row in grid.rows]
    return {
        "x": [f"{column:g}" for column in grid.columns],
        "y": [f"{row:g}" for row in grid.rows],
        "z": [[one and getattr(one, figure) for one in line] for line in cells],
        "text": [[_cell(one, chosen, figure) for one in line] for line in cells],
    }


def _cell(setting: SettingResult | None, chosen: SettingResult, figure: Figure) -> str:
    if setting is None or getattr(setting, figure) is None:
        return ""
    if figure == "total_p50":
        text = f"{setting.total_p50:.0f}"
    else:
        text = percent(setting.cutoff_rate).removesuffix("%")
    return f"<b>\u2605{text}</b>" if setting == chosen else text


def heat_limits(slices: list[Slice], figure: Figure) -> Limits:
    """The least and the most of a figure over all slices: one colour means one value in all."""
    values = [getattr(one, figure) for grid in slices for one in grid.cells.values()]
    known = [value for value in values if value is not None]
    return min(known, default=0.0), max(known, default=1.0)


def _axis(knob: Knob) -> str:
    return f"{KNOBS[knob]} ({unit_of(knob)})"
