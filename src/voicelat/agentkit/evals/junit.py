"""A run of evals as JUnit XML, which every CI system shows as test results."""

from __future__ import annotations

from xml.etree import ElementTree

from voicelat.agentkit.evals.run import EvalResult

__all__ = ["junit"]


def junit(result: EvalResult) -> str:
    """The XML document, with its declaration: a test case per case, and one per gate."""
    failures = sum(not one.ok for one in result.results) + sum(not one.ok for one in result.gates)
    suite = ElementTree.Element(
        "testsuite",
        name=f"voicelat evals ({result.model})",
        tests=str(len(result.results) + len(result.gates)),
        failures=str(failures),
        errors="0",
    )
    for one in result.results:
        element = ElementTree.SubElement(
            suite,
            "testcase",
            classname=f"voicelat.evals.{one.workflow}",
            name=one.case,
            time=f"{one.latency_ms / 1000:.3f}",
        )
        if not one.ok:
            ElementTree.SubElement(element, "failure", message=_said("; ".join(one.says)))
    for gate in result.gates:
        element = ElementTree.SubElement(
            suite, "testcase", classname="voicelat.evals.gate", name=gate.name
        )
        if not gate.ok:
            value = "unknown" if gate.value is None else f"{gate.value:g}"
            says = f"{gate.name} is {value}, the gate is {gate.limit:g}"
            ElementTree.SubElement(element, "failure", message=says)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _said(text: str) -> str:
    """Text without what XML cannot hold."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
