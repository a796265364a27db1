"""What a caller's words say about whether more will come, in English and Hebrew.

Only what was worth its place on recorded calls (``benchmarks/policies.py``) is read: words that
cannot be the last, digits at the end, and a bare yes or no. Question marks, farewells and commas
told nothing there: callers go on behind each of them, and recognisers set them as they please.
"""

from __future__ import annotations

import re
from typing import Final

from voicelat.turn.transcript import words_of

__all__ = ["digits_at_end", "is_answer", "is_unfinished"]

_TAIL: Final = 160
"""Characters at the end that are looked at: every rule is about the last few words, so a long
turn costs no more than a short one."""

# Bidi controls, zero-width signs and Hebrew points: recognisers and keyboards leave them in
# texts, and no word differs by them. The maqaf (U+05BE) stays: it is a hyphen.
_INVISIBLE: Final = dict.fromkeys(
    [0x61C, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF]
    + [code for code in range(0x591, 0x5C8) if code != 0x5BE]
)
_CLOSING: Final = " \t\n\r\"'\u201d\u2019\u00bb)]"
_QUESTION: Final = ("?", "\u061f")
_HYPHENS: Final = ("-", "\u05be", "\u2013", "\u2014")

# Words that no sentence ends in, or so few that waiting for those costs less than cutting off
# the others: articles, possessives, conjunctions, subjects, prepositions that are rarely
# stranded (not in, on, up, over: "come in"), fillers. Recognisers end them with a full stop as
# readily as any other ("But.", "Um."), so a full stop proves nothing.
_NEVER_LAST_ENGLISH: Final = """
    a an the my your our their its every another and or but nor because cause cuz so if unless
    until till whether although while whereas than of to for from with at into onto between
    during via per as about regarding i we they he she just very um umm uhm uh er erm ah eh hm hmm
"""
_NEVER_LAST_HEBREW: Final = """
    של את עם אבל כי או אם על אל מן ליד בין בגלל למרות כדי אז רק כמו אשר כאשר לכן אלא לגבי בקשר
    עד לפי מול אצל בשביל תוך מתוך לתוך מאז אני אנחנו שזה שאני שהוא שהיא שאם שיש כאילו יעני כלומר
    אה אמ אממ אמם אהם המ הממ ב ה כ ל מ ש
"""
_NEVER_LAST: Final = frozenset([*_NEVER_LAST_ENGLISH.split(), *_NEVER_LAST_HEBREW.split()])

# A contracted verb cannot be the last word: not "yes, I'm" but "yes, I am".
_CONTRACTED: Final = re.compile(
    r"[^\W\d_]+['\u2019](?:m|re|ve|ll)"
    r"|(?:i|you|he|she|it|we|they|that|there|here|what|who|where|let)['\u2019](?:s|d)"
)


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(f" {phrase.strip()}" for phrase in text.split(","))


_WHOLE: Final = _phrases(
    "think so, hope so, guess so, say so, said so, suppose so, believe so, or so, mm hmm, mm hm,"
    "so do i, so am i, neither do i, than i, let you know, do you know, did you know, as you know,"
    "what i mean, גם אני, גם אנחנו, זה אני, רק אני, מי את, מה את"
)
"""Endings that would look unfinished but are not."""
_PAUSING: Final = _phrases(
    "you know, i mean, name is, number is, address is, problem is, question is, hold on,"
    "hang on, one second, one sec, one moment, just a second,"
    "just a sec, just a moment, just a minute, let me see, let me check, let me look,"
    "let me think, let's see, you please, i please, רגע, שנייה, שניה, רק דקה, זאת אומרת,"
    "תן לי לבדוק, תני לי לבדוק, אני בודק, אני בודקת, בוא נראה, אפשר בבקשה"
)
"""Callers who say that more will come, or ask for time."""

_YES_OR_NO: Final = """
    yes yeah yep yup yea no nope nah sure ok okay right correct exactly absolutely definitely
    certainly alright fine huh hmm mhm uhhuh course
    כן לא בטח נכון סבבה בסדר בוודאי ודאי אוקיי אוקי מסכים מסכימה מעולה ברור כמובן בדיוק חיובי שלילי
"""
_BESIDE: Final = """
    please thanks thank you of that's that is it it's i do did am was will not really so uh mm oh
    sir ma'am madam
    תודה רבה בבקשה ממש אין בעיה זה אני
"""
_ANSWERS: Final = frozenset(_YES_OR_NO.split())
_BESIDE_ANSWERS: Final = frozenset(_BESIDE.split())

_DIGITS: Final = """
    zero oh one two three four five six seven eight nine ten eleven twelve thirteen fourteen
    fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty
    ninety hundred thousand double triple dash dot underscore hyphen slash
    אפס אחת אחד שתיים שניים שלוש שלושה ארבע ארבעה חמש חמישה שש שישה שבע שבעה שמונה תשע תשעה עשר
    עשרה עשרים שלושים ארבעים חמישים שישים שבעים שמונים תשעים מאה מקף נקודה
"""
_NUMBERS: Final = frozenset(_DIGITS.split())
# "10:30" and "25.50" are whole; a full stop behind them is not part of them.
_CLOCK_OR_PRICE: Final = re.compile(r"(?<![\d.:])\d{1,3}[:.]\d\d(?![.:]?\d)")


def is_unfinished(text: str) -> bool:
    """Whether ``text`` ends in what cannot be the last word, or asks for time.

    False for a question ("where are you from?") and for no words at all. Cost does not grow with
    the length of ``text``.
    """
    tail = _tail(text)
    words = words_of(tail)[-4:]
    if not words or tail.endswith(_QUESTION):
        return False
    said = " " + " ".join(words)
    if said.endswith(_WHOLE):
        return False
    return said.endswith(_PAUSING) or tail.endswith(_HYPHENS) or _is_never_last(words[-1])


def digits_at_end(text: str) -> int:
    """How many digits or single letters ``text`` ends with; a number's word is one of them.

    0 behind a clock time, a price, a year or a question. Counts no further than the last 160
    characters.
    """
    tail = _CLOCK_OR_PRICE.sub(" whole ", _tail(text))
    words = words_of(tail)
    if tail.endswith(_QUESTION) or words[-2:] in (("a", "m"), ("p", "m")):
        return 0
    run = []
    for word in reversed(words):
        if word.isdecimal():
            run.append(len(word))
        elif word in _NUMBERS or (len(word) == 1 and word.isalpha()):
            run.append(1)
        else:
            break
    is_year = run == [4] and words[-1].startswith(("19", "20"))
    return 0 if is_year else sum(run)


def is_answer(text: str) -> bool:
    """Whether all of ``text`` is a yes or a no that could be the last word."""
    if len(text) > _TAIL:
        return False
    words = words_of(text.translate(_INVISIBLE))
    if len(words) > 5 or _ANSWERS.isdisjoint(words) or is_unfinished(text):
        return False
    return all(word in _ANSWERS or word in _BESIDE_ANSWERS for word in words)


def _tail(text: str) -> str:
    return text[-_TAIL:].translate(_INVISIBLE).rstrip(_CLOSING)


def _is_never_last(word: str) -> bool:
    bare = word.removeprefix("\u05d5")  # Hebrew writes "and" on the next word
    return not bare or not _NEVER_LAST.isdisjoint((word, bare)) or bool(_CONTRACTED.fullmatch(word))
