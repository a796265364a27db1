"""What the doctor says on a terminal: a line for each check, then every fault in full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from voicelat.doctor.result import CheckResult, Examination

__all__ = ["print_faults", "print_line", "summary"]

_STYLES: Final = {"ok": "green", "fault": "bold red", "skipped": "dim"}


def print_line(result: CheckResult, console: Console) -> None:
    """One check, as it is done."""
    style = _STYLES[result.outcome]
    line = Text.assemble(
        (f"  {result.outcome:8}", style), (f"{result.check:18} ", "bold"), result.what
    )
    if result.evidence and result.outcome != "fault":
        line.append(f" ({result.evidence})", "dim")
    console.print(line)


def print_faults(faults: Sequence[CheckResult], console: Console) -> None:
    """What, why, evidence, fix of each."""
    for one in faults:
        console.print()
        console.print(Text(f"{one.check}: {one.what}", "bold red"))
        for name in ("evidence", "why", "fix"):
            said = getattr(one, name)
            if said:
                console.print(Text.assemble((f"  {name:9}", "bold"), said))


def summary(done: Sequence[Examination]) -> str:
    """How many of what, in one line."""
    outcomes = [check.outcome for examination in done for check in examination.checks]
    faults = outcomes.count("fault")
    told = f"{faults} faults" if faults != 1 else "1 fault"
    return f"{told}; {outcomes.count('ok')} well, {outcomes.count('skipped')} skipped"
