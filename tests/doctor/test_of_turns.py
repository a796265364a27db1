"""What is planted in a file of turns is found; good files are not accused."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pytest
from tests.doctor.told import Told, faults, outcomes
from tests.doctor.turns import TurnMade, good_turns

from voicelat.doctor.of_turns import examine_records, examine_turns
from voicelat.errors import InvalidFile
from voicelat.metrics.record import Stall, Stamps, TurnRecord
from voicelat.metrics.turnsfile import encode

FILES = 200
ALARMS = 6
"""Of 200 good files, over all checks together: three percent."""

Fields = Mapping[str, object] | None


def told_of(records: Sequence[TurnRecord]) -> Told:
    told = Told()
    asyncio.run(examine_records(records, told))
    return told


def waiting_on(gaps: dict[str, int], _number: int, _at: int, _idle: bool) -> Fields:
    gaps["on"] += 60
    return None


def deaf_after_five_minutes(gaps: dict[str, int], _number: int, at: int, _idle: bool) -> Fields:
    return {"text": "", "outcome": "censored"} if at > 305_000 else None


def stalling(gaps: dict[str, int], number: int, at: int, _idle: bool) -> Fields:
    blocked = Stall(at_ms=at, ms=180, kind="blocked", where="bot.py:7 answer: time.sleep(0.2)")
    return {"stalls": [blocked], "stall_ms": 180} if number % 3 == 0 else None


def unaccounted(gaps: dict[str, int], _number: int, _at: int, _idle: bool) -> Fields:
    gaps["residual"] = 120
    return None


def cold(gaps: dict[str, int], number: int, _at: int, _idle: bool) -> Fields:
    gaps["llm"] += 600 if number == 1 else 0
    return None


def dropping_idle_models(gaps: dict[str, int], _number: int, _at: int, idle: bool) -> Fields:
    gaps["llm"] += 400 if idle else 0
    return None


def dropping_idle_voices(gaps: dict[str, int], _number: int, _at: int, idle: bool) -> Fields:
    gaps["tts"] += 400 if idle else 0
    return None


def repeating(gaps: dict[str, int], _number: int, _at: int, _idle: bool) -> Fields:
    return {"reply": "Thank you for your question, let me see.", "cache": "miss"}


def losing_logs(gaps: dict[str, int], number: int, _at: int, _idle: bool) -> Fields:
    return {"lost_logs": 12} if number == 4 else None


PLANTED: dict[str, TurnMade] = {
    "double-wait": waiting_on,
    "stalls": stalling,
    "residual": unaccounted,
    "first-turns": cold,
    "openings": repeating,
    "lost-logs": losing_logs,
}


@pytest.mark.parametrize("check", PLANTED)
def test_what_is_planted_is_found_and_nothing_else(check: str) -> None:
    assert faults(told_of(good_turns(plant=PLANTED[check]))) == [check]


@pytest.mark.parametrize("plant", [dropping_idle_models, dropping_idle_voices])
def test_a_client_that_drops_idle_connections_is_found(plant: TurnMade) -> None:
    # A call's first turn follows no idling that is on record: it is not among those compared.
    assert faults(told_of(good_turns(plant=plant))) == ["idle-connections"]


def test_a_recogniser_that_goes_deaf_is_found() -> None:
    long_calls = good_turns(calls=3, turns=60, plant=deaf_after_five_minutes)
    assert faults(told_of(long_calls)) == ["stream-age"]


def test_long_calls_that_are_heard_to_their_end_are_not_accused() -> None:
    assert outcomes(told_of(good_turns(calls=3, turns=60)))["stream-age"] == "ok"


def without_partials(record: TurnRecord) -> TurnRecord:
    stamps = msgspec.structs.replace(record.stamps, first_partial=record.stamps.stt_final)
    return msgspec.structs.replace(record, stamps=stamps).measured()


def test_a_recogniser_without_partials_is_found() -> None:
    records = [without_partials(record) for record in good_turns()]
    assert faults(told_of(records)) == ["interim-results"]


def test_one_turn_without_partials_is_not_accused() -> None:
    first, *others = good_turns()
    assert faults(told_of([without_partials(first), *others])) == []


def test_turns_out_of_order_in_a_call_are_found() -> None:
    first, second, *others = good_turns()
    assert "record-clock" in faults(told_of([second, first, *others]))


@pytest.mark.parametrize(
    "stamps",
    [
        Stamps(speech_start=0, speech_end=1000, turn_end=900_000),
        Stamps(speech_start=500, first_partial=300),
        Stamps(speech_start=-5),
    ],
)
def test_a_number_that_cannot_be_is_found(stamps: Stamps) -> None:
    odd = TurnRecord(call_id="odd", turn=1, outcome="answered", stamps=stamps).measured()
    assert faults(told_of([*good_turns(), odd])) == ["record-clock"]


def test_a_cutoff_is_no_broken_clock() -> None:
    stamps = Stamps(speech_start=0, speech_end=1000, turn_end=800, first_audio_sent=900)
    cut = TurnRecord(call_id="cut", turn=1, outcome="answered", stamps=stamps, cutoff=True)
    assert faults(told_of([*good_turns(), cut.measured()])) == []


def test_a_hangover_that_adapts_is_no_double_wait() -> None:
    records = [
        msgspec.structs.replace(record, settings={**record.settings, "EOU_POLICY": "adaptive"})
        for record in good_turns(plant=waiting_on)
    ]
    assert outcomes(told_of(records))["double-wait"] == "skipped"


def test_one_long_stall_is_found_and_one_short_one_is_not() -> None:
    def with_stall(ms: int) -> list[TurnRecord]:
        first, *others = good_turns()
        stall = Stall(at_ms=0, ms=ms, kind="gc", where="generation 2")
        return [msgspec.structs.replace(first, stalls=[stall], stall_ms=ms), *others]

    assert faults(told_of(with_stall(700))) == ["stalls"]
    assert faults(told_of(with_stall(60))) == []


def test_good_files_are_seldom_accused() -> None:
    alarms: Counter[str] = Counter()
    for seed in range(FILES):
        alarms.update(set(faults(told_of(good_turns(seed, calls=10, turns=8)))))
    assert alarms.total() <= ALARMS, alarms


def test_a_short_file_is_skipped_with_reasons() -> None:
    told = told_of(good_turns(calls=1, turns=2))
    assert faults(told) == []
    assert outcomes(told)["first-turns"] == outcomes(told)["idle-connections"] == "skipped"


def test_an_empty_file_is_skipped() -> None:
    assert set(outcomes(told_of([])).values()) == {"skipped"}


async def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "turns.jsonl"
    file.write_bytes(b"".join(encode(record) for record in good_turns(plant=cold)))
    told = Told()
    await examine_turns(file, told)
    assert faults(told) == ["first-turns"]
    with pytest.raises(InvalidFile):
        await examine_turns(tmp_path / "none.jsonl", told)
