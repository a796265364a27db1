"""Turn files: ours come back as they were, other people's are read with patience."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.errors import InvalidFile
from voicelat.metrics.record import Stamps, TurnRecord
from voicelat.metrics.turnsfile import decode, encode, read_turns

TURN = TurnRecord(
    call_id="a",
    turn=3,
    outcome="answered",
    text="שלום\nand \u2028 more",
    stamps=Stamps(speech_start=0, speech_end=900, first_audio_sent=2000),
).measured()


def write(folder: Path, *lines: bytes) -> Path:
    path = folder / "turns.jsonl"
    path.write_bytes(b"".join(lines))
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, encode(TURN), encode(TURN))
    assert read_turns([path, path]).records == [TURN] * 4


def test_a_record_is_one_line_whatever_is_said_in_it() -> None:
    assert encode(TURN).count(b"\n") == 1
    assert encode(TURN).endswith(b"\n")


def test_unknown_is_null_in_the_file() -> None:
    row = json.loads(encode(TURN))
    assert row["schema"] == 1
    assert row["TTS_READY_MS"] is None
    assert row["stamps"]["tts_ready"] is None


def test_empty_lines_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbf", encode(TURN).replace(b"\n", b"\r\n"), b"\n\r\n")
    assert read_turns([path]).records == [TURN]


def test_keys_nobody_here_knows_are_ignored(tmp_path: Path) -> None:
    row = {**json.loads(encode(TURN)), "tenant": {"id": 7}}
    assert read_turns([write(tmp_path, json.dumps(row).encode())]).records == [TURN]


@pytest.mark.parametrize("cut", [1, 20, -3, encode(TURN).index("ש".encode()) + 1])
def test_a_line_that_breaks_off_is_left_out_and_named(tmp_path: Path, cut: int) -> None:
    path = write(tmp_path, encode(TURN), encode(TURN)[:cut])
    turns = read_turns([path])
    assert turns.records == [TURN]
    assert turns.truncated == [f"{path}: line 2"]


def test_a_killed_writers_line_in_the_middle_does_not_lose_the_rest(tmp_path: Path) -> None:
    path = write(tmp_path, encode(TURN)[:40], b"\n", encode(TURN))
    turns = read_turns([path])
    assert (turns.records, turns.truncated) == ([TURN], [f"{path}: line 1"])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"hello", "not JSON"),
        (b"{'call_id': 1}", "not JSON"),
        (b"[1, 2]", "JSON object"),
        (b"3", "JSON object"),
        (b'{"level": "info", "msg": "up"}', "no turn in it"),
        (b'{"schema": 2, "TOTAL_LATENCY_MS": 5}', "schema 2"),
        (b'{"TOTAL_LATENCY_MS": "fast"}', "TOTAL_LATENCY_MS"),
        (b'{"TOTAL_LATENCY_MS": 1, "outcome": "great"}', "great"),
        (b'{"TOTAL_LATENCY_MS": 1' + b"0" * 400 + b"}", "out of range"),
        (b'{"stamps": {"reply_end": 1' + b"0" * 400 + b"}}", "out of range"),
        (b'{"a": ' + b"[" * 100_000, "not JSON"),
        (b'{"call_id": "\xff"}', "not JSON"),
    ],
)
def test_what_is_no_turn_is_refused_with_its_line(tmp_path: Path, line: bytes, says: str) -> None:
    path = write(tmp_path, encode(TURN), line, b"\n")
    with pytest.raises(InvalidFile, match=r"line 2: .*") as caught:
        read_turns([path])
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_row_of_numbers_alone_is_a_turn(tmp_path: Path) -> None:
    path = write(tmp_path, b'{"TOTAL_LATENCY_MS": 1234.6, "EOU_REASON": "silence"}\n')
    (turn,) = read_turns([path]).records
    assert (turn.TOTAL_LATENCY_MS, turn.EOU_REASON, turn.outcome) == (1235, "silence", "answered")
    assert (turn.call_id, turn.turn) == (str(path), 1)


def test_a_row_that_was_interrupted_is_marked_so(tmp_path: Path) -> None:
    path = write(tmp_path, b'{"TOTAL_LATENCY_MS": 900, "BARGE_IN_HIT": true}\n')
    assert read_turns([path]).records[0].outcome == "barged_in"


def test_a_row_of_stamps_alone_gets_its_numbers(tmp_path: Path) -> None:
    row = b'{"stamps": {"speech_end": 100.2, "turn_end": 300, "first_audio_sent": 1300}}\n'
    (turn,) = read_turns([write(tmp_path, row)]).records
    assert turn.TOTAL_LATENCY_MS == 1200
    assert (turn.legs, turn.residual_ms) == ({"endpointing": 200}, 1000)


def test_numbers_that_a_row_states_are_not_computed_again(tmp_path: Path) -> None:
    row = b'{"TOTAL_LATENCY_MS": 7, "stamps": {"speech_end": 100, "first_audio_sent": 1300}}'
    assert read_turns([write(tmp_path, row)]).records[0].TOTAL_LATENCY_MS == 7


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(encode(TURN))))
    assert read_turns(["-"]).records == [TURN]


def test_a_file_that_is_not_there_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"nowhere\.jsonl: cannot be read"):
        read_turns([tmp_path / "nowhere.jsonl"])
    with pytest.raises(InvalidFile, match="cannot be read"):
        read_turns([tmp_path])


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda tail: encode(TURN)[:-9] + tail))
def test_any_bytes_are_a_turn_or_broken_off_or_refused_in_words(line: bytes) -> None:
    try:
        turn = decode(line, call_id="c", turn=1)
    except ValueError as error:
        assert str(error)
    else:
        assert turn is None or isinstance(turn, TurnRecord)
