"""A whole sweep: every call under every setting, spread over an executor, and what follows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal

import numpy as np

from voicelat.lab.calls import JudgedCall
from voicelat.lab.latency import ReplyLatency
from voicelat.lab.sweep.choose import (
    Choice,
    Figures,
    choose,
    front,
    surely_within,
    turns_needed,
    upper_bound,
)
from voicelat.lab.sweep.grid import BRIEF, Grid, Setting, columns
from voicelat.lab.sweep.pauses import NEVER, PauseTable, joined, tabulate
from voicelat.lab.sweep.result import (
    HeldOut,
    InSequence,
    PolicyName,
    SettingResult,
    SweepResult,
)
from voicelat.lab.sweep.score import score
from voicelat.lab.sweep.sequence import in_sequence
from voicelat.lab.sweep.stats import HeldOutFigures, held_out, resamples, summarised
from voicelat.turn.endpointing import EndpointPolicy
from voicelat.turn.policies import policy

__all__ = ["MAX_HELD_OUT", "SweepPlan", "env_snippet", "make_policy", "run_sweep"]

MAX_HELD_OUT: Final = 50
"""Leaving out more calls than this, one by one, says nothing new and takes longer than the
sweep itself; then so many are left out, evenly chosen."""

_CHUNK: Final = 256
"""Settings a task: enough tasks for every worker, and a tenth of a second each."""
_CALLS: Final = 8
"""Calls a task, when tables are made."""
_INLINE: Final = 2_000_000
"""Pauses x settings that are judged here and now: a process takes longer to start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlan:
    """What to sweep, and for what."""

    latency: ReplyLatency
    grid: Grid = field(default_factory=Grid)
    max_cutoffs: float = 0.05
    """The share of turns that may be cut off, 0..1."""
    max_speculations: int = 3
    broken: tuple[str, ...] = ()
    """One line per recording that could not be used, for the result."""
    unheard: int = 0
    """Recordings that were not worth listening to, for the result."""


@dataclass(frozen=True, slots=True)
class _Task:
    """One policy's settings, or some of them."""

    table: PauseTable
    settings: tuple[Setting, ...]
    max_speculations: int
    held_out: tuple[int, ...]

    def run(self) -> _Done:
        """Judge and summarise. Pure: on any worker, as often as you like."""
        scores = score(
            self.table,
            columns(self.settings),
            speculate=not self.settings[0].alone,
            reopens=not self.settings[0].alone,
            max_speculations=self.max_speculations,
        )
        call = self.table.turn_call
        results = summarised(self.settings, scores, self.table.holds, *resamples(call))
        return _Done(results, held_out(scores, call, self.held_out))


@dataclass(frozen=True, slots=True)
class _Done:
    results: list[SettingResult]
    held_out: list[HeldOutFigures]


