"""The words of a turn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.turn.transcript import TurnText, after_words, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, World!", ("hello", "world")),
        ("don't  stop", ("don't", "stop")),
        ('צה"ל בע\u05f4מ', ('צה"ל', "בע\u05f4מ")),
        ("42 #", ("42", "#")),
        ("... -- _", ()),
        ("", ()),
    ],
)
def test_words_are_told_without_case_and_punctuation(text: str, words: tuple[str, ...]) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("count", "rest"),
    [(0, "Yes, please. Two!"), (1, "please. Two!"), (2, "Two!"), (3, ""), (9, "")],
)
def test_the_rest_behind_some_words_keeps_its_looks(count: int, rest: str) -> None:
    assert after_words("Yes, please. Two!", count) == rest


@given(st.text(), st.integers(0, 5))
def test_what_is_left_has_exactly_the_words_left(text: str, count: int) -> None:
    assert words_of(after_words(text, count)) == words_of(text)[count:]


def test_a_partial_is_replaced_and_a_final_stays() -> None:
    text = TurnText()
    assert text.put("I want", 10, final=False)
    assert text.put("I want a", 20, final=False)
    assert text.put("I want a table", 30, final=True)
    assert text.put("for two", 40, final=False)
    assert (text.text, text.closed, text.open) == (
        "I want a table for two",
        "I want a table",
        "for two",
    )
    assert text.words == ("i", "want", "a", "table", "for", "two")


def test_only_a_change_of_words_counts_as_one() -> None:
    text = TurnText()
    assert text.put("hello", 10, final=False)
    assert not text.put("Hello!", 50, final=True)
    assert (text.changed_ms, text.heard_ms) == (10, 50)


def test_keys_pressed_one_after_another_make_one_number_beside_a_partial_too() -> None:
    text = TurnText()
    text.put("number", 5, final=False)
    text.put_digit("4", 10)
    text.put_digit("2", 20)
    assert text.text == "42 number"


@pytest.mark.parametrize(
    ("finals", "confidence"),
    [
        ([("one", 0.2), ("two three four", 0.6)], 0.5),
        ([("one", 0.2), ("...", None)], 0.2),
        ([("one two three", 0.7)], 0.7),
        ([("one", 0.2), ("two", None)], None),
        ([("", 0.0)], None),
        ([], None),
    ],
)
def test_the_confidence_of_a_turn_is_the_mean_over_its_words(
    finals: list[tuple[str, float | None]], confidence: float | None
) -> None:
    text = TurnText()
    for said, sure in finals:
        text.put(said, 10, final=True, confidence=sure)
    assert text.confidence == confidence


def test_nobody_is_sure_of_a_partial_and_everybody_of_a_key() -> None:
    text, more = TurnText(), TurnText()
    text.put_digit("4", 10)
    assert text.confidence == 1.0
    more.put("two", 20, final=True, confidence=0.5)
    text.absorb(more)
    assert text.confidence == 0.75
    other = text.copy()
    other.put("three", 30, final=False)
    assert (text.confidence, other.confidence) == (0.75, None)
    other.seal()
    assert other.confidence is None


def test_a_sealed_partial_is_not_replaced() -> None:
    text = TurnText()
    text.put("I want", 10, final=False)
    text.seal()
    text.put("a table", 20, final=False)
    assert text.text == "I want a table"


def test_absorbed_words_stand_behind() -> None:
    first, later = TurnText(), TurnText()
    first.put("I want", 10, final=False)
    first.absorb(later)
    assert (first.text, first.changed_ms) == ("I want", 10)
    later.put("a table", 30, final=False)
    first.absorb(later)
    assert (first.text, first.words, first.changed_ms) == (
        "I want a table",
        ("i", "want", "a", "table"),
        30,
    )
