"""Scripted calls, and what their callers noticed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Final

import msgspec

from voicelat.caller import CallResult
from voicelat.doctor.catalog import fault, ok, skipped
from voicelat.doctor.result import CheckResult
from voicelat.loadtest.cast import Cast
from voicelat.loadtest.findings import findings
from voicelat.loadtest.line import place_call
from voicelat.loadtest.scenario import Scenario, Talk
from voicelat.loadtest.target import Target
from voicelat.loadtest.utterances import built_in
from voicelat.metrics.durations import duration
from voicelat.metrics.percentiles import percentile
from voicelat.metrics.samples import Sample
from voicelat.settings import Settings

__all__ = ["hold", "judged_calls", "ordinary_callers"]

_SLOW_GREETING_MS: Final = 2000
"""Twice what people wait on a line before they say hello."""


async def ordinary_callers() -> Cast:
    """Four questions a call, a third of the replies interrupted."""
    talk = Talk(questions=4, think_ms=(300, 900), barge_ins=0.34, barge_after_ms=(400, 900))
    return Cast(await built_in(), Scenario(talk=talk))


async def hold(target: Target, cast: Cast, calls: int) -> list[CallResult]:
    """One call after the other. Raises ConnectError."""
    held: list[CallResult] = []
    for number in range(calls):
        script, setup = cast.call(number)
        reached = await target.reach()
        held.append(
            await place_call(
                reached.url,
                script,
                setup=setup,
                call_sid=reached.call_sid,
                custom_parameters=reached.parameters,
                headers=reached.headers,
            )
        )
    return held


def judged_calls(calls: Sequence[CallResult], settings: Settings) -> Iterator[CheckResult]:
    """The greeting, the wait, and everything else that stands out."""
    yield _greeting(calls)
    trusted = [call for call in calls if call.trusted]
    if trusted:
        yield from _waits(trusted, settings)
    else:
        why = "this machine could not keep the callers' time: try again when it is idle"
        yield skipped("voice-to-voice", why)
    noticed = findings(calls)
    for one in noticed:
        evidence = f"{len(calls)} calls, {_questions(calls)} questions"
        yield msgspec.structs.replace(fault("calls", one.says, evidence), fix=one.try_)
    if not noticed:
        yield ok("calls", "callers noticed nothing wrong", _summary(calls))


def _questions(calls: Sequence[CallResult]) -> int:
    return sum(len(call.heard) for call in calls)


def _greeting(calls: Sequence[CallResult]) -> CheckResult:
    greetings = [call.greeting_ms for call in calls if call.greeting_ms is not None]
    if not greetings:
        return skipped("greeting", "the agent does not speak first")
    typical = median(greetings)
    evidence = f"{duration(typical)} from start, P50 of {len(greetings)} calls"
    if typical > _SLOW_GREETING_MS:
        return fault("greeting", "callers wait for the greeting", evidence)
    return ok("greeting", "the greeting comes at once", evidence)


def _waits(calls: Sequence[CallResult], settings: Settings) -> Iterator[CheckResult]:
    points = [
        (float(ms), one.v2v_ms is not None, index)
        for index, call in enumerate(calls)
        for one in call.heard
        if (ms := one.v2v_ms if one.v2v_ms is not None else one.in_vain_ms) is not None
    ]
    if not points:
        yield skipped("voice-to-voice", "no question was owed an answer")
        return
    sample = Sample.of(points)
    good = True
    told = []
    limits = ((50, settings.target_total_p50_ms), (95, settings.target_total_p95_ms))
    for p, limit_ms in limits:
        value = percentile(sample, 50 if p == 50 else 95)
        told.append(f"P{p} {duration(value)}")
        if value is None or value > limit_ms:
            good = False
            what = f"P{p} of the wait is {duration(value)}, the target {duration(limit_ms)}"
            yield fault("voice-to-voice", what, f"{len(points)} questions in {len(calls)} calls")
    if good:
        evidence = f"{' '.join(told)}, {len(points)} questions in {len(calls)} calls"
        yield ok("voice-to-voice", "callers wait no longer than the targets", evidence)


def _summary(calls: Sequence[CallResult]) -> str:
    stops = [
        one.barge_stop_ms for call in calls for one in call.heard if one.barge_stop_ms is not None
    ]
    told = f"{len(calls)} calls, {_questions(calls)} questions"
    if stops:
        told += f", silent {duration(median(stops))} after each of {len(stops)} interruptions"
    return told
