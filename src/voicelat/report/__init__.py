"""``voicelat report``: turns from files as one summary, judged by targets and gates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from voicelat.metrics.compare import Comparison, compare
from voicelat.metrics.samples import View
from voicelat.metrics.summary import Summary, summarise
from voicelat.metrics.targets import (
    DEFAULT_TARGETS,
    ChangeGate,
    Gate,
    GateResult,
    Target,
)
from voicelat.metrics.turnsfile import Turns, read_turns

__all__ = ["ReportResult", "compared", "judged", "report_files", "report_turns"]


@dataclass(frozen=True, slots=True)
class ReportResult:
    """A summary, what its gates say, and what could not be read."""

    summary: Summary
    gates: list[GateResult]
    truncated: list[str]
    """``path: line N`` of lines that break off, left out of the summary."""
    comparison: Comparison | None = None
    """With an earlier run; None when there was none to compare with."""

    @property
    def gate_failures(self) -> list[GateResult]:
        """The gates that did not hold; any of them means exit code 1."""
        return [gate for gate in self.gates if not gate.ok]

    def to_json(self) -> bytes:
        """One JSON object: the summary's keys, then ``gates`` and ``truncated``, and
        ``comparison`` where there is one."""
        merged = {
            **msgspec.to_builtins(self.summary),
            "gates": msgspec.to_builtins(self.gates),
            "truncated": self.truncated,
        }
        if self.comparison is not None:
            merged["comparison"] = {
                "verdict": self.comparison.verdict,
                **msgspec.to_builtins(self.comparison),
            }
        return msgspec.json.encode(merged)


def report_files(
    paths: Iterable[str | Path],
    *,
    targets: Sequence[Target] = DEFAULT_TARGETS,
    gates: Iterable[Gate] = (),
    view: View = "speech-end",
) -> ReportResult:
    """Summarise every turn in the files (``-`` is standard input).

    Raises `InvalidFile` for a file that is not what it should be. Files without a turn give a
    summary of nothing, whose gates fail.
    """
    return report_turns(read_turns(paths), targets=targets, gates=gates, view=view)


def report_turns(
    turns: Turns,
    *,
    targets: Sequence[Target] = DEFAULT_TARGETS,
    gates: Iterable[Gate] = (),
    view: View = "speech-end",
) -> ReportResult:
    """`report_files` of turns already read."""
    return judged(summarise(turns.records, targets, view), gates, turns.truncated)


def judged(
    summary: Summary, gates: Iterable[Gate] = (), truncated: Sequence[str] = ()
) -> ReportResult:
    """A summary from anywhere (demo, replay, loadtest) with its gates checked."""
    return ReportResult(summary, summary.check(gates), list(truncated))


def compared(
    result: ReportResult, before: Turns, after: Turns, gates: Iterable[ChangeGate] = ()
) -> ReportResult:
    """The report on ``after`` with what changed since ``before``, and the gates about that."""
    comparison = compare(before.records, after.records, result.summary.view)
    return ReportResult(
        result.summary,
        [*result.gates, *comparison.check(gates)],
        [*result.truncated, *before.truncated],
        comparison,
    )
