"""Policies that listen: to how this caller pauses, and to what was said so far.

`Adaptive` remembers pauses, `Semantic` reads the text, `Digits` and `YesNo` know what is being
asked. All but the first are wrappers that judge what they know of and leave the rest to the
policy inside. None of them judges the sound: an end-of-turn model does, and its hint beats the
text where it is sure of itself.

Patience is for hangover and gate alike: where a least wait keeps the gate shut it keeps the turn
open too. The work begins in spite of it, speculatively, unless the text is worth none.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Final, Literal

from msgspec import Struct

from voicelat.errors import InvalidSetting
from voicelat.turn.endpointing import EndpointPolicy, Fixed, Patience, Pause
from voicelat.turn.transcript import words_of

__all__ = [
    "LEAST_MS",
    "TIMES",
    "Adaptive",
    "Context",
    "Digits",
    "Ending",
    "PolicyConfig",
    "PolicyName",
    "Semantic",
    "YesNo",
    "digits_at_end",
    "ending",
    "is_answer",
    "policy",
]

PolicyName = Literal["fixed", "adaptive", "semantic"]

Context = Literal["open", "digits", "yes_no"]
"""What the call asks for: anything, a number or a spelled name, or a yes or no."""

Ending = Literal["cut", "open", "unclear", "finished"]
"""How a text ends. cut: in a word that cannot be the last. open: in a comma or dots. unclear:
nothing says so or otherwise, as in most pauses. finished: in a question or a farewell."""

TIMES: Final = (0.25, 4.0)
"""No policy here is ever less or more patient than this many times what is set."""
LEAST_MS: Final = (0, 3000)
"""The same for its least wait. LiveKit's longest delay is 3 s too."""


class PolicyConfig(Struct, frozen=True, kw_only=True):
    """Every number of the policies. Raises InvalidSetting for one that makes no sense."""

    holds: int = 12
    """Pauses a caller is remembered by: a few turns. An odd one is forgotten after so many."""
    holds_needed: int = 3
    """Fewer pauses say nothing about a caller."""
    hold_share: float = 0.75
    """The gate waits for the pause that this share of the remembered ones does not exceed.
    Rounded down, so that the longest alone, however odd, never counts."""
    hold_times: float = 1.15
    """And this many times as long: the next pause may be a little longer."""
    shortest_hold_ms: int = 100
    """Shorter silences are gaps between words (livekit/eot-bench labels pauses from here on)."""
    adaptive_most_ms: int = 1200
    """However slow the caller: longer, and those who wait for an answer ask "hello?"."""

    hint_over: float = 0.85
    """An end-of-turn model at least this sure that the turn is over is believed."""
    hint_not_over: float = 0.15
    """And at most this sure, that it is not. Between the two the text decides."""
    cut_times: float = 1.5
    cut_least_ms: int = 1000
    """After "and" or "um" a caller goes on, but may need to think: of 38 pauses inside the turns of
    a recorded service call 33 were shorter. The text is worth no model call before that."""
    open_times: float = 1.25
    open_least_ms: int = 800
    """A comma is the recogniser's guess from the melody: weaker, and the words may be complete."""
    finished_times: float = 0.6
    """A question is rarely followed by more. Not shorter: "right?" is."""

    digits_run: int = 3
    """So many digits or letters in a row are a number being read out; "for two" is not."""
    digits_least_ms: int = 1200
    """Between the groups of a number people breathe and look: half a second to a second."""
    answer_times: float = 0.8
    """A yes or no that nothing is known to have asked for is often followed by more."""
    expected_answer_times: float = 0.5
    """One that was asked for rarely is."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value, (low, high) = getattr(self, name), _allowed(name)
            if not low <= value <= high:
                raise InvalidSetting(name, value, f"must be from {low} to {high}")


def _allowed(name: str) -> tuple[float, float]:
    if name.endswith("_times"):
        return TIMES
    if name.endswith("_ms"):
        return LEAST_MS
    return (1, 1000) if name in ("holds", "holds_needed", "digits_run") else (0, 1)


DEFAULT: Final = PolicyConfig()


class Adaptive:
    """Learns how long this caller pauses inside a turn and waits for longer than that.

    It only lengthens: set the gate for the quickest of callers, the others raise it. It follows
    a caller who becomes slower within a few pauses, and one who becomes quicker once the long
    pauses are forgotten.
    """

    __slots__ = ("_config", "_holds", "_patience")

    def __init__(self, config: PolicyConfig = DEFAULT) -> None:
        self._config = config
        self._holds: deque[int] = deque(maxlen=config.holds)
        self._patience = Patience()

    def judge(self, pause: Pause) -> Patience:
        """The least wait that this caller's pauses ask for, whatever the pause."""
        return self._patience

    def resumed(self, pause_ms: int) -> None:
        """Remember the pause, unless it is only a gap between words."""
        config = self._config
        if pause_ms < config.shortest_hold_ms:
            return
        self._holds.append(pause_ms)
        if len(self._holds) >= config.holds_needed:
            typical_ms = sorted(self._holds)[int((len(self._holds) - 1) * config.hold_share)]
            least_ms = round(typical_ms * config.hold_times)
            self._patience = Patience(least_ms=min(least_ms, config.adaptive_most_ms))


