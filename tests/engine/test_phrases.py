from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.engine.clauses import ClauseSplitter
from voicelat.engine.phrases import FILLERS, OPENINGS, normalised, phrase_key, stock_phrases

LRM, RLM, RLI, PDI = "\u200e", "\u200f", "\u2067", "\u2069"
"""Marks of writing direction."""
SHIN = "\ufb2a"
"""A letter with its point, in one character."""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (" Hello\n there. ", "Hello there."),
        ("Hello\u00a0there.", "Hello there."),
        ("cafe\u0301", "caf\u00e9"),
        ("רגע בודק...", "רגע בודק…"),
        ("One moment ...", "One moment…"),
        (f"{RLM}שלום!{LRM}", "שלום!"),
        (f"{RLI}שלום{PDI} !", "שלום!"),
        (f"{SHIN}לום", unicodedata.normalize("NFC", SHIN) + "לום"),
        ("שָׁלוֹם", unicodedata.normalize("NFD", "שָׁלוֹם")),
    ],
)
def test_what_sounds_the_same_is_one_phrase(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Sure.", "Sure,"),
        ("Sure.", "Sure?"),
        ("Sure.", "Sure"),
        ("Sure…", "Sure."),
        ("US.", "us."),
        ("שָׁלוֹם", "שלום"),
        ('צה"ל', "צהל"),
        ("בן-אדם", "בן אדם"),
        ("I see . She", "I see. She"),
    ],
)
def test_what_may_sound_different_is_not(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@given(st.text())
def test_a_normalised_text_stays_as_it_is(text: str) -> None:
    plain = normalised(text)
    assert normalised(plain) == plain
    assert plain == plain.strip()


@given(st.text(), st.sampled_from([" ", "\n", "\u00a0", "\u200f", "\ufeff"]))
def test_what_surrounds_a_text_does_not_matter(text: str, around: str) -> None:
    assert normalised(around + text + around) == normalised(text)


@given(st.text(st.characters(categories=["L", "Mn", "Nd"])))
def test_no_letter_point_or_digit_is_lost(word: str) -> None:
    assert normalised(word) == unicodedata.normalize("NFC", word)


@given(st.tuples(*[st.text()] * 3), st.tuples(*[st.text()] * 3))
def test_keys_are_equal_only_for_the_same_voice_language_and_phrase(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    assert len(phrase_key(*one)) == 64
    parts = [(voice, language, normalised(text)) for voice, language, text in (one, other)]
    if not any("\0" in part for part in (*one, *other)):
        assert (phrase_key(*one) == phrase_key(*other)) is (parts[0] == parts[1])


def test_a_text_that_is_no_unicode_has_a_key() -> None:
    assert phrase_key("voice", "en-US", "\ud800") != phrase_key("voice", "en-US", "?")


@pytest.mark.parametrize("language", ["he-IL", "he", "iw-IL"])
def test_hebrew_callers_are_met_in_hebrew(language: str) -> None:
    phrases = stock_phrases(language)
    assert {"שלום", "שלום,", "שלום!", "בשמחה", "בשמחה.", "רגע בודק…"} <= set(phrases)
    assert not any(char.isascii() and char.isalpha() for char in "".join(phrases))


def test_english_callers_have_the_twins() -> None:
    assert {"Hello,", "Sure.", "One moment, let me check…"} <= set(stock_phrases("en-GB"))
    assert OPENINGS.keys() == FILLERS.keys()


def test_a_language_without_stock_phrases_has_only_those_it_is_given() -> None:
    assert stock_phrases("fr-FR") == ()
    assert stock_phrases("fr-FR", ["Bonjour !"]) == ("Bonjour !",)


def test_given_phrases_come_whole_and_clause_by_clause_and_each_once() -> None:
    extra = [" Of course, one second. ", "", "Of course,", "Sure."]
    phrases = stock_phrases("en-US", extra)
    added = [phrase for phrase in phrases if phrase not in stock_phrases("en-US")]
    assert added == ["Of course, one second.", "Of course,", "one second."]
    assert len(phrases) == len(set(phrases))


@pytest.mark.parametrize("language", ["en-US", "he-IL"])
def test_every_clause_of_a_reply_that_opens_with_them_is_one(language: str) -> None:
    phrases = {normalised(phrase) for phrase in stock_phrases(language)}
    code = language[:2]
    openings = [f"{word}{mark}" for word in OPENINGS[code] for mark in ",.!"]
    for opening in (*openings, *FILLERS[code]):
        *clauses, rest = ClauseSplitter().push(f"{opening} I can. ")
        assert clauses
        assert {normalised(clause) for clause in clauses} <= phrases
        assert rest == "I can."
