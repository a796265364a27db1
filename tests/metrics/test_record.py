"""A record's numbers, legs and residual come from its stamps, whatever they are."""

from __future__ import annotations

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from voicelat.metrics.record import LEGS, NUMBERS, Stamps, TurnRecord, legs_of

instants = st.none() | st.integers(0, 100_000)
any_stamps = st.builds(Stamps, **dict.fromkeys(Stamps.__struct_fields__, instants))


def record(stamps: Stamps) -> TurnRecord:
    return TurnRecord(call_id="c", turn=1, outcome="answered", stamps=stamps).measured()


def any_known(stamps: list[int | None]) -> bool:
    return any(at is not None for at in stamps)


@given(any_stamps)
@example(Stamps(speech_end=0, first_audio_sent=0))  # the ends alone: a caller's view
def test_legs_and_residual_sum_to_the_total_and_none_is_negative(stamps: Stamps) -> None:
    turn = record(stamps)
    between = [getattr(stamps, name) for _, name in LEGS[:-1]]
    if turn.TOTAL_LATENCY_MS is None or turn.TOTAL_LATENCY_MS < 0 or not any_known(between):
        assert (turn.legs, turn.residual_ms) == ({}, None)
    else:
        assert turn.residual_ms is not None
        assert sum(turn.legs.values()) + turn.residual_ms == turn.TOTAL_LATENCY_MS
        assert min([turn.residual_ms, *turn.legs.values()]) >= 0
        assert set(turn.legs) <= {leg for leg, _ in LEGS}


@given(any_stamps)
def test_a_number_is_known_exactly_when_both_its_stamps_are(stamps: Stamps) -> None:
    turn = record(stamps)
    for name, (start, end) in NUMBERS.items():
        a, b = getattr(stamps, start), getattr(stamps, end)
        assert getattr(turn, name) == (None if a is None or b is None else b - a)


@given(any_stamps)
def test_a_record_survives_json(stamps: Stamps) -> None:
    turn = record(stamps)
    assert msgspec.json.decode(msgspec.json.encode(turn), type=TurnRecord) == turn


def test_each_gap_of_a_plain_turn_is_its_leg() -> None:
    legs, residual_ms = legs_of(
        Stamps(
            speech_end=1000,
            turn_end=1200,
            reply_start=1203,
            llm_first_token=1500,
            tts_request=1580,
            tts_ready=1700,
            gate_open=1720,
            first_audio_sent=1724,
        )
    )
    assert legs == {"endpointing": 200, "llm": 297, "clause": 80, "tts": 120, "gate": 20}
    assert residual_ms == 3 + 4


def test_speculative_work_that_overlaps_the_endpointing_costs_nothing_twice() -> None:
    legs, residual_ms = legs_of(
        Stamps(
            speech_end=1000,
            reply_start=900,
            llm_first_token=1100,
            turn_end=1200,
            tts_request=1150,
            tts_ready=1260,
            gate_open=1260,
            first_audio_sent=1260,
        )
    )
    assert legs == {"endpointing": 200, "llm": 0, "clause": 0, "tts": 60, "gate": 0}
    assert residual_ms == 0


def test_a_gap_beside_an_unknown_stamp_is_residual() -> None:
    legs, residual_ms = legs_of(
        Stamps(speech_end=0, turn_end=100, tts_ready=600, first_audio_sent=610)
    )
    assert legs == {"endpointing": 100}
    assert residual_ms == 510


def test_audio_before_the_callers_end_keeps_its_negative_total_and_has_no_legs() -> None:
    turn = record(Stamps(speech_end=1000, turn_end=700, first_audio_sent=900))
    assert turn.TOTAL_LATENCY_MS == -100
    assert (turn.legs, turn.residual_ms) == ({}, None)
