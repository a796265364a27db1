"""A report in sentences, the same in the terminal and on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from voicelat.metrics.durations import counted
from voicelat.metrics.summary import CallerNumbers, Summary

__all__ = ["Mood", "Verdict", "counts_says", "verdict"]

Mood = Literal["good", "warn", "bad", "unknown"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The whole report in one line."""

    says: str
    mood: Mood
    whole: bool = False
    """Whether every target was judged."""


_COUNTS: Final = {
    "re-opened": "reopened",
    "never answered": "censored",
    "abandoned": "abandoned",
    "clipped": "clipped",
    "asked to repeat": "fallbacks",
}


def counts_says(summary: Summary) -> str:
    """What happened in these turns, counted."""
    line = f"{counted(summary.barge_ins, 'barge-in')}, {counted(summary.cutoffs, 'cutoff')}"
    line += "".join(f", {getattr(summary, field)} {name}" for name, field in _COUNTS.items())
    if summary.implausible:
        line += f", {summary.implausible} with a negative number, left out"
    if summary.model_calls_per_turn is not None:
        line += f", {summary.model_calls_per_turn:.2f} model calls a turn"
    return line


def verdict(summary: Summary) -> Verdict:
    """Were the callers answered, in time, and not cut off?"""
    judged = [target for target in summary.targets if target.ok is not None]
    missed = [target.name for target in judged if not target.ok]
    if not judged:
        return Verdict("nothing to judge, no turn has the numbers", "unknown")
    if missed:
        return Verdict(f"missed {', '.join(missed)}", "bad")
    harm = _harm(summary)
    if harm:
        return Verdict(f"in time, but {', '.join(harm)}", "warn")
    unknown = len(summary.targets) - len(judged)
    if unknown:
        met = f"{counted(len(judged), 'target')} met, {unknown} without data"
        return Verdict(f"{met}, nobody cut off", "good")
    return Verdict("every target met, nobody cut off", "good", whole=True)


def _harm(summary: Summary) -> list[str]:
    """What callers suffered although the times are fine."""
    counts = {
        "never answered": summary.censored,
        "cut off": summary.cutoffs,
        "acted on unfinished text": summary.clipped,
    }
    turns = counted(summary.turns, "turn")
    harm = [f"{count} of {turns} {what}" for what, count in counts.items() if count]
    # A question taken for silence leaves no turn: only its caller knows of it.
    in_vain = summary.caller.v2v_ms.censored if isinstance(summary.caller, CallerNumbers) else 0
    if in_vain > summary.censored:
        harm.append(f"{counted(in_vain, 'question')} of the callers never answered")
    return harm
