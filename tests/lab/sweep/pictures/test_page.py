"""The page stands alone, tells the whole sweep, and believes nothing that comes from outside."""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from typing import Any

import msgspec
import pytest
from tests.lab.sweep.pictures.results import made_up, setting
from tests.report.page.parsed import Parsed, digest, strings

from voicelat.errors import MissingExtra
from voicelat.lab.sweep.pictures.figures import MOST_DOTS
from voicelat.lab.sweep.pictures.page import page
from voicelat.lab.sweep.pictures.story import KNOBS
from voicelat.lab.sweep.result import SweepResult

SWEEP = made_up()
HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


@pytest.fixture(autouse=True)
def _needs_plotly(request: pytest.FixtureRequest) -> None:
    if "without_plotly" not in request.node.name:
        pytest.importorskip("plotly", reason="the html extra is not installed")


def parsed(result: SweepResult) -> Parsed:
    return Parsed(page(result))


@cache
def usual() -> Parsed:
    """The page of the usual sweep; taking five megabytes apart takes a while."""
    return parsed(SWEEP)


def test_nothing_is_loaded_from_anywhere() -> None:
    found = usual()
    assert not found.attribute("src")
    assert not found.attribute("href")
    assert not {"link", "iframe", "object", "embed", "base", "form"} & {
        tag for tag, _ in found.tags
    }
    assert "url(" not in "".join(found.styles)
    assert "@import" not in "".join(found.styles)


def test_the_page_forbids_itself_everything_but_its_own_scripts() -> None:
    found = usual()
    policy = next(a["content"] or "" for _, a in found.tags if "http-equiv" in a)
    own = [f"'sha256-{digest(script)}'" for script in found.scripts[1:]]
    assert len(own) == 3
    assert "default-src 'none'" in policy
    assert f"script-src {' '.join(own)};" in policy


def test_the_page_fits_into_eight_megabytes_with_five_thousand_settings() -> None:
    many = [*made_up(detail=3).settings, *made_up(detail=3).settings][:5000]
    assert len(page(made_up(settings=many)).encode()) < 8_000_000


