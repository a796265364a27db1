from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.engine.clauses import ClauseSplitter, word_count


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
        ("Well\u2026 maybe. Fine.", ["Well\u2026", "maybe.", "Fine."]),
        ("No, not today. Oh, Sunday.", ["No, not today.", "Oh, Sunday."]),
        ("לא, לא היום. כן, מחר.", ["לא, לא היום.", "כן, מחר."]),
        ("קָשֶׁה לָךְ, אֲבָל כֵּן.", ["קָשֶׁה לָךְ,", "אֲבָל כֵּן."]),
        ("Is it 45? It is 46! Fine.", ["Is it 45?", "It is 46!", "Fine."]),
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


# -- no look-ahead ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "clause",
    ["Sure,", "Certainly.", "Are you sure?", "Of course!", "It is this:", "Well\u2026", "It is 45?",
     "Say (please).", "בטח,", "אפשר לקבוע.", "מתי נוח לך?", 'זה עולה חמישים ש"ח.'],
)  # fmt: skip
def test_a_clause_whose_end_is_certain_waits_for_no_other_token(clause: str) -> None:
    splitter = ClauseSplitter()
    *before, last = re.findall(r"\s*\S+", clause)
    assert [splitter.push(piece) for piece in before] == [[]] * len(before)
    assert splitter.push(last) == [clause]


@pytest.mark.parametrize("clause", ["It costs 45.", "We open at 10:", "There are 1,"])
def test_a_mark_behind_a_digit_waits_for_the_one_character_that_tells(clause: str) -> None:
    splitter = ClauseSplitter()
    assert splitter.push(clause) == []
    assert splitter.push(" ") == [clause]


@pytest.mark.parametrize("text", ["Oh, ", "No. ", "I, ", "לא, ", "5, "])
def test_no_voice_is_asked_for_a_single_syllable(text: str) -> None:
    splitter = ClauseSplitter()
    assert splitter.push(text) == []
    assert splitter.push("certainly.") == [f"{text}certainly."]


def test_a_single_syllable_that_is_all_there_is_is_said() -> None:
    assert _split("No.") == ["No."]


# -- a first clause without an end ------------------------------------------------------------


def _first(text: str, words: int) -> str:
    """What is given away first, when the text comes word by word and goes on."""
    splitter = ClauseSplitter(first_words=words)
    for piece in re.findall(r"\S+\s*", text):
        if clauses := splitter.push(piece):
            return clauses[0]
    return ""


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("I can certainly help you with that and then ", "I can certainly help you"),
        ("I can help you book this for about an hour", "I can help you book this"),
        ("one two three four five six seven eight ", "one two three four five six seven"),
        ("we have a table free tomorrow evening ", "we have a table free tomorrow evening"),
        ("אפשר לקבוע תור ביום שלישי אחרי הצהריים ", "אפשר לקבוע תור ביום שלישי"),
        ("אני יכולה לקבוע לך תור ולשלוח הודעה ", "אני יכולה לקבוע לך תור"),
        ("it is about 2.30 or 1,200 in all of it ", "it is about 2.30 or 1,200"),
    ],
)
def test_a_first_clause_without_an_end_is_given_away_where_one_takes_breath(
    text: str, clause: str
) -> None:
    assert _first(text, 7) == clause


def test_only_the_first_clause_is_cut_and_only_when_its_end_does_not_come() -> None:
    splitter = ClauseSplitter(first_words=4)
    assert splitter.push("One two three four, five six seven eight nine ten ") == [
        "One two three four,"
    ]
    assert splitter.push("eleven twelve ") == []
    assert ClauseSplitter(first_words=None).push("one two three four five six ") == []


def test_a_first_clause_that_is_cut_keeps_to_the_word_limit() -> None:
    splitter = ClauseSplitter(5, 7)
    assert splitter.push("one two three four five six seven ") == ["one two three four five"]
    assert splitter.push("eight nine ten.") == []
    assert splitter.full


def test_half_a_word_is_no_word_yet() -> None:
    splitter = ClauseSplitter(first_words=3)
    assert splitter.push("fiftyone fiftytwo fif") == []
    assert splitter.push("ty ") == ["fiftyone fiftytwo fifty"]


