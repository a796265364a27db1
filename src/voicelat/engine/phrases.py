"""What agents say first, and when two spellings of it are one phrase.

A reply that opens with a phrase in hand sounds as soon as its first word is written, while the
rest is still being made. Models open with few words, and a pause is bridged with fewer still.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from voicelat.engine.clauses import ClauseSplitter

__all__ = ["FILLERS", "OPENINGS", "normalised", "phrase_key", "stock_phrases"]

OPENINGS: Final = {"en": ("Hello", "Sure"), "he": ("שלום", "בשמחה")}
"""By language: words that begin a reply, without the mark behind them."""
FILLERS: Final = {"en": ("One moment, let me check…",), "he": ("רגע בודק…",)}
"""By language: what bridges a pause."""

_FORMER: Final = {"iw": "he"}
"""Codes that speech services still use for what has another one now."""

# A mark is heard: "Sure," stays up and "Sure." falls. So each of them is a phrase of its own.
_MARKS: Final = ("", ",", ".", "!")

# They order letters on a page and have no sound. Models put them around Hebrew.
_UNHEARD: Final = dict.fromkeys(
    [0x00AD, 0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF]
)
_DOTS: Final = re.compile(r"\.{2,}")
_LOOSE_MARK: Final = re.compile(r"\s+(?=[,;:.!?…]+$)")

_VERSION: Final = "1 mulaw 8000"
"""Of keys: the format of the audio, and the rules of `normalised`."""


def stock_phrases(language: str, extra: Iterable[str] = ()) -> tuple[str, ...]:
    """Openings and fillers of a language (BCP-47), then ``extra``; each phrase once.

    Phrases of several clauses come whole and clause by clause, as replies are spoken. A
    language without stock phrases has ``extra`` alone.
    """
    code = language.split("-", maxsplit=1)[0].lower()
    code = _FORMER.get(code, code)
    found = [word + mark for word in OPENINGS.get(code, ()) for mark in _MARKS]
    for phrase in (*FILLERS.get(code, ()), *extra):
        found += [phrase.strip(), *_clauses(phrase)]
    once: dict[str, str] = {}
    for phrase in found:
        once.setdefault(normalised(phrase), phrase)
    once.pop("", None)
    return tuple(once.values())


def normalised(text: str) -> str:
    """``text`` with only those differences left that can be heard.

    White space, Unicode composition, marks of writing direction, and "..." for "…" are no
    difference. Case, Hebrew points and final marks are.
    """
    plain = " ".join(unicodedata.normalize("NFC", text.translate(_UNHEARD)).split())
    return _LOOSE_MARK.sub("", _DOTS.sub("…", plain))


def phrase_key(voice_id: str, language: str, text: str) -> str:
    """64 hex digits for one phrase of one voice: its audio never changes."""
    parts = "\0".join((_VERSION, voice_id, language, normalised(text)))
    return sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()


def _clauses(phrase: str) -> list[str]:
    splitter = ClauseSplitter()
    return [*splitter.push(phrase), *splitter.flush()]
