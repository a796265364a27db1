"""Runs a load test and makes one report of it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec

from voicelat.caller import TRUSTED_LATENESS_MS, Heard, lateness_p99
from voicelat.loadtest.findings import findings
from voicelat.loadtest.lines import Lines, PlacedCall, drive_lines
from voicelat.loadtest.plan import LoadPlan
from voicelat.loadtest.rows import caller_side, turn_records
from voicelat.loadtest.wire import Drive, Over
from voicelat.metrics.diagnosis import NOTHING
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.summary import summarise
from voicelat.report import ReportResult, judged

__all__ = ["Generator", "Load", "LoadResult", "new_event_loop", "work_for"]


class Generator(msgspec.Struct, frozen=True, kw_only=True):
    """What placed the calls, and whether its own numbers can be trusted."""

    callers: int
    """Calls at once."""
    calls: int
    """Calls held."""
    failed: int
    """Calls that could not be placed."""
    not_placed: int
    """Calls that came while all callers were busy (``--arrival poisson``)."""
    workers: int
    """Machines; 0: this one alone."""
    workers_lost: int
    """Machines that went before they were done. What they had sent is in the report."""
    pacing_p99_ms: int | None
    """How late callers were woken for their own frames, at P99 over all frames."""
    cpu_share: float
    """Of one core, by the process that holds the calls here."""
    trusted: bool
    """Whether callers kept their time: `pacing_p99_ms` is at most 10 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """The report, and what is worth knowing about how it came about."""

    report: ReportResult
    records: list[TurnRecord]
    generator: Generator
    why_failed: dict[str, int]
    """Why calls could not be placed -> how many."""
    interrupted: bool

    @property
    def exit_code(self) -> int:
        """Of the command, its gates aside: stopped, not connected, or fine."""
        return 130 if self.interrupted else 3 if self.why_failed and not self.generator.calls else 0

    @property
    def complaints(self) -> Iterator[str]:
        """What makes these numbers worth less, one line each."""
        made = self.generator
        for why, count in self.why_failed.items():
            yield f"{count} calls could not be placed: {why}"
        if made.not_placed:
            yield (
                f"{made.not_placed} calls were not placed: all {made.callers} callers were busy; "
                "raise --callers"
            )
        if made.workers_lost:
            yield f"{made.workers_lost} of {made.workers} workers were lost: their last calls too"
        if not made.trusted and made.pacing_p99_ms is not None:
            yield (
                f"callers were woken {made.pacing_p99_ms} ms late at P99 (at most "
                f"{TRUSTED_LATENESS_MS} ms is fine): this machine could not keep time, do not "
                "trust these numbers; try fewer --callers, or more machines (--master, --worker)"
            )

    @property
    def about_itself(self) -> str:
        """What placed the calls, and how well it kept time, in one line."""
        made = self.generator
        late = "unknown" if made.pacing_p99_ms is None else f"{made.pacing_p99_ms} ms"
        where = f"{made.workers} workers" if made.workers else f"{made.cpu_share:.0%} of a core"
        return f"Generator: {made.callers} callers on {where}, late at P99 by {late}"

    def to_json(self) -> bytes:
        """The report's keys, then how it came about."""
        about = {
            "source": "loadtest",
            "generator": msgspec.to_builtins(self.generator),
            "why_failed": self.why_failed,
            "complaints": list(self.complaints),
            "interrupted": self.interrupted,
        }
        return msgspec.json.encode({**msgspec.json.decode(self.report.to_json()), **about})


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed: twice the callers on a core."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


@dataclass(slots=True)
class Load:
    """One load test: `run` it."""

    plan: LoadPlan
    on_turn: Callable[[Heard], None] = lambda heard: None
    on_note: Callable[[str], None] = lambda note: None
    on_open: Callable[[int], None] = lambda going_on: None
    on_record: Callable[[TurnRecord], None] = lambda record: None
    """Told of every turn once its call is over."""
    _placed: list[PlacedCall] = field(default_factory=list)
    _records: list[TurnRecord] = field(default_factory=list)

    async def run(self) -> LoadResult:
        """Place the calls. Ctrl-C hangs up and reports what was measured so far.

        Raises UsageError for a plan that cannot work, MissingExtra without Locust.
        """
        plan = self.plan
        plan.check()
        began, cpu = time.monotonic(), time.process_time()
        drive = Drive(
            callers=plan.callers,
            duration_s=plan.duration_s,
            ramp_s=plan.ramp_s,
            arrivals_per_s=plan.arrivals_per_s,
            web=plan.web,
            workers=plan.workers,
            address=plan.bind if plan.workers else None,
            plan=msgspec.json.encode(plan.calls) if plan.workers else None,
        )
        lines = Lines(self.on_turn, self._take, self.on_open)
        interrupted = await drive_lines(lines, drive, plan.calls)
        if lines.over is not None and lines.over.says is not None:
            self.on_note(lines.over.says)
        spent = (time.process_time() - cpu) / max(0.001, time.monotonic() - began)
        return self._result(lines.over or Over(), spent, interrupted)

    def _take(self, call: PlacedCall) -> None:
        self._placed.append(call)
        if (result := call.result) is None:
            return
        for record in turn_records(
            result.call_sid, result.heard, source="loadtest", started_utc=call.started_utc
        ):
            self._records.append(record)
            self.on_record(record)

    def _result(self, over: Over, cpu_share: float, interrupted: bool) -> LoadResult:
        plan, records = self.plan, self._records
        results = [call.result for call in self._placed if call.result is not None]
        sides = [caller_side(one.call_sid, one.heard, one) for one in results]
        summary = summarise(records, plan.targets, caller=sides, measured_at="caller")
        found = [*findings(results), *(f for f in summary.diagnosis if f != NOTHING)] or [NOTHING]
        p99 = lateness_p99(results)
        return LoadResult(
            report=judged(msgspec.structs.replace(summary, diagnosis=found), plan.gates),
            records=records,
            generator=Generator(
                callers=plan.callers,
                calls=len(results),
                failed=len(self._placed) - len(results),
                not_placed=over.not_placed,
                workers=plan.workers,
                workers_lost=over.workers_lost,
                pacing_p99_ms=p99,
                cpu_share=round(cpu_share, 3),
                trusted=p99 is not None and p99 <= TRUSTED_LATENESS_MS,
            ),
            why_failed=dict(Counter(call.failed for call in self._placed if call.failed)),
            interrupted=interrupted,
        )


async def work_for(
    master: tuple[str, int],
    *,
    on_turn: Callable[[Heard], None],
    on_note: Callable[[str], None],
    on_open: Callable[[int], None],
) -> int:
    """Place a master's calls until it has no more. Returns how many were placed.

    Raises MissingExtra without Locust.
    """
    placed: list[PlacedCall] = []
    lines = Lines(on_turn, placed.append, on_open)
    await drive_lines(lines, Drive(address=master), None)
    if lines.over is not None and lines.over.says is not None:
        on_note(lines.over.says)
    return len(placed)