class Semantic(Struct, frozen=True):
    """Waits longer where the text looks unfinished, less where it looks finished.

    A hint of an end-of-turn model decides where it is sure; one outside 0..1 is no hint.
    """

    inner: EndpointPolicy
    config: PolicyConfig = DEFAULT

    def judge(self, pause: Pause) -> Patience:
        """The inner policy's patience, lengthened or shortened by how the text ends."""
        config, patience = self.config, self.inner.judge(pause)
        match self._ending(pause):
            case "cut":
                return _longer(patience, config.cut_times, config.cut_least_ms, speculate=False)
            case "open":
                return _longer(patience, config.open_times, config.open_least_ms)
            case "finished":
                return _shorter(patience, config.finished_times)
            case "unclear":
                return patience

    def resumed(self, pause_ms: int) -> None:
        """Nothing is learned here; the inner policy may."""
        self.inner.resumed(pause_ms)

    def _ending(self, pause: Pause) -> Ending:
        hint = pause.hint
        if hint is not None and self.config.hint_over <= hint <= 1:
            return "finished"
        if hint is not None and 0 <= hint <= self.config.hint_not_over:
            return "cut"
        return ending(pause.text)


class Digits(Struct, frozen=True):
    """Waits long while a number is read out or a name is spelled, however many are still to come.

    Also where a hint says otherwise: end-of-turn models are trained on sentences, and callers
    cut off in their numbers are what users of other stacks complain of (livekit/agents #3701).
    No reply is begun before that: the first groups would use up the turn's speculations. Keys
    are not waited for, they have their own gap.
    """

    inner: EndpointPolicy
    run: int = DEFAULT.digits_run
    """Digits or letters in a row that make a number."""
    least_ms: int = DEFAULT.digits_least_ms

    def judge(self, pause: Pause) -> Patience:
        """The inner policy's patience, lengthened behind digits."""
        patience = self.inner.judge(pause)
        if pause.voiced_ms == 0 or digits_at_end(pause.text) < self.run:
            return patience
        return _longer(patience, 1.0, self.least_ms, speculate=False)

    def resumed(self, pause_ms: int) -> None:
        """Nothing is learned here; the inner policy may."""
        self.inner.resumed(pause_ms)


class YesNo(Struct, frozen=True):
    """Waits less once the whole text is a yes or a no."""

    inner: EndpointPolicy
    times: float = DEFAULT.answer_times

    def judge(self, pause: Pause) -> Patience:
        """The inner policy's patience, shortened behind an answer."""
        patience = self.inner.judge(pause)
        return _shorter(patience, self.times) if is_answer(pause.text) else patience

    def resumed(self, pause_ms: int) -> None:
        """Nothing is learned here; the inner policy may."""
        self.inner.resumed(pause_ms)


def policy(
    name: PolicyName, context: Context = "open", config: PolicyConfig = DEFAULT
) -> EndpointPolicy:
    """A new policy for one call.

    ``semantic`` finds out by itself when digits come or an answer is given; a ``context`` other
    than open says that they are expected, and makes any policy ready to believe it. It is not
    adaptive too, for that takes the choice of a low gate away: ``Semantic(Adaptive())`` is.
    Raises InvalidSetting for a name or context that is none.
    """
    chosen: EndpointPolicy
    match name:
        case "fixed":
            chosen = Fixed()
        case "adaptive":
            chosen = Adaptive(config)
        case "semantic":
            chosen = Semantic(Fixed(), config)
        case _:
            raise InvalidSetting("EOU_POLICY", name, "must be fixed, adaptive or semantic")
    if context not in ("open", "digits", "yes_no"):
        raise InvalidSetting("EOU_CONTEXT", context, "must be open, digits or yes_no")
    if context == "yes_no":
        chosen = YesNo(chosen, config.expected_answer_times)
    elif name == "semantic":
        chosen = YesNo(chosen, config.answer_times)
    if context == "digits":
        chosen = Digits(chosen, 1, config.digits_least_ms)
    elif name == "semantic":
        chosen = Digits(chosen, config.digits_run, config.digits_least_ms)
    return chosen


# The more patient of two, or the less: never their product, which would leave the bounds.
def _longer(patience: Patience, times: float, least_ms: int, *, speculate: bool = True) -> Patience:
    times, least_ms = max(patience.times, times), max(patience.least_ms, least_ms)
    return Patience(times, least_ms, patience.speculate and speculate)


