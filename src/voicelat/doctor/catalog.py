"""Every check there is, as data: what it looks at, why it matters, what to do.

The modules that measure bring the evidence; the words are here, in one place, and the table in
the docs is made from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from voicelat.doctor.result import CheckResult, Subject

__all__ = ["CHECKS", "Check", "fault", "ok", "skipped"]


@dataclass(frozen=True, slots=True)
class Check:
    """One check."""

    name: str
    """Short, stable: machines and users turn it off by it."""
    subjects: tuple[Subject, ...]
    looks_at: str
    """What is looked at, as the start of a sentence."""
    why: str
    """What the fault does to a call, with its source."""
    fix: str
    """What to change."""


_ALL: Final[tuple[Check, ...]] = ()

CHECKS: Final = {check.name: check for check in _ALL}
"""By name, in the order in which they are shown."""


def fault(check: str, what: str, evidence: str) -> CheckResult:
    """The check found something. Raises KeyError for a check that is not in the catalog."""
    known = CHECKS[check]
    return CheckResult(
        check=check, outcome="fault", what=what, evidence=evidence, why=known.why, fix=known.fix
    )


def ok(check: str, what: str, evidence: str = "") -> CheckResult:
    """It was measured, and is well."""
    return CheckResult(check=CHECKS[check].name, outcome="ok", what=what, evidence=evidence)


def skipped(check: str, what: str) -> CheckResult:
    """It could not be judged: why."""
    return CheckResult(check=CHECKS[check].name, outcome="skipped", what=what)
