"""A report as one HTML file, in the frame of all pages (`voicelat.report.page.frame`).

From the whole to the single turn: is it good enough, what makes it slow, where the time goes, and
then every turn and every call. What a caller, a provider or another server said passes through
`said`, or through `voicelat.report.pictures.turns`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

from voicelat.metrics.compare import Comparison
from voicelat.metrics.durations import counted, duration, duration_range
from voicelat.metrics.finding import Finding
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.samples import Sample, call_indices, sample_of
from voicelat.metrics.summary import CallerNumbers, NumberSummary, Summary
from voicelat.report import ReportResult
from voicelat.report.page.drawing import drawing_code
from voicelat.report.page.frame import (
    NO_SCRIPT,
    Colours,
    Json,
    asset,
    document,
    row,
    said,
    section,
    table,
)
from voicelat.report.pictures import figures
from voicelat.report.pictures.turns import settings_in_force, turns_drawn
from voicelat.report.pictures.waves import Wave
from voicelat.report.story import counts_says, verdict

__all__ = ["Evidence", "page"]

_COLOURS: Final[Colours] = {
    **figures.LEG_COLOURS,
    "before": ("#7a7f89", "#9aa2af"),
    "caller-lane": ("#4477aa", "#77a9dd"),
    "agent-lane": ("#228833", "#5fbf70"),
}
_MOST_GROUPS: Final = 6
_SLOWEST: Final = 20


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a page needs beside the report itself."""

    records: Sequence[TurnRecord]
    before: Sequence[TurnRecord] = ()
    """Turns of an earlier run, to compare with."""
    waves: Mapping[str, Wave] = field(default_factory=dict)
    broken_recordings: Sequence[str] = ()


def page(result: ReportResult, evidence: Evidence) -> str:
    """The whole page. Raises MissingExtra where plotly is not installed."""
    drawing = drawing_code("the page of a report")
    records, summary = evidence.records, result.summary
    over_time, thinned = figures.over_time(records, summary.targets, summary.view)
    drawn: Json = {
        "ecdf": figures.ecdf(_samples(evidence, summary), summary.targets),
        "legs": figures.legs(summary),
        "time": over_time,
        "reasons": figures.reasons(records, summary.view),
        "events": figures.events(records, call_indices(records)),
    }
    shown = [name for name, figure in drawn.items() if any(_points(one) for one in figure["data"])]
    body = "\n".join(
        [
            _headline(summary),
            _tiles(summary),
            _diagnosis(summary.diagnosis, records),
            _comparison(result.comparison),
            _ecdf(summary) if "ecdf" in shown else "",
            _where(summary) if "legs" in shown else "",
            _waterfall(records) if records else "",
            _together(shown, thinned),
            _call(evidence) if records else "",
            _numbers(summary),
            _settings(records),
            _left_out(result, evidence),
        ]
    )
    return document(
        "voicelat report",
        body,
        figures={
            "figures": {name: drawn[name] for name in shown},
            "look": figures.look_of(),
            **turns_drawn(records, evidence.waves),
        },
        scripts=(drawing, asset(__package__, "page.js")),
        style=asset(__package__, "page.css"),
        colours=_COLOURS,
    )


def _samples(evidence: Evidence, summary: Summary) -> dict[str, Sample]:
    runs = {"these turns": evidence.records}
    if evidence.before:
        runs["before"] = evidence.before
    number, view = "TOTAL_LATENCY_MS", summary.view
    return {
        name: sample_of(records, call_indices(records), number, view)
        for name, records in runs.items()
    }


def _points(trace: Json) -> bool:
    return bool([y for y in trace["y"] if y])


def _headline(summary: Summary) -> str:
    total = summary.numbers["TOTAL_LATENCY_MS"]
    if total.p50 is None:
        title = "No turn knows how long its caller waited"
    else:
        title = f"Half of the answers came within {duration(total.p50)}, 95 % within "
        title += duration(total.p95) if total.p95 is not None else "no time these turns know"
    told = verdict(summary)
    counts = f"{counted(summary.turns, 'turn')} in {counted(summary.calls, 'call')}: "
    seen = (
        "Measured by the caller." if summary.measured_at == "caller" else "Measured at the server."
    )
    if summary.view == "turn-start":
        seen += " Counted from the start of the caller's speech."
    return (
        f'<header>\n<p class="eyebrow">voicelat report</p>\n<h1>{escape(title)}</h1>\n'
        f'<p class="verdict {told.mood}">{escape(told.says[:1].upper() + told.says[1:])}.</p>\n'
        f'<p class="soft">{escape(counts + counts_says(summary))}. {escape(seen)}</p>\n</header>'
    )


def _tiles(summary: Summary) -> str:
    words = {True: "met", False: "missed", None: "no data"}
    tiles = [
        f'<div class="tile {_MOOD[one.ok]}"><dt>{escape(_target_name(one.name))}</dt>'
        f'<dd class="value">{duration(one.value_ms)}</dd>'
        f'<dd class="than">{words[one.ok]}: at most {duration(one.limit_ms)}</dd></div>'
        for one in summary.targets
    ]
    return f'<dl class="tiles">{"".join(tiles)}</dl>'


