"""A scripted receptionist: the language model of the embedded default.

A car repair shop answers by keyword, in English and Hebrew. It is deterministic and takes no
time of its own, so that a measured latency is the pipeline's. The tables below are all it knows.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final, Literal

from voicelat.providers.protocols import Prompt

__all__ = ["INTENTS", "Intent", "ScriptedReceptionist"]

Language = Literal["en", "he"]


@dataclass(frozen=True, slots=True)
class Intent:
    """One thing callers want. The first intent of the table with a matching word answers.

    Keywords are regular expressions of whole words; Hebrew ones may carry prefix letters.
    Replies have 8 to 24 words and a first clause of at most 5, so that speech starts early.
    """

    name: str
    keywords: dict[Language, str]
    replies: dict[Language, str]

    def matches(self, text: str, language: Language) -> bool:
        """Whether ``text`` has one of this intent's keywords."""
        return _words(self.keywords[language], language).search(text) is not None


class ScriptedReceptionist:
    """A `LanguageModel` that needs no model. One object serves any number of calls."""

    name = "receptionist"

    async def warm(self) -> None:
        """Nothing to load."""

    async def reply(self, prompt: Prompt) -> AsyncGenerator[str, None]:
        """Stream the reply word by word, at once.

        The caller's letters choose the language; a text without letters follows the prompt's
        language tag. ``max_words`` cuts the reply at that word.
        """
        words = _answer(prompt).split()
        for word in words[: prompt.max_words]:
            yield f"{word} "

    async def aclose(self) -> None:
        """Nothing to free."""


def _answer(prompt: Prompt) -> str:
    """The whole reply."""
    language = _language(prompt)
    text = " ".join(_WORD.findall(prompt.text.lower().replace("\u2019", "'")))
    if not text:
        return _NOT_HEARD[language]
    if slot := _slot(text, language, prompt):
        return slot
    for intent in INTENTS:
        if intent.matches(text, language):
            return intent.replies[language]
    return _FALLBACK[language].format(said=" ".join(text.split()[-5:]))


def _language(prompt: Prompt) -> Language:
    if _HEBREW.search(prompt.text):
        return "he"
    if any(char.isalpha() for char in prompt.text):
        return "en"
    return "he" if prompt.language.lower().startswith(("he", "iw")) else "en"


def _slot(text: str, language: Language, prompt: Prompt) -> str | None:
    """The answer to a name or a day, the two things a booking asks for."""
    if name := _NAME[language].search(text):
        return _GREETED[language].format(name=name[1].title())
    asked = bool(prompt.history) and _ASKED_DAY[language] in prompt.history[-1].text
    if asked and (day := _words(_DAY[language], language).search(text)):
        return _BOOKED[language].format(day=day[1])
    return None


def _words(pattern: str, language: Language) -> re.Pattern[str]:
    prefix = "[\u05d5\u05d1\u05dc\u05d4\u05e9\u05de\u05db]{0,2}" if language == "he" else ""
    return re.compile(rf"(?<!\w){prefix}({pattern})(?!\w)")


_HEBREW: Final = re.compile("[\u05d0-\u05ea]")
_WORD: Final = re.compile(r"[^\W_]+(?:[':.\"-][^\W_]+)*")

_NOT_HEARD: Final[dict[Language, str]] = {
    "en": "Sorry. I did not catch that. Could you please say it again?",
    "he": "סליחה. לא שמעתי טוב. אפשר לחזור על זה שוב, בבקשה?",
}
_FALLBACK: Final[dict[Language, str]] = {
    "en": "I see. You said {said}. Could you tell me a little more?",
    "he": "הבנתי. אמרת {said}. אפשר לספר לי על זה קצת יותר?",
}
_NAME: Final[dict[Language, re.Pattern[str]]] = {
    "en": re.compile(r"\b(?:my name is|my name's|this is|i am called) ([a-z']+)"),
    "he": re.compile(r"(?:קוראים לי|השם שלי הוא|השם שלי|שמי) ([א-ת]+)"),
}
_GREETED: Final[dict[Language, str]] = {
    "en": "Hello, {name}. Nice to meet you. Which day would suit you best?",
    "he": "שלום {name}. נעים מאוד להכיר. איזה יום הכי נוח לך?",
}
_ASKED_DAY: Final[dict[Language, str]] = {"en": "Which day", "he": "איזה יום"}
_DAY: Final[dict[Language, str]] = {
    "en": "today|tomorrow|monday|tuesday|wednesday|thursday|friday|saturday|sunday|next week",
    "he": "היום|מחר|ראשון|שני|שלישי|רביעי|חמישי|שישי|שבוע הבא",
}
_BOOKED: Final[dict[Language, str]] = {
    "en": "Perfect. I have put you down for {day}. We will send you a text message.",
    "he": "מצוין. רשמתי אותך ל{day}. נשלח לך הודעת אישור בטלפון.",
}

