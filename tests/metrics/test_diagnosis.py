"""A planted cause is named with the setting that helps; a healthy agent hears nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from voicelat.metrics.diagnosis import diagnose
from voicelat.metrics.finding import MOST_TURNS, Finding, TurnRef, worst_turns
from voicelat.metrics.record import Stamps, TurnRecord
from voicelat.metrics.samples import call_indices
from voicelat.metrics.targets import target

HEALTHY = {
    "speech_start": 0,
    "first_partial": 350,
    "speech_end": 2000,
    "turn_end": 2220,
    "reply_start": 2222,
    "llm_first_token": 2600,
    "tts_request": 2650,
    "tts_ready": 2800,
    "gate_open": 2800,
    "first_audio_sent": 2805,
}


def turns(
    *, late: dict[str, int] | None = None, count: int = 40, **fields: Any
) -> list[TurnRecord]:
    """Equal turns. ``late`` moves a stamp and all after it; ``fields`` are the record's own."""
    stamps = dict(HEALTHY)
    for first, more_ms in (late or {}).items():
        names = list(stamps)
        for name in names[names.index(first) :]:
            stamps[name] += more_ms
    record = {"outcome": "answered", "EOU_REASON": "silence", "model_calls": 1, **fields}
    return [
        TurnRecord(
            call_id=f"call-{index % 5}",
            turn=index,
            **{"stamps": Stamps(**stamps), **record},
        ).measured()
        for index in range(count)
    ]


def findings(*groups: list[TurnRecord]) -> list[Finding]:
    records = [record for group in groups for record in group]
    return diagnose(records, call_indices(records))


def only(found: list[Finding]) -> Finding:
    assert len(found) == 1, found
    return found[0]


def test_a_healthy_agent_has_nothing_that_stands_out() -> None:
    assert only(findings(turns())) == Finding(None, "nothing stands out", "")


def test_no_turns_are_no_good_news() -> None:
    assert "no turns" in only(findings([])).says
    assert "no turns" in only(findings(turns(outcome="abandoned"))).says


@pytest.mark.parametrize(
    ("reason", "setting"),
    [
        ("silence", "VAD_HANGOVER_MS"),
        ("debounce", "STT_PARTIAL_DEBOUNCE_MS"),
        (None, "VAD_HANGOVER_MS"),
    ],
)
def test_a_fast_first_partial_and_a_slow_final_are_endpointing(
    reason: str | None, setting: str
) -> None:
    found = only(findings(turns(late={"turn_end": 600}, EOU_REASON=reason)))
    assert found.leg == "endpointing"
    assert setting in found.try_
    assert "820 ms" in found.says


def test_slow_finals_that_end_by_timeout_name_the_timeout() -> None:
    found = findings(turns(late={"turn_end": 600}, EOU_REASON="timeout"))
    assert [one.leg for one in found] == ["endpointing", "endpointing"]
    assert "STT_TIMEOUT_MS" in found[0].try_
    assert "40 of 40 turns ended by timeout" in found[1].says


def test_a_slow_first_partial_is_the_recognisers() -> None:
    assert only(findings(turns(late={"first_partial": 400}))).leg == "stt"


def test_a_slow_voice_asks_for_prewarm_and_cache() -> None:
    found = only(findings(turns(late={"tts_ready": 400}, cache="miss")))
    assert found.leg == "tts"
    assert "TTS_PREWARM" in found.try_
    assert "0 of 40 openings came from the cache" in found.says


def test_fast_stages_and_a_slow_total_are_blocking_io_and_the_residual_says_so() -> None:
    found = only(findings(turns(late={"first_audio_sent": 1900})))
    assert found.leg == "residual"
    assert "ASYNC_LOG_QUEUE" in found.try_
    assert "1.91 s" in found.says


def test_fast_stages_and_a_slow_total_may_also_be_the_model() -> None:
    assert only(findings(turns(late={"llm_first_token": 1900}))).leg == "llm"


def test_a_slow_total_without_stamps_says_what_is_missing() -> None:
    rows = [
        TurnRecord(
            call_id="c",
            turn=index,
            outcome="answered",
            STT_FIRST_PARTIAL_MS=300,
            STT_FINAL_MS=400,
            TTS_READY_MS=100,
            TOTAL_LATENCY_MS=2500,
        )
        for index in range(9)
    ]
    found = only(findings(rows))
    assert found.leg == "residual"
    assert "no stamps" in found.says


