"""How long each policy waits, by what was said and how this caller pauses."""

from __future__ import annotations

import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.turn.scenario import Scenario, utterance, voice
from tests.turn.test_wording import TEXTS

from voicelat.errors import InvalidSetting
from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.endpointing import AS_SET, EndpointPolicy, Fixed, Patience, Pause, endpointing
from voicelat.turn.policies import (
    LEAST_MS,
    TIMES,
    Adaptive,
    Context,
    Digits,
    PolicyConfig,
    PolicyName,
    Semantic,
    YesNo,
    policy,
)

CONFIG = PolicyConfig()

PAUSES = st.builds(
    Pause,
    voiced_ms=st.integers(0, 60_000),
    text=TEXTS,
    final=st.booleans(),
    hint=st.none() | st.floats(),
)
CHOICES = st.tuples(
    st.sampled_from(get_args(PolicyName)), st.sampled_from(get_args(Context)), st.just(CONFIG)
)


def after(text: str, hint: float | None = None) -> Pause:
    """A pause behind ``text``."""
    return Pause(voiced_ms=2000, text=text, final=True, hint=hint)


def taught(policy: EndpointPolicy, *holds_ms: int) -> Patience:
    """What ``policy`` says once it was told of these pauses."""
    for hold_ms in holds_ms:
        policy.resumed(hold_ms)
    return policy.judge(after("a table"))


# -- semantic ---------------------------------------------------------------------------------


def test_semantic_waits_longer_behind_an_unfinished_text_and_begins_no_work() -> None:
    patience = Semantic(Fixed()).judge(after("a table and"))
    assert patience == Patience(CONFIG.unfinished_times, speculate=False)


def test_semantic_waits_longest_where_the_model_hears_no_end_but_lets_the_work_begin() -> None:
    assert Semantic(Fixed()).judge(after("a table", 0.1)) == Patience(CONFIG.not_over_times)


@pytest.mark.parametrize("text", ["are you open?", "thank you, bye", "on Sunday,", "yes", ""])
def test_semantic_leaves_any_other_text_to_the_inner_policy(text: str) -> None:
    adaptive = Adaptive()
    taught(adaptive, 600, 600, 600)
    assert Semantic(adaptive).judge(after(text)) == Patience(least_ms=690)
    assert policy("semantic").judge(after(text)) == AS_SET


@pytest.mark.parametrize("hint", [0.16, 0.5, 0.99, 1.0, math.nan, math.inf, -0.1, -math.inf])
def test_any_other_hint_changes_nothing(hint: float) -> None:
    for text in ("a table", "a table and", "0 5 4"):
        assert policy("semantic").judge(after(text, hint)) == policy("semantic").judge(after(text))


@pytest.mark.parametrize("text", ["a table and", "0 5 4", "and A B C and"])
def test_of_two_reasons_to_wait_the_longer_wait_counts(text: str) -> None:
    patience = policy("semantic").judge(after(text, 0.1))
    assert patience == Patience(CONFIG.not_over_times, speculate=False)


def test_waiting_longer_never_lets_work_begin_that_the_inner_policy_forbids() -> None:
    patience = Semantic(Digits(Fixed())).judge(after("0 5 4", 0.1))
    assert patience == Patience(CONFIG.not_over_times, speculate=False)


def test_the_machine_waits_for_the_rest_of_an_unfinished_text() -> None:
    for chosen, commits in ((policy("semantic"), 1), (policy("fixed"), 2)):
        call = Scenario(chosen, speak_gate_ms=300)
        call.play(*utterance(1000, 2000, "I'd like a table and", 2100), *voice(2400, 2800))
        call.play((2900, on.Final("some chairs"))).wait(5000)
        assert len(call.all(do.CommitReply)) == commits


def test_no_model_call_is_made_for_an_unfinished_text_before_the_longer_wait_is_over() -> None:
    begun = [
        call.play(*utterance(1000, 2000, text, 2020)).wait(2239).all(do.StartReply)
        for call, text in (
            (Scenario(policy("semantic")), "I'd like a table and"),
            (Scenario(policy("semantic")), "I'd like a table"),
        )
    ]
    assert [bool(replies) for replies in begun] == [False, True]


# -- adaptive ---------------------------------------------------------------------------------


def test_adaptive_knows_nothing_of_a_caller_before_three_pauses() -> None:
    assert taught(Adaptive(), 700, 700) == AS_SET
    assert taught(Adaptive(), 700, 700, 700) == Patience(least_ms=805)


def test_adaptive_ignores_gaps_between_words() -> None:
    assert taught(Adaptive(), *[99] * 50) == AS_SET


def test_adaptive_relaxes_as_the_long_pauses_are_forgotten() -> None:
    policy = Adaptive()
    waits = [taught(policy, 800, 800, 800).least_ms]
    waits += [taught(policy, 300).least_ms for _ in range(CONFIG.holds)]
    assert waits == sorted(waits, reverse=True)
    assert (waits[1], waits[-1]) == (920, 345), "not at once, but in the end"


