"""When the tuner steps, when it does not, and where it ends."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from voicelat.errors import InvalidSetting
from voicelat.metrics.record import Stamps, TurnRecord
from voicelat.turn.config import TurnConfig
from voicelat.turn.tuner import NAMES, Change, EouTuner, TunerBounds, TunerRules

RULES: Final = TunerRules()
BOUNDS: Final = TunerBounds()
MODEL: Final = Path(__file__).parents[2] / "benchmarks" / "tuner.py"
SURE_OF_NO_CLIPS: Final = 29
SURE_OF_NO_CUTOFFS: Final = 59
"""So many turns without: at the budget's rate that were less than 5 % likely."""
END_MS: Final = 2000
"""Where the caller's voice ended in every record made here."""


@pytest.fixture(scope="module")
def model() -> ModuleType:
    """The made-up callers of the benchmark, who talk to the real machine."""
    spec = importlib.util.spec_from_file_location("tuner_benchmark", MODEL)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def a_turn(
    tuner: EouTuner,
    *,
    lag_ms: int = 0,
    turn_end_ms: int | None = None,
    reply_start_ms: int | None = None,
    final_ms: int | None = None,
    reply_ms: int = 900,
    **fields: Any,
) -> TurnRecord:
    """A closed turn under the tuner's settings, times in ms after the end of speech.

    It ended as they say (the text ``lag_ms`` late, then debounced), unless ``turn_end_ms``
    says otherwise; its reply took ``reply_ms`` and then waited for the gate.
    """
    config = tuner.config
    if turn_end_ms is None:
        turn_end_ms = max(config.hangover_ms, lag_ms + config.debounce_ms)
    if reply_start_ms is None:
        reply_start_ms = turn_end_ms
    ready_ms = reply_start_ms + reply_ms
    gate_ms = max(turn_end_ms, config.speak_gate_ms)
    stamps = Stamps(
        speech_end=END_MS,
        turn_end=END_MS + turn_end_ms,
        stt_final=None if final_ms is None else END_MS + final_ms,
        reply_start=END_MS + reply_start_ms,
        llm_first_token=END_MS + ready_ms,
        tts_request=END_MS + ready_ms,
        tts_ready=END_MS + ready_ms,
        gate_open=END_MS + gate_ms,
        first_audio_sent=END_MS + max(ready_ms, gate_ms),
    )
    record = TurnRecord(
        call_id="CA1",
        turn=1,
        outcome="answered",
        stamps=stamps,
        settings=dict(tuner.settings),
        EOU_REASON="debounce",
        stt_lag_ms=lag_ms,
        clipped=False,
    )
    return structs.replace(record.measured(), **fields)


def told(tuner: EouTuner, count: int, **turn: Any) -> list[Change]:
    """The changes that ``count`` such turns lead to."""
    changes = (tuner.observe(a_turn(tuner, **turn)) for _ in range(count))
    return [change for change in changes if change is not None]


def steps(changes: Sequence[Change]) -> list[tuple[str, int, int]]:
    return [(change.setting, change.from_ms, change.to_ms) for change in changes]


# -- finals are late --------------------------------------------------------------------------


def test_late_finals_lower_the_debounce_that_holds_them_up() -> None:
    tuner = EouTuner(TurnConfig(debounce_ms=120))
    assert told(tuner, SURE_OF_NO_CLIPS - 1, lag_ms=200) == []
    (change,) = told(tuner, 1, lag_ms=200)
    assert steps([change]) == [("debounce_ms", 120, 110)]
    assert change.why == (
        "finals are late: work begins 320 ms after speech in the median turn; "
        "10 ms less saves 10 ms in the mean turn"
    )
    assert change.turns == SURE_OF_NO_CLIPS
    assert tuner.config.debounce_ms == 110
    assert list(tuner.changes) == [change]


def test_late_finals_lower_the_hangover_that_holds_them_up() -> None:
    tuner = EouTuner(TurnConfig(hangover_ms=300))
    assert steps(told(tuner, RULES.evidence)) == [("hangover_ms", 300, 280)]


def test_the_hangover_holds_up_no_work_that_began_speculatively() -> None:
    tuner = EouTuner(TurnConfig(hangover_ms=400, debounce_ms=60))
    late = {"lag_ms": 240, "turn_end_ms": 400, "reply_start_ms": 300}
    assert steps(told(tuner, SURE_OF_NO_CLIPS, **late)) == [("debounce_ms", 60, 50)]


def test_steps_go_on_until_finals_are_not_late_any_more() -> None:
    tuner = EouTuner(TurnConfig(debounce_ms=120))
    changes = told(tuner, 1000, lag_ms=200)
    assert tuner.config.debounce_ms == 50
    assert changes[-1].turns == 7 * SURE_OF_NO_CLIPS, "one step in that many turns"


