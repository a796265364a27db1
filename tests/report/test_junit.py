"""JUnit XML: what a CI system makes of a report."""

from __future__ import annotations

from xml.etree import ElementTree

from voicelat.metrics.record import Stamps, TurnRecord
from voicelat.metrics.summary import summarise
from voicelat.metrics.targets import parse_gates, target
from voicelat.metrics.turnsfile import Turns
from voicelat.report import compared, judged
from voicelat.report.junit import junit


def turns(total_ms: int) -> list[TurnRecord]:
    return [
        TurnRecord(
            call_id=f"call-{n} <&>",
            turn=1,
            outcome="answered",
            stamps=Stamps(speech_end=0, turn_end=0, first_audio_sent=total_ms + n),
        ).measured()
        for n in range(10)
    ]


def test_every_verdict_is_a_test_case_and_the_counts_agree() -> None:
    before, after = turns(500), turns(900)
    goals = [target("total_p50", 2000), target("tts_ready_p50", 250), target("total_p95", 100)]
    limits, changes = parse_gates("total_p95=3000,total_p95=+5%/50")
    result = judged(summarise(after, goals), limits)
    result = compared(result, Turns(before), Turns(after), changes)
    suite = ElementTree.fromstring(junit(result))
    cases = suite.findall("testcase")
    outcome = {(c.get("classname"), c.get("name")): [child.tag for child in c] for c in cases}
    assert outcome[("voicelat.target", "total_p50")] == ["system-out"]
    assert outcome[("voicelat.target", "tts_ready_p50")] == ["skipped"]
    assert outcome[("voicelat.target", "total_p95")] == ["failure"]
    assert outcome[("voicelat.comparison", "total_p95")] == ["failure"]
    assert [c.find("failure") is None for c in cases if c.get("classname") == "voicelat.gate"] == [
        True,
        False,
    ]
    assert suite.get("tests") == str(len(cases))
    assert suite.get("failures") == str(sum(c.find("failure") is not None for c in cases))
    assert suite.get("skipped") == str(sum(c.find("skipped") is not None for c in cases))
