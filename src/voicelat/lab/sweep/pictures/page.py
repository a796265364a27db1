"""A sweep as one HTML file, in the frame of all pages (`voicelat.report.page.frame`).

Call ids, file names and reasons come from outside: all of them pass through `said`.
"""

from __future__ import annotations

from html import escape
from typing import Final

from voicelat.lab.sweep.pictures.figures import trade_off
from voicelat.lab.sweep.pictures.maps import Choice, HeatMaps, heat_maps
from voicelat.lab.sweep.pictures.story import (
    KNOBS,
    METHOD,
    Measure,
    finding,
    held_out_says,
    in_sequence_says,
    interval_notes,
    knob_text,
    knobs_of,
    measures,
    named_settings,
    of_turns,
    percent,
    rival_says,
    setting_says,
    subject,
    truth_says,
)
from voicelat.lab.sweep.result import SettingResult, SweepResult
from voicelat.metrics.durations import counted, duration
from voicelat.report.page.drawing import drawing_code
from voicelat.report.page.frame import (
    NO_SCRIPT,
    Colours,
    asset,
    document,
    row,
    said,
    section,
    shown,
    table,
)

__all__ = ["page"]

_FIRST: Final = ("total P50", "total P95", "cut off")
_TILES: Final = (*_FIRST, "model calls/turn")
_COLOURS: Final[Colours] = {
    "budget": ("#b3261e", "#ff8a80"),
    "silence": ("#a06a00", "#e6b450"),
    "fixed": ("#2463c4", "#7db0ff"),
    "adaptive": ("#0f7f6c", "#4fd1b9"),
    "semantic": ("#7a3fc9", "#c29bff"),
    "pale": ("#f4f4f0", "#262a31"),
    "mid-total_p50": ("#8db8e6", "#2f5f99"),
    "strong-total_p50": ("#174a8c", "#a9d0ff"),
    "mid-cutoff_rate": ("#efa48f", "#93392f"),
    "strong-cutoff_rate": ("#97201a", "#ffb4a6"),
}


def page(result: SweepResult) -> str:
    """The whole page. Raises MissingExtra where plotly is not installed."""
    drawing = drawing_code("the page of a sweep")
    maps = heat_maps(result)
    figure, shared = trade_off(result)
    figures = {"trade-off": figure} if result.settings else {}
    data = {
        "figures": figures | (maps.figures() if maps else {}),
        "slices": maps.drawings() if maps else [],
        "knobs": [choice.key for choice in maps.choices()] if maps else [],
    }
    body = "\n".join(
        [
            _headline(result),
            _tiles(result),
            _choice(result),
            _trade_off(result, shared),
            _heat_maps(maps),
            _comparison(result),
            _checks(result),
            _method(result),
            _not_used(result),
        ]
    )
    return document(
        "voicelat sweep",
        body,
        figures=data,
        scripts=(drawing, asset(__package__, "page.js")),
        style=asset(__package__, "page.css"),
        colours=_COLOURS,
    )


def _headline(result: SweepResult) -> str:
    counts = (
        f"{counted(result.turns, 'turn')} with {counted(result.holds, 'hold')} in"
        f" {counted(result.calls, 'call')}, {counted(len(result.settings), 'setting')}; at most"
        f" {percent(result.max_cutoffs)} of turns may be cut off."
    )
    head = (
        f'<header>\n<p class="eyebrow">voicelat sweep</p>\n<h1>{escape(finding(result))}</h1>\n'
        f'<p class="soft">{escape(counts)}</p>\n</header>'
    )
    kind = "truth caveat" if result.truth == "derived" else "truth"
    return f'{head}\n<section class="{kind}"><p>{escape(truth_says(result))}</p></section>'


def _tiles(result: SweepResult) -> str:
    about = subject(result)
    if about is None:
        return ""
    # Without a recommendation the large figures must not pass for one.
    whose = "" if about.name == "recommended" else f"{about.name}: "
    others = [one for one in named_settings(result) if one.name == "silence alone"]
    than = {figure.name: figure.value for one in others for figure in measures(one.setting)}
    tiles = [
        f'<div class="tile"><dt>{whose}{escape(figure.name)}</dt>'
        f'<dd class="value">{escape(figure.value)}</dd>'
        f'<dd class="than">{_than(figure, than)}</dd></div>'
        for figure in measures(about.setting)
        if figure.name in _TILES
    ]
    return f'<dl class="tiles">{"".join(tiles)}</dl>'


