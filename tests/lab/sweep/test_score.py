"""The arithmetic over all settings gives what the machine gives, setting by setting."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.lab.sweep.traces import Moody, calls

from voicelat.lab.calls import JudgedCall
from voicelat.lab.latency import constant, from_profile
from voicelat.lab.sweep.grid import Setting, columns
from voicelat.lab.sweep.judge import JudgedTurn, judge
from voicelat.lab.sweep.pauses import NEVER, tabulate
from voicelat.lab.sweep.score import score
from voicelat.lab.truth import TruePause, TrueTurn, Truth
from voicelat.turn import events as on
from voicelat.turn.endpointing import EndpointPolicy, Fixed
from voicelat.turn.trace import TraceStep

some_settings = st.builds(
    Setting,
    policy=st.sampled_from(["fixed", "fixed", "silence"]),
    debounce_ms=st.sampled_from([0, 60, 200]),
    hangover_ms=st.sampled_from([0, 40, 160, 165, 400]),
    min_utt_ms=st.sampled_from([0, 250, 900]),
    stt_timeout_ms=st.sampled_from([0, 1, 240, 1000]),
    speak_gate_ms=st.sampled_from([0, 300, 500, 3000]),
)


def scored(
    call: JudgedCall,
    chosen: list[Setting],
    policy: Callable[[], EndpointPolicy],
    took_ms: int | None,
    cap: int,
) -> list[list[JudgedTurn]]:
    latency = from_profile("google-openai-google") if took_ms is None else constant(took_ms)
    table = tabulate([call], policy, latency)
    alone = any(setting.alone for setting in chosen)
    found = score(
        table, columns(chosen), speculate=not alone, reopens=not alone, max_speculations=cap
    )

    def ms(value: int) -> int | None:
        return None if value == NEVER else int(value)

    return [
        [
            JudgedTurn(
                early=bool(found.early[turn, index]),
                reopened=bool(found.reopened[turn, index]),
                cutoff=bool(found.cutoff[turn, index]),
                delay_ms=ms(found.delay[turn, index]),
                total_ms=ms(found.total[turn, index]),
                clipped=bool(found.clipped[turn, index]),
                timeout=bool(found.timeout[turn, index]),
                missed=bool(found.missed[turn, index]),
                calls=int(found.calls[turn, index]),
            )
            for turn in range(table.turns)
        ]
        for index in range(len(chosen))
    ]


@settings(max_examples=500, deadline=None)
@given(
    call=calls(),
    chosen=st.lists(some_settings, min_size=1, max_size=4, unique=True),
    policy=st.sampled_from([Fixed, Moody]),
    took_ms=st.sampled_from([0, 1, 250, 900, None]),
    cap=st.integers(0, 3),
)
def test_all_settings_at_once_are_the_machine_one_by_one(
    call: JudgedCall,
    chosen: list[Setting],
    policy: Callable[[], EndpointPolicy],
    took_ms: int | None,
    cap: int,
) -> None:
    latency = from_profile("google-openai-google") if took_ms is None else constant(took_ms)
    for alone in (False, True):
        some = [setting for setting in chosen if setting.alone is alone]
        for setting, turns in zip(some, scored(call, some, policy, took_ms, cap), strict=True):
            assert turns == judge(call, setting, policy, latency, max_speculations=cap), setting


TICK_MS = 40

round_settings = st.builds(
    Setting,
    policy=st.sampled_from(["fixed", "fixed", "silence"]),
    debounce_ms=st.sampled_from([0, 40, 120]),
    hangover_ms=st.sampled_from([0, 40, 160, 400]),
    min_utt_ms=st.sampled_from([0, 240]),
    stt_timeout_ms=st.sampled_from([0, 240, 1000]),
    speak_gate_ms=st.sampled_from([0, 200, 400, 1200]),
)


@settings(max_examples=400, deadline=None)
@given(
    call=calls(TICK_MS),
    chosen=st.lists(round_settings, min_size=1, max_size=4, unique=True),
    took_ms=st.sampled_from([0, TICK_MS, 6 * TICK_MS]),
    cap=st.integers(0, 3),
)
def test_also_where_everything_happens_on_the_same_tick(
    call: JudgedCall, chosen: list[Setting], took_ms: int, cap: int
) -> None:
    for alone in (False, True):
        some = [setting for setting in chosen if setting.alone is alone]
        for setting, turns in zip(some, scored(call, some, Fixed, took_ms, cap), strict=True):
            assert turns == judge(call, setting, Fixed, constant(took_ms), max_speculations=cap), (
                setting
            )


Told = tuple[int, on.Event]


def turn_of(*pauses: list[Told]) -> JudgedCall:
    """One turn with these pauses of 2 s, and what comes in each, by ms since its begin."""
    steps: list[TraceStep] = []
    stops: list[int] = []
    for number, told in enumerate(pauses):
        at_ms = 3000 * number
        events: list[Told] = [
            (at_ms, on.SpeechStarted(at_ms)),
            (at_ms + 500, on.Partial("a table")),
            (at_ms + 1060, on.SpeechStopped(at_ms + 1000)),
            *((at_ms + 1000 + after_ms, event) for after_ms, event in told),
        ]
        stops.append(len(steps) + 2)
        steps += [TraceStep(at_ms=when, event=event) for when, event in events]
    holds = [TruePause(stop, end, end, True) for stop, end in _resumed(stops)]
    shift = TruePause(stops[-1], None, len(steps), hold=False)
    return JudgedCall("1", steps, Truth((TrueTurn(0, (*holds, shift)),), "labels", {}))


def _resumed(stops: list[int]) -> list[tuple[int, int]]:
    """Each stop but the last, and the start of the voice behind it."""
    return [(stop, after - 2) for stop, after in pairwise(stops)]


AT_ONCE = Setting("fixed", 60, 160, 250, 240, 0)


def only(call: JudgedCall, took_ms: int, cap: int = 3) -> JudgedTurn:
    """What `AT_ONCE` did in the only turn, by both."""
    ((found,),) = scored(call, [AT_ONCE], Fixed, took_ms, cap)
    assert [found] == judge(call, AT_ONCE, Fixed, constant(took_ms), max_speculations=cap)
    return found


@pytest.mark.parametrize(("after_ms", "clipped"), [(339, True), (340, False), (341, False)])
def test_a_final_tells_what_was_clipped_until_the_reply_sounds(
    after_ms: int, clipped: bool
) -> None:
    """The reply is begun with the first and in hand at 340 ms; its gate is open since 160."""
    more = on.Final("and a chair")
    found = only(turn_of([(100, on.Final("a table")), (after_ms, more)]), took_ms=240)
    assert (found.total_ms, found.clipped) == (340, clipped)


@pytest.mark.parametrize(("after_ms", "clipped"), [(5159, True), (5160, False)])
def test_a_final_that_is_owed_tells_it_for_five_seconds(after_ms: int, clipped: bool) -> None:
    found = only(turn_of([(after_ms, on.Final("a table for two"))]), took_ms=240)
    assert (found.delay_ms, found.clipped) == (160, clipped)


@pytest.mark.parametrize(("stable_ms", "total_ms"), [(159, 1060), (160, 1000)])
def test_a_reply_begun_when_the_turn_is_over_is_no_speculation(
    stable_ms: int, total_ms: int
) -> None:
    """One is allowed. Begun in the hold it is used up, and the shift's reply waits for the end."""
    hold: list[Told] = [(stable_ms - 60, on.Partial("a table for"))]
    found = only(turn_of(hold, [(100, on.Final("a table for two"))]), took_ms=900, cap=1)
    assert (found.total_ms, found.calls) == (total_ms, 2)
