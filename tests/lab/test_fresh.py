"""Of a turns file in use, only what is new and of our calls is taken; the rest is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicelat.errors import InvalidFile
from voicelat.lab.fresh import FreshTurns
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.turnsfile import encode


def turn(call_id: str, number: int = 1) -> TurnRecord:
    return TurnRecord(call_id=call_id, turn=number, outcome="answered")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with a turn of our call from an earlier run."""
    path = tmp_path / "turns.jsonl"
    path.write_bytes(encode(turn("ours", 99)))
    return path


def append(path: Path, *lines: bytes) -> None:
    with path.open("ab") as file:
        file.writelines(lines)


def replace(path: Path, line: bytes) -> None:
    path.write_bytes(line)


def remove(path: Path) -> None:
    path.unlink()


async def test_only_new_turns_of_our_calls_are_taken(file: Path) -> None:
    fresh = FreshTurns(file)
    append(file, encode(turn("theirs")), encode(turn("ours", 1)), b"\n", encode(turn("ours", 2)))
    records, unread = await fresh.of_calls({"ours"}, 2, 1000)
    assert [record.turn for record in records] == [1, 2]
    assert unread == []


async def test_a_line_that_is_being_written_is_not_there_yet(file: Path) -> None:
    fresh = FreshTurns(file)
    append(file, encode(turn("ours", 1)), encode(turn("ours", 2))[:-9])
    assert ([turn("ours", 1)], []) == await fresh.of_calls({"ours"}, 2, 0)


async def test_what_is_no_turn_is_told_by_its_line(file: Path) -> None:
    fresh = FreshTurns(file)
    append(file, b"[1]\n", encode(turn("ours"))[:30] + b"\n", encode(turn("ours")))
    records, unread = await fresh.of_calls({"ours"}, 1, 0)
    assert records == [turn("ours")]
    assert unread[0].startswith(f"{file}: new line 1: ")
    assert unread[1] == f"{file}: new line 2 breaks off"


async def test_a_file_that_was_replaced_is_read_from_its_beginning(file: Path) -> None:
    append(file, encode(turn("ours", 98)))
    fresh = FreshTurns(file)
    replace(file, encode(turn("ours", 1)))
    records, _ = await fresh.of_calls({"ours"}, 1, 0)
    assert records == [turn("ours", 1)]


async def test_a_file_that_has_gone_is_told(file: Path) -> None:
    fresh = FreshTurns(file)
    remove(file)
    assert await fresh.of_calls({"ours"}, 0, 0) == (
        [],
        [f"{file}: cannot be read: No such file or directory"],
    )


def test_a_file_that_is_not_there_is_refused_with_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="give the TURNS_FILE of the server that is called"):
        FreshTurns(tmp_path / "missing.jsonl")