@given(
    st.lists(st.integers(100, 900), min_size=3, max_size=40),
    st.integers(0, 40),
    st.integers(1000, 9000),
)
def test_one_odd_pause_never_sets_the_gate(holds_ms: list[int], at: int, odd_ms: int) -> None:
    at = min(at, len(holds_ms))
    policy = Adaptive()
    for hold_ms in [*holds_ms[:at], odd_ms, *holds_ms[at:]]:
        policy.resumed(hold_ms)
        assert policy.judge(after("")).least_ms <= round(900 * CONFIG.hold_times)


@given(st.lists(st.integers(0, 100_000)))
def test_adaptive_stays_within_its_bound(holds_ms: list[int]) -> None:
    assert 0 <= taught(Adaptive(), *holds_ms).least_ms <= CONFIG.adaptive_most_ms


# -- contexts ---------------------------------------------------------------------------------


def test_digits_are_waited_for_however_many_there_are() -> None:
    digits = Digits(Fixed())
    for text in ("0 5 4", "0 5 4 5 5 5", "0 5 4 5 5 5 1 2 3 4"):
        assert digits.judge(after(text)) == Patience(CONFIG.digits_times, speculate=False)
    assert digits.judge(after("a table for two")) == AS_SET


def test_keys_are_not_waited_for_as_digits() -> None:
    assert Digits(Fixed()).judge(Pause(0, "4711", final=True, hint=None)) == AS_SET


@pytest.mark.parametrize("name", get_args(PolicyName))
def test_where_digits_are_asked_for_one_is_enough(name: PolicyName) -> None:
    assert policy(name, "digits").judge(after("two")).times == CONFIG.digits_times
    assert policy(name).judge(after("two")) == AS_SET


@pytest.mark.parametrize("name", get_args(PolicyName))
def test_an_answer_is_hastened_only_where_it_was_asked_for(name: PolicyName) -> None:
    assert policy(name, "yes_no").judge(after("yes")).times == CONFIG.answer_times
    assert policy(name, "yes_no").judge(after("yes, but on Sunday")) == AS_SET
    assert policy(name).judge(after("yes")) == AS_SET


def test_an_answer_shortens_what_the_inner_policy_asks_for_too() -> None:
    adaptive = Adaptive()
    taught(adaptive, 600, 600, 600)
    assert YesNo(adaptive, 0.5).judge(after("yes")) == Patience(0.5, 345)


def test_every_wrapper_tells_the_inner_policy_of_a_resumed_pause() -> None:
    adaptive = Adaptive()
    taught(Digits(YesNo(Semantic(adaptive))), 600, 600, 600)
    assert adaptive.judge(after("")).least_ms == 690


# -- all of them ------------------------------------------------------------------------------


@given(CHOICES, st.lists(st.integers(0, 100_000), max_size=20), PAUSES)
def test_patience_stays_within_its_bounds_for_any_text_and_past(
    choice: tuple[PolicyName, Context, PolicyConfig], holds_ms: list[int], pause: Pause
) -> None:
    chosen = policy(*choice)
    taught(chosen, *holds_ms)
    patience = chosen.judge(pause)
    assert TIMES[0] <= patience.times <= TIMES[1]
    assert LEAST_MS[0] <= patience.least_ms <= LEAST_MS[1]
    waits = endpointing(160, 500, patience)
    assert min(waits.hangover_ms, waits.gate_ms) >= 0


@given(CHOICES, st.lists(st.integers(0, 5000), max_size=20), PAUSES, PAUSES)
def test_same_pause_and_same_past_same_answer(
    choice: tuple[PolicyName, Context, PolicyConfig],
    holds_ms: list[int],
    pause: Pause,
    between: Pause,
) -> None:
    one, other = policy(*choice), policy(*choice)
    taught(one, *holds_ms)
    taught(other, *holds_ms)
    first = one.judge(pause)
    one.judge(between)
    assert one.judge(pause) == first == other.judge(pause)


def test_fixed_stays_as_set() -> None:
    assert policy("fixed") == Fixed()


@pytest.mark.parametrize("name", PolicyConfig.__struct_fields__)
@pytest.mark.parametrize("value", [-1, 1e9, math.nan])
def test_a_number_without_sense_is_refused(name: str, value: float) -> None:
    with pytest.raises(InvalidSetting, match=name):
        structs.replace(CONFIG, **{name: value})


def test_an_unknown_policy_or_context_is_named() -> None:
    with pytest.raises(InvalidSetting, match="EOU_POLICY='clever'"):
        policy("clever")  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="EOU_CONTEXT='email'"):
        policy("fixed", "email")  # type: ignore[arg-type]