@pytest.mark.parametrize(
    "fields",
    [
        {"call_id": HOSTILE},
        {"why": HOSTILE},
        {"latency": HOSTILE},
        {"env": HOSTILE},
        {"left_out": {HOSTILE: 3}},
        {"broken": [HOSTILE]},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_hostile_text_is_only_ever_text(fields: dict[str, Any]) -> None:
    found = parsed(made_up(**fields))
    assert len(found.scripts) == 4
    assert not found.attribute("onerror")
    assert "img" not in {tag for tag, _ in found.tags}
    assert HOSTILE in found.text


def test_broken_and_turning_characters_are_written_as_escapes() -> None:
    source = page(made_up(call_id="a\u202eb", broken=["\udcff.wav: \x00"]))
    source.encode()
    text = Parsed(source).text
    assert "a\\u202eb-00" in text
    assert "\\udcff.wav: \\x00" in text


def test_names_from_calls_find_their_own_direction() -> None:
    source = page(made_up(call_id="שבת"))
    assert '<bdi dir="auto">שבת-00</bdi>' in source


EDGES = {
    "nothing recommended": made_up(recommended=None),
    "no candidate": made_up(recommended=None, candidate=None, env=None),
    "no usual start": made_up(brief=None),
    "one call": made_up(calls=1),
    "no holds": made_up(holds=0),
    "one setting": made_up(
        settings=[setting()],
        pareto=[0],
        fronts={"fixed": [0]},
        recommended=0,
        candidate=0,
        baseline=None,
        brief=None,
        held_out=[],
        in_sequence=[],
    ),
    "nothing judged": made_up(
        settings=[],
        pareto=[],
        fronts={},
        recommended=None,
        candidate=None,
        baseline=None,
        brief=None,
        held_out=[],
        in_sequence=[],
        env=None,
    ),
    "no cutoffs allowed": made_up(max_cutoffs=0.0),
    "only silence": made_up(policies=("silence",)),
    "another candidate": made_up(candidate=SWEEP.pareto[0]),
    "unknown totals": made_up(
        settings=[
            msgspec.structs.replace(one, total_p50=None, total_p95=None) for one in SWEEP.settings
        ]
    ),
}


@pytest.mark.parametrize("result", EDGES.values(), ids=EDGES.keys())
def test_every_sweep_makes_a_whole_page(result: SweepResult) -> None:
    found = parsed(result)
    ids = found.attribute("id")
    assert len(ids) == len(set(ids))
    assert set(found.drawn["figures"]) <= set(ids)
    assert {f"choice-{knob}" for knob in found.drawn["knobs"]} <= set(ids)


def test_the_recommendation_is_said_with_its_settings_and_snippet() -> None:
    text = usual().text
    chosen = SWEEP.settings[SWEEP.recommended or 0]
    assert "The recommended setting" in text
    assert SWEEP.why in text
    assert f"hangover {chosen.hangover_ms} ms" in text
    assert f"VAD_HANGOVER_MS={chosen.hangover_ms}" in text


def test_without_a_recommendation_the_page_says_so_and_names_the_candidate() -> None:
    text = parsed(made_up(recommended=None, why="Too few turns.")).text
    assert "No recommendation: not resolvable at 212 turns" in text
    assert "A candidate, by its measured rate alone" in text
    assert "Too few turns." in text
    assert "candidate: total P50" in text
    assert "recommended setting" not in text


def test_derived_truth_has_its_caveat() -> None:
    assert "the cutoffs here may be too few" in parsed(made_up(truth="derived")).text
    assert "may be too few" not in parsed(made_up(truth="labels")).text


def test_every_setting_is_a_dot_and_every_front_a_line() -> None:
    traces = usual().drawn["figures"]["trade-off"]["data"]
    dots = [trace for trace in traces if trace["mode"] == "markers" and len(trace["x"]) > 1]
    lines = {trace["name"]: trace for trace in traces if trace["mode"] == "lines+markers"}
    assert sum(len(trace["x"]) for trace in dots) == len(SWEEP.settings)
    assert {name: len(line["x"]) for name, line in lines.items()} == {
        policy: len(front) for policy, front in SWEEP.fronts.items()
    }


def test_the_named_settings_stand_out_and_the_budget_is_a_line() -> None:
    layout = usual().drawn["figures"]["trade-off"]["layout"]
    said = [note["text"] for note in layout["annotations"]]
    assert {"<b>recommended</b>", "<b>silence alone</b>", "<b>usual start</b>"} < set(said)
    assert "allowed: 2.0%" in said
    assert layout["shapes"][0]["y0"] == pytest.approx(SWEEP.max_cutoffs**0.5)


def test_too_many_settings_share_dots_and_the_rule_is_stated() -> None:
    many = [
        setting(total_p50=400 + n / 10, cutoff_rate=(n % 7) / 100, debounce_ms=n)
        for n in range(2 * MOST_DOTS)
    ]
    found = parsed(made_up(settings=many))
    traces = found.drawn["figures"]["trade-off"]["data"]
    count = len(traces[0]["x"])
    assert count <= MOST_DOTS
    assert f"10,000 settings share {count:,} dots" in found.text
    assert "more settings at this spot" in json.dumps(traces[0]["customdata"])


def test_axes_have_units() -> None:
    figures = usual().drawn["figures"]
    titles = {
        name: (own["layout"]["xaxis"]["title"]["text"], own["layout"]["yaxis"]["title"]["text"])
        for name, own in figures.items()
    }
    assert titles["trade-off"] == ("total P50 (ms)", "turns cut off (%)")
    assert titles["total_p50"] == ("speak gate (ms)", "hangover (ms)")
    assert titles["cutoff_rate"] == titles["total_p50"]


def test_the_maps_show_every_setting_of_the_policies_they_map() -> None:
    drawn = usual().drawn
    cells = [row for one in drawn["slices"] for row in one["figures"]["total_p50"]["z"]]
    mapped = {
        (one.policy, *(getattr(one, knob) for knob in KNOBS))
        for one in SWEEP.settings
        if one.policy != "silence"
    }
    on_a_grid = sum(value is not None for row in cells for value in row)
    assert on_a_grid == len(mapped)
    assert "because only one of the two varies: silence" in usual().text


def test_the_first_map_is_the_one_around_the_recommended_setting() -> None:
    found = usual()
    texts = found.drawn["figures"]["total_p50"]["data"][0]["text"]
    starred = [text for row in texts for text in row if "\u2605" in text]
    assert starred == [f"<b>\u2605{SWEEP.settings[SWEEP.recommended or 0].total_p50:.0f}</b>"]
    chosen = SWEEP.settings[SWEEP.recommended or 0]
    selected = [a["value"] for tag, a in found.tags if tag == "option" and "selected" in a]
    assert selected[0] == chosen.policy


def test_every_colour_of_the_pictures_is_one_of_the_page_in_light_and_in_dark() -> None:
    found = usual()
    used = {
        name
        for text in strings(found.drawn["figures"])
        for name in re.findall(r"var\((--[\w-]+)\)", text)
    }
    light, dark = "".join(found.styles).split("prefers-color-scheme: dark", 1)
    assert len(used) > 8
    assert all(f"{name}:" in light for name in used)
    assert all(f"{name}:" in dark for name in used)
    assert not any(re.search(r"#[0-9a-f]{3}", text) for text in strings(found.drawn["figures"]))


def test_the_figures_stand_in_tables_too() -> None:
    text = usual().text
    run = SWEEP.in_sequence[0]
    assert f"{run.cutoffs} of 212 turns" in text
    assert "call-08 1 of 17 turns (5.9%)" in text
    assert "(a candidate only)" in text
    assert "14 while the agent spoke" in text
    assert "noise.wav: no speech in it" in text
    assert "Every pause is judged with the turn still open" in text


def test_the_same_sweep_makes_the_same_page() -> None:
    assert page(made_up()) == page(made_up())


def test_without_plotly_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(MissingExtra, match=r"voicelat\[html\]"):
        page(SWEEP)
