"""Replies take what their source says, and the same in the same pause whoever asks, how often."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.errors import UsageError
from voicelat.lab.latency import CLAUSE_TOKENS, Reply, constant, from_profile, from_turns
from voicelat.metrics.record import Outcome, Stamps, TurnRecord
from voicelat.providers.simulated import PROFILES

STACK = "google-openai-google"


def turn(
    llm_ms: int = 300,
    clause_ms: int = 100,
    tts_ms: int = 200,
    *,
    outcome: Outcome = "answered",
) -> TurnRecord:
    """A turn whose reply was measured."""
    return TurnRecord(
        call_id="a",
        turn=1,
        outcome=outcome,
        stamps=Stamps(
            reply_start=1000,
            llm_first_token=1000 + llm_ms,
            tts_request=1000 + llm_ms + clause_ms,
            tts_ready=1000 + llm_ms + clause_ms + tts_ms,
        ),
    )


def test_a_reply_is_ready_after_all_its_stages() -> None:
    assert Reply(300, 100, 200).ready_ms == 600


@given(st.text(max_size=8), st.integers(0, 300), st.integers(0, 2**70))
def test_a_pause_alone_meets_the_same_luck_as_in_a_row(call_id: str, pause: int, seed: int) -> None:
    latency = from_profile(STACK, seed)
    row = latency.ready_ms(call_id, pause + 1)
    assert row.shape == (pause + 1,)
    assert latency.reply(call_id, pause).ready_ms == row[pause]
    assert from_profile(STACK, seed).reply(call_id, pause) == latency.reply(call_id, pause)


def test_a_call_with_more_pauses_begins_with_the_same_ones() -> None:
    latency = from_turns([turn(llm_ms) for llm_ms in range(1000)])
    row = latency.ready_ms("a", 1000)
    for n in (0, 1, 63, 64, 65, 200):
        assert latency.ready_ms("a", n).tolist() == row[:n].tolist()
    assert [latency.reply("a", i).ready_ms for i in range(1000)] == row.tolist()


def test_calls_and_seeds_meet_other_luck() -> None:
    one, two = from_profile(STACK, 1), from_profile(STACK, 2)
    rows = [one.ready_ms("a", 200), one.ready_ms("b", 200), two.ready_ms("a", 200)]
    for index, row in enumerate(rows):
        for other in rows[:index]:
            assert (row == other).mean() < 0.1


def test_luck_is_the_same_in_another_process() -> None:
    latency = from_profile(STACK, 5)
    there = pickle.loads(pickle.dumps(latency))
    assert there.says == latency.says
    assert there.ready_ms("a", 100).tolist() == latency.ready_ms("a", 100).tolist()


def test_a_name_that_is_no_unicode_is_a_name_too() -> None:
    assert from_profile(STACK).ready_ms("\ud800", 3).shape == (3,)


@pytest.mark.parametrize("name", ["google-openai-google", "deepgram-openai-cartesia"])
def test_a_profiles_replies_have_its_median_and_p95(name: str) -> None:
    stack, latency = PROFILES[name], from_profile(name)
    replies = [latency.reply("a", pause) for pause in range(20_000)]
    for stage, published in (
        ([reply.llm_ms for reply in replies], stack.llm_first_token),
        ([reply.tts_ms for reply in replies], stack.tts_first_byte),
    ):
        median, p95 = np.percentile(stage, [50, 95])
        assert median == pytest.approx(published.median_ms, rel=0.05)
        assert p95 == pytest.approx(published.p95_ms, rel=0.05)
    clause_ms = round(CLAUSE_TOKENS * 1000 / stack.llm_tokens_per_s)
    assert {reply.clause_ms for reply in replies} == {clause_ms}


def test_the_stages_of_a_profile_do_not_depend_on_each_other() -> None:
    latency = from_profile(STACK)
    replies = [latency.reply("a", pause) for pause in range(20_000)]
    both = np.corrcoef([r.llm_ms for r in replies], [r.tts_ms for r in replies])
    assert abs(both[0, 1]) < 0.05


def test_an_instant_profile_is_instant() -> None:
    latency = from_profile(PROFILES["instant"])
    assert latency.ready_ms("a", 5).tolist() == [0] * 5
    assert "at once" in latency.says


def test_a_profile_says_where_its_figures_are_from() -> None:
    says = from_profile(STACK).says
    assert STACK in says
    assert "375" in says
    assert PROFILES[STACK].llm_first_token.source in says
    assert "\n" not in says


def test_a_profile_that_does_not_exist_is_the_users_mistake() -> None:
    with pytest.raises(UsageError, match=r"there are .*google-openai-google"):
        from_profile("warp")


def test_measured_replies_are_drawn_whole_and_all_of_them() -> None:
    measured = {(300, 100, 200), (500, 0, 90), (700, 50, 0)}
    latency = from_turns([turn(*stages) for stages in measured])
    replies = [latency.reply("a", pause) for pause in range(300)]
    assert {(r.llm_ms, r.clause_ms, r.tts_ms) for r in replies} == measured
    assert latency.says == "measured: 3 replies"


def test_turns_that_measured_no_reply_are_left_out_and_counted() -> None:
    def but(**changes: object) -> TurnRecord:
        return TurnRecord(**{**{name: getattr(turn(), name) for name in fields}, **changes})

    fields = ("call_id", "turn", "outcome", "stamps")
    latency = from_turns(
        [
            turn(),
            but(outcome="barged_in"),
            but(outcome="censored"),
            but(cache="hit"),
            but(cache="miss"),
            but(fallback=True),
            but(stamps=Stamps(reply_start=0, llm_first_token=5)),
            but(stamps=Stamps(reply_start=9, llm_first_token=5, tts_request=10, tts_ready=11)),
        ]
    )
    assert latency.says == (
        "measured: 2 replies; left out: 2 not answered, 2 with a ready phrase, "
        "2 without all four stamps in order"
    )
    assert set(latency.ready_ms("a", 100).tolist()) == {600}


@pytest.mark.parametrize("records", [[], [turn(outcome="abandoned")], [turn(llm_ms=-1)]])
def test_no_measured_reply_is_said_with_what_to_do(records: list[TurnRecord]) -> None:
    with pytest.raises(UsageError, match=r"no measured reply among .* name a profile") as caught:
        from_turns(records)
    assert "\n" not in str(caught.value)


def test_a_constant_reply_is_always_ready_after_that() -> None:
    latency = constant(730)
    assert latency.ready_ms("a", 130).tolist() == [730] * 130
    assert latency.reply("b", 7).ready_ms == 730
    assert "730 ms" in latency.says


def test_a_reply_cannot_be_ready_before_it_was_asked_for() -> None:
    with pytest.raises(UsageError, match="0 or more"):
        constant(-1)