def _than(figure: Measure, than: dict[str, str]) -> str:
    lines = [f"95 %: {figure.interval}"] if figure.interval else []
    lines += [f"silence alone: {than[figure.name]}"] if figure.name in than else []
    return "<br>".join(map(escape, lines))


def _choice(result: SweepResult) -> str:
    about = subject(result)
    title = {
        "recommended": "The recommended setting",
        "candidate": "A candidate, by its measured rate alone",
        None: "No candidate",
    }[about.name if about else None]
    why = f'<p dir="auto">{escape(shown(result.why))}</p>'
    rival = rival_says(result)
    knobs = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
        for name, value in (knobs_of(about.setting) if about else [])
    )
    left = f'<div><dl class="knobs">{knobs}</dl></div>' if knobs else ""
    return section(
        title,
        why,
        f'<p class="note">{escape(rival)}</p>' if rival else "",
        f'<div class="pair">{left}{_env(result.env)}</div>' if left or result.env else "",
    )


def _env(env: str | None) -> str:
    if env is None:
        return ""
    lines = "\n".join(escape(shown(line)) for line in env.splitlines())
    return (
        '<div><h3>For your .env</h3><div class="env"><button id="copy" type="button" hidden>Copy'
        f'</button><pre id="env">{lines}</pre></div></div>'
    )


def _trade_off(result: SweepResult, shared: str | None) -> str:
    if not result.settings:
        return ""
    heads = ["policy", *KNOBS.values(), "total P50", "total P95", "cut off", "early", "calls/turn"]
    rows = [_front_row(result.settings[index]) for index in result.pareto]
    return section(
        "",
        '<div class="together"><h2>Latency against cutoffs</h2>'
        '<p class="soft">Down and left is better. Every setting is a dot; a line is the front of'
        " a policy: no other setting of it is both faster and cuts off fewer.</p>",
        '<div class="drawing" id="trade-off" role="img" aria-label="Total P50 of every setting'
        ' against the share of turns it cuts off; the numbers are in the tables"></div></div>',
        NO_SCRIPT,
        '<p class="note">The scale of the cutoffs is stretched towards 0. Slow settings that no'
        f" front needs lie to the right: double-click shows all. {escape(shared or '')}</p>",
        f"<details><summary>The front over all policies, as a table ({len(rows)})</summary>"
        f"{table(heads, [rows])}</details>",
        kind="long",
    )


def _front_row(setting: SettingResult) -> str:
    (_, policy), *own = knobs_of(setting)
    figures = [duration(setting.total_p50), duration(setting.total_p95)]
    figures += [percent(setting.cutoff_rate), percent(setting.early_rate)]
    figures += [f"{setting.model_calls_per_turn:.2f}"]
    return row(escape(policy), map(escape, [*(value for _, value in own), *figures]))


def _heat_maps(maps: HeatMaps | None) -> str:
    if maps is None:
        return ""
    choices = "".join(_select(choice, maps.first_values()) for choice in maps.choices())
    down, across = KNOBS[maps.axes.down], KNOBS[maps.axes.across]
    held = ", ".join(f"{KNOBS[knob]} {knob_text(knob, own)}" for knob, own in maps.always())
    notes = [f"Held at {held}." if held else "", f"The star: {maps.about.name}."]
    if maps.unmapped:
        notes.append(f"Not mapped, because only one of the two varies: {', '.join(maps.unmapped)}.")
    drawings = "".join(
        f'<div><h3>{title}</h3><div class="drawing heat" id="{figure}" role="img"'
        f' aria-label="{title} by {down} and {across}"></div></div>'
        for figure, title in (("total_p50", "Total P50 (ms)"), ("cutoff_rate", "Cut off (%)"))
    )
    return section(
        f"{down.capitalize()} against {across}",
        '<p class="soft">The fainter, the better; one colour means one value on all maps.</p>',
        f'<div class="choices">{choices}</div>' if choices else "",
        f'<div class="pair">{drawings}</div>',
        f'<p class="note">{escape(" ".join(filter(None, notes)))}</p>',
    )


