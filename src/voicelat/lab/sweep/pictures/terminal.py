"""A sweep in a terminal: 80 columns, with or without colour.

Colour repeats what the words say and never carries it alone, so a pipe and NO_COLOR lose
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from voicelat.lab.sweep.pictures.plots import Heat, Scatter
from voicelat.lab.sweep.pictures.slices import axes, heat_slices, slice_around
from voicelat.lab.sweep.pictures.story import (
    KNOBS,
    METHOD,
    POLICY_MARKS,
    Knob,
    Measure,
    Named,
    finding,
    held_out_says,
    in_sequence_says,
    interval_notes,
    knobs_of,
    measures,
    named_settings,
    of_turns,
    percent,
    rival_says,
    setting_says,
    subject,
    truth_says,
    unit_of,
)
from voicelat.lab.sweep.result import SweepResult
from voicelat.metrics.durations import counted, duration
from voicelat.report.live import isolated
from voicelat.report.page.frame import shown

__all__ = ["print_sweep", "render"]

_LINES_NAMED: Final = 8
_NAME_CELLS: Final = 24
_FIRST: Final = ("total P50", "total P95", "cut off")


def print_sweep(result: SweepResult, console: Console | None = None) -> None:
    """Print the whole sweep to the console (default: standard output)."""
    (console or Console(highlight=False)).print(render(result))


def render(result: SweepResult) -> RenderableType:
    """The whole sweep as one rich renderable."""
    return Group(*_spaced(_sections(result)))


def _spaced(sections: Iterator[RenderableType]) -> Iterator[RenderableType]:
    # An empty line, not Padding: that fills lines with blanks up to the width, also in a pipe.
    for index, section in enumerate(sections):
        if index:
            yield Text()
        yield section


def _sections(result: SweepResult) -> Iterator[RenderableType]:
    yield _headline(result)
    yield _verdict(result)
    columns = _columns(result)
    if columns:
        yield _comparison(columns)
    yield Text("\n".join(interval_notes(result)), "dim")
    if result.settings:
        yield _trade_off(result)
    yield from _heat(result)
    if result.held_out:
        yield _held_out(result)
    if result.in_sequence:
        yield _in_sequence(result)
    yield _method(result)
    yield from _not_used(result)
    if result.env is not None:
        yield _env(result)


def _headline(result: SweepResult) -> Text:
    text = Text(finding(result), "bold")
    text.append(
        f"\n{counted(result.turns, 'turn')} with {counted(result.holds, 'hold')} in"
        f" {counted(result.calls, 'call')}, {counted(len(result.settings), 'setting')};"
        f" at most {percent(result.max_cutoffs)} of turns may be cut off",
        "not bold",
    )
    return text.append(
        f"\n{truth_says(result)}", "not bold yellow" if result.truth == "derived" else "not bold"
    )


def _verdict(result: SweepResult) -> Text:
    about = subject(result)
    if about is None:
        text = Text("No candidate", "bold yellow")
    elif about.name == "recommended":
        text = Text("Recommended: ", "bold green").append(setting_says(about.setting), "not bold")
    else:
        text = Text("Candidate, by its measured rate alone: ", "bold yellow")
        text.append(setting_says(about.setting), "not bold")
    for line in (shown(result.why), rival_says(result)):
        if line is not None:
            text.append(f"\n{line}", "default not bold")
    return text


def _columns(result: SweepResult) -> list[Named]:
    """What fits beside one another: the candidate only where nothing is recommended."""
    named = named_settings(result)
    return [one for one in named if one.name != "candidate" or result.recommended is None]


def _comparison(columns: list[Named]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(f"{column.name:>8}")
    for knob in zip(*(knobs_of(column.setting) for column in columns), strict=True):
        table.add_row(knob[0][0], *(Text(f"{value:>8}", "dim") for _, value in knob))
    table.add_section()
    for figures in zip(*(measures(column.setting) for column in columns), strict=True):
        name = figures[0].name
        style = "bold" if name in _FIRST else ""
        table.add_row(Text(name, style), *(_with_interval(figure, style) for figure in figures))
    return table


def _with_interval(figure: Measure, style: str) -> Text:
    text = Text(f" {figure.value:>7} ", style)
    return text.append(figure.interval or "", "dim not bold")


def _trade_off(result: SweepResult) -> Group:
    legend = Text("", "dim")
    fronts = [
        f"{POLICY_MARKS[policy]} {policy}" for policy, front in result.fronts.items() if front
    ]
    if fronts:
        legend.append(f"the front of each policy: {', '.join(fronts)}\n")
    for one in _columns(result):
        at = f"{duration(one.setting.total_p50)}, {percent(one.setting.cutoff_rate)}"
        legend.append(f"{one.mark} {one.name} ({at})  ", "not dim")
    if legend.plain.endswith("  "):
        legend.append("\n")
    legend.append(
        f"line of dashes: at most {percent(result.max_cutoffs)} cut off."
        " The scale is stretched towards 0."
    )
    picture = Scatter(result)
    if outside := picture.outside_says():
        legend.append(f"\n{outside}")
    title = Text("Turns cut off, against total P50: down and left is better", "bold")
    return Group(title, picture, legend)


def _heat(result: SweepResult) -> Iterator[RenderableType]:
    chosen = subject(result) or next(iter(named_settings(result)), None)
    if chosen is None:
        return
    found = axes(result, chosen.setting.policy)
    if found is None:
        yield Text("No heat map: this policy was swept at one setting only", "dim")
        return
    grid = slice_around(heat_slices(result, found), chosen.setting)
    heat = Heat(grid, chosen.setting)
    lines = [f"Down: {_with_unit(found.down)}. Across: {_with_unit(found.across)}."]
    lines += [f"Fixed: {grid.fixed_says()}. The star: {chosen.name}. Pale is better."]
    lines += filter(None, [heat.left_out_says()])
    title = Text(f"{KNOBS[found.down].capitalize()} against {KNOBS[found.across]}", "bold")
    yield Group(title, heat, Text("\n".join(lines), "dim"))


def _with_unit(knob: Knob) -> str:
    return f"{KNOBS[knob]} in {unit_of(knob)}"


def _held_out(result: SweepResult) -> Group:
    table = Table.grid(padding=(0, 2, 0, 0))
    worst_first = sorted(result.held_out, key=lambda call: -(call.cutoffs or 0))
    for call in worst_first[:_LINES_NAMED]:
        name = Text(isolated(shown(call.call_id)))
        name.truncate(_NAME_CELLS, overflow="ellipsis")
        says = "the other calls have no candidate"
        if call.cutoffs is not None:
            says = f"{of_turns(call.cutoffs, call.turns)} cut off"
        table.add_row(Text("  ").append(name), says, f"total P50 {duration(call.total_p50)}")
    more = len(result.held_out) - _LINES_NAMED
    rest = [Text(f"  and {counted(more, 'call')} with as many cutoffs or fewer", "dim")]
    return Group(
        Text("Leave one call out", "bold"),
        Text(" ".join(held_out_says(result))),
        table,
        *(rest if more > 0 else []),
    )


def _in_sequence(result: SweepResult) -> Group:
    named = {one.index: one.name for one in reversed(named_settings(result))}
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    for heading in ("", "cut off", "total P50", "total P95"):
        table.add_column(heading, header_style="dim", justify="right" if heading else "left")
    for run in result.in_sequence:
        setting = result.settings[run.setting]
        table.add_row(
            f"  {named.get(run.setting, f'setting {run.setting}')}",
            _against(of_turns(run.cutoffs, run.turns), percent(setting.cutoff_rate)),
            _against(duration(run.total_p50), duration(setting.total_p50)),
            _against(duration(run.total_p95), duration(setting.total_p95)),
        )
    says = Text(in_sequence_says(result.in_sequence))
    return Group(Text("The check: in sequence", "bold"), says, table)


def _against(whole: str, swept: str) -> Text:
    return Text(whole).append(f"\nsweep {swept}", "dim")


def _method(result: SweepResult) -> Group:
    lines = [*METHOD, f"Replies: {shown(result.latency)}."]
    table = Table.grid(padding=(0, 1, 0, 0))
    for line in lines:
        table.add_row(Text("-", "dim"), Text(line, "dim"))
    return Group(Text("How this was judged", "bold"), table)


def _not_used(result: SweepResult) -> Iterator[Text]:
    if result.left_out:
        reasons = ", ".join(f"{count} {shown(why)}" for why, count in result.left_out.items())
        yield Text(f"Speech that was not judged: {reasons}", "yellow")
    if result.broken:
        lines = [isolated(shown(line)) for line in result.broken[:_LINES_NAMED]]
        more = len(result.broken) - _LINES_NAMED
        lines += [f"and {more} more"] if more > 0 else []
        recordings = counted(len(result.broken), "recording")
        yield Text("\n  ".join([f"{recordings} could not be used:", *lines]), "yellow")


def _env(result: SweepResult) -> Group:
    name = "recommended" if result.recommended is not None else "candidate"
    lines = "\n".join(shown(line) for line in (result.env or "").splitlines())
    return Group(Text(f"For your .env ({name}):", "bold"), Text(lines))
