"""The summary is the JSON that machines rely on, and every turn read is in some count."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from voicelat.metrics.record import NUMBERS, Outcome, Stamps, TurnRecord
from voicelat.metrics.summary import CallerSide, Summary, summarise
from voicelat.metrics.targets import parse_gate

TOTAL = "TOTAL_LATENCY_MS"


def turn(call: int, total_ms: int, outcome: Outcome = "answered", **fields: Any) -> TurnRecord:
    stamps = Stamps(
        speech_start=1000,
        first_partial=1300,
        speech_end=3000,
        turn_end=3200,
        first_audio_sent=3000 + total_ms,
    )
    return TurnRecord(
        call_id=f"call-{call}", turn=1, outcome=outcome, **{"stamps": stamps, **fields}
    ).measured()


def silent(call: int, waited_ms: int) -> TurnRecord:
    stamps = Stamps(speech_end=0, turn_end=200, reply_end=waited_ms)
    return turn(call, 0, "censored", stamps=stamps)


TWENTY = [turn(index % 4, 100 * (index + 1)) for index in range(20)]


def as_json(summary: Summary) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(msgspec.json.encode(summary))
    return decoded


def test_the_json_has_every_key_that_machines_rely_on() -> None:
    out = as_json(summarise(TWENTY))
    promised = {"schema", "calls", "turns", "numbers", "eou_reasons", "barge_ins", "cutoffs"}
    promised |= {"reopened", "censored", "abandoned", "clipped", "fallbacks", "targets"}
    assert promised | {"model_calls_per_turn", "diagnosis", "measured_at"} <= set(out)
    assert (out["schema"], out["calls"], out["turns"], out["measured_at"]) == (1, 4, 20, "server")
    assert list(out["numbers"]) == list(NUMBERS)
    assert set(out["eou_reasons"]) == {"silence", "debounce", "timeout"}
    assert "caller" not in out


def test_a_number_has_exact_percentiles_and_intervals_in_whole_milliseconds() -> None:
    total = as_json(summarise(TWENTY))["numbers"][TOTAL]
    assert [total[key] for key in ("n", "p50", "p90", "p95", "p99", "max")] == [
        20,
        1000,
        1800,
        1900,
        2000,
        2000,
    ]
    assert set(total["ci95"]) == {"p50", "p95"}
    low, high = total["ci95"]["p95"]
    assert low <= 1900 <= high
    assert total["ci95_unit"] == "call"
    assert isinstance(total["p50"], int)


def test_nothing_known_is_null_and_no_turns_are_no_error() -> None:
    out = as_json(summarise([]))
    assert out["numbers"][TOTAL] == {
        "n": 0,
        "censored": 0,
        **dict.fromkeys(("p50", "p90", "p95", "p99", "max", "ci95", "ci95_unit")),
    }
    assert all(target["ok"] is None for target in out["targets"])
    assert out["model_calls_per_turn"] is None


def test_every_outcome_is_counted() -> None:
    records = [
        turn(0, 500),
        turn(0, 500, "barged_in", BARGE_IN_HIT=True, cutoff=True, reopened=True),
        turn(1, 500, clipped=True, fallback=True, model_calls=3),
        turn(1, 500, clipped=False, model_calls=2),
        silent(2, 4000),
        turn(2, 500, "abandoned"),
        turn(2, -40),
    ]
    out = as_json(summarise(records))
    keys = ("turns", "barge_ins", "cutoffs", "reopened", "censored", "abandoned", "clipped")
    assert [out[key] for key in keys] == [7, 1, 2, 1, 1, 1, 1]
    assert (out["fallbacks"], out["implausible"], out["model_calls_per_turn"]) == (1, 1, 2.5)
    assert (out["numbers"][TOTAL]["n"], out["numbers"][TOTAL]["censored"]) == (5, 1)


def test_unanswered_turns_push_the_percentiles_up_and_never_down() -> None:
    before = summarise(TWENTY)
    after = summarise([*TWENTY, *(silent(call, 5000) for call in range(4))])
    assert before.value(TOTAL, "p50") == 1000
    assert after.value(TOTAL, "p50") == 1200
    assert after.value(TOTAL, "p95") is None
    assert after.value(TOTAL, "max") == 2000


def test_targets_without_an_answer_are_not_met_in_secret() -> None:
    summary = summarise([silent(call, 5000) for call in range(4)])
    assert {t.name: t.ok for t in summary.targets}["total_p95"] is None
    (gate,) = summary.check(parse_gate("total_p95=3000"))
    assert not gate.ok


def test_the_turn_start_view_counts_from_the_callers_first_word() -> None:
    summary = summarise(TWENTY, view="turn-start")
    assert summary.value(TOTAL, "p50") == 1000 + 2000
    assert summary.value("STT_FINAL_MS", "p50") == 2200
    assert summary.value("STT_FIRST_PARTIAL_MS", "p50") == 300
    assert {t.name: t.ok for t in summary.targets}["total_p50"] is False


def test_what_callers_measured_stands_beside_with_its_own_percentiles() -> None:
    callers = [
        CallerSide(call_id="a", v2v_ms=[600.5, 700], barge_stop_ms=[51.25], pacing_ms=[0, 1]),
        CallerSide(call_id="b", v2v_ms=[800], unanswered_ms=[9000]),
    ]
    summary = summarise(TWENTY, caller=callers)
    v2v = as_json(summary)["caller"]["v2v_ms"]
    assert (v2v["n"], v2v["censored"], v2v["p50"], v2v["p95"]) == (4, 1, 700, None)
    assert summary.value("v2v_ms", "p50") == 700
    assert summary.value("barge_stop_ms", "max") == 51.2
    assert [gate.ok for gate in summary.check(parse_gate("v2v_p50=700,v2v_p95=9999"))] == [
        True,
        False,
    ]


def test_without_a_caller_its_gate_fails() -> None:
    assert not summarise(TWENTY).check(parse_gate("v2v_p50=9999"))[0].ok


def test_legs_are_summed_up_by_their_medians() -> None:
    legs = summarise(TWENTY).legs
    assert (legs["endpointing"].n, legs["endpointing"].p50) == (20, 200)
    assert (legs["llm"].n, legs["llm"].p50) == (0, None)


def test_the_same_turns_give_the_same_bytes() -> None:
    assert msgspec.json.encode(summarise(TWENTY)) == msgspec.json.encode(summarise(TWENTY))


@pytest.mark.parametrize("gate", ["cutoffs=0", "censored=0", "implausible=0", "clipped=0"])
def test_counts_are_gated_by_their_own_names(gate: str) -> None:
    clean = summarise(TWENTY)
    stained = summarise([turn(0, -5, clipped=True), silent(1, 900)])
    assert clean.check(parse_gate(gate))[0].ok
    assert not stained.check(parse_gate(gate))[0].ok
