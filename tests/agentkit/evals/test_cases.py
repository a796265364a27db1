"""Files of cases: a line is a case, or one error that names it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voicelat.agentkit.evals.cases import Expected, fits, read_cases
from voicelat.errors import InvalidFile

GOOD_EVENT = {"kind": "turn", "text": "שלום"}
GOOD = {"case": "a", "workflow": "w", "event": GOOD_EVENT}


def read(folder: Path, *lines: object) -> Any:
    path = folder / "cases.jsonl"
    texts = [one if isinstance(one, str) else json.dumps(one) for one in lines]
    path.write_text("\n".join(texts), encoding="utf-8")
    return read_cases([path])


def test_empty_lines_and_comments_are_passed_over(tmp_path: Path) -> None:
    assert [one.case for one in read(tmp_path, "// ours", "", GOOD)] == ["a"]


def test_no_two_cases_are_one_event(tmp_path: Path) -> None:
    own = {**GOOD, "case": "b", "event": {**GOOD_EVENT, "id": "mine"}}
    assert [one.event.id for one in read(tmp_path, GOOD, own)] == ["eval.a", "mine"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({**GOOD, "forbiden": ["*"]}, r"cases.jsonl:2: is no case: .*`forbiden`"),
        ({**GOOD, "event": {"kind": "fax", "text": ""}}, r"Invalid enum value 'fax'"),
        ({"case": "a"}, "missing required field `workflow`"),
        ("{", "is no case"),
        (
            {**GOOD, "tools": [{"tool": "x", "arguments": {"a": {"matches": "("}}}]},
            "x, a: no regex",
        ),
    ],
)
def test_a_line_that_is_no_case_is_named(tmp_path: Path, line: object, says: str) -> None:
    with pytest.raises(InvalidFile, match=says):
        read(tmp_path, {**GOOD, "case": "b"}, line)


def test_a_name_stands_in_a_run_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="case 'a' stands there twice"):
        read(tmp_path, GOOD, GOOD)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="cannot be read"):
        read_cases([tmp_path / "none.jsonl"])


@given(st.text(max_size=80) | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_cases_or_the_one_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "any.jsonl"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        read_cases([path])
    except InvalidFile as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("pattern", "value", "does"),
    [
        (None, None, True),
        ("a", "b", False),
        ({"contains": "שלום"}, ["שלום"], True),
        ({"matches": r"^\+972"}, "+9725", True),
        ({"matches": r"^\+972"}, None, False),
        ({"one_of": [1, 2]}, 2, True),
        ({"key": "a"}, {"key": "a"}, True),
    ],
)
def test_an_argument_is_equal_or_fits_its_pattern(pattern: Any, value: Any, does: bool) -> None:
    assert fits(Expected(tool="t.*", arguments={"x": pattern}), "t.a", {"x": value}) is does
