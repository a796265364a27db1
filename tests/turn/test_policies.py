"""How long each policy waits, by what was said and how this caller pauses."""

from __future__ import annotations

import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.turn.scenario import Scenario, utterance, voice

from voicelat.errors import InvalidSetting
from voicelat.turn import effects as do
from voicelat.turn.endpointing import AS_SET, EndpointPolicy, Fixed, Patience, Pause, endpointing
from voicelat.turn.policies import (
    LEAST_MS,
    TIMES,
    Adaptive,
    Context,
    Digits,
    Ending,
    PolicyConfig,
    PolicyName,
    Semantic,
    YesNo,
    digits_at_end,
    ending,
    is_answer,
    policy,
)

CONFIG = PolicyConfig()
MAQAF, RLM, SURROGATE = "\u05be", "\u200f", "\ud800"

TEXTS = st.one_of(
    st.text(max_size=300),
    st.text(st.characters(), max_size=80),  # lone surrogates too
    st.text("אבגדהושתםן ,.?!-\u200f\u05b0\u05be", max_size=80),
    st.lists(
        st.sampled_from(["and", "um", "yes", "כן", "של", "two", "555", "a", "I'm", ",", "?", "-"]),
        max_size=400,
    ).map(" ".join),
)
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


# -- how a text ends --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # English, with and without a recogniser's punctuation
        ("I'd like to book a table for two", "unclear"),
        ("I'd like to book a table for two.", "unclear"),
        ("I'd like to book a", "cut"),
        ("I'd like to book a table and", "cut"),
        ("And I'm just.", "cut"),
        ("But.", "cut"),
        ("two days from now, but just kind of.", "cut"),
        ("my name is", "cut"),
        ("that's how it is", "unclear"),
        ("a lot of you, um,", "cut"),
        ("Uh", "cut"),
        ("well, you know", "cut"),
        ("I'll let you know", "unclear"),
        ("hold on", "cut"),
        ("let me check.", "cut"),
        ("yes, I'm", "cut"),
        ("yes, I am", "unclear"),
        ("they\u2019ve", "cut"),
        ("that's the car's", "unclear"),
        ("I need a new appoint-", "cut"),
        ("I need it on Sunday -", "cut"),
        ("on Sunday,", "open"),
        ("on Sunday...", "open"),
        ("on Sunday…", "open"),
        ("I think so", "unclear"),
        ("a week or so.", "unclear"),
        ("so", "cut"),
        ("come in", "unclear"),
        ("could you please", "cut"),
        ("a table for two, please", "finished"),
        ("where are you from?", "finished"),
        ('did he say "come in?"', "finished"),
        ("right?", "finished"),
        ("Thank you very much.", "finished"),
        ("that's all", "finished"),
        ("bye bye", "finished"),
        ("mm-hmm", "unclear"),
        # Hebrew
        ("אני רוצה להזמין שולחן לשניים", "unclear"),
        ("אני רוצה להזמין שולחן של", "cut"),
        ("אני רוצה לדבר עם", "cut"),
        ("אבל", "cut"),
        ("אני חושב כי.", "cut"),
        ("שולחן לשניים או", "cut"),
        ("אני מחפש את", "cut"),
        ("אני צריך תור לרופא ואז", "cut"),
        ("רציתי לשאול אה", "cut"),
        ("רציתי לשאול אממ...", "cut"),
        ("רגע", "cut"),
        ("תן לי לבדוק", "cut"),
        ("אני גר בתל" + MAQAF, "cut"),
        ("ביום ראשון,", "open"),
        ("גם אני", "unclear"),
        ("תודה רבה", "finished"),
        ("מתי אתם פתוחים?", "finished"),
        ("מתי אתם פתוחים?" + RLM, "finished"),
        ("אֲבָל", "cut"),
        # neither
        ("", "unclear"),
        ("...", "unclear"),
        (SURROGATE, "unclear"),
    ],
)
def test_a_text_is_judged_by_its_last_words(text: str, expected: Ending) -> None:
    assert ending(text) == expected


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("my number is 0 5 4", 3),
        ("my number is zero five four", 3),
        ("054-555", 6),
        ("A, S, I, T, I.", 5),
        ("it's double five", 2),
        ("אפס חמש ארבע", 3),
        ("john dot smith", 0),
        ("two people", 0),
        ("a table for two", 1),
        ("two thousand and eighteen", 1),
        ("at 10:30.", 0),
        ("it was 25.50", 0),
        ("at 8 a.m.", 0),
        ("in 2018.", 0),
        ("my code is 4018", 4),
        ("is it 555 1234?", 0),
        ("", 0),
    ],
)
def test_digits_and_letters_at_the_end_are_counted(text: str, count: int) -> None:
    assert digits_at_end(text) == count


