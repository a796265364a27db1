"""The pictures of many turns, as plotly figures. Single turns are drawn by the page itself, from
`voicelat.report.pictures.turns`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

import numpy as np

from voicelat.metrics.durations import duration
from voicelat.metrics.percentiles import Percentile, percentile
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.samples import Sample, View, is_cutoff, value_of
from voicelat.metrics.summary import Summary
from voicelat.metrics.targets import TargetResult
from voicelat.report.page.drawing import layout
from voicelat.report.page.frame import Json

__all__ = [
    "LEG_COLOURS",
    "MOST_DOTS",
    "ROLLING",
    "ecdf",
    "events",
    "legs",
    "look_of",
    "over_time",
    "reasons",
]

MOST_DOTS: Final = 3000
"""More turns than this are not all dots: a browser draws this many without a pause."""
ROLLING: Final = 40
"""Turns a rolling percentile is of: fewer would make the P95 the second slowest turn."""
_MOST_BARS: Final = 40

# Paul Tol's bright scheme, told apart by the colour-blind too.
LEG_COLOURS: Final = {
    "endpointing": ("#4477aa", "#77a9dd"),
    "llm": ("#ee6677", "#f08a97"),
    "clause": ("#ccbb44", "#ddd077"),
    "tts": ("#228833", "#5fbf70"),
    "gate": ("#66ccee", "#8adaf5"),
    "residual": ("#aa3377", "#d477ab"),
    "unsplit": ("#8a8f98", "#8a8f98"),
}
"""Leg -> its colour in light and in dark. ``unsplit``: a total without legs."""


_MARKED: Final[tuple[Percentile, ...]] = (50, 95)
_CURVES: Final[tuple[Json, ...]] = (
    {"shape": "hv", "color": "var(--accent)", "width": 2.5},
    {"shape": "hv", "color": "var(--before)", "width": 2, "dash": "dash"},
)


def ecdf(named: dict[str, Sample], targets: Iterable[TargetResult]) -> Json:
    """The share of turns answered within a time, for each sample; the targets as crosses, which
    the first curve should pass on the left.

    Turns never answered count as long as they were watched (Kaplan and Meier), so that such a
    curve ends below 100 %.
    """
    data: list[Json] = []
    for (name, sample), line in zip(named.items(), _CURVES, strict=False):
        x, y = _steps(sample)
        curve = {"x": x, "y": y, "type": "scatter", "mode": "lines", "name": name, "line": line}
        hover = "%{y:.1f} % within %{x:,.0f} ms<extra>" + name + "</extra>"
        data.append(curve | {"hovertemplate": hover})
    known = next(iter(named.values()))
    points = [(p, ms) for p in _MARKED if (ms := percentile(known, p)) is not None]
    data.append(
        {
            "type": "scatter",
            "mode": "markers+text",
            "name": "P50 and P95",
            "x": [ms for _, ms in points],
            "y": [p for p, _ in points],
            "text": [f"<b>P{p} {duration(ms)}</b>" for p, ms in points],
            "textposition": "bottom right",
            "marker": {"size": 10, "color": "var(--accent)"},
            "hoverinfo": "skip",
        }
    )
    limits = [(int(name[1:]), ms) for name, ms in _total_targets(targets).items()]
    data.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "target",
            "x": [ms for _, ms in limits],
            "y": [p for p, _ in limits],
            "marker": {"symbol": "x-thin", "size": 13, "line": {"width": 3, "color": "var(--bad)"}},
            "hovertemplate": "at least %{y} % within %{x:,.0f} ms<extra>target</extra>",
        }
    )
    look = look_of("time from the end of the question to the answer (ms)", "turns answered (%)")
    look["yaxis"] |= {"range": [0, 103], "tickvals": [0, 25, 50, 75, 90, 95, 100]}
    look["xaxis"] |= {"range": [0, 1.15 * _worth_seeing(named.values(), [ms for _, ms in limits])]}
    return {"data": data, "layout": look}


def _worth_seeing(samples: Iterable[Sample], limits: Sequence[float]) -> float:
    """Where the picture may end: one turn of a minute must not press all others together."""
    p99 = [percentile(sample, 99) or percentile(sample, 95) or 0 for sample in samples]
    return max([*p99, *limits, 100])


def _steps(sample: Sample, most: int = 1000) -> tuple[list[float], list[float]]:
    """The curve's corners, few enough to draw: time in ms, and percent answered by then."""
    ordered = sample.take(sample.order())
    left = np.arange(len(ordered), 0, -1)
    waiting = np.cumprod(np.where(ordered.seen, 1 - 1 / np.maximum(left, 1), 1.0))
    ms, answered = ordered.ms[ordered.seen], 100 * (1 - waiting[ordered.seen])
    if len(ms) > most:
        corners = np.unique(np.linspace(0, len(ms) - 1, most).round().astype(int))
        ms, answered = ms[corners], answered[corners]
    return [0.0, *ms.tolist()], [0.0, *answered.round(2).tolist()]