def _select(choice: Choice, at: dict[str, str]) -> str:
    options = "".join(
        f'<option value="{escape(value)}"{" selected" if at[choice.key] == value else ""}>'
        f"{escape(text)}</option>"
        for value, text in choice.options
    )
    return f'<label>{choice.name}<select id="choice-{choice.key}">{options}</select></label>'


def _comparison(result: SweepResult) -> str:
    named = named_settings(result)
    if not named:
        return ""
    knobs = zip(*(knobs_of(one.setting) for one in named), strict=True)
    figures = zip(*(measures(one.setting) for one in named), strict=True)
    bodies = [
        [row(own[0][0], [escape(value) for _, value in own]) for own in knobs],
        [
            row(own[0].name, map(_figure, own), "first" if own[0].name in _FIRST else "")
            for own in figures
        ],
    ]
    notes = f'<p class="note">{escape(" ".join(interval_notes(result)))}</p>'
    return section(
        "Side by side", table(["", *(one.name for one in named)], bodies), notes, kind="long"
    )


def _figure(figure: Measure) -> str:
    interval = f"<small>{escape(figure.interval)}</small>" if figure.interval else ""
    return escape(figure.value) + interval


def _checks(result: SweepResult) -> str:
    return "\n".join(filter(None, [_in_sequence(result), _held_out(result)]))


def _in_sequence(result: SweepResult) -> str:
    if not result.in_sequence:
        return ""
    names = {one.index: one.name for one in reversed(named_settings(result))}
    rows = []
    for run in result.in_sequence:
        own = result.settings[run.setting]
        cells = (
            (of_turns(run.cutoffs, run.turns), percent(own.cutoff_rate)),
            (duration(run.total_p50), duration(own.total_p50)),
            (duration(run.total_p95), duration(own.total_p95)),
        )
        rows.append(
            row(
                names.get(run.setting, f"setting {run.setting}"),
                (f"{escape(whole)}<small>sweep {escape(swept)}</small>" for whole, swept in cells),
            )
        )
    return section(
        "The check: in sequence",
        f'<p class="soft">{escape(in_sequence_says(result.in_sequence))}</p>',
        table(["", "cut off", "total P50", "total P95"], [rows]),
    )


def _held_out(result: SweepResult) -> str:
    if not result.held_out:
        return ""
    rows = []
    for call in result.held_out:
        chosen = "no candidate"
        if call.setting is not None:
            chosen = setting_says(result.settings[call.setting])
            chosen += "" if call.sure else " (a candidate only)"
        cut = "\u2013" if call.cutoffs is None else of_turns(call.cutoffs, call.turns)
        cells = [escape(cut), duration(call.total_p50), f"<span>{escape(chosen)}</span>"]
        rows.append(row(said(call.call_id), cells, "call"))
    return section(
        "Leave one call out",
        f'<p class="soft">{escape(" ".join(held_out_says(result)))}</p>',
        table(["call", "cut off", "total P50", "the setting the others chose"], [rows]),
        kind="long",
    )


def _method(result: SweepResult) -> str:
    lines = [*METHOD, *interval_notes(result)]
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    replies = f"<li>Replies: {said(result.latency)}</li>"
    return section("How this was judged", f"<ul>{items}{replies}</ul>")


def _not_used(result: SweepResult) -> str:
    parts = []
    if result.left_out:
        reasons = "".join(
            f"<li>{count:,} {said(why)}</li>" for why, count in result.left_out.items()
        )
        parts.append(f"<h3>Speech that was not judged</h3><ul>{reasons}</ul>")
    if result.broken:
        lines = "".join(f"<li>{said(line)}</li>" for line in result.broken)
        parts.append(f"<h3>Recordings that could not be used</h3><ul>{lines}</ul>")
    return section("Left out", *parts, kind="long") if parts else ""