# -- the word limit ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("It costs 2.30, don't ask.", 5),
        ("yes\u2014no \u2013 maybe", 3),
        ("well-known", 1),
        ("תל\u05beאביב היא עיר", 4),  # noqa: RUF001 - Hebrew
        ('זה עולה חמישים ש"ח.', 4),
        ("... -- !", 0),
        ("", 0),
    ],
)
def test_words_are_counted_as_a_listener_hears_them(text: str, count: int) -> None:
    assert word_count(text) == count


@pytest.mark.parametrize("step", [1, 3, 100])
@pytest.mark.parametrize(
    ("text", "limit", "clauses"),
    [
        ("One two, three four, five six. Seven.", 4, ["One two,", "three four,"]),
        ("One two, three four, five six. Seven.", 5, ["One two,", "three four,"]),
        ("One two, three four, five six. Seven.", 6, ["One two,", "three four,", "five six."]),
        ("One two, three four, five six. Seven.", 3, ["One two,"]),
        ("בטח אפשר, מחר בבוקר, או בערב. ביי.", 4, ["בטח אפשר,", "מחר בבוקר,"]),
        ("בטח אפשר, מחר בבוקר, או בערב. ביי.", 3, ["בטח אפשר,"]),
    ],
)
def test_the_word_limit_falls_between_clauses(
    text: str, limit: int, clauses: list[str], step: int
) -> None:
    assert _split(text, limit, step) == clauses


@pytest.mark.parametrize("step", [1, 3, 100])
@pytest.mark.parametrize(
    ("text", "limit", "clauses"),
    [
        # Little was said, and the clause is not much too long: it is said whole.
        ("Sure, one two three four five six.", 6, ["Sure,", "one two three four five six."]),
        ("One two three four five six.", 4, ["One two three four five six."]),
        # Much too long: behind a mark, before a joining word, behind a word.
        ("It is at Elm St. beside a b c d e f g h i j.", 8, ["It is at Elm St."]),
        ("we open at ten and close at six every day of the week.", 5, ["we open at ten"]),
        (
            "We can help you book this for about an hour or two or three today.",
            8,
            ["We can help you book this"],
        ),
        ("a very long clause of words without any pause.", 3, ["a very long"]),
        ("אנחנו פתוחים כל יום כי יש לנו הרבה עבודה השבוע.", 5, ["אנחנו פתוחים כל יום"]),
        ("Sure, a b c d e f g h i j k l m.", 4, ["Sure,", "a b c"]),
    ],
)
def test_a_clause_is_cut_in_two_only_when_it_is_much_too_long(
    text: str, limit: int, clauses: list[str], step: int
) -> None:
    assert _split(text, limit, step) == clauses


def test_it_is_full_as_soon_as_that_is_certain() -> None:
    splitter = ClauseSplitter(4)
    splitter.push("Three words now, ")
    assert not splitter.full
    assert splitter.push("and two") == []
    assert not splitter.full, "the clause may have ended here"
    assert splitter.push(" more") == []
    assert splitter.full, "the rest of the clause is not waited for"
    assert splitter.push("four, ") == splitter.flush() == []


def test_it_is_full_when_the_limit_is_met_exactly() -> None:
    splitter = ClauseSplitter(2)
    assert splitter.push("Two words,") == ["Two words,"]
    assert splitter.full


_PIECES = st.sampled_from(
    ["Sure,", "no", "maybe.", "2.30", "and", "ולכן", "כי", "מחר,", "\u2014", "...", "tomorrow"]
)


@given(
    st.lists(_PIECES, max_size=60), st.integers(1, 30), st.integers(1, 12) | st.none(),
    st.integers(1, 9),
)  # fmt: skip
def test_a_limited_reply_is_a_beginning_of_the_whole_text_and_never_far_beyond_the_limit(
    words: list[str], limit: int, first: int | None, step: int
) -> None:
    text = " ".join(words)
    splitter = ClauseSplitter(limit, first)
    clauses = [c for at in range(0, len(text), step) for c in splitter.push(text[at : at + step])]
    said = _spoken(" ".join(clauses + splitter.flush()))
    assert said == _spoken(text)[: len(said)]
    assert word_count(" ".join(said)) <= limit * 3 // 2
    if word_count(text) <= limit:
        assert said == _spoken(text)
    elif word_count(text) > 0:
        assert said


@given(st.lists(_PIECES, max_size=60), st.integers(1, 30), st.integers(1, 9))
def test_the_limit_falls_at_the_same_word_whatever_the_pieces(
    words: list[str], limit: int, step: int
) -> None:
    text = " ".join(words)
    assert _split(text, limit, step) == _split(text, limit, len(text) or 1)