def test_finals_that_come_late_by_themselves_are_left_alone() -> None:
    tuner = EouTuner(TurnConfig())
    late = {"lag_ms": 600, "final_ms": 600, "turn_end_ms": 600, "EOU_REASON": "silence"}
    assert told(tuner, 500, **late) == []


def test_what_saves_callers_nothing_is_left_alone() -> None:
    tuner = EouTuner(TurnConfig(debounce_ms=120, speak_gate_ms=1000))
    changes = told(tuner, 200, lag_ms=200, reply_ms=100)
    assert {change.setting for change in changes} == {"speak_gate_ms"}


def test_a_turn_timed_by_a_policy_shows_nothing_about_the_settings() -> None:
    tuner = EouTuner(TurnConfig())
    assert told(tuner, 100, turn_end_ms=1000) == []
    assert tuner.state.left_out["work not explained by the settings"] == 100
    assert tuner.state.work_p50_ms == 1000


# -- callers are harmed -----------------------------------------------------------------------


def test_cutoffs_raise_the_gate() -> None:
    tuner = EouTuner(TurnConfig())
    told(tuner, 7)
    assert told(tuner, 2, cutoff=True) == [], "it may be chance"
    (change,) = told(tuner, 1, cutoff=True)
    assert steps([change]) == [("speak_gate_ms", 500, 560)]
    assert change.why == "3 of 10 turns were cut off, over the budget of 5%"


def test_cutoffs_within_the_budget_change_nothing() -> None:
    tuner = EouTuner(TurnConfig())
    for _ in range(50):
        told(tuner, 24)
        told(tuner, 1, cutoff=True)
    assert not tuner.changes


def test_a_gate_below_the_hangover_is_raised_above_it() -> None:
    tuner = EouTuner(TurnConfig(speak_gate_ms=0, hangover_ms=160))
    assert steps(told(tuner, RULES.harm_evidence, cutoff=True)) == [("speak_gate_ms", 0, 220)]


def test_a_gate_at_its_bound_is_shown() -> None:
    tuner = EouTuner(TurnConfig(speak_gate_ms=1480))
    assert steps(told(tuner, 100, cutoff=True)) == [("speak_gate_ms", 1480, 1500)]
    assert tuner.state.at_bound == "SPEAK_GATE_MS"


@pytest.mark.parametrize(
    ("setting", "late", "harm"),
    [("debounce_ms", {"lag_ms": 200}, "clipped"), ("hangover_ms", {}, "reopened")],
)
def test_harm_gives_back_what_was_taken_and_no_more(
    setting: str, late: dict[str, int], harm: str
) -> None:
    config = TurnConfig(debounce_ms=120, hangover_ms=300)
    tuner = EouTuner(config)
    told(tuner, 5 * SURE_OF_NO_CLIPS, **late)
    lowered_ms = getattr(tuner.config, setting)
    assert lowered_ms < getattr(config, setting)
    changes = told(tuner, 400, **late, **{harm: True})
    assert changes[0].to_ms == min(lowered_ms + RULES.up_ms, getattr(config, setting))
    assert getattr(tuner.config, setting) == getattr(config, setting)
    assert tuner.state.at_bound == NAMES[changes[0].setting]


def test_a_clipped_text_holds_the_debounce_where_it_is() -> None:
    tuner = EouTuner(TurnConfig(debounce_ms=120))
    for _ in range(100):
        told(tuner, 7, lag_ms=200)
        told(tuner, 1, lag_ms=200, clipped=True)
    assert not tuner.changes, "not over the budget, and not surely under it"


# -- the gate is lowered ----------------------------------------------------------------------


def test_a_gate_that_replies_wait_for_is_lowered_while_nobody_is_cut_off() -> None:
    tuner = EouTuner(TurnConfig())
    (change,) = told(tuner, SURE_OF_NO_CUTOFFS, reply_ms=100)
    assert steps([change]) == [("speak_gate_ms", 500, 480)]
    assert change.why == (
        "replies wait for it: 20 ms less saves 20 ms in the mean turn; "
        "0 of 59 turns were cut off, under the budget of 5%"
    )


def test_the_gate_is_not_lowered_below_the_hangover() -> None:
    tuner = EouTuner(TurnConfig(speak_gate_ms=190))
    told(tuner, 1000, reply_ms=1)
    assert tuner.config.speak_gate_ms == 160


def test_a_gate_that_nobody_waits_for_is_left_alone() -> None:
    assert told(EouTuner(TurnConfig()), 1000, reply_ms=900) == []


