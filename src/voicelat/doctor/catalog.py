"""Every check there is, as data: what it looks at, why it matters, what to do.

The modules that measure bring the evidence; the words are here, in one place, and the table in
the docs is made from them.
"""

from __future__ import annotations

from typing import Final

from voicelat.doctor.catalog_app import APP_CHECKS
from voicelat.doctor.catalog_settings import SETTINGS_CHECKS
from voicelat.doctor.catalog_turns import TURNS_CHECKS
from voicelat.doctor.catalog_url import URL_CHECKS
from voicelat.doctor.check import Check
from voicelat.doctor.result import CheckResult

__all__ = ["CHECKS", "Check", "fault", "ok", "skipped"]


_ALL: Final[tuple[Check, ...]] = (*SETTINGS_CHECKS, *URL_CHECKS, *APP_CHECKS, *TURNS_CHECKS)

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
