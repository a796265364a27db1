"""The settings of a sweep, as they are typed and as they are combined."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.errors import UsageError
from voicelat.lab.sweep.grid import (
    BRIEF,
    MAX_SETTINGS,
    Grid,
    Setting,
    columns,
    policies,
    share,
    values,
)

# -- ranges as they are typed -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("60", (60,)),
        ("0", (0,)),
        ("20:100:20", (20, 40, 60, 80, 100)),
        ("20:100:50", (20, 70)),  # a step that does not divide stops before the end
        ("100:100:7", (100,)),
        ("100:107:1000", (100,)),
        ("60,100:200:50", (60, 100, 150, 200)),
        ("0,300:1500:400", (0, 300, 700, 1100, 1500)),
        ("100,60", (100, 60)),  # in the order typed
        ("60,60,20:60:20", (60, 20, 40)),  # each once
        (" 60 , 80 ", (60, 80)),
        ("1e3", (1000,)),
        ("60.0", (60,)),
        ("60000", (60_000,)),
    ],
)
def test_a_range_has_its_start_its_steps_and_its_end(text: str, found: tuple[int, ...]) -> None:
    assert values(text, "--hangover") == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0.25", (250,)),
        ("0.29", (290,)),  # 0.29 * 1000 is 290.00000000000006 or so, and whole all the same
        ("0.1:0.7:0.1", (100, 200, 300, 400, 500, 600, 700)),
        ("0:0.3:0.15,1", (0, 150, 300, 1000)),
        ("0.001", (1,)),
    ],
)
def test_seconds_become_whole_milliseconds(text: str, found: tuple[int, ...]) -> None:
    assert values(text, "--min-utt", scale=1000) == found


@given(st.integers(0, 60_000))
def test_every_millisecond_can_be_typed_in_seconds(ms: int) -> None:
    assert values(f"{ms / 1000}", "--min-utt", scale=1000) == (ms,)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "give FROM:TO:STEP"),
        (",", "give FROM:TO:STEP"),
        ("60,", "give FROM:TO:STEP"),
        ("20:200", "give FROM:TO:STEP"),
        ("20:200:20:2", "give FROM:TO:STEP"),
        ("::", "give FROM:TO:STEP"),
        ("fast", "give FROM:TO:STEP"),
        ("60ms", "give FROM:TO:STEP"),
        ("שישים", "give FROM:TO:STEP"),
        ("60\x00", "give FROM:TO:STEP"),
        ("nan", "give FROM:TO:STEP"),
        ("20:nan:20", "give FROM:TO:STEP"),
        ("inf", "give FROM:TO:STEP"),
        ("1e999", "give FROM:TO:STEP"),
        ("20:200:0", "in steps above 0"),
        ("20:200:-20", "in steps above 0"),
        ("-5", "from 0 to 60000"),
        ("200:20:20", "upwards"),
        ("1e9", "from 0 to 60000"),
        ("60001", "from 0 to 60000"),
        ("160.5", "a millisecond is not divided"),
        ("20:200:2.5", "a millisecond is not divided"),
        ("0:1:1e-300", "a millisecond is not divided"),
        ("0:60000:1e-9", "a millisecond is not divided"),
    ],
)
def test_what_is_no_range_is_refused_in_one_line_that_names_it(text: str, why: str) -> None:
    with pytest.raises(UsageError) as error:
        values(text, "--hangover")
    assert str(error.value).startswith(f"--hangover {text}: ")
    assert why in str(error.value)


def test_the_limit_is_said_in_the_unit_that_was_typed() -> None:
    with pytest.raises(UsageError, match="from 0 to 5, upwards"):
        values("6", "--min-utt", scale=1000, most=5000)
    with pytest.raises(UsageError, match="a millisecond is not divided"):
        values("0.0005", "--min-utt", scale=1000)


@given(st.text(alphabet="0123456789.,:-+e_ natif٣\t", max_size=12))
def test_any_text_is_a_range_of_whole_milliseconds_or_refused(text: str) -> None:
    try:
        found = values(text, "--hangover")
    except UsageError:
        return
    assert found
    assert len(set(found)) == len(found)
    assert all(type(ms) is int and 0 <= ms <= 60_000 for ms in found)


# -- shares and policies ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [("5%", 0.05), ("0.05", 0.05), ("0", 0.0), ("1", 1.0), ("100%", 1.0), ("0.5%", 0.005)],
)
def test_a_share_is_a_number_or_a_percentage(text: str, found: float) -> None:
    assert share(text, "--max-cutoffs") == pytest.approx(found)


@pytest.mark.parametrize("text", ["", "%", "x", "500%", "5", "-1%", "nan", "nan%", "inf", "5%%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="give a share from 0 to 1") as error:
        share(text, "--max-cutoffs")
    assert str(error.value).startswith(f"--max-cutoffs {text}: ")


def test_policies_are_names_each_once() -> None:
    assert policies("fixed") == ("fixed",)
    assert policies("semantic, fixed,semantic") == ("semantic", "fixed")


@pytest.mark.parametrize("text", ["", "fixed,", "fastest", "silence", "Fixed", "קבוע"])
def test_what_is_no_policy_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(UsageError, match="there are fixed, adaptive, semantic"):
        policies(text)


# -- combinations -----------------------------------------------------------------------------


def small(**axes: tuple[int, ...]) -> Grid:
    chosen = {"debounce": (60,), "hangover": (400,), "speak_gate": (0,), "silence": (), **axes}
    return Grid(**chosen, policies=("fixed", "semantic"))


def test_a_grid_is_every_combination_the_brief_and_the_silence_timers() -> None:
    grid = small(debounce=(20, 40), hangover=(80, 200), speak_gate=(0, 500), silence=(300, 900))
    found = grid.settings()
    crossed = [
        Setting(name, debounce, hangover, 250, 240, gate)
        for name in grid.policies
        for debounce, hangover, gate in product((20, 40), (80, 200), (0, 500))
    ]
    assert found[:16] == crossed
    alone = [Setting("silence", 60, hangover, 250, 240, 0) for hangover in (300, 900)]
    assert found[16:] == [BRIEF, *alone]
    assert [setting.alone for setting in found] == [False] * 17 + [True] * 2


def test_the_brief_is_in_every_grid_and_only_once() -> None:
    assert small().settings().count(BRIEF) == 1
    assert Grid().settings().count(BRIEF) == 1
    with_it = small(hangover=(160,))
    assert with_it.settings().count(BRIEF) == 1
    assert len(with_it.settings()) == 2  # fixed, which is the brief, and semantic
    only_semantic = Grid(policies=("semantic",), hangover=(160,), speak_gate=(0,), silence=())
    assert BRIEF in only_semantic.settings()


def test_no_setting_is_in_a_grid_twice() -> None:
    found = Grid(debounce=(60, 60), hangover=(160, 80, 160), silence=(300, 300)).settings()
    assert len(set(found)) == len(found)


def test_too_many_settings_are_refused_before_anything_else() -> None:
    many = tuple(range(1000))
    with pytest.raises(UsageError, match=rf"\d+ settings are too many \(at most {MAX_SETTINGS}\)"):
        Grid(hangover=many, debounce=many)


def test_columns_are_the_settings_side_by_side() -> None:
    some = small(debounce=(20, 40), hangover=(80, 200)).settings()
    found = columns(some)
    assert len(found) == len(some)
    assert found.debounce.dtype == np.int32
    assert found.debounce.tolist() == [setting.debounce_ms for setting in some]
    assert found.hangover.tolist() == [setting.hangover_ms for setting in some]
    assert found.min_utt.tolist() == [setting.min_utt_ms for setting in some]
    assert found.stt_timeout.tolist() == [setting.stt_timeout_ms for setting in some]
    assert found.speak_gate.tolist() == [setting.speak_gate_ms for setting in some]
    assert len(columns([])) == 0
