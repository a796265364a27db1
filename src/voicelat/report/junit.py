"""A report's verdicts as JUnit XML, which every CI system shows as test results.

One test case per target, gate and compared figure. A target without data is skipped; a figure
that these turns cannot resolve passes, with what was found in its output.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from voicelat.metrics.durations import duration
from voicelat.report import ReportResult

__all__ = ["junit"]


@dataclass(frozen=True, slots=True)
class _Case:
    group: str
    name: str
    says: str
    ok: bool | None
    """None: nothing to judge."""


def junit(result: ReportResult) -> str:
    """The XML document, with its declaration."""
    cases = list(_cases(result))
    suite = ElementTree.Element(
        "testsuite",
        name="voicelat report",
        tests=str(len(cases)),
        failures=str(sum(case.ok is False for case in cases)),
        skipped=str(sum(case.ok is None for case in cases)),
        errors="0",
    )
    for case in cases:
        element = ElementTree.SubElement(
            suite, "testcase", classname=f"voicelat.{case.group}", name=case.name
        )
        if case.ok is None:
            ElementTree.SubElement(element, "skipped", message=case.says)
        elif not case.ok:
            ElementTree.SubElement(element, "failure", message=case.says)
        else:
            ElementTree.SubElement(element, "system-out").text = case.says
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _cases(result: ReportResult) -> Iterator[_Case]:
    for goal in result.summary.targets:
        says = f"{duration(goal.value_ms)}, at most {duration(goal.limit_ms)}"
        yield _Case("target", goal.name, says, goal.ok)
    for gate in result.gates:
        yield _Case("gate", gate.name, gate.says, gate.ok)
    if result.comparison is not None:
        for one in result.comparison.differences:
            yield _Case("comparison", one.name, one.says, one.verdict != "worse")
