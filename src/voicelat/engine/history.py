"""What was said in a call, and how much of it the model is shown."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from voicelat.engine.clauses import word_count
from voicelat.metrics.record import TurnRecord
from voicelat.providers.protocols import Message

__all__ = ["History", "Shown"]


class Shown(NamedTuple):
    """A history as a prompt holds it; the fields are the prompt's."""

    history: tuple[Message, ...]
    left_out: int
    full_history: Callable[[], tuple[Message, ...]]


class History:
    """The messages of one call, oldest first: what the caller said as it was acted on, and what
    they heard of the reply.

    A prompt that grows with every turn takes the model longer every turn. Shown are the last
    ``max_messages``, and of them only as many as have ``max_words`` together (None: all). A
    message is never cut, and the last one is always shown unless ``max_messages`` is 0.

    Where the caller was asked to repeat, the text of the fallback transcriber takes the place
    of what the recogniser made of the turn, whenever it comes.
    """

    def __init__(self, max_messages: int, max_words: int | None) -> None:
        self._max_messages = max_messages
        self._max_words = max_words
        self._messages: list[Message] = []
        """Those without text stand where a text may still come."""
        self._asked: dict[int, int] = {}
        """Turns the caller was asked to repeat -> where their words stand."""
        self._guesses: dict[int, str] = {}
        """Of turns that are not over yet."""

    def add(self, record: TurnRecord) -> None:
        """A turn is over."""
        guess = self._guesses.pop(record.turn, "")
        if record.fallback:
            self._asked[record.turn] = len(self._messages)
            self._messages.append(Message("caller", guess or record.text, probable=True))
        elif record.text:
            probable = record.fallback_used == "answer"
            self._messages.append(Message("caller", record.text, probable=probable))
        said = record.reply if record.heard is None else record.heard
        if said:
            self._messages.append(Message("agent", said))

    def guess(self, turn: int, text: str) -> None:
        """``text`` is what the caller probably said in a turn, which may not be over yet. "": it
        is not known."""
        place = self._asked.get(turn)
        if place is None:
            self._guesses[turn] = text
        else:
            self._messages[place] = Message("caller", text, probable=True)

    def shown(self) -> Shown:
        """What the next prompt holds."""
        shown: list[Message] = []
        words = 0
        count = sum(1 for message in self._messages if message.text)
        for message in reversed(self._messages):
            words += word_count(message.text)
            too_long = self._max_words is not None and words > self._max_words
            if len(shown) == self._max_messages or (too_long and shown):
                break
            if message.text:
                shown.append(message)
        shown.reverse()
        everything = partial(self._first, len(self._messages))
        return Shown(tuple(shown), count - len(shown), everything)

    def _first(self, count: int) -> tuple[Message, ...]:
        """The messages so far that were among the first ``count``."""
        return tuple(message for message in self._messages[:count] if message.text)
