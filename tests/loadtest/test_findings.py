"""Each liar is named, and a healthy agent is not accused."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs

from voicelat.caller import CallResult, Heard
from voicelat.doubles.agents import VICES, Vice, converse, serve_agent
from voicelat.loadtest.cast import Cast
from voicelat.loadtest.findings import findings
from voicelat.loadtest.line import place_call
from voicelat.loadtest.scenario import Patience, Scenario, Talk
from voicelat.loadtest.utterances import Utterance

VOICES = [Utterance(b"\x80\x00" * (4 * ms)) for ms in (600, 900, 1300)]
TALK = Talk(think_ms=(100, 600), barge_ins=0.2, barge_after_ms=(300, 700))
CAST = Cast(VOICES, Scenario(talk=TALK, patience=Patience(reply_ms=5000)))
REPETITIONS = 200


def said_of(vice: Vice, calls: int = 4, turns: int = 15) -> str:
    castings = (CAST.call(number, turns) for number in range(calls))
    results = [converse(script, vice, setup) for script, setup in castings]
    return "; ".join(finding.says for finding in findings(results))


@pytest.mark.parametrize("name", [name for name in VICES if name != "healthy"])
def test_each_vice_is_named(name: str) -> None:
    assert VICES[name].says in said_of(VICES[name])


def test_a_healthy_agent_is_not_accused() -> None:
    assert said_of(VICES["healthy"]) == ""


@pytest.mark.parametrize("name", ["deaf", "bad-frames"])
async def test_a_vice_is_named_over_a_real_socket_too(name: str) -> None:
    said = [Utterance(b"\x80\x00" * 2400)]
    talk = Talk(think_ms=(20, 60), barge_ins=1.0, barge_after_ms=(200, 300))
    cast = Cast(said, Scenario(talk=talk, patience=Patience(reply_ms=1500, quiet_ms=300)))
    async with serve_agent(VICES[name]) as url:
        script, setup = cast.call(0, 3)
        result = await place_call(url, script, setup=setup)
    if not result.trusted:
        pytest.skip("this machine is too busy for a caller to keep its time")
    assert VICES[name].says in "; ".join(finding.says for finding in findings([result]))


def calls_of(latencies: np.ndarray) -> list[CallResult]:
    """Calls with these voice-to-voice times, one row a call; NaN is never answered."""
    return [
        CallResult(
            stream_sid="MZ",
            call_sid=f"CA{index}",
            ended="hung_up",
            lateness_ms={0: 100},
            heard=tuple(
                Heard(question=n + 1, v2v_ms=None if np.isnan(ms) else int(ms), reply_start_ms=1)
                for n, ms in enumerate(row)
            ),
        )
        for index, row in enumerate(latencies)
    ]


@pytest.mark.parametrize(("calls", "turns", "sigma"), [(3, 10, 0.4), (20, 15, 0.6), (8, 40, 1.0)])
def test_chance_is_not_taken_for_a_pattern(calls: int, turns: int, sigma: float) -> None:
    rng = np.random.default_rng(4)
    accused = 0
    for _ in range(REPETITIONS):
        typical = rng.lognormal(np.log(800), 0.2, (calls, 1))
        accused += bool(findings(calls_of(typical * rng.lognormal(0, sigma, (calls, turns)))))
    # Two rules of 1 % each are promised.
    assert accused <= 0.05 * REPETITIONS


@pytest.mark.parametrize("period", [2, 5, 7, 12])
def test_a_stall_is_found_at_its_period_under_scatter(period: int) -> None:
    rng = np.random.default_rng(period)
    latencies = rng.lognormal(np.log(800), 0.3, (6, 36))
    latencies[:, period - 1 :: period] += 2500
    says = "; ".join(finding.says for finding in findings(calls_of(latencies)))
    assert f"stalls on every {period}" in says


def test_a_call_that_grows_slower_is_found_under_scatter() -> None:
    rng = np.random.default_rng(2)
    latencies = rng.lognormal(np.log(800), 0.3, (10, 20)) + 40 * np.arange(20)
    says = "; ".join(finding.says for finding in findings(calls_of(latencies)))
    assert "gets slower as the call goes on" in says


def test_callers_who_were_late_themselves_accuse_nobody_of_it() -> None:
    rng = np.random.default_rng(2)
    calls = calls_of(rng.lognormal(np.log(800), 0.3, (10, 20)) + 40 * np.arange(20))
    late = [structs.replace(call, lateness_ms={80: 100}) for call in calls]
    assert findings(late) == []


def test_no_calls_have_no_findings() -> None:
    assert findings([]) == []
