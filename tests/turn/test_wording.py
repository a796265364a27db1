"""What the end of a text says, in English and Hebrew."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.turn.wording import digits_at_end, is_answer, is_unfinished

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


@pytest.mark.parametrize(
    "text",
    [
        # English, with and without a recogniser's punctuation
        *("I'd like to book a", "I'd like to book a table and", "And I'm just.", "But.", "so"),
        *("two days from now, but just kind of.", "my name is", "a lot of you, um,", "Uh"),
        *("well, you know", "hold on", "let me check.", "yes, I'm", "they\u2019ve", "and..."),
        *("I need a new appoint-", "I need it on Sunday -", "could you please"),
        # Hebrew
        *("אני רוצה להזמין שולחן של", "אני רוצה לדבר עם", "אבל", "אני חושב כי.", "שולחן לשניים או"),
        *("אני מחפש את", "אני צריך תור לרופא ואז", "רציתי לשאול אה", "רציתי לשאול אממ...", "רגע"),
        *("תן לי לבדוק", "אני גר בתל" + MAQAF, "אֲבָל"),
    ],
)
def test_a_text_that_ends_in_no_last_word_is_unfinished(text: str) -> None:
    assert is_unfinished(text)


@pytest.mark.parametrize(
    "text",
    [
        *("I'd like to book a table for two", "I'd like to book a table for two.", "come in"),
        *("that's how it is", "I'll let you know", "yes, I am", "that's the car's", "mm-hmm"),
        *("I think so", "a week or so.", "a table for two, please", "Thank you very much."),
        *("where are you from?", 'did he say "come in?"', "right?", "bye bye"),
        *("אני רוצה להזמין שולחן לשניים", "גם אני", "תודה רבה", "מתי אתם פתוחים?"),
        *("עם מי אני?" + RLM, "", "...", SURROGATE),
    ],
)
def test_a_text_that_could_be_all_is_not(text: str) -> None:
    assert not is_unfinished(text)


@pytest.mark.parametrize("text", ["on Sunday,", "on Sunday...", "on Sunday…", "ביום ראשון,"])
def test_a_comma_or_dots_alone_prove_nothing(text: str) -> None:
    assert not is_unfinished(text)


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
        *("", "yes, but", "no I", "two", "please", "I am not", "no no no no no no"),
        *("כן אבל", "תודה", "yes " * 100),
    ],
)
def test_anything_more_is_not(text: str) -> None:
    assert not is_answer(text)


@given(TEXTS, st.integers(0, 100_000))
def test_what_was_said_long_ago_changes_nothing(text: str, length: int) -> None:
    tail = "and then I would like " * 8 + text[-100:]
    assert is_unfinished("word " * (length // 5) + tail) == is_unfinished(tail)
    assert digits_at_end("word " * (length // 5) + tail) == digits_at_end(tail)


@given(TEXTS)
def test_any_text_is_read(text: str) -> None:
    assert not (is_answer(text) and is_unfinished(text))
    assert digits_at_end(text) <= len(text)