# From the most to the least particular: "how much is an oil change" is about the price.
INTENTS: Final = (
    Intent(
        "emergency",
        {
            "en": r"emergency|accident|tow(?:ed|ing)?|broke down|broken down|stuck|smoke|fire",
            "he": r"חירום|תאונה|גרר|גרירה|נתקע\w*|עשן",
        },
        {
            "en": "Stay safe. Please tell me where you are, and I will send a tow truck now.",
            "he": "הכול בסדר. תגיד לי איפה אתה, ואשלח אליך גרר עכשיו.",
        },
    ),
    Intent(
        "cancel",
        {"en": r"cancel\w*|call off", "he": r"לבטל|ביטול|תבטל\w*"},
        {
            "en": "No problem. I can cancel that for you. What name is the booking under?",
            "he": "אין בעיה. אני יכולה לבטל את זה. על איזה שם ההזמנה?",
        },
    ),
    Intent(
        "reschedule",
        {
            "en": r"reschedule|postpone|move my|change my (?:appointment|booking|time)",
            "he": r"לדחות|להזיז|לשנות את התור",
        },
        {
            "en": "Of course. We can move your appointment. Which day would be better for you?",
            "he": "בטח. אפשר להזיז את התור. איזה יום יהיה לך נוח יותר?",
        },
    ),
    Intent(
        "price",
        {
            "en": r"how much|price\w*|costs?|quote|estimate|expensive|fees?",
            "he": r"כמה עולה|כמה זה עולה|מחיר\w*|עלות|הצעת מחיר",
        },
        {
            "en": "Good question. An oil change is $45, and a full inspection is $80.",
            "he": "שאלה טובה. החלפת שמן עולה מאה שמונים שקל, ובדיקה מלאה שלוש מאות.",
        },
    ),
    Intent(
        "hours",
        {
            "en": r"hours|open|close[ds]?|closing|what time|weekends?|how late",
            "he": r"שעות|פתוח\w*|סגור\w*|באיזו שעה|מתי אתם",
        },
        {
            "en": "Sure. We are open from eight to six on weekdays, and until noon on Saturday.",
            "he": "בשמחה. אנחנו פתוחים משמונה עד שש בימי חול, ובשישי עד הצהריים.",
        },
    ),
    Intent(
        "status",
        {
            "en": r"is my car|my car ready|ready yet|status|pick (?:it )?up|collect",
            "he": r"מוכן|מוכנה|מה קורה עם|מצב הרכב|לאסוף",
        },
        {
            "en": "One moment. Your car is in the workshop, and should be ready by four today.",
            "he": "רק רגע. הרכב שלך במוסך, והוא אמור להיות מוכן היום בארבע.",
        },
    ),
    Intent(
        "location",
        {
            "en": r"where|address|location|located|directions|parking|find you",
            "he": r"איפה|כתובת|איך מגיעים|חניה|ממוקמים",
        },
        {
            "en": "Easy to find. We are at 12 Station Road, right behind the central library.",
            "he": "קל למצוא. אנחנו ברחוב התחנה שתים עשרה, ממש מאחורי הספרייה.",
        },
    ),
    Intent(
        "payment",
        {
            "en": r"pay(?:ing|ment)?|credit card|card|cash|insurance|invoice|receipt",
            "he": r"לשלם|תשלום|תשלומים|אשראי|מזומן|ביטוח|חשבונית|קבלה",
        },
        {
            "en": "Yes, of course. We take cards, cash, and most insurance plans at the desk.",
            "he": "כן, בטח. אפשר לשלם באשראי, במזומן, או דרך חברת הביטוח.",
        },
    ),
    Intent(
        "oil",
        {"en": r"oil|service|tune up|inspection|check ?up", "he": r"שמן|טיפול|טסט|בדיקה"},  # noqa: RUF001 - Hebrew
        {
            "en": "Happy to help. A service takes about an hour. Which day works for you?",
            "he": "נשמח לעזור. טיפול לוקח בערך שעה. איזה יום מתאים לך?",
        },
    ),
    Intent(
        "brakes",
        {"en": r"brakes?|braking|squeak\w*|grinding", "he": r"בלמים|ברקסים|חריקה|חורק\w*"},
        {
            "en": "Understood. Brakes should not wait. Can you bring the car in this afternoon?",
            "he": "הבנתי. עם בלמים לא מחכים. אפשר להביא את הרכב היום אחרי הצהריים?",
        },
    ),
    Intent(
        "tires",
        {"en": r"tires?|tyres?|flat|puncture|wheels?", "he": r"צמיג\w*|גלגל\w*|תקר|פנצ'ר|פנצר"},
        {
            "en": "No worries. We have most tires in stock, and fit them while you wait.",
            "he": "אין בעיה. יש לנו רוב הצמיגים במלאי, ומחליפים אותם בזמן שמחכים.",
        },
    ),
    Intent(
        "battery",
        {
            "en": r"battery|won't start|doesn't start|not start(?:ing)?|engine|warning light",
            "he": r"מצבר|סוללה|לא מניע\w*|לא נדלק\w*|מנוע|נורה",
        },
        {
            "en": "I understand. It may be the battery. We can test it for free this morning.",
            "he": "אני מבינה. אולי זה המצבר. נוכל לבדוק אותו הבוקר בחינם.",
        },
    ),
    Intent(
        "human",
        {
            "en": r"human|real person|agent|manager|representative|operator|somebody|someone",
            "he": r"נציג\w*|בן אדם|מנהל\w*|מישהו",
        },
        {
            "en": "Certainly. I will ask a colleague to call you back within ten minutes.",
            "he": "בוודאי. אבקש ממישהו מהצוות לחזור אליך תוך עשר דקות.",
        },
    ),
    Intent(
        "book",
        {
            "en": r"book\w*|appointment|schedule|reserve|reservation|come in|available|slot",
            "he": r"לקבוע|תור|פגישה|להזמין|פנוי|לבוא",
        },
        {
            "en": "Gladly. We have free times all week. Which day would suit you best?",
            "he": "בשמחה. יש לנו תורים פנויים כל השבוע. איזה יום נוח לך?",
        },
    ),
    Intent(
        "bye",
        {
            "en": r"bye|goodbye|good bye|that's all|that is all|thanks?|thank you",
            "he": r"ביי|להתראות|תודה|זה הכל|זה הכול",
        },
        {
            "en": "Thank you. It was nice talking to you, and have a lovely day.",
            "he": "תודה רבה. היה נעים לדבר איתך, ושיהיה לך יום נהדר.",
        },
    ),
    Intent(
        "hello",
        {
            "en": r"hello|hi|hey|good (?:morning|afternoon|evening)",
            "he": r"שלום|היי|הי|בוקר טוב|ערב טוב|צהריים טובים",
        },
        {
            "en": "Hello! Thank you for calling the garage. How can I help you today?",
            "he": "שלום! תודה שהתקשרת למוסך. איך אפשר לעזור לך היום?",
        },
    ),
    Intent(
        "yes_no",
        {
            "en": r"yes|yeah|yep|sure|okay|ok|no|nope|not really",
            "he": r"כן|לא|בסדר|אוקיי|בטח",
        },
        {
            "en": "All right. I have made a note of that. Is there anything else?",
            "he": "בסדר גמור. רשמתי את זה אצלי. יש עוד משהו שאפשר לעזור?",
        },
    ),
)