def run_sweep(
    calls: Sequence[JudgedCall],
    plan: SweepPlan,
    executor: Executor | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> SweepResult:
    """Judge every setting of the plan on every pause of the calls.

    ``executor`` spreads the work (processes here, or a cluster's); None does it in this
    process. ``on_progress`` is told how many settings of how many are done. Calls without a
    true turn add only to what is left out.
    """
    settings = plan.grid.settings()
    by_policy: dict[PolicyName, list[int]] = {}
    for index, setting in enumerate(settings):
        by_policy.setdefault(setting.policy, []).append(index)
    pauses = sum(len(turn.pauses) for call in calls for turn in call.truth.turns)
    if pauses * len(settings) <= _INLINE:
        executor = None
    judged_as = {name: _judged_as(name) for name in by_policy}
    made = {
        kind: _table(calls, kind, plan.latency, executor)
        for kind in dict.fromkeys(judged_as.values())
    }
    tables = {name: made[kind] for name, kind in judged_as.items()}
    out = _held_out_calls(next(iter(tables.values())))
    tasks: list[tuple[list[int], _Task]] = []
    for name, indices in by_policy.items():
        for first in range(0, len(indices), _CHUNK):
            chunk = indices[first : first + _CHUNK]
            chosen = tuple(settings[index] for index in chunk)
            tasks.append((chunk, _Task(tables[name], chosen, plan.max_speculations, out)))
    done = _run(tasks, executor, len(settings), on_progress)
    return _Verdict(plan, calls, settings, done, out).result()


def make_policy(name: PolicyName) -> Callable[[], EndpointPolicy]:
    """Makes one call's policy of this name."""
    return partial(policy, _judged_as(name))


def _judged_as(name: PolicyName) -> Literal["fixed", "adaptive", "semantic"]:
    """The policy that looks at its pauses: a silence timer alone waits as set."""
    return "fixed" if name == "silence" else name


def _table(
    calls: Sequence[JudgedCall], name: PolicyName, latency: ReplyLatency, executor: Executor | None
) -> PauseTable:
    made = partial(tabulate, policy=make_policy(name), latency=latency)
    if executor is None:
        return made(calls)
    parts = [calls[first : first + _CALLS] for first in range(0, len(calls), _CALLS)]
    return joined([future.result() for future in [executor.submit(made, part) for part in parts]])


def _held_out_calls(table: PauseTable) -> tuple[int, ...]:
    """The calls to leave out, one by one: all that have turns, or an even choice of them."""
    with_turns = np.unique(table.turn_call)
    if len(with_turns) < 2:
        return ()
    chosen = np.linspace(0, len(with_turns) - 1, min(len(with_turns), MAX_HELD_OUT)).astype(int)
    return tuple(int(call) for call in with_turns[chosen])


def _run(
    tasks: Sequence[tuple[list[int], _Task]],
    executor: Executor | None,
    count: int,
    on_progress: Callable[[int, int], None] | None,
) -> dict[int, tuple[_Done, int]]:
    """Every task. Returns, per setting, what was done and its place in it."""
    found: dict[int, tuple[_Done, int]] = {}

    def note(chunk: list[int], done: _Done) -> None:
        found.update({index: (done, place) for place, index in enumerate(chunk)})
        if on_progress is not None:
            on_progress(len(found), count)

    if executor is None:
        for chunk, task in tasks:
            note(chunk, task.run())
        return found
    futures = {executor.submit(task.run): chunk for chunk, task in tasks}
    for future in as_completed(futures):
        note(futures[future], future.result())
    return found


class _Verdict:
    """What the figures of all settings amount to."""

    def __init__(
        self,
        plan: SweepPlan,
        calls: Sequence[JudgedCall],
        settings: Sequence[Setting],
        done: dict[int, tuple[_Done, int]],
        out: Sequence[int],
    ) -> None:
        self._plan = plan
        self._calls = calls
        self._settings = settings
        self._done = done
        self._out = out
        self._judged = all(chunk.results for chunk, _ in done.values())
        self._results = (
            [done[index][0].results[done[index][1]] for index in range(len(settings))]
            if self._judged
            else []
        )
        self._silence = [setting.alone for setting in settings]

    def result(self) -> SweepResult:
        """The whole result; without a turn it has no settings, and says why."""
        results = self._results
        budget = self._plan.max_cutoffs
        figures = [_figures(one, budget) for one in results]
        choice = choose(figures, self._silence[: len(figures)], budget)
        brief = self._settings.index(BRIEF) if self._judged else None
        shown = choice.recommended if choice.recommended is not None else choice.candidate
        left_out: Counter[str] = Counter()
        for call in self._calls:
            left_out.update(call.truth.left_out)
        with_turns = [call.truth for call in self._calls if call.truth.turns]
        turns = [turn for truth in with_turns for turn in truth.turns]
        labelled = sum(truth.by == "labels" for truth in with_turns)
        return SweepResult(
            turns=len(turns),
            calls=len(with_turns),
            holds=sum(pause.hold for turn in turns for pause in turn.pauses),
            truth="labels" if with_turns and labelled == len(with_turns) else "derived",
            labelled=labelled,
            max_cutoffs=self._plan.max_cutoffs,
            settings=results,
            pareto=front(results, range(len(results))),
            fronts=self._fronts(),
            recommended=choice.recommended,
            candidate=choice.candidate,
            why=self._why(choice),
            baseline=choice.baseline,
            brief=brief,
            held_out=[self._held_out(place) for place in range(len(self._out))],
            in_sequence=self._in_sequence(shown, brief),
            latency=self._plan.latency.says,
            env=None if shown is None else env_snippet(self._settings[shown]),
            left_out=dict(left_out),
            unheard=self._plan.unheard,
            broken=list(self._plan.broken),
        )

    def _fronts(self) -> dict[PolicyName, list[int]]:
        if not self._judged:
            return {}
        among: dict[PolicyName, list[int]] = {}
        for index, setting in enumerate(self._settings):
            among.setdefault(setting.policy, []).append(index)
        return {name: front(self._results, indices) for name, indices in among.items()}

    def _why(self, choice: Choice) -> str:
        budget = f"{100 * self._plan.max_cutoffs:g} %"
        if not self._judged:
            return "no turn to judge by: give recordings with two channels, or labels"
        if choice.recommended is not None:
            best = self._results[choice.recommended]
            return (
                f"the fastest of {len(self._results)} settings that surely cut off at most"
                f" {budget} of turns: {_cut(best)}, {_surely(best)} with 95 % confidence"
            )
        if choice.candidate is None:
            least = min(self._results, key=lambda one: one.cutoff_rate)
            return (
                f"no setting keeps within {budget} and answers no later at P95 than the silence"
                f" timer: the least is {_cut(least)}"
            )
        best = self._results[choice.candidate]
        needed = turns_needed(best.cutoff_rate, self._plan.max_cutoffs)
        more = (
            f"about {needed} turns like these would show it"
            if needed is not None
            else "its rate is too close to the budget for more turns to help"
        )
        return (
            f"not resolvable at this n: the candidate cut off {_cut(best)}, but the true rate"
            f" may be {_surely(best)}; {more}"
        )

    def _held_out(self, place: int) -> HeldOut:
        """The recommendation of the other calls, on this one."""
        cells = [self._done[index] for index in range(len(self._settings))]
        figures: list[Figures] = []
        for index, (done, at) in enumerate(cells):
            one = done.held_out[place]
            cutoffs, turns = int(one.cutoffs_in[at]), one.turns_in
            figures.append(
                (
                    _ms(one.total_in[at]),
                    _ms(one.p95_in[at]),
                    cutoffs / turns,
                    surely_within(cutoffs, turns, self._plan.max_cutoffs),
                    self._results[index].model_calls_per_turn,
                )
            )
        choice = choose(figures, self._silence, self._plan.max_cutoffs)
        chosen = choice.recommended if choice.recommended is not None else choice.candidate
        done, at = cells[chosen or 0]
        own = done.held_out[place]
        total = _ms(own.total_out[at])
        return HeldOut(
            call_id=self._calls[self._out[place]].call_id,
            turns=own.turns_out,
            setting=chosen,
            sure=choice.recommended is not None,
            cutoffs=None if chosen is None else int(own.cutoffs_out[at]),
            total_p50=None if chosen is None or total == math.inf else total,
        )

    def _in_sequence(self, *wanted: int | None) -> list[InSequence]:
        """Whole calls. Not of a silence timer alone: the machine takes back what it can."""
        return [
            in_sequence(
                index,
                self._settings[index],
                self._calls,
                make_policy(self._settings[index].policy),
                self._plan.latency,
                self._plan.max_speculations,
            )
            for index in dict.fromkeys(wanted)
            if index is not None and not self._settings[index].alone
        ]


def env_snippet(setting: Setting) -> str:
    """A setting as lines of ``.env``."""
    lines = {
        "VAD_HANGOVER_MS": setting.hangover_ms,
        "STT_PARTIAL_DEBOUNCE_MS": setting.debounce_ms,
        "MIN_UTT_SEC": f"{setting.min_utt_ms / 1000:g}",
        "STT_TIMEOUT_MS": setting.stt_timeout_ms,
        "SPEAK_GATE_MS": setting.speak_gate_ms,
        "EOU_POLICY": "fixed" if setting.alone else setting.policy,
        "SPECULATE": int(not setting.alone),
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())


def _figures(one: SettingResult, max_cutoffs: float) -> Figures:
    sure = surely_within(round(one.cutoff_rate * one.n), one.n, max_cutoffs)
    sure &= (one.ci95.cutoff_rate[1] or 0.0) <= max_cutoffs
    p50, p95 = (math.inf if ms is None else ms for ms in (one.total_p50, one.total_p95))
    return p50, p95, one.cutoff_rate, sure, one.model_calls_per_turn


def _cut(one: SettingResult) -> str:
    return f"{round(one.cutoff_rate * one.n)} of {one.n} turns ({100 * one.cutoff_rate:.3g} %)"


def _surely(one: SettingResult) -> str:
    bound = upper_bound(round(one.cutoff_rate * one.n), one.n)
    return f"up to {100 * max(bound, one.ci95.cutoff_rate[1] or 0.0):.3g} %"


def _ms(value: np.int32) -> float:
    return math.inf if value >= NEVER else float(value)
