"""Labels are believed only as a whole: what cannot be is refused in one line that says why."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.errors import InvalidFile, UsageError
from voicelat.lab.labels import LabelledTurn, Labels, decode, find_labels, read_labels

DOCS = Path(__file__).parents[2] / "docs" / "labels.md"


def labels(*turns: Any, **more: Any) -> bytes:
    """A labels file with these turns: ``(start_ms, end_ms)`` or a whole JSON value."""
    rows = [
        {"start_ms": turn[0], "end_ms": turn[1]} if isinstance(turn, tuple) else turn
        for turn in turns
    ]
    return json.dumps({"schema": 1, "turns": rows, **more}).encode()


def test_labels_are_read_as_documented() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    read = decode(example.encode(), "example")
    assert read.turns[0] == LabelledTurn(6850, 12340, [(8120, 8610), (10_050, 10_900)])
    assert len(read.turns) == 2
    assert read.by


def test_holds_and_the_author_may_be_missing() -> None:
    assert decode(labels((0, 900), (900, 2000)), "x") == Labels(
        1, [LabelledTurn(0, 900), LabelledTurn(900, 2000)]
    )


def test_a_recording_without_any_turn_is_fine() -> None:
    assert decode(labels(), "x").turns == []


def test_keys_nobody_here_knows_and_a_byte_order_mark_do_no_harm() -> None:
    raw = labels({"start_ms": 1, "end_ms": 2, "text": "שלום"}, by="me", tool={"version": 3})
    assert decode(b"\xef\xbb\xbf" + raw, "x") == Labels(1, [LabelledTurn(1, 2)], "me")


def with_holds(*holds: list[int]) -> dict[str, Any]:
    return {"start_ms": 100, "end_ms": 900, "holds": list(holds)}


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (labels((-1, 900)), "Expected `int` >= 0 - at `$.turns[0].start_ms`"),
        (labels((900, 900)), "end after it began, not last from 900 to 900 ms - at `$.turns[0]`"),
        (labels((0, 500), (900, 800)), "$.turns[1]"),
        (labels((0, 900), (899, 1500)), "turn 2 (899 to 1500 ms) begins before turn 1"),
        (labels((1000, 2000), (0, 900)), "must be in order"),
        (labels(with_holds([0, 200])), "inside their turn"),
        (labels(with_holds([800, 901])), "inside their turn"),
        (labels(with_holds([300, 200])), "holds"),
        (labels(with_holds([200, 300], [250, 400])), "holds"),
        (labels(with_holds([200])), "$.turns[0].holds[0]"),
        (labels((0.5, 900)), "Expected `int`, got `float`"),
        (labels(("0", 900)), "Expected `int`, got `str`"),
        (labels((0, 10**400)), "not labels"),
        (labels((0, 1_700_000_000_000)), "Expected `int` <= 604800000"),
        (labels({"start_ms": 0}), "end_ms"),
        (json.dumps({"turns": []}).encode(), "schema"),
        (labels(schema=2), "schema"),
        (labels(turns=None), "turns"),
        (b"[]", "Expected `object`"),
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (labels()[:-1], "not JSON"),
        (b'{"schema": 1, "turns": [], "x": ' + b"[" * 100_000, "not JSON"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(raw: bytes, says: str) -> None:
    with pytest.raises(InvalidFile, match=r"^call\.labels\.json: ") as caught:
        decode(raw, "call.labels.json")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


_TIMES = st.integers(-1, 60)
_TURNS = st.fixed_dictionaries(
    {"start_ms": _TIMES, "end_ms": _TIMES},
    optional={"holds": st.lists(st.lists(_TIMES, min_size=1, max_size=3), max_size=3)},
)


@given(
    st.binary(max_size=200)
    | st.lists(_TURNS, max_size=3).map(lambda turns: labels(*turns))
    | st.binary(max_size=20).map(lambda tail: labels((0, 5))[:-9] + tail)
)
def test_any_bytes_are_labels_in_order_or_refused(raw: bytes) -> None:
    try:
        read = decode(raw, "x")
    except InvalidFile as error:
        assert "\n" not in str(error)
        return
    times: list[int] = []
    for turn in read.turns:
        inner = [at_ms for hold in turn.holds for at_ms in hold]
        assert turn.start_ms < turn.end_ms
        assert [turn.start_ms, *inner, turn.end_ms] == sorted([turn.start_ms, *inner, turn.end_ms])
        times += [turn.start_ms, turn.end_ms]
    assert all(a <= b for a, b in pairwise([0, *times]))


def test_a_file_that_cannot_be_read_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="cannot be read"):
        read_labels(tmp_path / "none.labels.json")
    with pytest.raises(InvalidFile, match="cannot be read"):
        read_labels(tmp_path)


@pytest.mark.parametrize("recording", ["a.b.wav", "a.b.trace.jsonl", "a.b.WAV", "a.b"])
def test_labels_stand_beside_their_recording(tmp_path: Path, recording: str) -> None:
    beside = tmp_path / "a.b.labels.json"
    assert find_labels(tmp_path / recording, None) is None
    beside.write_bytes(labels((0, 5)))
    assert find_labels(tmp_path / recording, None) == beside
    assert read_labels(beside).turns == [LabelledTurn(0, 5)]


def test_a_folder_of_labels_is_the_only_place_looked_at(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    folder.mkdir()
    (tmp_path / "a.labels.json").write_bytes(labels())
    assert find_labels(tmp_path / "a.wav", folder) is None
    (folder / "a.labels.json").write_bytes(labels())
    assert find_labels(tmp_path / "a.wav", folder) == folder / "a.labels.json"


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        find_labels(tmp_path / "a.wav", tmp_path / "nowhere")
