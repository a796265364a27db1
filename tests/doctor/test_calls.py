"""What callers notice: every vice, slow answers and late greetings, and nothing in a good call."""

from __future__ import annotations

import pytest
from tests.doctor.told import faults, outcomes

from voicelat.caller import CallResult, Heard
from voicelat.doctor.calls import judged_calls
from voicelat.doubles.agents import VICES, converse
from voicelat.loadtest.cast import Cast
from voicelat.loadtest.scenario import Patience, Scenario, Talk
from voicelat.loadtest.utterances import Utterance
from voicelat.settings import load

SETTINGS = load({"TARGET_TOTAL_P50_MS": "1000", "TARGET_TOTAL_P95_MS": "1500"}, environ={})
TALK = Talk(think_ms=(100, 600), barge_ins=0.2, barge_after_ms=(300, 700))
VOICES = [Utterance(b"\x80\x00" * (4 * ms)) for ms in (600, 900, 1300)]
CAST = Cast(VOICES, Scenario(talk=TALK, patience=Patience(reply_ms=5000)))


def held(vice: str) -> list[CallResult]:
    castings = (CAST.call(number, 15) for number in range(4))
    return [converse(script, VICES[vice], setup) for script, setup in castings]


def call(*v2v_ms: int | None, greeting_ms: int | None = 300, late_ms: int = 0) -> CallResult:
    """A call with these waits; None is in vain, for 10 s."""
    return CallResult(
        stream_sid="MZ",
        call_sid="CA",
        ended="hung_up",
        greeting_ms=greeting_ms,
        lateness_ms={late_ms: 100},
        heard=tuple(
            Heard(question=n, v2v_ms=ms, in_vain_ms=10_000 if ms is None else None)
            for n, ms in enumerate(v2v_ms, 1)
        ),
    )


@pytest.mark.parametrize("vice", [name for name in VICES if name != "healthy"])
def test_each_vice_is_found_and_says_what_to_do(vice: str) -> None:
    results = list(judged_calls(held(vice), SETTINGS))
    found = [one for one in results if one.check == "calls" and one.outcome == "fault"]
    assert VICES[vice].says in "; ".join(one.what for one in found)
    assert all(one.fix for one in found)


def test_a_healthy_agent_is_not_accused() -> None:
    assert faults(judged_calls(held("healthy"), SETTINGS)) == []


@pytest.mark.parametrize(
    ("waits", "found"),
    [
        ((600, 700, 800, 900), 0),
        ((600, 700, 800, 1700), 1),
        ((1200, 1300, 1300, 1400), 1),
        ((1600, 1700, 1700, 1700), 2),
    ],
)
def test_waits_beyond_a_target_are_found(waits: tuple[int, ...], found: int) -> None:
    assert faults(judged_calls([call(*waits)], SETTINGS)).count("voice-to-voice") == found


def test_waiting_in_vain_counts_as_waiting() -> None:
    assert "voice-to-voice" in faults(judged_calls([call(600, None, None)], SETTINGS))


def test_a_caller_who_could_not_keep_time_accuses_nobody() -> None:
    results = list(judged_calls([call(9000, 9000, late_ms=80)], SETTINGS))
    assert outcomes(results)["voice-to-voice"] == "skipped"


@pytest.mark.parametrize(("ms", "outcome"), [(400, "ok"), (4000, "fault"), (None, "skipped")])
def test_a_late_greeting_is_found(ms: int | None, outcome: str) -> None:
    results = judged_calls([call(700, greeting_ms=ms)], SETTINGS)
    assert outcomes(results)["greeting"] == outcome
