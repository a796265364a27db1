"""Scenario files: every knob by name, and every mistake in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.errors import InvalidFile
from voicelat.loadtest.scenario import Line, Patience, Scenario, Talk, read_scenario

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
        ("[talk]\nbarge_in = 1", "barge_in"),
        ("[talk]\nbarge_ins = 1.5", "<= 1.0"),
        ("[talk]\nthink_ms = [900, 100]", r"talk.think_ms = \[900, 100\]"),
        ("[line]\nnoise_db = 3", "noise_db"),
        ("[talk", "is not TOML"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(InvalidFile, match=why):
        read(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="nowhere"):
        read_scenario(tmp_path / "nowhere.toml")


@given(st.text())
def test_any_text_is_a_scenario_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    try:
        read(tmp_path_factory.mktemp("s"), text)
    except InvalidFile as error:
        assert "\n" not in str(error).split("is not TOML")[0]
    except UnicodeEncodeError:
        pass  # a surrogate cannot be in a file


def test_the_example_of_the_page_is_a_scenario(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert read(tmp_path, example) != Scenario()
