from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.providers.protocols import LanguageModel, Message, Prompt
from voicelat.providers.receptionist import INTENTS, ScriptedReceptionist


async def _reply(text: str, **prompt: object) -> list[str]:
    model: LanguageModel = ScriptedReceptionist()
    return [word async for word in model.reply(Prompt("call", 1, text, **prompt))]  # type: ignore[arg-type]


def test_it_knows_at_least_ten_things_in_both_languages() -> None:
    assert len(INTENTS) >= 10
    assert len({intent.name for intent in INTENTS}) == len(INTENTS)
    for intent in INTENTS:
        assert intent.keywords.keys() == intent.replies.keys() == {"en", "he"}


@pytest.mark.parametrize("reply", [r for intent in INTENTS for r in intent.replies.values()])
def test_replies_are_short_and_start_with_a_short_clause(reply: str) -> None:
    assert 8 <= len(reply.split()) <= 24
    assert len(re.split(r"[.,!?]", reply)[0].split()) <= 5


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("What are your opening hours?", "eight to six"),
        ("How much is an oil change?", "$45"),
        ("I'd like to book an appointment", "Which day"),
        ("I need to cancel my appointment tomorrow", "cancel that"),
        ("Where are you located?", "Station Road"),
        ("My brakes are squeaking.", "Brakes"),
        ("Is my car ready yet?", "workshop"),
        ("I got a flat tire.", "tires"),
        ("My car won\u2019t start", "battery"),
        ("Can I talk to a real person?", "colleague"),
        ("Hi there", "How can I help"),
        ("Thank you, bye", "lovely day"),
        ("מה שעות הפתיחה שלכם?", "משמונה עד שש"),
        ("כמה עולה החלפת שמן?", "שקל"),
        ("אני רוצה לקבוע תור", "איזה יום"),
        ("הבלמים שלי חורקים", "בלמים"),
        ("איפה אתם נמצאים?", "התחנה"),
    ],
)
async def test_callers_get_what_they_ask_for_in_their_language(text: str, part: str) -> None:
    assert part in "".join(await _reply(text))


async def test_it_streams_word_by_word() -> None:
    words = await _reply("hello")
    assert len(words) > 8
    assert all(word.endswith(" ") and " " not in word[:-1] for word in words)


async def test_what_it_does_not_know_is_repeated_back() -> None:
    said = "".join(await _reply("My llama ate the purple steering thing"))
    assert "You said ate the purple steering thing" in said
    assert "הירוקה אכלה לי הגה" in "".join(await _reply("הלמה הירוקה אכלה לי הגה"))


async def test_a_name_is_used_and_a_day_is_booked_once_asked_for() -> None:
    greeting = "".join(await _reply("My name is dana."))
    assert "Hello, Dana." in greeting
    history = (Message("caller", "My name is dana."), Message("agent", greeting))
    assert "down for tuesday" in "".join(await _reply("Tuesday is fine", history=history))
    assert "down for" not in "".join(await _reply("Tuesday is fine"))


async def test_silence_follows_the_calls_language() -> None:
    assert "Sorry." in "".join(await _reply("..."))
    assert "סליחה." in "".join(await _reply("", language="he-IL"))


async def test_a_word_limit_is_kept() -> None:
    assert len(await _reply("opening hours", max_words=5)) == 5


@given(st.text(max_size=200))
async def test_any_text_gets_the_same_short_answer_every_time(text: str) -> None:
    words = await _reply(text)
    assert words == await _reply(text)
    assert 8 <= len(words) <= 24
