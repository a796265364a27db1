from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.engine.clauses import ClauseSplitter


def _split(text: str, max_words: int | None = None, step: int = 1) -> list[str]:
    """The clauses of ``text`` when it comes in pieces of ``step`` characters."""
    splitter = ClauseSplitter(max_words)
    clauses: list[str] = []
    for at in range(0, len(text), step):
        clauses += splitter.push(text[at : at + step])
    return clauses + splitter.flush()


def test_a_clause_is_given_as_soon_as_its_end_is_certain() -> None:
    splitter = ClauseSplitter()
    assert splitter.push("Sure, I can") == ["Sure,"]
    assert splitter.push(" do that.") == ["I can do that."]
    assert splitter.push(" Any") == []
    assert splitter.flush() == ["Any"]


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("It costs 2.30 or $1,200, all told.", ["It costs 2.30 or $1,200,", "all told."]),
        ("At 10:30. Not before.", ["At 10:30.", "Not before."]),
        ("Dr. Smith, e.g. is in.", ["Dr. Smith,", "e.g. is in."]),
        ("It is on Elm St. near No. 5.", ["It is on Elm St. near No. 5."]),
        ("We close at 5 p.m. on Fridays.", ["We close at 5 p.m. on Fridays."]),
        ('He said "yes". Good.', ['He said "yes".', "Good."]),
        ("Well\u2026 yes. Fine.", ["Well\u2026", "yes.", "Fine."]),
        ("It is free (really). Come!", ["It is free (really).", "Come!"]),
        ("בטח, אפשר לקבוע. מתי נוח לך?", ["בטח,", "אפשר לקבוע.", "מתי נוח לך?"]),
        ('זה עולה 2.30 ש"ח. תודה.', ['זה עולה 2.30 ש"ח.', "תודה."]),
        ("no end at all", ["no end at all"]),
        ("", []),
        (" \n ", []),
        ("Line one.\nLine two.", ["Line one.", "Line two."]),
    ],
)
def test_clauses_end_where_a_speaker_would_pause(text: str, clauses: list[str]) -> None:
    assert _split(text) == clauses


@pytest.mark.parametrize("number", ["2.30", "1,200", "10:30", "3.14159"])
def test_a_number_that_comes_in_two_pieces_is_not_cut(number: str) -> None:
    splitter = ClauseSplitter()
    for at in range(1, len(number)):
        assert splitter.push(f"{number[:at]}"[-1]) == []
    assert splitter.push(f"{number[-1]} shekels. ") == [f"{number} shekels."]


@given(st.text(st.sampled_from("ab1 .,!?:'\"()\nאב\u2026$"), max_size=80))
def test_no_word_is_lost_moved_or_cut(text: str) -> None:
    splitter = ClauseSplitter()
    clauses = [clause for piece in re.findall(r"\S+\s*", text) for clause in splitter.push(piece)]
    clauses += splitter.flush()
    assert _spoken(" ".join(clauses)) == _spoken(text)


@given(st.text(max_size=60), st.integers(min_value=1, max_value=7))
def test_whatever_the_pieces_no_sound_is_lost_or_moved(text: str, step: int) -> None:
    clauses = _split(text, step=step)
    assert list(filter(str.isalnum, "".join(clauses))) == list(filter(str.isalnum, text))
    assert all(clause == clause.strip() and _spoken(clause) for clause in clauses)


@pytest.mark.parametrize("text", ["Well... really?! Fine.", 'He said "Go." I went.', "Oh!! No."])
def test_marks_that_come_late_make_no_clause_of_their_own(text: str) -> None:
    assert all(clause[0].isalnum() for clause in _split(text)), _split(text)


def _spoken(text: str) -> list[str]:
    return [word for word in text.split() if any(map(str.isalnum, word))]


def test_the_word_limit_ends_the_reply_at_the_clause_that_reaches_it() -> None:
    text = "One two, three four, five six. Seven."
    assert _split(text, max_words=4) == ["One two,", "three four,"]
    assert _split(text, max_words=3) == ["One two,", "three four,"]
    assert _split(text, max_words=2) == ["One two,"]


def test_the_limit_never_cuts_a_clause_in_two() -> None:
    assert _split("a very long clause without any pause.", 3) == [
        "a very long clause without any pause."
    ]


def test_it_says_when_it_is_full() -> None:
    splitter = ClauseSplitter(2)
    splitter.push("One, ")
    assert not splitter.full
    assert splitter.push("two, three, ") == ["two,"]
    assert splitter.full
    assert splitter.push("four, ") == splitter.flush() == []


@given(st.lists(st.sampled_from(["yes,", "no", "maybe.", "2.30"]), max_size=20), st.integers(1, 9))
def test_a_limited_reply_is_a_beginning_of_the_whole_one(words: list[str], limit: int) -> None:
    text = " ".join(words)
    whole, limited = _split(text), _split(text, limit)
    assert limited == whole[: len(limited)]
    if limited != whole:
        assert sum(len(clause.split()) for clause in limited) >= limit
        assert sum(len(clause.split()) for clause in limited[:-1]) < limit
