from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.providers.local.spoken import Clause, clauses, foreign_letters, spoken


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("It's 2:30 pm.", "It's 2 30 pm."),
        ("at 10 a.m. sharp", "at 10 am sharp"),
        ("from 9:00 until 17:05", "from 9 o'clock until 17 oh 5"),
        ("at 9:00 AM", "at 9 am"),
        ("It is $45.50 today.", "It is $45.50 today."),
        ("Call 555-0123", "Call 5 5 5, 0 1 2 3"),
        ("Call +1 (212) 555-0123", "Call 1, 2 1 2, 5 5 5, 0 1 2 3"),
        ("order 0501234567", "order 0 5 0 1 2 3 4 5 6 7"),
        ("1,000,000 people in 2026", "1,000,000 people in 2026"),
        ("open 8-6, 24/7", "open 8 to 6, 24/7"),
        ("on 2026-11-05", "on 2026-11-05"),
        ("Café \u2014 \u201chello\u201d \u2026 it\u2019s ok", "Cafe, hello. it's ok"),
        ("\U0001f642", ""),
    ],
)
def test_numbers_and_signs_are_read_as_people_say_them(written: str, said: str) -> None:
    assert spoken(written).removesuffix(".") == said.removesuffix(".")


def test_the_first_clause_is_as_short_as_it_is_written() -> None:
    assert clauses("Sure. We are open from eight to six, and closed on Sunday!") == [
        Clause("Sure.", 250),
        Clause("We are open from eight to six,", 120),
        Clause("and closed on Sunday!", 250),
    ]


def test_later_crumbs_are_said_together() -> None:
    said = [clause.text for clause in clauses("We sell red, green, blue, and yellow cars.")]
    assert said == ["We sell red,", "green, blue, and yellow cars."]


def test_titles_end_no_clause() -> None:
    assert clauses("Ask Dr. Smith about it") == [Clause("Ask Dr. Smith about it", 0)]


@pytest.mark.parametrize("text", ["", "  ", "...", "?!, \u2026", "\U0001f642", '"-"'])
def test_without_words_there_is_nothing_to_say(text: str) -> None:
    assert clauses(text) == []


@pytest.mark.parametrize(
    ("text", "letters"),
    [("שלום שלום John", "שלום"), ("naïve café", ""), ("Привет", "Привет"), ("it\u02bcs 5 % ½", "")],
)
def test_letters_that_are_not_latin_are_named(text: str, letters: str) -> None:
    assert foreign_letters(text) == letters


@given(st.text(max_size=300))
def test_any_text_becomes_short_speakable_clauses(text: str) -> None:
    for clause in clauses(text):
        assert clause.text.isascii()
        assert any(char.isalnum() for char in clause.text)
        assert len(clause.text.split()) <= 25
        assert max(map(len, clause.text.split())) <= 300


@given(
    st.lists(
        st.sampled_from(["one", "two", "four,", "five.", "six;", "seven!", "8:30"]), max_size=60
    )
)
def test_no_word_is_lost_between_clauses(words: list[str]) -> None:
    text = " ".join(words)
    assert " ".join(clause.text for clause in clauses(text)) == spoken(text)
