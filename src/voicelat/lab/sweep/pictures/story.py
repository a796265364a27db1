"""What both pictures of a sweep tell: which settings have a name, and the words and figures.

The terminal and the page differ in how they draw, never in what they say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from voicelat.lab.sweep.result import Bounds, InSequence, PolicyName, SettingResult, SweepResult
from voicelat.metrics.durations import counted, duration, duration_range
from voicelat.metrics.intervals import TURNS_TO_BOUND_P95

__all__ = [
    "KNOBS",
    "METHOD",
    "POLICY_MARKS",
    "Knob",
    "Measure",
    "Named",
    "finding",
    "held_out_says",
    "in_sequence_says",
    "interval_notes",
    "knob_text",
    "knobs_of",
    "measures",
    "named_settings",
    "of_turns",
    "percent",
    "rival_says",
    "setting_says",
    "subject",
    "truth_says",
    "unit_of",
    "worth_seeing",
]

Knob = Literal["hangover_ms", "debounce_ms", "speak_gate_ms", "stt_timeout_ms", "min_utt_s"]

KNOBS: Final[dict[Knob, str]] = {
    "hangover_ms": "hangover",
    "debounce_ms": "debounce",
    "speak_gate_ms": "speak gate",
    "stt_timeout_ms": "STT timeout",
    "min_utt_s": "min utterance",
}
"""What a setting consists of beside its policy, in the reader's words."""

POLICY_MARKS: Final[dict[PolicyName, str]] = {
    "silence": "s",
    "fixed": "f",
    "adaptive": "a",
    "semantic": "m",
}
"""One letter per policy, for pictures made of text."""

METHOD: Final = (
    "Every pause is judged with the turn still open, as if nothing before it had ended the turn:"
    " so all settings are judged on the same pauses.",
    "There are two decisions. Starting to work too early costs a model call and is taken back"
    " (re-opened); starting to speak too early cuts the caller off. The speak gate holds the"
    " first audio back, not the work.",
    "The silence timer alone starts no work before it has run out and takes nothing back: whoever"
    " it takes for finished is cut off.",
    "Delay is end of speech to settled text. Total is end of speech to first audio sent, and"
    " includes what the reply was assumed to take.",
)
"""How the figures came about; one sentence or two per entry."""