def test_a_raised_gate_rests_and_each_step_too_far_doubles_the_rest() -> None:
    tuner = EouTuner(TurnConfig())
    rests = []
    for _ in range(6):
        (raised,) = told(tuner, RULES.harm_evidence, cutoff=True)
        quiet = 0
        while not told(tuner, 1, reply_ms=100):
            quiet += 1
        assert tuner.changes[-1].to_ms < raised.to_ms
        rests.append(quiet + 1)
    assert rests == [200, 400, 800, 1600, 1600, 1600]


# -- which records count ----------------------------------------------------------------------


def test_a_record_of_other_settings_is_not_counted_against_these() -> None:
    tuner = EouTuner(TurnConfig())
    old = a_turn(tuner, cutoff=True)
    told(tuner, RULES.harm_evidence, cutoff=True)
    assert tuner.config.speak_gate_ms == 560
    assert all(tuner.observe(old) is None for _ in range(100))
    assert tuner.state.left_out == {"taken under other settings": 100}
    assert tuner.state.window == 0


def test_a_record_that_tells_no_settings_is_left_out() -> None:
    tuner = EouTuner(TurnConfig())
    assert told(tuner, 100, cutoff=True, settings={"SPEAK_GATE_MS": 500}) == []
    assert tuner.state.left_out == {"its settings are unknown": 100}


def test_a_turn_the_call_cut_short_is_left_out() -> None:
    tuner = EouTuner(TurnConfig())
    told(tuner, 3, outcome="abandoned")
    assert tuner.state.left_out == {"the call ended before the turn": 3}
    assert (tuner.state.turns, tuner.state.judged) == (3, 0)


def test_a_turn_without_a_reply_says_how_late_its_text_was_and_nothing_of_cutoffs() -> None:
    tuner = EouTuner(TurnConfig(debounce_ms=120))
    changes = told(tuner, SURE_OF_NO_CLIPS, lag_ms=200, outcome="censored", legs={})
    assert steps(changes) == [("debounce_ms", 120, 110)]
    assert tuner.state.left_out == {"cutoff unknown: no reply was sent": SURE_OF_NO_CLIPS}
    silent = EouTuner(TurnConfig())
    assert told(silent, 200, reply_ms=100, outcome="censored") == []


def test_a_turn_without_text_says_nothing_of_how_late_text_is() -> None:
    tuner = EouTuner(TurnConfig(hangover_ms=300))
    assert told(tuner, 100, fallback=True) == []
    assert tuner.state.left_out == {"work unknown: no text, or no end of speech": 100}
    assert steps(told(tuner, 30, fallback=True, cutoff=True))[0][0] == "speak_gate_ms"


def test_where_no_final_is_ever_given_the_debounce_is_not_lowered() -> None:
    tuner = EouTuner(TurnConfig(debounce_ms=120))
    assert told(tuner, 200, lag_ms=200, clipped=None) == []
    assert tuner.state.left_out == {"clipped unknown: no final came": 200}


def test_an_unknown_end_of_speech_is_counted_and_harms_nothing() -> None:
    tuner = EouTuner(TurnConfig())
    assert told(tuner, 50, stamps=Stamps(), STT_FINAL_MS=None, stt_lag_ms=None, legs={}) == []
    assert tuner.state.left_out == {
        "work unknown: no text, or no end of speech": 50,
        "gate unknown: no end of speech, or no audio after it": 50,
    }


# -- whatever comes ---------------------------------------------------------------------------

HOSTILE: Final[list[dict[str, Any]]] = [
    {"cutoff": True},
    {"cutoff": True, "clipped": True, "reopened": True},
    {"clipped": True, "lag_ms": 200},
    {"reopened": True},
    {"reply_ms": 1},
    {"lag_ms": 200},
    {"lag_ms": -500, "reply_ms": 100},
    {"lag_ms": 200, "reply_ms": 100},
    {"outcome": "censored", "lag_ms": 300},
    {"fallback": True},
]


def check(changes: Sequence[Change], tuner: EouTuner, began: TurnConfig) -> None:
    """What holds for every run: a chain within bounds that seldom turns round."""
    last_ms = {name: getattr(began, name) for name in NAMES}
    turned: dict[str, list[int]] = {name: [] for name in NAMES}
    went: dict[str, bool] = {}
    for change in changes:
        low, high = BOUNDS.of(change.setting)
        assert change.from_ms == last_ms[change.setting]
        assert low <= change.to_ms <= high
        assert 0 < change.from_ms - change.to_ms <= RULES.down_ms or change.to_ms > change.from_ms
        assert change.why
        assert "\n" not in change.why
        up = change.to_ms > change.from_ms
        if went.setdefault(change.setting, up) != up:
            turned[change.setting].append(change.turns)
        went[change.setting], last_ms[change.setting] = up, change.to_ms
    assert {name: getattr(tuner.config, name) for name in NAMES} == last_ms
    for at in turned.values():
        assert all(c - a >= RULES.rest for a, _, c in zip(at, at[1:], at[2:], strict=False))


