"""A whole sweep: what it finds is sound, the same wherever it ran, and says what it is worth."""

from __future__ import annotations

import csv
import io
import json
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import msgspec
import pytest
from tests.lab.sweep.traces import NOTICED_MS, made_up_calls, spoken_call

from voicelat.lab.calls import JudgedCall
from voicelat.lab.latency import constant, from_profile
from voicelat.lab.sweep import run
from voicelat.lab.sweep.grid import BRIEF, Grid, Setting
from voicelat.lab.sweep.pauses import joined, tabulate
from voicelat.lab.sweep.result import SettingResult, SweepResult
from voicelat.lab.sweep.run import SweepPlan, env_snippet, make_policy, run_sweep
from voicelat.lab.truth import NOBODY_KNOWS, Truth
from voicelat.lab.workers import workers
from voicelat.settings import load

GRID = Grid(
    debounce=(20, 60),
    hangover=(80, 160, 400, 800),
    speak_gate=(0, 500, 900, 1500),
    silence=tuple(range(200, 3001, 100)),
)
PLAN = SweepPlan(latency=from_profile("google-openai-google"), grid=GRID, max_cutoffs=0.1)
CALLS = made_up_calls(20)


@pytest.fixture(scope="module")
def result() -> SweepResult:
    return run_sweep(CALLS, PLAN)


def encoded(calls: list[JudgedCall], plan: SweepPlan, executor: Executor | None = None) -> bytes:
    return msgspec.json.encode(run_sweep(calls, plan, executor))


def whole(one: SettingResult) -> Setting:
    """The setting that a result is of."""
    return Setting(
        one.policy,
        one.debounce_ms,
        one.hangover_ms,
        round(one.min_utt_s * 1000),
        one.stt_timeout_ms,
        one.speak_gate_ms,
    )


# -- what it finds ----------------------------------------------------------------------------


def test_every_setting_of_the_grid_is_judged_on_every_turn(result: SweepResult) -> None:
    assert [whole(one) for one in result.settings] == GRID.settings()
    assert (result.turns, result.calls) == (160, 20)
    assert {one.n for one in result.settings} == {160}
    holds = sum(pause.hold for call in CALLS for turn in call.truth.turns for pause in turn.pauses)
    assert result.holds == holds > 100


def test_every_index_is_one_of_a_setting_of_the_kind_it_names(result: SweepResult) -> None:
    settings = result.settings
    assert result.brief is not None
    assert whole(settings[result.brief]) == BRIEF
    assert result.baseline is not None
    assert settings[result.baseline].policy == "silence"
    assert set(result.fronts) == {"fixed", "adaptive", "semantic", "silence"}
    for name, front in result.fronts.items():
        assert front
        assert {settings[index].policy for index in front} == {name}
    together = {index for front in result.fronts.values() for index in front}
    assert set(result.pareto) <= together
    assert {one.setting for one in result.held_out} <= {None, *range(len(settings))}
    assert [one.setting for one in result.in_sequence] == [result.recommended, result.brief]


def test_a_front_trades_time_for_cutoffs(result: SweepResult) -> None:
    on_it = [result.settings[index] for index in result.pareto]
    assert len(on_it) > 2
    for faster, safer in pairwise(on_it):
        assert faster.total_p50 is not None
        assert safer.total_p50 is not None
        assert faster.total_p50 < safer.total_p50
        assert faster.cutoff_rate > safer.cutoff_rate


def test_the_recommendation_is_the_fastest_that_surely_keeps_the_budget(
    result: SweepResult,
) -> None:
    assert result.recommended is not None
    assert result.baseline is not None
    best, baseline = result.settings[result.recommended], result.settings[result.baseline]
    assert best.total_p50 is not None
    assert best.total_p95 is not None
    assert baseline.total_p50 is not None
    assert baseline.total_p95 is not None
    high = best.ci95.cutoff_rate[1]
    assert high is not None
    assert high <= 0.1
    assert best.total_p50 < baseline.total_p50
    assert best.total_p95 <= baseline.total_p95
    assert baseline.cutoff_rate <= 0.1
    cut = round(best.cutoff_rate * best.n)
    assert result.why.startswith(f"the fastest of {len(result.settings)} settings that surely cut")
    assert f"{cut} of 160 turns" in result.why
    assert "95 % confidence" in result.why


def test_what_few_turns_cannot_show_is_a_candidate_and_says_how_many_would() -> None:
    few = run_sweep(CALLS[:2], replace(PLAN, max_cutoffs=0.05))
    assert few.recommended is None
    assert few.candidate is not None
    assert few.settings[few.candidate].cutoff_rate <= 0.05
    assert few.why.startswith("not resolvable at this n: the candidate cut off ")
    assert "turns like these would show it" in few.why
    assert few.env == env_snippet(whole(few.settings[few.candidate]))


