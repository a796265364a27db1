"""What the caller hears, and what it says about the question asked.

The agent's voice comes in *stretches*: audible audio with no silence longer than `STRETCH_GAP`
in it, ended at once by a ``clear``. A stretch that begins after the caller's first word is the
reply; one that was there before it is being interrupted. Times are samples (1/8 ms) from the
start of the stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from voicelat.audio.mulaw import BYTES_PER_MS

__all__ = ["STRETCH_GAP", "Ear", "Heard", "whole_ms"]

STRETCH_GAP: Final = 600 * BYTES_PER_MS
"""Longer than a pause between two sentences of one reply, shorter than a turn."""


class Heard(Struct, frozen=True, kw_only=True):
    """What became of one question, measured at the caller. Times in ms, unknown is None."""

    question: int
    """Counts from 1."""
    text: str = ""
    said_start_ms: int | None = None
    """When the first audible sample of the question was said, from the start of the stream."""
    said_end_ms: int | None = None
    """When its last one was. Both None when nothing of it could be heard."""
    reply_start_ms: int | None = None
    """When the first audible sample of the reply was played. None when it is censored."""
    reply_end_ms: int | None = None
    """When its last one was. None also when the caller went on before it was over."""
    v2v_ms: int | None = None
    """Voice to voice: last audible sample said -> first audible sample of the reply played.
    None when it is censored, or when the reply began before the question was over."""
    barge_stop_ms: int | None = None
    """First audible sample of this question -> the last audible sample played of the agent's
    speech it interrupted, or, of one that never stopped, the last one so far. None when it
    interrupted nothing."""
    talked_over: bool = False
    """The agent began to speak before the question was over."""
    censored: bool = False
    """No reply was heard before the caller went on, gave up or the call ended."""
    in_vain_ms: int | None = None
    """Of a censored question: how long the caller then listened, from its last audible sample.
    None also when the call ended before it was over, or its caller hung up with the last word or
    left: no reply was owed."""


@dataclass(slots=True)
class _Question:
    first: int
    end: int | None
    number: int | None = None
    """None: nothing was asked (the greeting, keys pressed), so nothing is reported."""
    text: str = ""
    reply: int | None = None
    reply_last: int | None = None
    barge_stop: int | None = None
    talked_over: bool = False

    def stretch_began(self, at: int) -> None:
        if at < self.first or self.reply is not None:
            return
        self.reply = at
        self.talked_over |= self.end is not None and at < self.end

    def stretch_ended(self, start: int, last: int, *, cleared: bool) -> None:
        if start < self.first:
            if last > self.first:
                self.barge_stop = last - self.first
        elif start == self.reply and self.end is not None and start < self.end:
            # The agent answered a pause. If it thought better of it, the reply is yet to come.
            self.reply = None if cleared or last <= self.end else start
        if start == self.reply:
            self.reply_last = last

    @property
    def v2v(self) -> int | None:
        if self.reply is None or self.end is None or self.reply < self.end:
            return None
        return self.reply - self.end


class Ear:
    """Listens to what is played, and keeps the account of each question."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        """The questions that are closed, in order."""
        self.first_voice: int | None = None
        """Where the agent was first heard on this call."""
        self._question = _Question(first=0, end=0)
        self._asked = 0
        self._stretch: int | None = None
        self._last = 0

    @property
    def talking(self) -> bool:
        """Whether the agent is in the middle of a stretch."""
        return self._stretch is not None

    @property
    def reply(self) -> int | None:
        """Where the reply to the open question (or the greeting) began; None before it."""
        return self._question.reply

    def quiet(self, now: int) -> int:
        """How long the agent has been silent."""
        return now - self._last

    def ask(self, text: str, first: int, end: int | None) -> None:
        """A question begins; ``first`` and ``end`` are its audible bounds. Closes the last."""
        self.close(first)
        self._asked += 1
        self._question = _Question(first, end, self._asked, text)

    def expect(self, now: int) -> None:
        """Listen for a reply to something that is not speech. Closes the last question."""
        self.close(now)
        self._question = _Question(first=now, end=now)

    def hear(self, first: int, last: int) -> None:
        """This much of the agent could be heard. May be told again, longer."""
        if self._stretch is not None and first - self._last >= STRETCH_GAP:
            self._end_stretch(cleared=False)
        if self._stretch is None:
            self._stretch = first
            self._question.stretch_began(first)
            if self.first_voice is None:
                self.first_voice = first
        self._last = last

    def settle(self, now: int) -> None:
        """Time has passed: a stretch may be over."""
        if self._stretch is not None and self.quiet(now) >= STRETCH_GAP:
            self._end_stretch(cleared=False)

    def cleared(self) -> None:
        """The agent's buffer was emptied."""
        self._end_stretch(cleared=True)

    def rest(self, now: int) -> None:
        """The caller takes the agent to be done: the stretch is over, the question closed."""
        self._end_stretch(cleared=False)
        self.expect(now)

    def close(self, now: int, *, owed: bool = True) -> None:
        """Close the open question, if there is one, and report it in `heard`. Not ``owed``: the
        caller goes without having waited for a reply."""
        asked = self._question
        if asked.number is None:
            return
        if self._stretch is not None and self._stretch < asked.first < self._last:
            asked.barge_stop = self._last - asked.first
        in_vain = None
        if owed and asked.reply is None and asked.end is not None and asked.end <= now:
            in_vain = now - asked.end
        self.heard.append(
            Heard(
                question=asked.number,
                text=asked.text,
                said_start_ms=None if asked.end is None else whole_ms(asked.first),
                said_end_ms=whole_ms(asked.end),
                reply_start_ms=whole_ms(asked.reply),
                reply_end_ms=whole_ms(asked.reply_last),
                v2v_ms=whole_ms(asked.v2v),
                barge_stop_ms=whole_ms(asked.barge_stop),
                talked_over=asked.talked_over,
                censored=asked.reply is None,
                in_vain_ms=whole_ms(in_vain),
            )
        )
        asked.number = None

    def _end_stretch(self, *, cleared: bool) -> None:
        if self._stretch is not None:
            self._question.stretch_ended(self._stretch, self._last, cleared=cleared)
            self._stretch = None


def whole_ms(samples: int | None) -> int | None:
    """Samples as milliseconds, rounded to the nearest."""
    return None if samples is None else round(samples / BYTES_PER_MS)