@given(st.lists(st.tuples(st.sampled_from(HOSTILE), st.integers(1, 250)), max_size=12))
def test_no_setting_leaves_its_bounds_or_turns_round_three_times_in_a_rest(
    runs: list[tuple[dict[str, Any], int]],
) -> None:
    began = TurnConfig(debounce_ms=120, hangover_ms=300)
    tuner = EouTuner(began)
    changes = [change for turn, count in runs for change in told(tuner, count, **turn)]
    check(changes, tuner, began)
    assert tuner.state.turns == sum(count for _, count in runs)
    assert list(tuner.changes) == changes[-100:]


@given(st.lists(st.sampled_from(HOSTILE), max_size=150))
def test_the_same_records_lead_to_the_same_settings(turns: list[dict[str, Any]]) -> None:
    one, other = EouTuner(TurnConfig()), EouTuner(TurnConfig())
    for turn in turns:
        record = a_turn(one, **turn)
        assert one.observe(record) == other.observe(record)
    assert one.state == other.state


# -- records of the real machine --------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_follows_callers_and_providers_as_they_drift(model: ModuleType, seed: int) -> None:
    began: TurnConfig = model.CAUTIOUS
    tuner = EouTuner(began)
    changes: list[Change] = []
    gates, cutoffs = [], []
    for _, records, made in model.talk(model.SCENARIO, 700, seed, tuner):
        changes += made
        gates.append(tuner.config.speak_gate_ms)
        cutoffs.append(sum(record.cutoff for record in records[350:]) / 350)
    check(changes, tuner, began)
    late = [change for change in changes if change.setting == "debounce_ms"]
    assert 700 < late[0].turns < 1400, "words came late"
    assert late[0].to_ms < late[0].from_ms
    assert gates[3] > gates[2] + 200, "callers became slower"
    assert gates[4] < gates[3], "and quicker again"
    ((_, alone, _),) = model.talk(model.SCENARIO[3:4], 700, seed, began)
    assert cutoffs[3] < 0.6 * sum(record.cutoff for record in alone) / len(alone)


@pytest.mark.parametrize(("hold_ms", "seed"), [(250, 1), (400, 3), (550, 5)])
def test_it_settles_under_callers_who_do_not_change(
    model: ModuleType, hold_ms: int, seed: int
) -> None:
    world = model.World("the same for ever", hold_ms=hold_ms, reply_ms=200)
    tuner = EouTuner(TurnConfig())
    first, later = model.talk([world, world], 2000, seed, tuner)
    check([*first[2], *later[2]], tuner, TurnConfig())
    assert model.flips(later[2]) <= 3
    assert len(later[2]) <= 8
    moved = {tuner.config.speak_gate_ms, *(change.to_ms for change in later[2])}
    assert max(moved) - min(moved) <= 160
    assert sum(record.cutoff for record in later[1]) <= 1.2 * RULES.cutoff_budget * 2000


# -- what it is given -------------------------------------------------------------------------


def test_settings_that_begin_outside_the_bounds_are_refused() -> None:
    with pytest.raises(InvalidSetting, match=r"VAD_HANGOVER_MS=500: the tuner keeps it from 80"):
        EouTuner(TurnConfig(hangover_ms=500))
    EouTuner(TurnConfig(hangover_ms=500), TunerBounds(hangover_ms=(80, 600)))


def test_bounds_and_rules_without_sense_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="debounce_ms"):
        TunerBounds(debounce_ms=(50, 20))
    for name in TunerRules.__struct_fields__:
        with pytest.raises(InvalidSetting, match=name):
            structs.replace(RULES, **{name: type(getattr(RULES, name))(0)})


def test_the_state_tells_what_is_known() -> None:
    tuner = EouTuner(TurnConfig())
    assert tuner.state.work_p50_ms is None
    told(tuner, RULES.harm_evidence, cutoff=True)
    told(tuner, 4)
    told(tuner, 1, cutoff=True)
    state = tuner.state
    assert state.settings == tuner.settings
    assert state.settings == {
        "STT_PARTIAL_DEBOUNCE_MS": 60,
        "VAD_HANGOVER_MS": 160,
        "SPEAK_GATE_MS": 560,
    }
    assert (state.turns, state.judged, state.window, state.cutoffs) == (15, 15, 5, 1)
    assert (state.work_p50_ms, state.at_bound) == (160, None)
    assert state.resting == {"SPEAK_GATE_MS": RULES.rest - 5}