@dataclass(frozen=True, slots=True)
class Named:
    """A setting that the reader knows by name."""

    name: str
    mark: str
    """One capital letter, for pictures made of text."""
    index: int
    setting: SettingResult


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of a setting as text; the interval is None where none was computed."""

    name: str
    value: str
    interval: str | None = None


def named_settings(result: SweepResult) -> list[Named]:
    """The settings to compare, the subject first; each role once, absent ones not at all."""
    roles = [
        ("recommended", "R", result.recommended),
        ("candidate", "C", result.candidate),
        ("silence alone", "S", result.baseline),
        ("usual start", "U", result.brief),
    ]
    if result.candidate == result.recommended:
        del roles[1]
    return [
        Named(name, mark, index, result.settings[index])
        for name, mark, index in roles
        if index is not None
    ]


def subject(result: SweepResult) -> Named | None:
    """The setting that the report is about: the recommended one, else the candidate."""
    first = next(iter(named_settings(result)), None)
    return first if first and first.name in ("recommended", "candidate") else None


def worth_seeing(result: SweepResult) -> list[SettingResult]:
    """The settings that set the scales: the fronts and the named; all, where there are none.

    Beyond the slowest of them lie only settings that another beats.
    """
    indices = [index for front in result.fronts.values() for index in front]
    chosen = [result.settings[index] for index in indices]
    chosen += [named.setting for named in named_settings(result)]
    return chosen or result.settings


def finding(result: SweepResult) -> str:
    """The whole sweep in one line."""
    if not result.settings:
        return "Nothing to judge: no turns in these calls"
    if result.recommended is None:
        return f"No recommendation: not resolvable at {counted(result.turns, 'turn')}"
    chosen = result.settings[result.recommended]
    baseline = None if result.baseline is None else result.settings[result.baseline].total_p50
    says = f"{duration(chosen.total_p50)} from question to answer"
    if chosen.total_p50 is None or baseline is None or baseline <= chosen.total_p50:
        return says
    return f"{says}, {duration(baseline)} with silence alone"


def setting_says(setting: SettingResult) -> str:
    """A whole setting in one line."""
    (_, policy), *own = knobs_of(setting)
    return ", ".join([f"{policy} policy", *(f"{name} {value}" for name, value in own)])


def rival_says(result: SweepResult) -> str | None:
    """The candidate, where another setting is recommended; None where it is the same or absent."""
    if result.recommended is None or result.candidate in (None, result.recommended):
        return None
    rival = result.settings[result.candidate]
    return (
        f"Faster by its measured rate alone, but not surely within the budget:"
        f" {setting_says(rival)} ({duration(rival.total_p50)} at {percent(rival.cutoff_rate)})."
    )


def truth_says(result: SweepResult) -> str:
    """Where the truth comes from, and what that means for the cutoffs."""
    if result.truth == "labels":
        return "Truth: labels say which pauses were holds."
    source = (
        f"derived from who spoke next in {result.calls - result.labelled} of {result.calls} calls"
        if result.labelled
        else "derived from who spoke next, not from labels"
    )
    return (
        f"Truth: {source}. Where the recorded agent itself"
        " cut a caller off, that hold counts as the end of a turn, so the cutoffs here may be"
        " too few."
    )


def interval_notes(result: SweepResult) -> list[str]:
    """What the intervals are, and when not to lean on them."""
    unit = "calls" if result.calls > 1 else "single turns (there is only one call)"
    notes = [f"Intervals are 95 %, by resampling {unit}."]
    if result.turns < TURNS_TO_BOUND_P95:
        notes.append(
            f"With fewer than {TURNS_TO_BOUND_P95} turns the true P95 may lie above its interval."
        )
    return notes


def held_out_says(result: SweepResult) -> list[str]:
    """What leaving one call out found, in sentences; none where no call was left out."""
    held_out = result.held_out
    if not held_out:
        return []
    chosen = [call for call in held_out if call.cutoffs is not None]
    cutoffs = sum(call.cutoffs or 0 for call in chosen)
    turns = sum(call.turns for call in chosen)
    choices = counted(len({call.setting for call in chosen}), "different setting")
    says = [
        "Each call is judged by the setting that the other calls chose:"
        f" {of_turns(cutoffs, turns)} cut off, {choices} chosen."
    ]
    candidates = sum(not call.sure for call in chosen)
    if candidates:
        says.append(f"In {candidates} of {len(held_out)} the others have a candidate only.")
    if len(chosen) < len(held_out):
        none = len(held_out) - len(chosen)
        says.append(f"In {none} of {len(held_out)} the others have no candidate.")
    if len(held_out) < result.calls:
        says.append(f"{len(held_out)} of {counted(result.calls, 'call')} were left out in turn.")
    return says


def in_sequence_says(runs: list[InSequence]) -> str:
    """What the figures of the check are of; there must be a run."""
    short = [run for run in runs if run.answered < run.turns]
    says = "Every call run whole through the machine, decision after decision"
    if not short:
        return f"{says}."
    least = min(short, key=lambda run: run.answered)
    return (
        f"{says}. Percentiles are of the turns answered before the caller spoke next,"
        f" at least {least.answered:,} of {least.turns:,}."
    )


def measures(setting: SettingResult) -> list[Measure]:
    """Every figure of a setting, in the order of reading."""
    ci95 = setting.ci95
    return [
        _time("total P50", setting.total_p50, ci95.total_p50),
        _time("total P95", setting.total_p95, ci95.total_p95),
        _time("delay P50", setting.delay_p50, ci95.delay_p50),
        _time("delay P95", setting.delay_p95, ci95.delay_p95),
        Measure("cut off", percent(setting.cutoff_rate), _percents(ci95.cutoff_rate)),
        Measure("holds cut off", percent(setting.cut_holds_rate)),
        Measure("early", percent(setting.early_rate), _percents(ci95.early_rate)),
        Measure("re-opened", percent(setting.reopened_rate)),
        Measure("clipped", percent(setting.clipped_rate), _percents(ci95.clipped_rate)),
        Measure("timed out", percent(setting.timeout_rate)),
        Measure("missed", percent(setting.missed_rate)),
        Measure("model calls/turn", f"{setting.model_calls_per_turn:.2f}"),
        Measure("turns judged", str(setting.n)),
    ]


def _time(name: str, ms: float | None, interval: Bounds) -> Measure:
    return Measure(name, duration(ms), None if ms is None else duration_range(*interval))


def knobs_of(setting: SettingResult) -> list[tuple[str, str]]:
    """Names and values of all that a setting consists of, the policy first."""
    own = [(name, knob_text(knob, getattr(setting, knob))) for knob, name in KNOBS.items()]
    return [("policy", setting.policy), *own]


def knob_text(knob: Knob, value: float) -> str:
    """A value with its unit."""
    return f"{value:g} {unit_of(knob)}"


def unit_of(knob: Knob) -> str:
    """``s`` or ``ms``."""
    return "s" if knob == "min_utt_s" else "ms"


def percent(rate: float) -> str:
    """A share as a percentage, in at most five characters; never 0 for what is not."""
    if 0 < rate < 0.0005:
        return "<0.1%"
    return f"{rate:.0%}" if rate >= 0.0995 else f"{rate:.1%}"


def _percents(interval: Bounds) -> str:
    low, high = ("?" if end is None else percent(end).removesuffix("%") for end in interval)
    return f"{low}\u2013{high}%"


def of_turns(count: int, turns: int) -> str:
    """``3 of 212 turns (1.4%)``; without the share where there are no turns."""
    share = f" ({percent(count / turns)})" if turns else ""
    return f"{count} of {counted(turns, 'turn')}{share}"
