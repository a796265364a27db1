"""What was said, and what a few rules make of it: the wish, the name, the details, the time.

English and Hebrew. The same text always gives the same answer. It is no understanding: it lets
the workflows be tried, tested and shown without an account.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final

__all__ = ["Heard", "intent_of"]

_WISHES: Final = {
    "calendar": r"appointment|schedul|\bbook\b|meeting|\bvisit|calendar|\bslot|come in|פגישה|תור"
    r"|לקבוע|יומן|ביקור",
    "crm": r"address|e-?mail|my (?:last )?name|number (?:is|has)|chang|updat|moved|correct|לעדכן"
    r"|לשנות|כתובת|מייל|עברתי|פרטים",
    "summary": r"summar|recap|סיכום|לסכם",
    "lead": r"price|cost|offer|quote|interested|\bbuy|product|\bdemo\b|מחיר|הצעה|מעוניי?נ|עולה"
    r"|לקנות",
    "template": r"call(?:ed)? (?:me )?back|call me|callback|status|my order|any news|חזרו אליי?"
    r"|לחזור אליי?|תתקשרו|מה קורה עם|הזמנה שלי",
}
_NOTHING: Final = ("none", "other", "general", "unknown")
_NAME: Final = re.compile(
    r"(?:(?i:my name is|this is)|שמי|קוראים לי|השם שלי(?: הוא)?)\s+"
    r"([A-Z\u05d0-\u05ea][\w'\u05f3-]*(?:\s[A-Z\u05d0-\u05ea][\w'\u05f3-]+)?)"
)
_EMAIL: Final = re.compile(r"[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,4}")
_PHONE: Final = re.compile(r"\+[1-9][0-9]{6,14}\b")
_ADDRESS: Final = re.compile(
    r"(?:(?i:address is|moved to)|הכתובת[^:,.]{0,20}היא|עברתי ל)\s*([^.,;\n]+)"
)
_HOURS: Final = (
    ("one", "אחת"),
    ("two", "שתיים"),
    ("three", "שלוש"),
    ("four", "ארבע"),
    ("five", "חמש"),
    ("six", "שש"),
    ("seven", "שבע"),
    ("eight", "שמונה"),
    ("nine", "תשע"),
    ("ten", "עשר"),
    ("eleven", "אחת עשרה"),
    ("twelve", "שתים עשרה"),
)
"""As they are said: a recogniser writes words where a keyboard writes digits."""
_WORDS: Final = {word: n for n, words in enumerate(_HOURS, start=1) for word in words}
_SPOKEN: Final = "|".join(sorted(_WORDS, key=len, reverse=True))
_HOUR: Final = re.compile(
    rf"(?:\bat|בשעה|ב-?)\s*(?:([0-9]{{1,2}})(?::([0-9]{{2}}))?|({_SPOKEN}))\b"
    r"(?:\s*(am|pm|in the evening|in the afternoon|בערב|אחר הצהריים)\b)?",
    re.I,
)
_LATER: Final = re.compile("pm|evening|afternoon|בערב|אחר", re.I)
_DAYS: Final = (
    ("monday", "יום שני"),
    ("tuesday", "יום שלישי"),
    ("wednesday", "יום רביעי"),
    ("thursday", "יום חמישי"),
    ("friday", "יום שישי"),
    ("saturday", "שבת"),
    ("sunday", "יום ראשון"),
)
_PROMISE: Final = re.compile(r"\b(?:will|we'll|I'll)\b|נחזור|אשלח|נשלח|אחזור")
_MESSAGE: Final = re.compile(r"whatsapp|message|send you|ווטסאפ|וואטסאפ|הודעה|אשלח|נשלח", re.I)
_LINE: Final = 160


def intent_of(text: str, choices: Sequence[str]) -> str:
    """The choice that the text speaks of most; where none, the one for nothing, or the first."""
    scores = {
        choice: len(re.findall(_WISHES[choice], text, re.I))
        for choice in choices
        if choice in _WISHES
    }
    best = max(scores, key=lambda choice: scores[choice], default=None)
    if best is not None and scores[best]:
        return best
    return next((choice for choice in choices if choice in _NOTHING), choices[0])


@dataclass(frozen=True, slots=True)
class Heard:
    """A message or a transcript."""

    turns: tuple[tuple[str, str], ...]
    """Who (caller, agent) and what."""
    at: datetime | None
    """When it was said. None: not known."""

    @classmethod
    def of(cls, message: Any) -> Heard:
        """From what a workflow or a person puts before a model: text, turns, a list of both."""
        turns: list[tuple[str, str]] = []
        at = None
        for part in message if isinstance(message, list) else [message]:
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                turns.append((str(part.get("speaker", "caller")), part["text"]))
            elif isinstance(part, str) and (instant := _instant(part)):
                at = instant
            elif part is not None:
                turns.append(("caller", str(part)))
        return cls(tuple(turns), at)

    @property
    def text(self) -> str:
        """What the caller said."""
        return " ".join(text for speaker, text in self.turns if speaker != "agent")

    @property
    def language(self) -> str:
        """Hebrew where there is a Hebrew letter."""
        return "he-IL" if re.search("[\u05d0-\u05ea]", self.text) else "en-US"

    @property
    def name(self) -> str | None:
        """As the caller gave it."""
        found = _NAME.search(self.text)
        return found[1] if found else None

    @property
    def phone(self) -> str | None:
        """The first number in E.164."""
        found = _PHONE.search(self.text)
        return found[0] if found else None

    @property
    def changes(self) -> list[dict[str, str]]:
        """Details that the caller gave."""
        found = {
            "email": _EMAIL.search(self.text),
            "address": _ADDRESS.search(self.text),
        }
        return [
            {"key": key, "value": match[match.lastindex or 0].strip()}
            for key, match in found.items()
            if match
        ]

    @property
    def summary(self) -> str:
        """By template: how much was said, the first words and the last."""
        said = [text for speaker, text in self.turns if speaker != "agent"] or [""]
        first, last = _line(said[0]), _line(said[-1])
        if self.language == "he-IL":
            return f"הפונה אמר: {first}" + (f" ובסוף: {last}" if len(said) > 1 else "")
        return f"The caller said: {first}" + (f" At the end: {last}" if len(said) > 1 else "")

    @property
    def promises(self) -> list[str]:
        """What the agent said it would do."""
        return [_line(text) for who, text in self.turns if who == "agent" and _PROMISE.search(text)]

    @property
    def message_promised(self) -> bool:
        """Whether one of the promises is a message."""
        return any(_MESSAGE.search(promise) for promise in self.promises)

    def window(self) -> tuple[str, str]:
        """Between which times an appointment is wished for: the hour that was named, or a working
        day, the next one where none was named. Without `at`, from the beginning of time.
        """
        now = self.at or datetime(1970, 1, 1, tzinfo=UTC)
        day = (now + timedelta(days=_days_ahead(self.text.lower(), now))).date()
        begin, length = time(9), timedelta(hours=8)
        if (found := _HOUR.search(self.text)) and (hour := _hour(*found.groups())) is not None:
            begin, length = hour, timedelta(hours=1)
        start = datetime.combine(day, begin, now.tzinfo)
        return start.isoformat(), (start + length).isoformat()


def _days_ahead(text: str, now: datetime) -> int:
    for number, names in enumerate(_DAYS):
        if any(name in text for name in names):
            return (number - now.weekday() - 1) % 7 + 1
    return 0 if _any(("today", "היום"), text) else 1


def _any(words: Iterable[str], text: str) -> bool:
    return any(word in text for word in words)


def _hour(
    digits: str | None, minute: str | None, word: str | None, half: str | None
) -> time | None:
    number = _WORDS[word.lower()] if word else int(digits or 0)
    if half and number <= 12:
        number = number % 12 + (12 if _LATER.search(half) else 0)
    return time(number, int(minute or 0)) if number < 24 and int(minute or 0) < 60 else None


def _instant(text: str) -> datetime | None:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    # No calendar goes on from the last year there is.
    return instant if instant.tzinfo and 1970 <= instant.year < 9999 else None


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LINE else f"{line[: _LINE - 1]}…"
