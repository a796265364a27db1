"""The importable verb behind ``voicelat report``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from voicelat.errors import InvalidFile
from voicelat.metrics.record import Stamps, TurnRecord
from voicelat.metrics.targets import parse_gate
from voicelat.metrics.turnsfile import encode
from voicelat.report import report_files


def turn(call: int, total_ms: int) -> TurnRecord:
    stamps = Stamps(speech_start=0, speech_end=2000, first_audio_sent=2000 + total_ms)
    return TurnRecord(call_id=f"c{call}", turn=1, outcome="answered", stamps=stamps).measured()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two files with four turns each, and a line that breaks off in the second."""
    paths = [tmp_path / "monday.jsonl", tmp_path / "tuesday.jsonl"]
    for day, path in enumerate(paths):
        path.write_bytes(b"".join(encode(turn(day, 500 + 100 * n)) for n in range(4)))
    with paths[1].open("ab") as file:
        file.write(encode(turn(9, 9))[:50])
    return paths


def test_many_files_are_one_report_and_what_was_left_out_is_told(files: list[Path]) -> None:
    result = report_files(files)
    assert (result.summary.turns, result.summary.calls) == (8, 2)
    assert result.truncated == [f"{files[1]}: line 5"]
    assert result.gate_failures == []


def test_a_gate_that_does_not_hold_is_a_failure(files: list[Path]) -> None:
    result = report_files(files, gates=parse_gate("total_p50=600,total_p95=700,cutoffs=0"))
    assert [gate.ok for gate in result.gates] == [True, False, True]
    assert [gate.name for gate in result.gate_failures] == ["total_p95"]


def test_a_file_without_turns_is_reported_and_passes_no_gate(tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.touch()
    result = report_files([path], gates=parse_gate("total_p95=9999"))
    assert result.summary.turns == 0
    assert len(result.gate_failures) == 1


def test_the_view_is_the_callers_to_choose(files: list[Path]) -> None:
    result = report_files(files, view="turn-start")
    assert result.summary.value("TOTAL_LATENCY_MS", "max") == 2800


def test_json_is_the_summary_with_gates_and_truncated(files: list[Path]) -> None:
    out = json.loads(report_files(files, gates=parse_gate("total_p50=600")).to_json())
    assert out["schema"] == 1
    assert out["numbers"]["TOTAL_LATENCY_MS"]["p50"] == 600
    assert out["gates"][0]["ok"] is True
    assert out["truncated"] == [f"{files[1]}: line 5"]
    assert "try" in out["diagnosis"][0]


def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(b"RIFF\x00\x00")
    with pytest.raises(InvalidFile, match=r"call\.wav: line 1: .*not JSON"):
        report_files([path])
