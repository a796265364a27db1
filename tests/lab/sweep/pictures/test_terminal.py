"""A sweep reads well at 80 columns, in a pipe, and where there is nothing to recommend."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from tests.lab.sweep.pictures.results import made_up, setting

from voicelat.lab.sweep.pictures.slices import axes, heat_slices, slice_around
from voicelat.lab.sweep.pictures.story import percent
from voicelat.lab.sweep.pictures.terminal import print_sweep
from voicelat.lab.sweep.result import SweepResult

SWEEP = made_up()


def printed(result: SweepResult, encoding: str = "utf-8", **console: Any) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="replace", write_through=True)
    print_sweep(result, Console(file=file, width=80, highlight=False, **console))
    return raw.getvalue().decode(encoding)


def squeezed(text: str) -> str:
    return " ".join(text.split())


def picture(text: str) -> list[str]:
    """The rows of the scatter, without the scale at their left."""
    return [line[7:] for line in text.splitlines() if line[6:7] in ("│", "┤")]


def tiny(**fields: Any) -> SweepResult:
    """Two settings: a fast one that cuts off a third, and a slow one that cuts off nobody."""
    both = [
        setting(total_p50=500.0, cutoff_rate=0.36),
        setting(total_p50=1000.0, cutoff_rate=0.0, speak_gate_ms=900),
    ]
    own: dict[str, Any] = {"settings": both, "pareto": [0, 1], "fronts": {"fixed": [0, 1]}}
    own |= {"recommended": 1, "candidate": 1, "baseline": None, "brief": None}
    own |= {"held_out": [], "in_sequence": [], "left_out": {}, "broken": [], "env": None}
    return made_up(**(own | fields))


EDGES = {
    "nothing recommended": made_up(recommended=None),
    "no candidate": made_up(recommended=None, candidate=None, env=None),
    "no usual start": made_up(brief=None),
    "one call": made_up(calls=1),
    "no holds": made_up(holds=0),
    "two settings": tiny(),
    "one setting": tiny(
        settings=[setting()], pareto=[0], fronts={"fixed": [0]}, recommended=0, candidate=0
    ),
    "nothing judged": tiny(settings=[], pareto=[], fronts={}, recommended=None, candidate=None),
    "no totals": tiny(settings=[setting(total_p50=None, total_p95=None)] * 2, pareto=[], fronts={}),
    "no cutoffs allowed": made_up(max_cutoffs=0.0),
    "only silence": made_up(policies=("silence",)),
    "another candidate": made_up(candidate=SWEEP.pareto[0]),
}


@pytest.mark.parametrize("result", EDGES.values(), ids=EDGES.keys())
def test_every_sweep_fits_80_columns_and_nothing_is_cut(result: SweepResult) -> None:
    text = printed(result)
    assert max(cell_len(line) for line in text.splitlines()) <= 80
    assert "…" not in text


def test_the_first_line_says_what_was_found() -> None:
    chosen, silence = (SWEEP.settings[i or 0] for i in (SWEEP.recommended, SWEEP.baseline))
    assert printed(tiny()).startswith("1.00 s from question to answer\n")
    assert chosen.total_p50 and silence.total_p50
    first = printed(SWEEP).splitlines()[0]
    assert f"{silence.total_p50 / 1000:.2f} s with silence alone" in first


def test_what_was_judged_is_counted() -> None:
    text = squeezed(printed(SWEEP))
    counts = f"212 turns with {SWEEP.holds} holds in 12 calls, {len(SWEEP.settings)} settings"
    assert counts in text
    assert "at most 2.0% of turns may be cut off" in text


def test_the_recommendation_and_its_reason_are_said() -> None:
    text = squeezed(printed(tiny(why="It keeps well within.")))
    assert (
        "Recommended: fixed policy, hangover 160 ms, debounce 60 ms, speak gate 900 ms,"
        " STT timeout 240 ms, min utterance 0.25 s It keeps well within."
    ) in text


def test_without_a_recommendation_the_candidate_is_not_called_one() -> None:
    text = squeezed(printed(tiny(recommended=None, turns=40, why="Only 40 turns.")))
    assert "No recommendation: not resolvable at 40 turns" in text
    assert "Candidate, by its measured rate alone: fixed policy" in text
    assert "Only 40 turns." in text
    assert "Recommended" not in text


def test_a_faster_candidate_is_said_beside_the_recommendation() -> None:
    text = squeezed(printed(tiny(candidate=0)))
    assert "Faster by its measured rate alone, but not surely within the budget" in text
    assert "(500 ms at 36%)" in text


def test_derived_truth_has_its_caveat_and_labels_have_none() -> None:
    assert "the cutoffs here may be too few" in squeezed(printed(made_up(truth="derived")))
    labelled = squeezed(printed(made_up(truth="labels")))
    assert "labels say which pauses were holds" in labelled
    assert "too few" not in labelled


def test_the_settings_stand_side_by_side_with_intervals() -> None:
    lines = printed(SWEEP).splitlines()
    head = next(line for line in lines if line.split()[:1] == ["recommended"])
    assert squeezed(head) == "recommended silence alone usual start"
    row = squeezed(next(line for line in lines if line.startswith("cut off  ")))
    named = [SWEEP.settings[i or 0] for i in (SWEEP.recommended, SWEEP.baseline, SWEEP.brief)]
    assert all(percent(one.cutoff_rate) in row for one in named)
    assert row.count("\u2013") == 3


def test_few_turns_come_with_a_warning_about_the_p95() -> None:
    assert "true P95 may lie above" in squeezed(printed(made_up(turns=60)))
    assert "true P95 may lie above" not in squeezed(printed(SWEEP))


def test_the_picture_has_the_fast_left_and_the_safe_at_the_bottom() -> None:
    rows = picture(printed(tiny()))
    assert len(rows) == 16
    assert rows[0].startswith("f")  # 500 ms, a third cut off
    assert rows[-1].rstrip().endswith("R")  # 1 s, nobody cut off
    assert len(rows[-1]) == 68


def test_the_picture_shows_the_budget_the_fronts_and_the_named_settings() -> None:
    text = printed(SWEEP)
    joined = "".join(picture(text))
    assert {"R", "S", "U", "s", "a", "m"} <= set(joined)
    assert any(row.count("╌") > 20 for row in picture(text))
    assert "2.0%┤" in text


def test_settings_outside_the_picture_are_counted() -> None:
    far = [*tiny().settings, setting(total_p50=9000.0), setting(total_p50=None)]
    text = squeezed(printed(tiny(settings=far)))
    assert "Not in the picture: 2 settings slower than 1.00 s" in text
    assert "Not in the picture" not in printed(tiny())


def test_a_terminal_that_knows_ascii_only_gets_a_picture_too() -> None:
    text = printed(SWEEP, encoding="ascii")
    rows = [line[7:] for line in text.splitlines() if line[6:7] in ("|", "+")]
    assert len(rows) == 17  # the axis is one of them
    assert "." in "".join(rows)
    assert "?" not in "".join(rows)


def test_the_heat_map_says_its_axes_and_what_is_fixed() -> None:
    text = squeezed(printed(SWEEP))
    assert "Hangover against speak gate" in text
    assert "Down: hangover in ms. Across: speak gate in ms." in text
    assert "Fixed: " in text and " policy, debounce " in text


def test_the_heat_map_marks_the_chosen_setting_and_has_numbers_without_colour() -> None:
    text = printed(tiny())
    assert "*1.00" in text
    assert "0.50" in text
    assert "36.0" in text


def test_the_heat_map_walks_the_knob_that_moves_the_figures() -> None:
    swept = [
        setting(
            hangover_ms=h,
            debounce_ms=d,
            speak_gate_ms=g,
            total_p50=float(h + 3 * d),
            cutoff_rate=0.1 - d / 10_000,
        )
        for h in (100, 200)
        for d in (20, 60)
        for g in (0, 500)
    ]
    found = axes(made_up(settings=swept), "fixed")
    assert found is not None
    assert (found.down, found.across) == ("hangover_ms", "debounce_ms")
    assert "speak_gate_ms" in found.fixed


def test_every_setting_lies_in_one_grid() -> None:
    found = axes(SWEEP, "semantic")
    assert found is not None
    every = heat_slices(SWEEP, found)
    for one in SWEEP.settings:
        grid = slice_around(every, one)
        assert grid.cells[grid.place(one)] == one


def test_a_map_too_large_for_the_terminal_says_what_it_shows() -> None:
    swept = [
        setting(hangover_ms=h, speak_gate_ms=g, total_p50=float(h + g))
        for h in range(100, 400, 10)
        for g in range(0, 1000, 50)
    ]
    text = squeezed(printed(tiny(settings=swept, recommended=3, fronts={}, pareto=[])))
    assert "Shown: 12 of 30 hangover values and 6 of 20 speak gate values." in text
    assert "*0.25" in text


def test_calls_left_out_are_summed_up_and_the_worst_are_shown() -> None:
    text = squeezed(printed(SWEEP))
    assert "3 of 204 turns (1.5%) cut off, 2 different settings chosen" in text
    assert "In 3 of 12 the others have a candidate only." in text
    assert "call-08 1 of 17 turns (5.9%) cut off" in text
    assert "and 4 calls with as many cutoffs or fewer" in text


def test_the_check_in_sequence_stands_against_the_sweep() -> None:
    run = SWEEP.in_sequence[0]
    text = squeezed(printed(SWEEP))
    share = percent(run.cutoffs / run.turns)
    assert f"recommended {run.cutoffs} of 212 turns ({share})" in text
    assert f"sweep {percent(SWEEP.settings[run.setting].cutoff_rate)}" in text
    assert "turns answered before the caller spoke next" in text


def test_what_was_left_out_and_what_is_broken_is_shown_and_the_rest_counted() -> None:
    many = [f"{n}.wav: not a WAV" for n in range(12)]
    text = squeezed(printed(made_up(broken=many, left_out={"no label": 3})))
    assert "Speech that was not judged: 3 no label" in text
    assert "12 recordings could not be used: 0.wav: not a WAV" in text
    assert "and 4 more" in text
    assert "11.wav" not in text


def test_the_env_snippet_stands_at_the_margin_ready_to_copy() -> None:
    assert printed(SWEEP).endswith(SWEEP.env or "-")


def test_a_pipe_gets_words_and_no_colour_codes() -> None:
    assert "\x1b" not in printed(SWEEP)
    assert "\x1b" in printed(SWEEP, force_terminal=True, color_system="truecolor")


def test_names_from_outside_cannot_steer_the_terminal() -> None:
    evil = made_up(
        call_id="\x1b[2J[red]\u202e", broken=["\x1b]0;x\x07\n.wav: [bold]no[/bold]"], why="\x9b1m"
    )
    text = printed(evil)
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(text)
    assert "\\x1b[2J[red]\\u202e" in text
    assert "[bold]no[/bold]" in text


def test_hebrew_names_do_not_turn_their_line_around() -> None:
    assert "\u2068שבת-00\u2069" in printed(made_up(call_id="שבת"))


def test_the_same_sweep_prints_the_same() -> None:
    assert printed(made_up()) == printed(made_up())


@given(st.floats(0, 1))
def test_a_percentage_is_short_and_never_nothing_for_something(rate: float) -> None:
    text = percent(rate)
    assert len(text) <= 5
    assert (text == "0.0%") == (rate == 0)
