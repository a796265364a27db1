"""What callers and strangers said, put before a model as data.

A fence keeps an honest model from taking a transcript for its instructions. It protects nothing
by itself: what a model may do is the policy's and the API's, whatever it was talked into.
"""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Final

__all__ = ["fenced"]

_MAX_CHARS: Final = 20_000
_WRITTEN: Final = frozenset("\n\t\u200c\u200d\u200e\u200f")
"""Invisible characters that honest text has: Hebrew its marks of direction, emoji their joiner."""
_MARK_CHARS: Final = 12


def fenced(kind: str, text: str) -> str:
    """``text`` between two lines that it cannot contain, and that say it is data.

    Characters that nobody sees (controls, overrides of direction, zero-width ones) are spelled
    out, so that a reader of the log and the model see the same. Of a very long text the
    beginning and the end are shown, with how much is missing.
    """
    shown = "".join(_visible(each) for each in _shortened(text))
    # Nobody can write a text that contains its own hash; and the same text has the same fence,
    # so that a resumed run asks what it asked before.
    mark = hashlib.sha256(f"{kind}\n{shown}".encode("utf-8", "replace")).hexdigest()[:_MARK_CHARS]
    return f"<data kind={kind} mark={mark}>\n{shown}\n</data mark={mark}>"


def _shortened(text: str) -> str:
    if (missing := len(text) - _MAX_CHARS) <= 0:
        return text
    half = _MAX_CHARS // 2
    return f"{text[:half]}\n[{missing} characters are left out here]\n{text[-half:]}"


def _visible(character: str) -> str:
    hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn")
    return f"\\u{{{ord(character):x}}}" if hidden and character not in _WRITTEN else character
