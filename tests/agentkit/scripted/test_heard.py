from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.agentkit.scripted.heard import Heard, intent_of

CHOICES = ["calendar", "crm", "lead", "none", "summary", "template"]
SUNDAY = "2026-03-01T09:30:00+02:00"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I'd like to book an appointment for tomorrow", "calendar"),
        ("אפשר לקבוע תור ליום שלישי?", "calendar"),
        ("Please update my e-mail to dana@example.com", "crm"),
        ("עברתי דירה, צריך לעדכן כתובת", "crm"),
        ("Can you send me a summary of this call?", "summary"),
        ("What does it cost? I'm interested.", "lead"),
        ("כמה זה עולה?", "lead"),
        ("Please call me back", "template"),
        ("Thanks, bye!", "none"),
        ("", "none"),
    ],
)
def test_a_wish_is_known_by_its_words(text: str, expected: str) -> None:
    assert intent_of(text, CHOICES) == expected


def test_only_what_may_be_chosen_is_chosen() -> None:
    assert intent_of("book an appointment", ["crm", "other"]) == "other"
    assert intent_of("hello", ["yes", "no"]) == "yes"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Hi, my name is Dana Levi, I'd like", "Dana Levi"),
        ("שלום, שמי דנה לוי ואני", "דנה לוי"),
        ("this is great", None),
        ("nothing", None),
    ],
)
def test_a_name_is_what_follows_my_name_is(text: str, name: str | None) -> None:
    assert Heard.of(text).name == name


def test_details_are_found_where_they_are_given() -> None:
    heard = Heard.of("My e-mail is dana@example.com and my new address is 5 Herzl St, Haifa.")
    assert heard.changes == [
        {"key": "email", "value": "dana@example.com"},
        {"key": "address", "value": "5 Herzl St"},
    ]
    assert Heard.of("Call +972501234567 now").phone == "+972501234567"


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("tomorrow at 3 pm", "2026-03-02T15:00", "2026-03-02T16:00"),
        ("today at 10:30", "2026-03-01T10:30", "2026-03-01T11:30"),
        ("an appointment tomorrow at ten", "2026-03-02T10:00", "2026-03-02T11:00"),
        ("today at eight in the evening", "2026-03-01T20:00", "2026-03-01T21:00"),
        ("מחר בשעה אחת עשרה", "2026-03-02T11:00", "2026-03-02T12:00"),
        ("מחר בעשר בבוקר", "2026-03-02T10:00", "2026-03-02T11:00"),
        ("היום בשמונה בערב", "2026-03-01T20:00", "2026-03-01T21:00"),
        ("at tension", "2026-03-02T09:00", "2026-03-02T17:00"),
        ("on Sunday", "2026-03-08T09:00", "2026-03-08T17:00"),
        ("ביום שלישי בשעה 12", "2026-03-03T12:00", "2026-03-03T13:00"),
        ("9999-12-31T23:00:00Z", "2026-03-02T09:00", "2026-03-02T17:00"),
        ("at 99", "2026-03-02T09:00", "2026-03-02T17:00"),
    ],
)
def test_a_time_is_counted_from_when_it_was_said(text: str, start: str, end: str) -> None:
    assert Heard.of([SUNDAY, text]).window() == (f"{start}:00+02:00", f"{end}:00+02:00")


def test_a_summary_says_the_first_and_the_last() -> None:
    turns = [
        {"turn": 1, "speaker": "caller", "text": "I need a plumber."},
        {"turn": 1, "speaker": "agent", "text": "We will send you a message."},
        {"turn": 2, "speaker": "caller", "text": "Thanks."},
    ]
    heard = Heard.of(turns)
    assert heard.summary == "The caller said: I need a plumber. At the end: Thanks."
    assert heard.promises == ["We will send you a message."]
    assert heard.message_promised
    assert heard.language == "en-US"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["text", "speaker"]), inner),
    max_leaves=8,
)


@given(JSON)
def test_anything_can_be_heard(message: object) -> None:
    heard = Heard.of(message)
    assert intent_of(heard.text, CHOICES) in CHOICES
    assert heard.language in ("he-IL", "en-US")
    assert heard.summary
    start, end = map(datetime.fromisoformat, heard.window())
    assert start < end
    assert heard == Heard.of(message)