def test_a_budget_that_no_setting_keeps_names_the_one_that_cuts_off_least() -> None:
    grid = replace(GRID, hangover=(80,), speak_gate=(0,), silence=(200,), policies=("fixed",))
    plan = SweepPlan(latency=constant(0), grid=grid, max_cutoffs=0.01)
    found = run_sweep([spoken_call("1", [[500]] * 4)], plan)
    assert (found.recommended, found.candidate, found.env) == (None, None, None)
    assert found.why.startswith("no setting keeps within 1 % ")
    assert "4 of 4 turns (100 %)" in found.why


# -- the same everywhere ----------------------------------------------------------------------


@pytest.fixture
def _spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little there is to do, others do it, in tasks of a few settings."""
    monkeypatch.setattr(run, "_INLINE", 0)
    monkeypatch.setattr(run, "_CHUNK", 16)


@pytest.mark.usefixtures("_spread")
def test_the_same_calls_give_the_same_bytes_here_in_threads_and_in_processes() -> None:
    here = encoded(CALLS, PLAN)
    assert encoded(CALLS, PLAN) == here
    with ThreadPoolExecutor(4) as threads:
        assert encoded(CALLS, PLAN, threads) == here
    with workers() as processes:
        assert encoded(CALLS, PLAN, processes) == here


def test_the_size_of_the_tasks_changes_nothing(
    result: SweepResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_CHUNK", 7)
    assert encoded(CALLS, PLAN) == msgspec.json.encode(result)


@pytest.mark.parametrize("spread", [False, True])
def test_progress_counts_settings_up_to_all_of_them(
    spread: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_CHUNK", 16)
    monkeypatch.setattr(run, "_INLINE", 0)
    told: list[tuple[int, int]] = []
    total = len(GRID.settings())
    with ThreadPoolExecutor(2) as threads:
        executor = threads if spread else None
        run_sweep(CALLS[:3], PLAN, executor, lambda *counts: told.append(counts))
    assert len(told) > 5
    assert {count for _, count in told} == {total}
    assert told[-1] == (total, total)
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_tables_made_in_parts_are_the_table_made_at_once() -> None:
    calls = [*CALLS[:5], silent_call("nobody"), *CALLS[5:9]]
    latency = from_profile("google-openai-google")
    for name in ("adaptive", "semantic"):
        made = tabulate(calls, make_policy(name), latency)
        parts = [tabulate(calls[first : first + 3], make_policy(name), latency) for first in (0, 3)]
        parts.append(tabulate(calls[6:], make_policy(name), latency))
        again = joined(parts)
        for column in made.__dataclass_fields__:
            one, other = getattr(made, column), getattr(again, column)
            if column.endswith("_patience"):
                one = [made.patiences[index] for index in one]
                other = [again.patiences[index] for index in other]
            if column != "patiences":
                assert list(one) == list(other), (name, column)


# -- calls with little to say -----------------------------------------------------------------


def silent_call(call_id: str, **left_out: int) -> JudgedCall:
    return JudgedCall(call_id, [], Truth((), "derived", left_out))


@pytest.mark.parametrize("calls", [[], [silent_call("1", **{NOBODY_KNOWS: 7}), silent_call("2")]])
def test_without_a_turn_there_are_no_settings_and_a_reason(calls: list[JudgedCall]) -> None:
    found = run_sweep(calls, replace(PLAN, broken=("a.wav: is empty",)))
    assert (found.turns, found.calls, found.holds) == (0, 0, 0)
    assert not any((found.settings, found.pareto, found.held_out, found.in_sequence))
    assert found.recommended is found.candidate is found.baseline is found.brief is None
    assert (found.fronts, found.env) == ({}, None)
    assert found.why.startswith("no turn to judge by: ")
    assert found.left_out == ({NOBODY_KNOWS: 7} if calls else {})
    assert found.broken == ["a.wav: is empty"]
    assert found.truth == "derived"
    assert msgspec.json.decode(msgspec.json.encode(found), type=SweepResult) == found
    assert found.to_csv().count("\n") == 1


def test_a_call_without_a_turn_changes_nothing_but_what_was_left_out() -> None:
    mute = silent_call("mute", **{"while the agent spoke": 3})
    alone, beside = run_sweep(CALLS[:3], PLAN), run_sweep([CALLS[0], mute, *CALLS[1:3]], PLAN)
    assert beside.left_out == {"while the agent spoke": 3}
    assert beside == msgspec.structs.replace(alone, left_out=beside.left_out)


def test_an_only_call_has_no_others_to_be_held_to() -> None:
    found = run_sweep(CALLS[:1], PLAN)
    assert found.held_out == []
    assert (found.turns, found.calls) == (8, 1)
    assert run_sweep([CALLS[0], silent_call("mute")], PLAN).held_out == []


def test_the_truth_is_derived_as_soon_as_that_of_one_call_is() -> None:
    assert run_sweep(CALLS[:2], PLAN).truth == "labels"
    guessed = replace(CALLS[1], truth=msgspec.structs.replace(CALLS[1].truth, by="derived"))
    assert run_sweep([CALLS[0], guessed], PLAN).truth == "derived"


# -- one call left out ------------------------------------------------------------------------


def test_each_call_is_held_to_what_the_others_choose() -> None:
    plan = replace(PLAN, max_cutoffs=0.15)
    found = run_sweep(CALLS, plan)
    assert [one.call_id for one in found.held_out] == [call.call_id for call in CALLS]
    for place in (0, 7, 19):
        one = found.held_out[place]
        others = run_sweep([*CALLS[:place], *CALLS[place + 1 :]], plan)
        own = run_sweep([CALLS[place]], plan)
        assert one.setting in (others.recommended, others.candidate)
        assert one.setting is not None
        there = own.settings[one.setting]
        assert one.turns == own.turns == there.n
        assert one.cutoffs == round(there.cutoff_rate * there.n)
        assert one.total_p50 == there.total_p50


def test_of_very_many_calls_an_even_choice_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "MAX_HELD_OUT", 5)
    found = run_sweep(CALLS, PLAN)
    assert [one.call_id for one in found.held_out] == [f"call {n}" for n in (0, 4, 9, 14, 19)]


# -- run whole --------------------------------------------------------------------------------


def test_a_gate_longer_than_every_hold_cuts_nobody_off_judged_or_run_whole() -> None:
    calls = [spoken_call(str(number), [[300], [], [700, 500]] * 4) for number in range(6)]
    gate_ms = 700 + NOTICED_MS + 1
    grid = Grid(
        debounce=(60,), hangover=(160,), speak_gate=(gate_ms,), policies=("fixed",), silence=()
    )
    found = run_sweep(calls, SweepPlan(latency=constant(200), grid=grid))
    judged, whole_calls = found.settings[0], found.in_sequence[0]
    assert (found.recommended, whole_calls.setting) == (0, 0)
    assert (judged.cutoff_rate, whole_calls.cutoffs) == (0, 0)
    assert judged.early_rate == judged.reopened_rate == pytest.approx(2 / 3, abs=1e-5)
    assert (whole_calls.turns, whole_calls.answered) == (72, 72)
    assert (whole_calls.total_p50, whole_calls.total_p95) == (judged.total_p50, judged.total_p95)
    assert judged.total_p50 == gate_ms


def test_the_brief_run_whole_cuts_off_those_whom_it_was_judged_to_cut_off(
    result: SweepResult,
) -> None:
    assert result.brief is not None
    judged, run_whole = result.settings[result.brief], result.in_sequence[-1]
    assert run_whole.turns == 160
    assert run_whole.cutoffs / 160 == pytest.approx(judged.cutoff_rate, abs=0.03)
    assert judged.cutoff_rate > 0.03
    assert run_whole.total_p50 == pytest.approx(judged.total_p50, rel=0.05)


# -- what it hands on -------------------------------------------------------------------------


def test_the_json_reads_back_as_the_result(result: SweepResult) -> None:
    raw = msgspec.json.encode(result)
    assert json.loads(raw)["schema"] == 1
    assert msgspec.json.decode(raw, type=SweepResult) == result


def test_every_row_of_the_csv_is_the_json_of_its_setting(result: SweepResult) -> None:
    rows = list(csv.DictReader(io.StringIO(result.to_csv())))
    assert len(rows) == len(result.settings)
    for row, setting in zip(rows, json.loads(msgspec.json.encode(result.settings)), strict=True):
        intervals = setting.pop("ci95")
        for name, (low, high) in intervals.items():
            setting |= {f"{name}_low": low, f"{name}_high": high}
        assert row == {name: "" if value is None else str(value) for name, value in setting.items()}


@pytest.mark.parametrize(
    "setting",
    [
        BRIEF,
        Setting("semantic", 20, 80, 100, 0, 1500),
        Setting("adaptive", 200, 800, 1, 1000, 0),
        Setting("silence", 60, 900, 250, 240, 0),
    ],
)
def test_the_snippet_sets_what_was_swept(
    setting: Setting, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("server")
    monkeypatch.chdir(folder)
    (folder / ".env").write_text(env_snippet(setting))
    loaded = load(environ={})
    assert not loaded.warnings
    turn = loaded.turn()
    assert turn.debounce_ms == setting.debounce_ms
    assert turn.hangover_ms == setting.hangover_ms
    assert turn.min_utt_ms == setting.min_utt_ms
    assert turn.stt_timeout_ms == setting.stt_timeout_ms
    assert turn.speak_gate_ms == setting.speak_gate_ms
    assert turn.speculate is (setting.policy != "silence")
    assert loaded.eou_policy == ("fixed" if setting.policy == "silence" else setting.policy)


def test_the_result_says_what_replies_were_assumed_to_take(result: SweepResult) -> None:
    assert result.latency == PLAN.latency.says
    assert result.max_cutoffs == 0.1
