"""A setting that waits less than a caller pauses is early in that turn; one that waits longer than
the longest pause never is. On pauses that are exactly known."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from tests.lab.sweep.traces import NOTICED_MS, spoken_call

from voicelat.lab.calls import JudgedCall, judged_calls
from voicelat.lab.latency import constant
from voicelat.lab.listen import EarsPlan, listen_all
from voicelat.lab.recordings import find
from voicelat.lab.sweep.grid import Grid, Setting
from voicelat.lab.sweep.judge import judge
from voicelat.lab.sweep.result import SettingResult
from voicelat.lab.sweep.run import SweepPlan, run_sweep
from voicelat.providers.local import available
from voicelat.turn import events as on
from voicelat.turn.endpointing import Fixed

REPLY_MS = 100


def swept(calls: list[JudgedCall], *hangovers: int, gate_ms: int = 0) -> list[SettingResult]:
    """The sweep's results of silence alone: no debounce, no timeout, nothing too short."""
    grid = Grid(
        debounce=(0,),
        hangover=hangovers,
        min_utt=(0,),
        stt_timeout=(0,),
        speak_gate=(gate_ms,),
        policies=("fixed",),
        silence=(),
    )
    result = run_sweep(calls, SweepPlan(latency=constant(REPLY_MS), grid=grid))
    found = result.settings[: len(hangovers)]
    assert [one.hangover_ms for one in found] == list(hangovers)
    return found


def early(calls: list[JudgedCall], *hangovers: int) -> list[float]:
    return [one.early_rate for one in swept(calls, *hangovers)]


def heard_ms(call: JudgedCall) -> list[int]:
    """Each hold of a call, until the machine learns that the caller goes on."""
    return [
        call.steps[pause.start_step].at_ms - _stop_ms(call, pause.stop_step)
        for turn in call.truth.turns
        for pause in turn.pauses
        if pause.start_step is not None
    ]


def _stop_ms(call: JudgedCall, step: int) -> int:
    event = call.steps[step].event
    assert isinstance(event, on.SpeechStopped)
    return event.at_ms


# -- without recordings -----------------------------------------------------------------------

HOLDS = [[400, 700], [450], [300, 900, 650], [1200]]


def test_a_hangover_below_every_shortest_pause_is_early_in_every_turn() -> None:
    calls = [spoken_call(str(number), [holds]) for number, holds in enumerate(HOLDS)]
    assert early(calls, 80, 200, 299) == [1, 1, 1]


def test_a_hangover_above_every_longest_pause_is_early_in_none() -> None:
    calls = [spoken_call(str(number), [holds]) for number, holds in enumerate(HOLDS)]
    assert early(calls, 1200 + NOTICED_MS + 1, 2000, 3000) == [0, 0, 0]


@pytest.mark.parametrize("turn", HOLDS)
def test_a_turn_is_early_up_to_its_longest_pause_as_it_is_noticed(turn: list[int]) -> None:
    """Until a voice is noticed nobody knows that the caller goes on."""
    longest_ms = max(turn) + NOTICED_MS
    hangovers = (min(turn) - 1, max(turn), longest_ms, longest_ms + 1)
    assert early([spoken_call("1", [turn])], *hangovers) == [1, 1, 1, 0]


def test_a_share_of_the_turns_is_early_in_between() -> None:
    calls = [spoken_call("1", HOLDS)]
    assert early(calls, 520, 800, 1000) == [0.75, 0.5, 0.25]


def test_what_is_early_is_a_cutoff_once_the_reply_is_out_and_harmless_before() -> None:
    """The reply's work begins with the final, so it is in hand 250 ms after the voice."""
    calls = [spoken_call("1", [[700], [2000]], final_ms=150)]
    out, held = (swept(calls, 300, gate_ms=gate_ms)[0] for gate_ms in (0, 700 + NOTICED_MS + 1))
    assert (out.early_rate, out.cutoff_rate, out.reopened_rate) == (1, 1, 0)
    assert (held.early_rate, held.cutoff_rate, held.reopened_rate) == (1, 0.5, 0.5)
    assert (out.cut_holds_rate, held.cut_holds_rate) == (1, 0.5)
    assert (out.total_p50, held.total_p50) == (300, 700 + NOTICED_MS + 1)
    assert out.delay_p50 == held.delay_p50 == 300


def test_a_reply_that_sounds_in_the_very_millisecond_a_voice_is_noticed_is_a_cutoff() -> None:
    calls = [spoken_call("1", [[700]])]
    gates_ms = [700 + NOTICED_MS + after_ms for after_ms in (-1, 0, 1)]
    assert [swept(calls, 300, gate_ms=gate_ms)[0].cutoff_rate for gate_ms in gates_ms] == [1, 1, 0]