@pytest.mark.parametrize(
    "text",
    [
        *("yes", "No.", "yeah, sure", "of course", "Of course not.", "no thank you", "yes please"),
        *("that's right", "uh-huh", "כן", "לא", "כן, בטח", "נכון.", "לא תודה", "אין בעיה, בסדר"),
    ],
)
def test_a_yes_or_a_no_is_an_answer(text: str) -> None:
    assert is_answer(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "yes, but", "yes,", "no I", "two", "please", "I am not", "no no no no no no"),
        *("כן אבל", "תודה", "yes " * 100),
    ],
)
def test_anything_more_is_not(text: str) -> None:
    assert not is_answer(text)


# -- semantic ---------------------------------------------------------------------------------


def test_semantic_waits_longer_behind_a_cut_text_and_begins_no_work() -> None:
    patience = Semantic(Fixed()).judge(after("a table and"))
    assert patience == Patience(CONFIG.cut_times, CONFIG.cut_least_ms, speculate=False)


def test_semantic_waits_longer_behind_a_comma_but_lets_the_work_begin() -> None:
    patience = Semantic(Fixed()).judge(after("on Sunday,"))
    assert patience == Patience(CONFIG.open_times, CONFIG.open_least_ms)


def test_semantic_waits_less_behind_a_question() -> None:
    assert Semantic(Fixed()).judge(after("are you open?")) == Patience(CONFIG.finished_times)


def test_semantic_leaves_an_unclear_text_to_the_inner_policy() -> None:
    adaptive = Adaptive()
    assert taught(Semantic(adaptive), 600, 600, 600) == adaptive.judge(after("a table"))
    assert Semantic(Fixed()).judge(after("a table")) == AS_SET


@pytest.mark.parametrize(
    ("hint", "text", "times"),
    [
        (0.95, "a table and", CONFIG.finished_times),
        (0.05, "are you open?", CONFIG.cut_times),
        (0.5, "are you open?", CONFIG.finished_times),
        (0.5, "a table and", CONFIG.cut_times),
        (0.5, "a table", 1.0),
        (math.nan, "a table", 1.0),
        (7.0, "a table", 1.0),
        (-1.0, "a table", 1.0),
    ],
)
def test_a_sure_hint_beats_the_text_and_the_text_an_unsure_one(
    hint: float, text: str, times: float
) -> None:
    assert Semantic(Fixed()).judge(after(text, hint)).times == times


def test_the_machine_waits_for_the_rest_of_a_cut_text() -> None:
    call = Scenario(policy("semantic"), speak_gate_ms=300)
    call.play(*utterance(1000, 2000, "I'd like a table and", 2100), *voice(2900, 3400)).wait(3500)
    assert not call.all(do.StartReply), "no model call for it"
    call.play(*utterance(3500, 4000, "some chairs, please?", 4100)).wait(6000)
    assert call.at(do.CommitReply) == 4000 + 180


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
        assert digits.judge(after(text)) == Patience(1.0, CONFIG.digits_least_ms, speculate=False)
    assert digits.judge(after("a table for two")) == AS_SET


def test_keys_are_not_waited_for_as_digits() -> None:
    assert Digits(Fixed()).judge(Pause(0, "4711", final=True, hint=None)) == AS_SET


def test_a_hint_does_not_end_a_number() -> None:
    assert policy("semantic").judge(after("0 5 4", 0.99)).least_ms == CONFIG.digits_least_ms


def test_a_context_is_readier_to_believe_what_it_expects() -> None:
    assert policy("fixed", "digits").judge(after("two")).least_ms == CONFIG.digits_least_ms
    assert policy("semantic").judge(after("two")) == AS_SET
    asked = policy("semantic", "yes_no").judge(after("yes"))
    unasked = policy("semantic").judge(after("yes"))
    assert (asked.times, unasked.times) == (CONFIG.expected_answer_times, CONFIG.answer_times)


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


@given(TEXTS, st.integers(0, 100_000))
def test_what_was_said_long_ago_changes_nothing(text: str, length: int) -> None:
    tail = "and then I would like " * 8 + text[-100:]
    assert ending("word " * (length // 5) + tail) == ending(tail)
    assert digits_at_end("word " * (length // 5) + tail) == digits_at_end(tail)


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
