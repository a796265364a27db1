"""The arithmetic over all settings gives what the machine gives, setting by setting."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.lab.sweep.traces import Moody, calls

from voicelat.lab.calls import JudgedCall
from voicelat.lab.latency import constant, from_profile
from voicelat.lab.sweep.grid import Setting, columns
from voicelat.lab.sweep.judge import JudgedTurn, judge
from voicelat.lab.sweep.pauses import NEVER, tabulate
from voicelat.lab.sweep.score import score
from voicelat.turn.endpointing import EndpointPolicy, Fixed

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


@settings(max_examples=1500, deadline=None)
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