def _shorter(patience: Patience, times: float) -> Patience:
    least_ms = round(patience.least_ms * min(1.0, times))
    return Patience(min(patience.times, times), least_ms, patience.speculate)


# -- how a text ends --------------------------------------------------------------------------

_TAIL: Final = 160
"""Characters at the end that are looked at: every rule is about the last few words, so a long
turn costs no more than a short one."""

# Bidi controls, zero-width signs and Hebrew points: recognisers and keyboards leave them in
# texts, and no word differs by them. The maqaf (U+05BE) stays: it is a hyphen.
_INVISIBLE: Final = dict.fromkeys(
    [0x61C, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF]
    + [code for code in range(0x591, 0x5C8) if code != 0x5BE]
)
_QUOTES: Final = " \t\n\r\"'\u201d\u2019\u00bb)]"

# Words that no sentence ends in, or so few that waiting for those costs less than cutting off
# the others: articles, possessives, conjunctions, subjects, prepositions that are rarely
# stranded (not in, on, up, over: "come in"), fillers. Recognisers end them with a full stop as
# readily as any other ("But.", "Um."), so a full stop proves nothing.
_CUT_ENGLISH: Final = """
    a an the my your our their its every another and or but nor because cause cuz so if unless
    until till whether although while whereas than of to for from with at into onto between
    during via per as about regarding i we they he she just very um umm uhm uh er erm ah eh hm hmm
"""
_CUT_HEBREW: Final = """
    של את עם אבל כי או אם על אל מן ליד בין בגלל למרות כדי אז רק כמו אשר כאשר לכן אלא לגבי בקשר
    עד לפי מול אצל בשביל תוך מתוך לתוך מאז אני אנחנו שזה שאני שהוא שהיא שאם שיש כאילו יעני כלומר
    אה אמ אממ אמם אהם המ הממ ב ה כ ל מ ש
"""
_CUT: Final = frozenset([*_CUT_ENGLISH.split(), *_CUT_HEBREW.split()])

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
"""Endings that would look cut but are not."""
_PAUSING: Final = _phrases(
    "you know, i mean, name is, number is, address is, problem is, question is, hold on,"
    "hang on, one second, one sec, one moment, just a second,"
    "just a sec, just a moment, just a minute, let me see, let me check, let me look,"
    "let me think, let's see, you please, i please, רגע, שנייה, שניה, רק דקה, זאת אומרת,"
    "תן לי לבדוק, תני לי לבדוק, אני בודק, אני בודקת, בוא נראה, אפשר בבקשה"
)
"""Callers who say that more will come, or ask for time."""
_FAREWELLS: Final = _phrases(
    "please, thanks, thank you, thank you very much, thank you so much, bye, goodbye, that's it,"
    "that's all, that is all, בבקשה, תודה, תודה רבה, להתראות, ביי, זהו, זה הכל, זה הכול"
)
"""Words that close what was said."""

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


def ending(text: str) -> Ending:
    """How ``text`` ends, in English or Hebrew. Cost does not grow with its length."""
    tail = _tail(text)
    words = words_of(tail)[-4:]
    if not words:
        return "unclear"
    if tail.endswith(("?", "؟")):  # first: "where are you from?" is whole
        return "finished"
    said = " " + " ".join(words)
    if not said.endswith(_WHOLE):
        if said.endswith(_PAUSING) or _cannot_be_last(words[-1]):
            return "cut"
        if tail.endswith(("-", "\u05be", "\u2013", "\u2014")):
            return "cut"
    if tail.endswith((",", ";", ":", "…", "...")):
        return "open"
    return "finished" if said.endswith(_FAREWELLS) else "unclear"


def digits_at_end(text: str) -> int:
    """How many digits or single letters ``text`` ends with; a number's word is one of them.

    0 behind a clock time, a price, a year or a question. Counts no further than the last 160
    characters.
    """
    tail = _CLOCK_OR_PRICE.sub(" whole ", _tail(text))
    words = words_of(tail)
    if tail.endswith(("?", "؟")) or words[-2:] in (("a", "m"), ("p", "m")):
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
    """Whether all of ``text`` is a yes or a no, in English or Hebrew, and looks finished."""
    if len(text) > _TAIL:
        return False
    words = words_of(text.translate(_INVISIBLE))
    if len(words) > 5 or _ANSWERS.isdisjoint(words) or ending(text) in ("cut", "open"):
        return False
    return all(word in _ANSWERS or word in _BESIDE_ANSWERS for word in words)


def _tail(text: str) -> str:
    return text[-_TAIL:].translate(_INVISIBLE).rstrip(_QUOTES)


def _cannot_be_last(word: str) -> bool:
    bare = word.removeprefix("\u05d5")  # Hebrew writes "and" on the next word
    return not bare or not _CUT.isdisjoint((word, bare)) or bool(_CONTRACTED.fullmatch(word))