def test_a_slow_total_measured_from_the_outside_blames_nobody_inside() -> None:
    ends = Stamps(speech_end=1000, first_audio_sent=6000, first_audio_heard=6000)
    found = only(findings(turns(stamps=ends, EOU_REASON=None, model_calls=0)))
    assert found.leg is None
    assert found.says.startswith("the total of 5.00 s is slow; these turns were measured from the")
    assert "voicelat report" in found.try_
    told = found.says + found.try_
    assert not any(word in told for word in ("fast", "residual", "blocking", "ASYNC_LOG_QUEUE"))


def test_blocking_that_a_good_total_hides_is_told_too() -> None:
    found = only(findings(turns(late={"first_audio_sent": 300})))
    assert found.leg == "residual"


def test_the_tail_is_told_with_its_leg_and_an_interval() -> None:
    found = only(findings(turns(count=100), turns(late={"tts_ready": 1500}, count=15)))
    assert found.leg == "tts"
    assert "the slow turns are due to" in found.says
    assert "95 %" in found.says


def test_unanswered_turns_come_first_with_their_commonest_failure() -> None:
    silent = turns(outcome="censored", failure="model: hung", count=3, stamps=Stamps(speech_end=5))
    found = findings(turns(late={"tts_ready": 400}), silent)
    assert found[0].says == "3 of 43 turns never got an answer; most often: model: hung"
    assert found[1].leg == "tts"


def test_wasted_speculation_is_counted() -> None:
    found = only(findings(turns(model_calls=3)))
    assert "3.0 model calls a turn" in found.says
    assert "STT_PARTIAL_DEBOUNCE_MS" in found.try_


def test_clipped_texts_ask_for_more_patience() -> None:
    found = only(findings(turns(clipped=False, count=30), turns(clipped=True, count=10)))
    assert "10 of 40 turns" in found.says


def test_cutoffs_ask_for_a_later_gate() -> None:
    found = only(findings(turns(count=30), turns(cutoff=True, count=3)))
    assert "SPEAK_GATE_MS" in found.try_


@pytest.mark.parametrize("fields", [{"cutoff": True}, {"clipped": True}, {"EOU_REASON": "timeout"}])
def test_one_mishap_is_chance(fields: dict[str, Any]) -> None:
    found = findings(turns(count=2, clipped=False), turns(count=1, **{"clipped": False} | fields))
    assert only(found).says == "nothing stands out"


def test_the_users_own_targets_move_the_rules() -> None:
    records = turns()
    found = diagnose(records, call_indices(records), [target("tts_ready_p50", 100)])
    assert only(found).leg == "tts"


def test_in_json_a_finding_has_the_keys_that_machines_rely_on() -> None:
    found = Finding(None, "a", "b", (TurnRef("CA1", 3, None),))
    assert msgspec.json.decode(msgspec.json.encode(found)) == {
        "leg": None,
        "says": "a",
        "try": "b",
        "turns": [{"call_id": "CA1", "turn": 3, "ms": None}],
    }


def test_the_slow_turns_of_one_call_are_named_and_so_is_the_call() -> None:
    slow = turns(late={"llm_first_token": 3000}, count=60)
    records = [b if b.turn % 12 == 7 else a for a, b in zip(turns(count=60), slow, strict=True)]
    records = [
        msgspec.structs.replace(record, call_id="CAbad") if record.turn in (7, 19, 31) else record
        for record in records
    ]
    tail = next(one for one in findings(records) if "slow turns" in one.says)
    assert "; it slowed 5 turns of 3 calls, 3 of them in CAbad; not resolvable" in tail.says
    assert {(ref.call_id, ref.turn, ref.ms) for ref in tail.turns} == {
        ("CAbad", 7, 3000),
        ("CAbad", 19, 3000),
        ("CAbad", 31, 3000),
        ("call-3", 43, 3000),
        ("call-0", 55, 3000),
    }


@pytest.mark.parametrize("fields", [{"outcome": "censored"}, {"cutoff": True}, {"clipped": True}])
def test_what_happened_in_some_turns_names_them(fields: dict[str, Any]) -> None:
    hit = [msgspec.structs.replace(one, **fields) for one in turns()[:9]]
    found = next(one for one in findings([*hit, *turns()[9:]]) if one.turns)
    assert [ref.turn for ref in found.turns] == list(range(9))


def test_of_many_turns_the_worst_ten_are_shown() -> None:
    ordered = worst_turns((record, record.turn or None) for record in turns())
    assert [ref.turn for ref in ordered] == list(range(39, 39 - MOST_TURNS, -1))