_MOOD: Final = {True: "good", False: "bad", None: ""}


def _target_name(name: str) -> str:
    number, _, statistic = name.rpartition("_")
    return f"{number.replace('_', ' ')} {statistic.upper()}"


def _diagnosis(findings: Sequence[Finding], records: Sequence[TurnRecord]) -> str:
    calls: dict[str, int] = {}
    for record, call in zip(records, call_indices(records), strict=True):
        calls.setdefault(record.call_id, call)
    items = "".join(f"<li>{_finding(one, calls)}</li>" for one in findings)
    return section("What to change first", f'<ol class="findings">{items}</ol>', kind="long")


def _finding(finding: Finding, calls: Mapping[str, int]) -> str:
    told = f'<p dir="auto">{said(finding.says)}</p>'
    if finding.try_:
        told += f'<p class="try" dir="auto"><b>Try:</b> {said(finding.try_)}</p>'
    links = [
        f'<a href="#call" data-call="{calls[ref.call_id]}" data-turn="{ref.turn}">'
        f"{said(ref.call_id)} #{ref.turn}</a>{f' ({duration(ref.ms)})' if ref.ms else ''}"
        for ref in finding.turns
        if ref.call_id in calls
    ]
    return told + (f'<p class="note">Turns: {", ".join(links)}</p>' if links else "")


