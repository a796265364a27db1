"""What a sweep found; its JSON keys are the field names."""

from __future__ import annotations

import csv
import io
from typing import Literal

import msgspec

__all__ = [
    "Bounds",
    "HeldOut",
    "InSequence",
    "PolicyName",
    "SettingIntervals",
    "SettingResult",
    "SweepResult",
]

Bounds = tuple[float | None, float | None]
"""The ends of a 95 % interval; ``None`` where it is not reached."""

PolicyName = Literal["silence", "fixed", "adaptive", "semantic"]
"""``silence`` is the baseline: a silence timer alone, as in most bots. It has no speak gate, starts
no work before it has run out, and takes nothing back: whoever it takes for finished is cut off."""


class SettingIntervals(msgspec.Struct, frozen=True, kw_only=True):
    """95 % intervals by resampling calls (turns, where all are of one call)."""

    delay_p50: Bounds
    delay_p95: Bounds
    total_p50: Bounds
    total_p95: Bounds
    early_rate: Bounds
    cutoff_rate: Bounds
    clipped_rate: Bounds


class SettingResult(msgspec.Struct, frozen=True, kw_only=True):
    """One setting, judged on every pause. Rates are shares of turns, 0..1."""

    debounce_ms: int
    hangover_ms: int
    min_utt_s: float
    stt_timeout_ms: int
    policy: PolicyName
    speak_gate_ms: int
    """0: the hangover alone."""
    delay_p50: float | None
    """End of speech -> the text acted on was settled, over the true turn ends, in ms."""
    delay_p95: float | None
    total_p50: float | None
    """End of speech -> first audio sent, over the true turn ends, in ms."""
    total_p95: float | None
    early_rate: float
    """Turns in which a pause was taken for the end."""
    reopened_rate: float
    """Turns in which that was noticed before audio was sent: harmless."""
    cutoff_rate: float
    """Turns in which audio was sent before the caller had finished."""
    cut_holds_rate: float
    """The same as a share of all holds: there are more of them than turns."""
    clipped_rate: float
    """Turns that acted on a text that was not the final one."""
    timeout_rate: float
    """Turns that ended by the timeout."""
    missed_rate: float
    """Turns taken for a noise: too short, and no words."""
    model_calls_per_turn: float
    n: int
    """Turns judged."""
    ci95: SettingIntervals


class HeldOut(msgspec.Struct, frozen=True, kw_only=True):
    """Leave one call out: the setting chosen on the others, and how it does on this one."""

    call_id: str
    turns: int
    setting: int | None
    """Index of the setting that the other calls recommend, else their candidate. None: they
    have neither."""
    sure: bool
    """Whether it was a recommendation."""
    cutoffs: int | None
    """Turns of this call that it cuts off."""
    total_p50: float | None
    """Its P50 on this call, in ms."""


class InSequence(msgspec.Struct, frozen=True, kw_only=True):
    """The same setting, but every call run whole through the machine, decision after decision."""

    setting: int
    turns: int
    """True turns."""
    cutoffs: int
    """Turns cut off."""
    answered: int
    """Turns answered before the caller spoke next; the percentiles are of these."""
    total_p50: float | None
    total_p95: float | None


class SweepResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a sweep."""

    schema: Literal[1] = 1
    turns: int
    calls: int
    holds: int
    """Pauses after which the caller went on."""
    truth: Literal["labels", "derived"]
    """Where it comes from which pauses were holds; ``derived`` when any call's is."""
    labelled: int
    """Calls whose truth is from labels."""
    max_cutoffs: float
    """The budget: the share of turns that may be cut off, 0..1."""
    settings: list[SettingResult]
    pareto: list[int]
    """Settings that no other beats in both total P50 and cutoff rate, fastest first."""
    fronts: dict[PolicyName, list[int]]
    """The same among the settings of each policy."""
    recommended: int | None
    """None: not resolvable at this number of turns."""
    candidate: int | None
    """The fastest setting within the budget by its measured rate alone, resolvable or not."""
    why: str
    """In words, why that one, or why none."""
    baseline: int | None
    """The silence timer alone at its fastest within the budget by its measured rate; the
    slowest of them when none is within it."""
    brief: int | None
    """The setting 60/160/0.25/240 that many bots start from (gate 0). None: not in the sweep."""
    held_out: list[HeldOut]
    """One per call, when there is more than one."""
    in_sequence: list[InSequence]
    """A check: recommendation (else candidate) and brief, run whole. Not a silence timer alone:
    the machine takes back what it can."""
    latency: str
    """What the replies were assumed to take, in words."""
    env: str | None
    """The recommendation (else the candidate) as an ``.env`` snippet."""
    left_out: dict[str, int]
    """Speech that was not judged, by why."""
    unheard: int
    """Recordings that were not listened to: one channel, and no labels."""
    broken: list[str]
    """One line per recording that could not be used."""

    def to_csv(self) -> str:
        """Every setting as a row: the columns of `SettingResult`, each interval as two."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        names = [name for name in SettingResult.__struct_fields__ if name != "ci95"]
        bounds = SettingIntervals.__struct_fields__
        ends = [f"{name}_{end}" for name in bounds for end in ("low", "high")]
        writer.writerow([*names, *ends])
        for setting in self.settings:
            intervals = [end for name in bounds for end in getattr(setting.ci95, name)]
            writer.writerow([*(getattr(setting, name) for name in names), *intervals])
        return out.getvalue()
