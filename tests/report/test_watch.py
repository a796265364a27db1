"""Following a file of turns that is being written."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicelat.errors import InvalidFile
from voicelat.metrics.record import Stamps, TurnRecord
from voicelat.metrics.turnsfile import encode
from voicelat.report.watch import Follower, so_far


def line(number: int, total_ms: int = 700) -> bytes:
    stamps = Stamps(speech_end=0, first_audio_sent=total_ms)
    return encode(
        TurnRecord(call_id="a", turn=number, outcome="answered", stamps=stamps).measured()
    )


def test_each_turn_comes_once_and_a_line_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "turns.jsonl"
    follower = Follower([path])
    assert follower.read() == []  # nobody has written it yet
    path.write_bytes(line(1) + line(2)[:40])
    assert [turn.turn for turn in follower.read()] == [1]
    path.write_bytes(line(1) + line(2) + line(3))
    assert [turn.turn for turn in follower.read()] == [2, 3]
    assert follower.read() == []
    assert [turn.turn for turn in follower.records] == [1, 2, 3]


def test_a_file_that_was_cut_back_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "turns.jsonl"
    path.write_bytes(line(1) + line(2))
    follower = Follower([path])
    follower.read()
    path.write_bytes(line(3))
    assert [turn.turn for turn in follower.read()] == [3]


def test_a_line_that_is_no_turn_is_named(tmp_path: Path) -> None:
    path = tmp_path / "turns.jsonl"
    path.write_bytes(line(1) + b"[]\n")
    with pytest.raises(InvalidFile, match="line 2"):
        Follower([path]).read()


def test_a_folder_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="directory"):
        Follower([tmp_path]).read()


def test_the_percentiles_so_far_stand_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "turns.jsonl"
    path.write_bytes(b"".join(line(n, 100 * n) for n in range(1, 21)))
    follower = Follower([path])
    follower.read()
    assert "20 turns, 0 never answered" in so_far(follower.records).plain
    assert "P50 1.00 s, P95 1.90 s" in so_far(follower.records).plain
    assert "waiting" in so_far([]).plain
