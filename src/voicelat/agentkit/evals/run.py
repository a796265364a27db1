"""Runs cases, one after the other, and judges what came of them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from voicelat.agentkit.evals.cases import Case, Expected, fits
from voicelat.agentkit.evals.gates import Gate, GateVerdict, judge
from voicelat.agentkit.evals.scripted import Called, Watched
from voicelat.agentkit.workflows.steps import Runnable
from voicelat.errors import VoicelatError

__all__ = ["CaseResult", "EvalResult", "Hooks", "TagResult", "publishing_gate", "run_evals"]

SCHEMA: Final = 1


class CaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one case."""

    case: str
    """Its name."""
    ok: bool
    """Whether it passed."""
    says: list[str]
    """What was wrong, a line each."""
    workflow: str
    """The workflow that ran."""
    version: str
    """The hash of the workflow's content."""
    end: str | None
    """The end it came to. None: it stopped before, or has no such thing."""
    halt: str | None
    """Why it stopped before its end. None: it did not."""
    called: list[Called]
    """Every tool call that was asked for."""
    forbidden: int
    """Forbidden calls that were made."""
    latency_ms: int
    """From the event to the end of the run."""
    cost_usd: float | None
    """None: unknown."""
    tags: list[str]
    """Of the case."""


class TagResult(msgspec.Struct, frozen=True, kw_only=True):
    """The cases with one tag."""

    cases: int
    passed: int


class EvalResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of all cases."""

    schema: int = SCHEMA
    """Of this JSON."""
    model: str
    """``scripted``, or the live model's name."""
    cases: int
    """That were run."""
    passed: int
    """Of them."""
    skipped: int
    """Cases for another model."""
    pass_rate: float | None
    """None: nothing was run."""
    forbidden: int
    """Forbidden calls that were made."""
    stopped: int
    """Calls that the policy denied."""
    held: int
    """Calls that a person was asked about."""
    latency_p50_ms: int | None
    """Of a case. None: nothing was run."""
    latency_p95_ms: int | None
    """The same, nearest rank."""
    cost_usd: float | None
    """Of all cases. None: unknown for one of them."""
    tags: dict[str, TagResult]
    """Tag -> its cases."""
    results: list[CaseResult]
    """Every case."""
    gates: list[GateVerdict] = []
    """Every gate that was asked for."""

    @property
    def ok(self) -> bool:
        """Whether every gate holds; without gates, whether every case passed."""
        if self.gates:
            return all(gate.ok for gate in self.gates)
        return self.passed == self.cases

    def to_json(self) -> str:
        """For machines, with stable keys."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode()


class Hooks:
    """Told what happens, case by case. Override what you need."""

    def run_began(self, cases: Sequence[Case]) -> None:
        """Before the first case."""

    def tool_called(self, case: Case, called: Called) -> None:
        """After a case, for each of its calls."""

    def case_ended(self, case: Case, result: CaseResult) -> None:
        """After a case and its calls."""

    def run_ended(self, result: EvalResult) -> None:
        """After the last case, gates included."""


async def run_evals(
    cases: Sequence[Case],
    *,
    workflow_for: Callable[[str], Runnable],
    steps_for: Callable[[Case], Watched],
    now_ms: Callable[[], int],
    model: str = "scripted",
    gates: Sequence[Gate] = (),
    hooks: Hooks | None = None,
) -> EvalResult:
    """Run the cases that are for ``model``: ``scripted``, or any other name for a live one.

    ``workflow_for`` gives the workflow of a name, ``steps_for`` fresh steps for a case, ``now_ms``
    a clock that only goes forward. Raises what ``workflow_for`` raises: a case that cannot even
    begin is a mistake in the file, no failed case.
    """
    hooks = hooks or Hooks()
    other = "live" if model == "scripted" else "scripted"
    chosen = [case for case in cases if case.model != other]
    hooks.run_began(chosen)
    results: list[CaseResult] = []
    for case in chosen:
        steps = steps_for(case)
        result = await _run(case, workflow_for(case.workflow), steps, now_ms)
        for called in steps.called:
            hooks.tool_called(case, called)
        hooks.case_ended(case, result)
        results.append(result)
    summed = _summed(results, model, skipped=len(cases) - len(chosen))
    verdicts = [judge(summed, gate) for gate in gates]
    summed = msgspec.structs.replace(summed, gates=verdicts)
    hooks.run_ended(summed)
    return summed


def publishing_gate(
    cases: Sequence[Case],
    gates: Sequence[Gate],
    *,
    steps_for: Callable[[Case], Watched],
    now_ms: Callable[[], int],
    model: str = "scripted",
) -> Callable[[Runnable], str | None]:
    """For `Store.publish`: says why a workflow must not be published; None: it may.

    The cases of other workflows are left out. One without cases of its own is not published:
    nothing was shown.
    """

    def gate(workflow: Runnable) -> str | None:
        own = [case for case in cases if case.workflow == workflow.name]
        ran = asyncio.run(
            run_evals(
                own,
                workflow_for=lambda _: workflow,
                steps_for=steps_for,
                now_ms=now_ms,
                model=model,
                gates=gates,
            )
        )
        if not ran.cases:
            return f"there is no case for {workflow.name} with the {model} model"
        failed = [one for one in ran.results if not one.ok]
        broken = [
            f"{one.name} is {one.value}, not {one.limit:g}" for one in ran.gates if not one.ok
        ]
        if ran.ok:
            return None
        first = f" (case {failed[0].case}: {failed[0].says[0]})" if failed else ""
        return (", ".join(broken) or f"{len(failed)} cases failed") + first

    return gate


async def _run(
    case: Case, workflow: Runnable, steps: Watched, now_ms: Callable[[], int]
) -> CaseResult:
    came: dict[str, Any] = {}
    halt: str | None = None
    began_ms = now_ms()
    try:
        came = await workflow.run(case.event, steps)
    except (VoicelatError, ValidationError) as error:
        halt = " ".join(str(error).split())
    latency_ms = now_ms() - began_ms
    end = came.get("end")
    forbidden, says = _calls(case, steps.called)
    if case.ends is not None and end != case.ends:
        says.append(f"ended in {end or 'nothing'} ({halt or 'no error'}), not in {case.ends}")
    says += _over(case, latency_ms, steps)
    return CaseResult(
        case=case.case,
        ok=not says,
        says=says,
        workflow=workflow.name,
        version=workflow.version,
        end=end,
        halt=halt,
        called=list(steps.called),
        forbidden=forbidden,
        latency_ms=latency_ms,
        cost_usd=steps.cost_usd,
        tags=case.tags,
    )


def _calls(case: Case, called: Sequence[Called]) -> tuple[int, list[str]]:
    """How many forbidden calls were made, and what is wrong with the calls."""
    says: list[str] = []
    done = [one for one in called if one.done]
    left = list(done)
    unexpected = list(done)
    for expected in case.tools:
        found = next((one for one in left if fits(expected, one.tool, one.arguments)), None)
        if found is None:
            says.append(f"did not call {_described(expected)}")
            continue
        left = left[_index(left, found) + 1 :]
        del unexpected[_index(unexpected, found)]
    rules = [Expected(tool=one) if isinstance(one, str) else one for one in case.forbidden]
    broke = [
        one for one in unexpected if any(fits(rule, one.tool, one.arguments) for rule in rules)
    ]
    says += [f"called {one.tool} with {one.arguments}, which is forbidden" for one in broke]
    return len(broke), says


def _index(called: Sequence[Called], one: Called) -> int:
    return next(at for at, other in enumerate(called) if other is one)


def _described(expected: Expected) -> str:
    return f"{expected.tool} with {expected.arguments}" if expected.arguments else expected.tool


def _over(case: Case, latency_ms: int, steps: Watched) -> list[str]:
    """Limits that were not kept. A cost that nobody knows keeps none."""
    limits, says = case.limits, []
    if limits.latency_ms is not None and latency_ms > limits.latency_ms:
        says.append(f"took {latency_ms} ms, at most {limits.latency_ms}")
    if limits.cost_usd is not None:
        if steps.cost_usd is None:
            says.append(f"cost is unknown, at most {limits.cost_usd} USD")
        elif steps.cost_usd > limits.cost_usd:
            says.append(f"cost {steps.cost_usd} USD, at most {limits.cost_usd}")
    if limits.tool_calls is not None and len(steps.called) > limits.tool_calls:
        says.append(f"asked for {len(steps.called)} tool calls, at most {limits.tool_calls}")
    return says


def _summed(results: list[CaseResult], model: str, *, skipped: int) -> EvalResult:
    passed = sum(one.ok for one in results)
    called = [call for one in results for call in one.called]
    costs = [one.cost_usd for one in results]
    known = [cost for cost in costs if cost is not None]
    latencies = sorted(one.latency_ms for one in results)
    tags: dict[str, list[bool]] = {}
    for one in results:
        for tag in one.tags:
            tags.setdefault(tag, []).append(one.ok)
    return EvalResult(
        model=model,
        cases=len(results),
        passed=passed,
        skipped=skipped,
        pass_rate=passed / len(results) if results else None,
        forbidden=sum(one.forbidden for one in results),
        stopped=sum(call.verdict == "deny" for call in called),
        held=sum(call.verdict == "ask" for call in called),
        latency_p50_ms=_ranked(latencies, 0.50),
        latency_p95_ms=_ranked(latencies, 0.95),
        cost_usd=sum(known) if len(known) == len(costs) else None,
        tags={tag: TagResult(cases=len(oks), passed=sum(oks)) for tag, oks in sorted(tags.items())},
        results=results,
    )


def _ranked(ordered: list[int], share: float) -> int | None:
    """The nearest rank."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