def legs(summary: Summary) -> Json:
    """P50 and P95 of every leg, beside each other."""
    known = [(name, leg) for name, leg in summary.legs.items() if leg.n]
    data = [
        {
            "type": "bar",
            "name": name,
            "x": [leg for leg, _ in known],
            "y": [getattr(figures, key) for _, figures in known],
            "text": [duration(getattr(figures, key)) for _, figures in known],
            "textposition": "outside",
            "cliponaxis": False,
            "marker": {
                "color": [f"var(--{leg})" for leg, _ in known],
                "opacity": opacity,
                "line": {"color": "var(--ink)", "width": line},
            },
            "hovertemplate": "%{x}: %{y:,.0f} ms<extra>" + name + "</extra>",
        }
        for name, key, opacity, line in (("P50", "p50", 0.45, 0), ("P95", "p95", 1, 1))
    ]
    look = look_of("", "ms")
    look |= {"barmode": "group", "bargap": 0.25}
    look["margin"] |= {"b": 32}
    return {"data": data, "layout": look}


def over_time(
    records: Sequence[TurnRecord],
    targets: Iterable[TargetResult] = (),
    view: View = "speech-end",
) -> tuple[Json, str | None]:
    """Every total as a dot, with the rolling P50 and P95 and their targets; beside it, in words,
    what is not drawn.

    By the wall clock where every turn knows it, else by the order in the files.
    """
    number = "TOTAL_LATENCY_MS"
    known = [
        (record, ms) for record in records if (ms := value_of(record, number, view)) is not None
    ]
    times = [_wall(record) for record, _ in known]
    by_clock = all(time is not None for time in times) and bool(times)
    if by_clock:
        order = sorted(range(len(known)), key=lambda index: times[index] or 0)
        known = [known[index] for index in order]
        x: list[object] = [_iso(times[index] or 0) for index in order]
    else:
        x = list(range(1, len(known) + 1))
    totals = [ms for _, ms in known]
    step = -(-len(known) // MOST_DOTS) or 1
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "one turn",
            "x": x[::step],
            "y": totals[::step],
            "marker": {"size": 5, "color": "var(--soft)", "opacity": 0.55},
            "hovertemplate": "%{x}: %{y:,.0f} ms<extra></extra>",
        },
        *(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"rolling {name}",
                "x": x,
                "y": _rolling(totals, share),
                "line": {"color": colour, "width": 2.5, "dash": dash},
                "hovertemplate": "%{y:,.0f} ms<extra>rolling " + name + "</extra>",
            }
            for name, share, colour, dash in (
                ("P50", 0.5, "var(--accent)", "solid"),
                ("P95", 0.95, "var(--bad)", "dash"),
            )
            if len(totals) >= ROLLING
        ),
    ]
    look = look_of("time (UTC)" if by_clock else "turn, in the order of the files", "total (ms)")
    look["yaxis"] |= {"rangemode": "tozero"}
    if not by_clock:
        look["xaxis"] |= {"tickformat": ",d"}
    look["shapes"], look["annotations"] = _limits(targets)
    note = None
    if step > 1:
        note = f"Every {step}th of {len(known):,} turns is a dot; the lines are of all."
    return {"data": data, "layout": look}, note


def _limits(targets: Iterable[TargetResult]) -> tuple[list[Json], list[Json]]:
    """A line across the picture for each target of the total, and its name."""
    lines, names = [], []
    for name, limit_ms in _total_targets(targets).items():
        colour = "var(--accent)" if name == "P50" else "var(--bad)"
        line = {"color": colour, "width": 1, "dash": "dot"}
        across = {"xref": "paper", "x0": 0, "x1": 1, "y0": limit_ms, "y1": limit_ms}
        lines.append({"type": "line", "line": line, **across})
        place = {"xref": "paper", "x": 1, "xanchor": "right", "y": limit_ms, "yanchor": "bottom"}
        font = {"color": colour, "size": 12}
        names.append({"text": f"{name} target", "showarrow": False, "font": font, **place})
    return lines, names


def _total_targets(targets: Iterable[TargetResult]) -> dict[str, float]:
    """``P50`` and ``P95`` -> the limit in ms, those that were set."""
    return {
        one.name.removeprefix("total_").upper(): one.limit_ms
        for one in targets
        if one.name in ("total_p50", "total_p95")
    }


def _wall(record: TurnRecord) -> float | None:
    """When the turn's audio began, in seconds since 1970; None where that is not known."""
    at_ms = record.stamps.first_audio_sent
    if record.started_utc is None or at_ms is None:
        return None
    try:
        return datetime.fromisoformat(record.started_utc).timestamp() + at_ms / 1000
    except ValueError:  # another server's idea of a time
        return None


def _iso(seconds: float) -> str:
    return f"{np.datetime64(round(seconds * 1000), 'ms')}"


