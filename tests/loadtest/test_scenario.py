"""Scenario files: every knob by name, and every mistake in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from voicelat.caller.script import plan
from voicelat.errors import InvalidFile
from voicelat.loadtest.cast import Cast
from voicelat.loadtest.scenario import Line, Patience, Scenario, Talk, knobs, read_scenario
from voicelat.loadtest.utterances import Utterance

PAGE = Path(__file__).parents[2] / "docs" / "scenario.md"


def read(tmp_path: Path, text: str) -> Scenario:
    path = tmp_path / "rush.toml"
    path.write_text(text, encoding="utf-8")
    return read_scenario(path)


def test_an_empty_file_is_a_plain_call(tmp_path: Path) -> None:
    assert read(tmp_path, "") == Scenario(talk=Talk(), line=Line(), patience=Patience())


def test_knobs_are_read(tmp_path: Path) -> None:
    scenario = read(
        tmp_path, "[talk]\nbarge_ins = 0.3\nthink_ms = [0, 10]\n[line]\nnoise_db = -45\nloss = 0.02"
    )
    assert (scenario.talk.barge_ins, scenario.talk.think_ms) == (0.3, (0, 10))
    assert (scenario.line.noise_db, scenario.line.loss) == (-45, 0.02)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "[talk]\nbarge_in = 1",
            r"unknown knob 'barge_in' in \[talk\]; known: questions, .*barge_ins",
        ),
        ("[tolk]\npauses = 1", "unknown table 'tolk'; known: talk, line, patience"),
        ("talk = 3", r"talk must be a table: \[talk\]"),
        ("[talk]\nbarge_ins = 1.5", "talk.barge_ins = 1.5: must be a number from 0 to 1"),
        ("[talk]\nbarge_ins = nan", "talk.barge_ins = nan: must be a number from 0 to 1"),
        ("[talk]\nquestions = 0", "must be a whole number from 1 to 10000"),
        ("[talk]\nthink_ms = [900, 100]", r"talk.think_ms = \[900, 100\]: from is above to"),
        ("[talk]\nthink_ms = 900", r"must be \[from, to\], each a whole number from 0 to 600000"),
        ("[line]\nnoise_db = 3", "must be a number from -70 to -20, or left out"),
        ("[talk", "is not TOML"),
        ("a = " + "[" * 5000, "is not TOML: nested too deeply"),
        ("[talk]\nquestions = " + "9" * 5000, "is not TOML: "),
        ("[talk]\nquestions = " + "9" * 4000, "talk.questions = 999.*999: must be"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(InvalidFile, match=why):
        read(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="nowhere"):
        read_scenario(tmp_path / "nowhere.toml")


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_scenario_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    try:
        read(tmp_path_factory.mktemp("s"), text)
    except InvalidFile as error:
        assert "\n" not in str(error)
    except UnicodeEncodeError:
        pass  # a surrogate cannot be in a file


KNOBS = [
    (name, knob)
    for name, table in (("talk", Talk), ("line", Line), ("patience", Patience))
    for knob in knobs(table)
]
_NUMBER = st.integers() | st.floats()
_VALUE = st.one_of(
    _NUMBER.map(repr),
    st.lists(_NUMBER, max_size=3).map(repr),
    st.sampled_from(["true", '"a\\nb"', "1979-05-27", "{a = 1}", "[]"]),
)


@settings(deadline=None)
@given(st.sampled_from(KNOBS), _VALUE)
def test_any_value_is_taken_or_refused_in_one_line_that_names_the_knob(
    tmp_path_factory: pytest.TempPathFactory, where: tuple[str, str], value: str
) -> None:
    table, knob = where
    try:
        scenario = read(tmp_path_factory.mktemp("s"), f"[{table}]\n{knob} = {value}")
    except InvalidFile as error:
        assert f"{table}.{knob} = " in str(error)
        assert "\n" not in str(error)
    else:
        plan(Cast([Utterance(b"\x80" * 800)], scenario).call(0, turns=2).script)


@pytest.mark.parametrize("table", [Talk, Line, Patience])
def test_every_knob_says_what_it_may_be(table: type[Struct]) -> None:
    assert all(" from " in allowed for allowed in knobs(table).values())


def test_the_example_of_the_page_is_a_scenario(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert read(tmp_path, example) != Scenario()