def _comparison(comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    items = "".join(
        f'<li class="change {one.verdict.replace(" ", "-")}">{escape(one.says)}</li>'
        for one in comparison.differences
    )
    before = f"{counted(comparison.before_turns, 'turn')} in "
    before += counted(comparison.before_calls, "call")
    return section(
        f"Compared with before: {escape(comparison.verdict)}",
        f'<p class="soft">The earlier run has {before}.</p>',
        f"<ul>{items}</ul>",
    )


def _drawing(name: str, label: str) -> str:
    return f'<div class="drawing" id="{name}" role="img" aria-label="{escape(label)}"></div>'


def _ecdf(summary: Summary) -> str:
    total = summary.numbers["TOTAL_LATENCY_MS"]
    lines = [_interval_says(total), "Up to the P99; double-click shows all."]
    if total.censored:
        lines.append(
            f"{counted(total.censored, 'turn')} never got an answer, so the curve ends below 100 %."
        )
    return section(
        "How long callers waited",
        '<p class="soft">The share of turns answered within a time. A curve that passes on the '
        "left of a red cross keeps that target.</p>",
        _drawing("ecdf", "Share of turns answered within a time; the figures are in the table"),
        NO_SCRIPT,
        f'<p class="note">{escape(" ".join(filter(None, lines)))}</p>',
    )


def _interval_says(number: NumberSummary) -> str:
    if number.ci95 is None:
        return ""
    unit = "calls" if number.ci95_unit == "call" else "single turns"
    return (
        f"95 % intervals, by resampling {unit}: P50 {duration_range(*number.ci95.p50)}, "
        f"P95 {duration_range(*number.ci95.p95)}."
    )


def _where(summary: Summary) -> str:
    rows = [
        row(escape(name), (f"{leg.n:,}", duration(leg.p50), duration(leg.p95)))
        for name, leg in summary.legs.items()
    ]
    return section(
        "Where the time goes",
        '<p class="soft">The legs of a turn add up to its total; their percentiles do not, '
        "because slow legs seldom meet in one turn. The residual is what no stage accounts for: "
        "dispatch, sending, and whatever blocks.</p>",
        _drawing("legs", "P50 and P95 of each leg; the figures are in the table"),
        f"<details><summary>As a table</summary>"
        f"{table(['leg', 'turns', 'P50', 'P95'], [rows])}</details>",
    )


def _waterfall(records: Sequence[TurnRecord]) -> str:
    orders = {"total": "total", "order": "time", **{leg: leg for leg in _legs_of(records)}}
    options = "".join(f'<option value="{key}">{name}</option>' for key, name in orders.items())
    slowest = sorted(records, key=lambda one: -(one.TOTAL_LATENCY_MS or -1))[:_SLOWEST]
    rows = [
        row(
            f"{said(one.call_id)} #{one.turn}",
            [
                duration(one.TOTAL_LATENCY_MS),
                *(duration(one.legs.get(leg)) for leg in _legs_of(records)[:-1]),
                duration(one.residual_ms),
                f"<span>{said(one.text[:120])}</span>",
            ],
            "call",
        )
        for one in slowest
    ]
    heads = ["turn", "total", *_legs_of(records), "the caller said"]
    return section(
        "Every turn, leg by leg",
        '<p class="soft">One bar a turn, from the end of the question to the answer. Point at a '
        "bar for what was said and which settings were in force; click it for its call.</p>",
        '<div class="choices"><label>Sort by<select id="sort">' + options + "</select></label>"
        '<button type="button" id="reverse" aria-pressed="false">Fastest first</button>'
        '<button type="button" id="back">\u2039 Before</button>'
        '<button type="button" id="on">Next \u203a</button>'
        '<span id="window" role="status"></span></div>',
        _drawing("waterfall", "The legs of single turns as stacked bars"),
        f"<details><summary>The {len(slowest)} slowest as a table</summary>"
        f"{table(heads, [rows])}</details>",
        kind="long",
        anchor="turns",
    )


def _legs_of(records: Sequence[TurnRecord]) -> list[str]:
    """The legs that any of these turns has, the residual last."""
    return [leg for leg in figures.LEG_COLOURS if any(leg in r.legs for r in records)] + [
        "residual"
    ]


def _together(shown: Sequence[str], thinned: str | None) -> str:
    parts = {
        "time": ("Over time", "The total of every turn, with P50 and P95 of the last forty."),
        "reasons": (
            "By what ended the turn",
            "silence: the final was there. debounce: a stable partial. timeout: the wait ran out.",
        ),
        "events": (
            "Barge-ins and re-openings",
            "A re-opening is harmless: nothing was said yet. A cut-off caller was talked over.",
        ),
    }
    return "\n".join(
        section(
            title,
            f'<p class="soft">{escape(says)}</p>',
            _drawing(name, title),
            f'<p class="note">{escape(thinned)}</p>' if name == "time" and thinned else "",
        )
        for name, (title, says) in parts.items()
        if name in shown
    )


def _call(evidence: Evidence) -> str:
    recorded = (
        "The shade is the recording's loudness."
        if evidence.waves
        else "With --recordings DIR the lanes show the recorded sound, too."
    )
    return section(
        "One call, both channels",
        f'<p class="soft">When each of the two spoke, and every stamp of the turns. {recorded} '
        "Drag to zoom, double-click to see the whole call.</p>",
        '<div class="choices"><label>Call<select id="which"></select></label></div>',
        _drawing("timeline", "Caller and agent over the time of one call"),
        anchor="call",
    )


def _numbers(summary: Summary) -> str:
    rows = [_number_row(name, number) for name, number in summary.numbers.items() if number.n]
    if isinstance(summary.caller, CallerNumbers):
        heard = {name: getattr(summary.caller, name) for name in CallerNumbers.__struct_fields__}
        rows += [_number_row(f"caller: {name}", own) for name, own in heard.items() if own.n]
    heads = ["number", "turns", "P50", "P90", "P95", "P99", "max"]
    return section("All numbers", table(heads, [rows]), kind="long") if rows else ""


def _number_row(name: str, number: NumberSummary) -> str:
    ci95 = number.ci95
    return row(
        escape(name),
        (
            f"{number.n:,}",
            _with_interval(number.p50, ci95.p50 if ci95 else None),
            duration(number.p90),
            _with_interval(number.p95, ci95.p95 if ci95 else None),
            duration(number.p99),
            duration(number.max),
        ),
        "first" if name == "TOTAL_LATENCY_MS" else "",
    )


def _with_interval(ms: float | None, ends: tuple[float | None, float | None] | None) -> str:
    interval = f"<small>{duration_range(*ends)}</small>" if ends and ms is not None else ""
    return duration(ms) + interval


def _settings(records: Sequence[TurnRecord]) -> str:
    groups = settings_in_force(records)
    if not any(groups):
        return ""
    shown = [(dict(group), count) for group, count in list(groups.items())[:_MOST_GROUPS]]
    names = sorted({name for group, _ in shown for name in group})
    differ = [n for n in names if len({group.get(n) for group, _ in shown}) > 1]
    heads = ["setting", *(counted(count, "turn") for _, count in shown)]
    same = [n for n in names if n not in differ]
    bodies = [
        [row(said(n), [said(group.get(n, "\u2013")) for group, _ in shown]) for n in part]
        for part in (differ, same)
        if part
    ]
    more = len(groups) - len(shown)
    return section(
        "Providers and settings in force",
        f"<details{' open' if differ else ''}><summary>{counted(len(names), 'setting')}, "
        f"{len(differ)} of them not the same in all turns</summary>"
        f"{table(heads, bodies)}</details>",
        f'<p class="note">{counted(more, "more combination")} not shown.</p>' if more else "",
        kind="long",
    )


def _left_out(result: ReportResult, evidence: Evidence) -> str:
    lines = [*(f"{one}: the line breaks off" for one in result.truncated)]
    if result.summary.implausible:
        count = counted(result.summary.implausible, "turn")
        lines.append(f"the negative numbers of {count}")
    lines += evidence.broken_recordings
    items = "".join(f"<li>{said(line)}</li>" for line in lines)
    return section("Left out", f"<ul>{items}</ul>", kind="long") if lines else ""