def _rolling(totals: Sequence[int], share: float) -> list[float | None]:
    """Of each turn and those before it, `ROLLING` in all; None for the first."""
    found: list[float | None] = [None] * (ROLLING - 1)
    windows = np.lib.stride_tricks.sliding_window_view(np.array(totals), ROLLING)
    rank = max(0, int(np.ceil(share * ROLLING)) - 1)
    found += np.sort(windows, axis=1)[:, rank].astype(float).tolist()
    return found


def reasons(records: Sequence[TurnRecord], view: View = "speech-end") -> Json:
    """The totals by what ended the turn, each with its count, and its P95 as a mark."""
    groups: dict[str, list[int]] = {"silence": [], "debounce": [], "timeout": [], "unknown": []}
    for record in records:
        ms = value_of(record, "TOTAL_LATENCY_MS", view)
        if ms is not None:
            groups[record.EOU_REASON or "unknown"].append(ms)
    named = {f"{name} ({len(ms):,})": ms for name, ms in groups.items() if ms}
    p95 = [percentile(Sample.of((ms, True, 0) for ms in own), 95) for own in named.values()]
    boxes = [
        {
            "type": "box",
            "name": name,
            "y": own,
            "boxpoints": "all" if len(own) <= 300 else False,
            "jitter": 0.5,
            "pointpos": 0,
            "marker": {"size": 4, "color": "var(--soft)", "opacity": 0.6},
            "line": {"color": "var(--accent)", "width": 1.5},
            "fillcolor": "rgba(0,0,0,0)",
            "showlegend": False,
            "hovertemplate": "%{y:,.0f} ms<extra></extra>",
        }
        for name, own in named.items()
    ]
    marks = {
        "type": "scatter",
        "mode": "markers+text",
        "name": "P95",
        "x": list(named),
        "y": p95,
        "text": [f"   <b>P95 {duration(ms)}</b>" for ms in p95],
        "textposition": "middle right",
        "marker": {"symbol": "line-ew", "size": 22, "line": {"width": 3, "color": "var(--bad)"}},
        "hoverinfo": "skip",
    }
    look = look_of("", "total (ms)")
    look["yaxis"] |= {"rangemode": "tozero"}
    look["margin"] |= {"b": 32}
    return {"data": [*boxes, marks], "layout": look}


_EVENTS: Final[dict[str, tuple[Callable[[TurnRecord], bool], str, str]]] = {
    "barge-in": (lambda r: r.BARGE_IN_HIT or r.outcome == "barged_in", "gate", ""),
    "re-opened": (lambda r: r.reopened, "clause", "/"),
    "cut off": (is_cutoff, "llm", "x"),
    "never answered": (lambda r: r.outcome == "censored", "residual", "."),
}
"""What may happen in a turn, its colour, and a hatching for those who see none."""


def events(records: Sequence[TurnRecord], calls: Sequence[int]) -> Json:
    """What happened in how many turns: call by call, or of about forty stretches of calls."""
    size = -(-len(set(calls)) // _MOST_BARS) or 1
    stretch = [call // size for call in calls]
    names = [
        _stretch_name(n, size, max(calls, default=0)) for n in range(max(stretch, default=-1) + 1)
    ]
    data = []
    for name, (happened, colour, pattern) in _EVENTS.items():
        counts = [0] * len(names)
        for record, n in zip(records, stretch, strict=True):
            counts[n] += happened(record)
        data.append(
            {
                "type": "bar",
                "name": f"{name} ({sum(counts):,})",
                "x": names,
                "y": counts,
                "marker": {"color": f"var(--{colour})", "pattern": {"shape": pattern}},
                "hovertemplate": f"%{{y}} turns {name}<extra>call %{{x}}</extra>",
            }
        )
    look = look_of("call, in the order of the files", "turns")
    look |= {"barmode": "stack", "bargap": 0.15}
    look["legend"] |= {"traceorder": "normal"}
    if max((sum(one) for one in zip(*(trace["y"] for trace in data), strict=True)), default=0) < 10:
        look["yaxis"] |= {"dtick": 1}  # half a turn is none
    look["xaxis"] |= {"type": "category", "nticks": 20}
    return {"data": data, "layout": look}


def _stretch_name(n: int, size: int, last: int) -> str:
    first, end = n * size + 1, min((n + 1) * size, last + 1)
    return str(first) if first == end else f"{first}\u2013{end}"


def look_of(x: str = "", y: str = "") -> Json:
    """The layout that all have in common, with these titles of the axes."""
    look = layout()
    look["xaxis"] = look["xaxis"] | {"title": look["xaxis"]["title"] | {"text": x}}
    look["yaxis"] = look["yaxis"] | {"title": look["yaxis"]["title"] | {"text": y}}
    return look | {
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "margin": {"l": 62, "r": 18, "t": 44, "b": 52},
        "dragmode": "zoom",
    }