def test_a_cut_hold_is_counted_among_holds_and_its_turn_among_turns() -> None:
    (found,) = swept([spoken_call("1", [[400, 700, 300], [], [], []])], 200)
    assert (found.early_rate, found.cutoff_rate, found.cut_holds_rate) == (0.25, 0.25, 1)
    (found,) = swept([spoken_call("1", [[400, 700, 300], [], [], []])], 500)
    assert found.cut_holds_rate == pytest.approx(1 / 3, abs=1e-5)


# -- digit strings, by real voices ------------------------------------------------------------

SPEAKERS = ("fsdd_george_", "fsdd_jackson_", "fsdd_nicolas_")
"""Whose voices stay above the noise to their end; the fourth fades away before."""
HEARD_SHORTER_MS = 24
"""The detector's edges lie on a grid of 32 ms, finer where the level tells."""
HEARD_LONGER_MS = 270
"""The first or last sound of a digit may be a hush: the pause seems to last as long as it."""


@pytest.fixture(scope="module")
def strings(speech_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[JudgedCall]:
    """Every digit string, heard by the real detector, with labels from its manifest."""
    if missing := available():
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("labels")
    for name, spans in _spoken(speech_data).items():
        turn = {"start_ms": spans[0][0], "end_ms": spans[-1][1]}
        labels = {"schema": 1, "turns": [turn], "by": "construction"}
        (folder / f"{name}.labels.json").write_text(json.dumps(labels))
    sources = find([str(speech_data / f"{speaker}*.wav") for speaker in SPEAKERS])
    plan = EarsPlan(stt="simulated:instant", vad="silero")
    calls = judged_calls(listen_all(sources, plan, processes=1), folder)
    assert not calls.broken
    assert len(calls.judged) >= 20
    assert all(len(call.truth.turns) == 1 for call in calls.judged)
    return calls.judged


def _spoken(speech_data: Path) -> dict[str, list[tuple[int, int]]]:
    """Begin and end of each stretch of digits in ms, by recording."""
    manifest = json.loads((speech_data / "manifest.json").read_text(encoding="utf-8"))
    return {
        Path(file["file"]).stem: [
            (round(1000 * begin), round(1000 * end))
            for begin, end in file["turn_boundaries"]["speech"]
        ]
        for file in manifest["files"]
        if file["file"].startswith(SPEAKERS)
    }


def test_every_pause_of_the_manifest_is_heard_as_a_hold_as_long(
    strings: list[JudgedCall], speech_data: Path
) -> None:
    spoken = _spoken(speech_data)
    for call in strings:
        (turn,) = call.truth.turns
        holds = [
            (_stop_ms(call, pause.stop_step), call.steps[pause.start_step].event)
            for pause in turn.pauses
            if pause.start_step is not None
        ]
        for (_, begin_ms), (end_ms, _) in pairwise(spoken[call.call_id]):
            found_ms = [
                start.at_ms - stop_ms
                for stop_ms, start in holds
                if isinstance(start, on.SpeechStarted)
                and -HEARD_LONGER_MS <= stop_ms - begin_ms <= HEARD_SHORTER_MS
                and -HEARD_SHORTER_MS <= start.at_ms - end_ms <= HEARD_LONGER_MS
            ]
            assert len(found_ms) == 1, (call.call_id, begin_ms, holds)
            longer_ms = found_ms[0] - (end_ms - begin_ms)
            assert -HEARD_SHORTER_MS <= longer_ms <= HEARD_LONGER_MS, call.call_id


def test_below_the_shortest_pause_of_the_manifest_every_string_is_early(
    strings: list[JudgedCall], speech_data: Path
) -> None:
    spoken = _spoken(speech_data)
    shortest_ms = min(b[0] - a[1] for spans in spoken.values() for a, b in pairwise(spans))
    assert shortest_ms > 300
    assert early(strings, 80, 160, shortest_ms - HEARD_SHORTER_MS) == [1, 1, 1]


def test_above_the_longest_pause_of_the_manifest_no_string_is_early(
    strings: list[JudgedCall], speech_data: Path
) -> None:
    spoken = _spoken(speech_data)
    longest_ms = max(b[0] - a[1] for spans in spoken.values() for a, b in pairwise(spans))
    # The voice behind it is noticed a little later still.
    assert early(strings, longest_ms + HEARD_LONGER_MS + 2 * NOTICED_MS, 3000) == [0, 0]


def test_every_string_is_early_up_to_its_longest_pause_as_heard_and_never_above(
    strings: list[JudgedCall],
) -> None:
    for call in strings:
        longest_ms = max(heard_ms(call))
        assert early([call], 80, longest_ms, longest_ms + 1) == [1, 1, 0], call.call_id


def test_the_machine_says_the_same_of_every_string(strings: list[JudgedCall]) -> None:
    for call in strings:
        longest_ms = max(heard_ms(call))
        for hangover_ms, expected in ((80, True), (longest_ms, True), (longest_ms + 1, False)):
            setting = Setting("fixed", 0, hangover_ms, 0, 0, 0)
            (turn,) = judge(call, setting, Fixed, constant(REPLY_MS), max_speculations=3)
            assert turn.early is expected, (call.call_id, hangover_ms)
