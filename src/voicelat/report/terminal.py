"""The report in a terminal: 80 columns, with or without colour.

Colour repeats what the words say and never carries it alone, so a pipe and NO_COLOR lose
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from voicelat.metrics.compare import Comparison
from voicelat.metrics.durations import counted, duration, duration_range
from voicelat.metrics.finding import TurnRef
from voicelat.metrics.intervals import TURNS_TO_BOUND_P95, Bounds
from voicelat.metrics.summary import CallerNumbers, NumberSummary, Summary
from voicelat.metrics.targets import TargetResult
from voicelat.report import ReportResult
from voicelat.report.story import counts_says, verdict

__all__ = ["print_report", "render"]

_BAR_CELLS: Final = 24
_LINES_NAMED: Final = 5
_CALLER_NAMES: Final = {
    "v2v_ms": "caller: voice to voice",
    "barge_stop_ms": "caller: barge-in to quiet",
    "pacing_ms": "caller: pacing",
}
_NETWORK: Final = (
    "Measured at the server. On a carrier a caller hears 0.2 to 0.5 s more "
    "(Twilio's Guide to Core Latency, 2025-11)."
)
_FROM_START: Final = (
    "Counted from the start of the caller's speech: how long callers talk is part of every "
    "number and every verdict."
)


def print_report(result: ReportResult, console: Console | None = None) -> None:
    """Print the whole report to the console (default: standard output)."""
    (console or Console(highlight=False)).print(render(result))


def render(result: ReportResult) -> RenderableType:
    """The whole report as one rich renderable."""
    return Group(*_spaced(_sections(result)))


def _sections(result: ReportResult) -> Iterator[RenderableType]:
    summary = result.summary
    yield _headline(summary)
    yield _numbers(summary)
    yield from _notes(summary)
    if summary.turns:
        yield _legs(summary)
    if any(summary.eou_reasons.values()):
        yield _bars("Why turns ended", _reason_rows(summary))
    yield _targets(summary.targets)
    if result.comparison is not None:
        yield _comparison(result.comparison)
    if result.gates:
        yield _gates(result)
    yield _diagnosis(summary)
    if result.truncated:
        yield _left_out(result.truncated)
    yield _verdict(summary)


def _spaced(sections: Iterator[RenderableType]) -> Iterator[RenderableType]:
    # An empty line, not Padding: that fills lines with blanks up to the width, also in a pipe.
    for index, section in enumerate(sections):
        if index:
            yield Text()
        yield section


def _left_out(truncated: list[str]) -> Text:
    shown = ", ".join(truncated[:_LINES_NAMED])
    more = len(truncated) - _LINES_NAMED
    return Text(
        f"Left out, because the line breaks off: {shown}{f' and {more} more' if more > 0 else ''}",
        "yellow",
    )


def _headline(summary: Summary) -> Text:
    text = Text(f"{counted(summary.turns, 'turn')} in {counted(summary.calls, 'call')}", "bold")
    return text.append(f"\n{counts_says(summary)}", "not bold")


def _numbers(summary: Summary) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    table.add_column("ms between stamps", no_wrap=True)
    for heading in ("n", "P50", "P90", "P95", "P99", "max"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, number in summary.numbers.items():
        if number.n or summary.measured_at == "server":  # a caller cannot know the others
            table.add_row(*_number_row(name, number))
    if isinstance(summary.caller, CallerNumbers):
        table.add_section()
        for name, label in _CALLER_NAMES.items():
            heard: NumberSummary = getattr(summary.caller, name)
            if heard.n:
                table.add_row(*_number_row(label, heard))
    return table


def _number_row(label: str, number: NumberSummary) -> list[RenderableType]:
    ci95 = number.ci95
    style = "bold" if label == "TOTAL_LATENCY_MS" else ""
    return [
        Text(label, style),
        str(number.n),
        _with_interval(number.p50, ci95.p50 if ci95 else None, style),
        duration(number.p90),
        _with_interval(number.p95, ci95.p95 if ci95 else None, style),
        duration(number.p99),
        duration(number.max),
    ]


def _with_interval(ms: float | None, ci95: Bounds | None, style: str) -> Text:
    text = Text(duration(ms), style)
    if ci95 is not None and ms is not None:
        text.append(f"\n{duration_range(*ci95)}", "dim not bold")
    return text


def _notes(summary: Summary) -> Iterator[Text]:
    lines = [_NETWORK] if summary.measured_at == "server" else ["Measured at the caller."]
    if summary.view == "turn-start":
        lines.append(_FROM_START)
    lines += _interval_notes(summary)
    yield Text("\n".join(lines), "dim")


def _interval_notes(summary: Summary) -> Iterator[str]:
    total = summary.numbers["TOTAL_LATENCY_MS"]
    if total.ci95_unit is None:
        return
    unit = "calls" if total.ci95_unit == "call" else "single turns (there is only one call)"
    yield f"Below P50 and P95: the 95 % interval, by resampling {unit}."
    if total.n < TURNS_TO_BOUND_P95:
        yield (
            f"With fewer than {TURNS_TO_BOUND_P95} turns the true P95 may lie above its interval."
        )
    if total.censored:
        yield (
            f"{total.censored} never answered: counted for as long as the callers waited. "
            "A dash among the percentiles is beyond what was answered."
        )


_BarRow = tuple[str, float, str]  # label, share of a full bar, figure


def _bars(title: str, rows: list[_BarRow]) -> Group:
    table = Table.grid(padding=(0, 1, 0, 0))
    for label, share, figure in rows:
        table.add_row(f"  {label}", Text(figure, justify="right"), Text(_bar(share), "cyan"))
    return Group(Text(title, "bold"), table)


def _bar(share: float) -> str:
    return "█" * round(share * _BAR_CELLS)


def _legs(summary: Summary) -> RenderableType:
    if summary.measured_at == "caller" and not any(leg.n for leg in summary.legs.values()):
        return Text("Where the time goes only the server's own turns can tell", "dim")
    if not any(leg.n for leg in summary.legs.values()):
        return Text(
            "Where the time goes is unknown: these turns have neither stamps nor legs", "dim"
        )
    return _bars("Where a typical turn's time goes (median of each leg)", _leg_rows(summary))


def _leg_rows(summary: Summary) -> list[_BarRow]:
    longest = max((leg.p50 or 0 for leg in summary.legs.values()), default=0) or 1
    return [
        (name, (leg.p50 or 0) / longest, duration(leg.p50)) for name, leg in summary.legs.items()
    ]


def _reason_rows(summary: Summary) -> list[_BarRow]:
    known = sum(summary.eou_reasons.values()) or 1
    return [
        (reason, count / known, f"{count} ({count / known:.0%})")
        for reason, count in summary.eou_reasons.items()
    ]


_VERDICTS: Final = {True: ("met", "green"), False: ("missed", "bold red"), None: ("no data", "dim")}


def _targets(results: list[TargetResult]) -> Group:
    table = Table.grid(padding=(0, 1, 0, 0))
    for result in results:
        verdict, style = _VERDICTS[result.ok]
        table.add_row(
            f"  {result.name}",
            Text(duration(result.value_ms), justify="right"),
            f"of at most {duration(result.limit_ms)}",
            Text(verdict, style),
        )
    return Group(Text("Targets", "bold"), table)


_MOODS: Final = {"good": "green", "warn": "yellow", "bad": "bold red", "unknown": "bold"}


def _verdict(summary: Summary) -> Text:
    told = verdict(summary)
    return Text(f"Verdict: {told.says}", "bold green" if told.whole else _MOODS[told.mood])


def _gates(result: ReportResult) -> Group:
    table = Table.grid(padding=(0, 2, 0, 0))
    for gate in result.gates:
        word, style = ("passed", "green") if gate.ok else ("FAILED", "bold red")
        table.add_row(Text(f"  {word}", style), gate.says)
    return Group(Text("Gates", "bold"), table)


_CHANGES: Final = {
    "better": "green",
    "worse": "bold red",
    "same": "dim",
    "not resolvable": "yellow",
}


def _comparison(comparison: Comparison) -> Group:
    """Each figure before and after, and what may be said of the difference."""
    before = counted(comparison.before_turns, "turn")
    heading = Text("Compared with the earlier ", "bold").append(
        f"{before} in {counted(comparison.before_calls, 'call')}: ", "bold"
    )
    heading.append(comparison.verdict, _CHANGES[comparison.verdict])
    lines = [Text(f"  {one.says}", _CHANGES[one.verdict]) for one in comparison.differences]
    return Group(heading, *lines)


def _diagnosis(summary: Summary) -> Group:
    lines: list[RenderableType] = []
    for finding in summary.diagnosis:
        lines.append(Padding(Text(f"- {finding.says}"), (0, 0, 0, 2)))
        if finding.turns:
            lines.append(Padding(Text(f"see: {_whereabouts(finding.turns)}", "dim"), (0, 0, 0, 4)))
        if finding.try_:
            lines.append(Padding(Text(f"try: {finding.try_}", "cyan"), (0, 0, 0, 4)))
    return Group(Text("Diagnosis", "bold"), *lines)


def _whereabouts(turns: Sequence[TurnRef]) -> str:
    """``CA1 turns 3, 7; CA2 turn 1``: the calls in the order of their worst turn."""
    by_call: dict[str, list[str]] = {}
    for ref in turns:
        by_call.setdefault(ref.call_id, []).append(str(ref.turn))
    return "; ".join(
        f"{call_id} {'turn' if len(numbers) == 1 else 'turns'} {', '.join(numbers)}"
        for call_id, numbers in by_call.items()
    )
