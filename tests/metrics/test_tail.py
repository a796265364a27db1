"""The leg that makes the tail is named, and only then."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from voicelat.metrics.record import Stamps, TurnRecord
from voicelat.metrics.samples import call_indices
from voicelat.metrics.tail import LEG_NAMES, TailCause, tail_cause

# Medians of a healthy turn in ms; dispatch and send are the residual.
HEALTHY = {
    "endpointing": 200,
    "dispatch": 5,
    "llm": 300,
    "clause": 80,
    "tts": 150,
    "gate": 10,
    "send": 5,
}
PATH = (
    "speech_end",
    "turn_end",
    "reply_start",
    "llm_first_token",
    "tts_request",
    "tts_ready",
    "gate_open",
    "first_audio_sent",
)


def turns(count: int, calls: int, slow: dict[str, int] | None = None) -> list[TurnRecord]:
    """Healthy turns with 5 % scatter; every eighth has the ``slow`` legs longer by so much.

    With 15 calls every call gets its share of slow turns.
    """
    rng = np.random.default_rng(7)
    records = []
    for index in range(count):
        gaps = {leg: ms * rng.normal(1, 0.05) for leg, ms in HEALTHY.items()}
        if index % 8 == 3:
            gaps |= {leg: gaps[leg] + more for leg, more in (slow or {}).items()}
        instants = np.cumsum([2000, *gaps.values()]).round().astype(int).tolist()
        assert all(a <= b for a, b in pairwise(instants))
        records.append(
            TurnRecord(
                call_id=f"call-{index % calls}",
                turn=index,
                outcome="answered",
                stamps=Stamps(**dict(zip(PATH, instants, strict=True))),
            ).measured()
        )
    return records


def cause_of(records: list[TurnRecord]) -> TailCause | None:
    return tail_cause(records, call_indices(records))


@pytest.mark.parametrize(
    ("planted", "named"),
    [
        ("endpointing", "endpointing"),
        ("llm", "llm"),
        ("clause", "clause"),
        ("tts", "tts"),
        ("gate", "gate"),
        ("dispatch", "residual"),
        ("send", "residual"),
    ],
)
def test_a_planted_cause_is_named_with_what_it_costs(planted: str, named: str) -> None:
    cause = cause_of(turns(240, 15, {planted: 900}))
    assert cause is not None
    assert (cause.leg, cause.resolved, cause.rival) == (named, True, None)
    assert 800 < cause.gain_ms < 1000
    low, high = cause.gain_ci95
    assert low is not None and high is not None
    assert 0 < low <= cause.gain_ms <= high


def test_the_larger_of_two_causes_is_named() -> None:
    cause = cause_of(turns(240, 15, {"llm": 1200, "tts": 500}))
    assert cause is not None
    assert cause.leg == "llm"


def test_a_leg_that_is_long_in_every_turn_is_innocent_of_the_tail() -> None:
    records = turns(240, 15, {"tts": 900})
    slow_model = [
        TurnRecord(
            call_id=r.call_id,
            turn=r.turn,
            outcome=r.outcome,
            TOTAL_LATENCY_MS=(r.TOTAL_LATENCY_MS or 0) + 3000,
            legs={**r.legs, "llm": r.legs["llm"] + 3000},
            residual_ms=r.residual_ms,
        )
        for r in records
    ]
    cause = cause_of(slow_model)
    assert cause is not None
    assert cause.leg == "tts"


def test_a_cause_that_sits_in_few_calls_is_not_resolved() -> None:
    """Every eighth turn over 24 calls is every turn of three calls: three lines, perhaps."""
    cause = cause_of(turns(240, 24, {"llm": 900}))
    assert cause is not None
    assert (cause.leg, cause.resolved) == ("llm", False)


def test_scatter_alone_has_no_cause() -> None:
    assert cause_of(turns(240, 15)) is None


def test_two_equal_causes_in_few_turns_are_not_told_apart() -> None:
    records = turns(24, 4, {"llm": 700, "tts": 705})
    cause = cause_of(records)
    assert cause is not None
    assert {cause.leg, cause.rival} == {"llm", "tts"}


def test_one_slow_turn_in_many_is_not_enough_to_blame_a_leg() -> None:
    records = [*turns(18, 6), *turns(4, 1, {"llm": 2000})[3:]]
    cause = cause_of(records)
    assert cause is not None
    assert not cause.resolved


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_turns_have_no_cause(count: int) -> None:
    assert cause_of(turns(count, 1)) is None


def test_turns_without_stamps_have_no_cause() -> None:
    rows = [
        TurnRecord(call_id="c", turn=i, outcome="answered", TOTAL_LATENCY_MS=500 + 400 * (i % 9))
        for i in range(90)
    ]
    assert cause_of(rows) is None


def test_the_legs_named_are_those_of_the_record_and_the_residual() -> None:
    assert LEG_NAMES == ("endpointing", "llm", "clause", "tts", "gate", "residual")


def test_the_turns_that_the_leg_made_slow_are_listed_the_worst_first() -> None:
    records = turns(240, 15, {"llm": 900})
    cause = cause_of(records)
    assert cause is not None
    by_turn = {record.turn: record for record in records}
    assert sum(cause.slow_by_call.values()) == 30  # every eighth of 240
    assert all(ref.turn % 8 == 3 for ref in cause.slow)
    excess = [ref.ms or 0 for ref in cause.slow]
    assert excess == sorted(excess, reverse=True)
    assert by_turn[cause.slow[0].turn].legs["llm"] == max(r.legs["llm"] for r in records)


def test_a_turn_that_is_slow_for_another_reason_is_not_listed() -> None:
    records = turns(240, 15, {"llm": 900})
    odd = [r for r in turns(240, 15, {"tts": 3000}) if r.turn == 3]
    cause = cause_of([*odd, *(r for r in records if r.turn != 3)])
    assert cause is not None
    assert cause.leg == "llm"
    assert 3 not in [ref.turn for ref in cause.slow]
    assert sum(cause.slow_by_call.values()) == 29
