"""Which turn contributes what: nobody who waited is forgotten, nobody else is invented."""

from __future__ import annotations

from voicelat.metrics.record import CallInfo, Outcome, Stamps, TurnRecord
from voicelat.metrics.samples import Sample, call_indices, is_implausible, sample_of, value_of


def turn(outcome: Outcome = "answered", **stamps: int) -> TurnRecord:
    return TurnRecord(call_id="c", turn=1, outcome=outcome, stamps=Stamps(**stamps)).measured()


def rows(sample: Sample) -> list[tuple[float, bool]]:
    return list(zip(sample.ms.tolist(), sample.seen.tolist(), strict=True))


def total(*records: TurnRecord) -> list[tuple[float, bool]]:
    return rows(sample_of(records, [0] * len(records), "TOTAL_LATENCY_MS"))


ANSWERED = turn(speech_end=100, turn_end=300, first_audio_sent=1100, first_content_sent=1400)


def test_an_answered_turn_counts_with_its_total() -> None:
    assert total(ANSWERED) == [(1000, True)]


def test_a_barged_in_turn_has_a_real_total() -> None:
    assert total(turn("barged_in", speech_end=0, first_audio_sent=800, barge_in=900)) == [
        (800, True)
    ]


def test_a_turn_without_a_reply_is_censored_when_it_was_given_up() -> None:
    assert total(turn("censored", speech_end=100, turn_end=300, reply_end=5100)) == [(5000, False)]


def test_without_a_reply_end_it_was_observed_until_its_last_stamp() -> None:
    assert total(turn("censored", speech_end=100, llm_first_token=900)) == [(800, False)]


def test_without_any_stamp_it_still_counts_as_a_turn() -> None:
    assert total(turn("censored")) == [(0, False)]


def test_an_abandoned_turn_owes_nothing() -> None:
    assert total(turn("abandoned", speech_end=0, first_audio_sent=9)) == []


def test_an_unknown_total_of_an_answered_turn_is_no_sample() -> None:
    assert total(turn(speech_end=0)) == []


def test_a_negative_total_is_left_out_and_told() -> None:
    early = turn(speech_end=500, first_audio_sent=400)
    assert total(early) == []
    assert is_implausible(early)
    assert not is_implausible(ANSWERED)


def test_a_turn_that_ended_in_its_filler_waited_in_vain_for_content() -> None:
    filler = turn("barged_in", speech_end=0, first_audio_sent=300, barge_in=900, reply_end=950)
    sample = sample_of([ANSWERED, filler], [0, 0], "FIRST_CONTENT_MS")
    assert rows(sample) == [(1300, True), (900, False)]


def test_a_number_that_no_turn_knows_was_never_measured() -> None:
    silent = turn("censored", speech_end=0, reply_end=900)
    assert rows(sample_of([ANSWERED, silent], [0, 0], "HEARD_LATENCY_MS")) == []


def test_stages_are_not_censored_only_answers_are() -> None:
    silent = turn("censored", speech_end=0, tts_request=10, reply_end=900)
    ready = turn(tts_request=5, tts_ready=95)
    assert rows(sample_of([ready, silent], [0, 0], "TTS_READY_MS")) == [(90, True)]


def test_from_the_turns_start_every_number_begins_with_the_callers_speech() -> None:
    record = turn(
        speech_start=1000,
        first_partial=1300,
        speech_end=2000,
        turn_end=2200,
        tts_request=2500,
        tts_ready=2600,
        first_audio_sent=2610,
    )
    seen = {
        name: value_of(record, name, "turn-start")
        for name in ("STT_FIRST_PARTIAL_MS", "STT_FINAL_MS", "TTS_READY_MS", "TOTAL_LATENCY_MS")
    }
    assert seen == {
        "STT_FIRST_PARTIAL_MS": 300,
        "STT_FINAL_MS": 1200,
        "TTS_READY_MS": 1600,
        "TOTAL_LATENCY_MS": 1610,
    }
    assert value_of(record, "STT_FINAL_AFTER_PARTIAL_MS", "turn-start") == 900


def test_from_the_turns_start_a_censored_turn_waited_from_there() -> None:
    silent = turn("censored", speech_start=1000, speech_end=2000, reply_end=5000)
    assert rows(sample_of([silent], [0], "TOTAL_LATENCY_MS", "turn-start")) == [(4000, False)]


def test_calls_are_told_apart_by_name_and_start() -> None:
    first = CallInfo(call_id="demo-1", started_utc="2026-11-01T10:00:00Z")
    again = CallInfo(call_id="demo-1", started_utc="2026-11-02T10:00:00Z")
    other = CallInfo(call_id="demo-2", started_utc="2026-11-01T10:00:00Z")
    records = [
        TurnRecord(call_id=call.call_id, started_utc=call.started_utc, turn=1, outcome="answered")
        for call in (first, again, first, other)
    ]
    assert call_indices(records) == [0, 1, 0, 2]
