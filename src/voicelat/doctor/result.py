"""What one check came to."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["CheckResult", "Examination", "Subject"]

Subject = Literal["app", "url", "settings", "turns"]
"""What is examined: an importable application, a server somewhere, the settings, a turns file."""


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """One check, done or not."""

    check: str
    """Its name in `voicelat.doctor.catalog.CHECKS`."""
    outcome: Literal["ok", "fault", "skipped"]
    """skipped: it could not be judged here, and ``what`` says why."""
    what: str
    """One sentence: what is wrong, what was found to be well, or why it was not judged."""
    evidence: str = ""
    """What was measured or read, with its figure or its place."""
    why: str = ""
    """For a fault: what it does to a call."""
    fix: str = ""
    """For a fault: what to change."""


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was checked of one subject; its JSON keys are the field names."""

    schema: Literal[1] = 1
    subject: Subject
    target: str
    """The application, URL or file, as given."""
    checks: list[CheckResult]
