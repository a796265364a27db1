"""What a recogniser may have to hear again, and what it then says twice.

Positions are bytes of mu-law since the call began: 8 a millisecond.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from voicelat.audio.mulaw import BYTES_PER_MS
from voicelat.providers.protocols import Transcript
from voicelat.turn.transcript import after_words, words_of

__all__ = ["Place", "Rewind", "Seam", "Told", "Voices"]

_GRACE: Final = 400 * BYTES_PER_MS
"""A detector hears the end of a voice this much later than a recogniser, at most."""


class Rewind:
    """The latest audio of a call, from ``begin`` to ``end``."""

    __slots__ = ("_audio", "begin")

    def __init__(self) -> None:
        self._audio = bytearray()
        self.begin = 0

    @property
    def end(self) -> int:
        """Behind the last byte."""
        return self.begin + len(self._audio)

    def append(self, audio: bytes) -> None:
        """The next audio."""
        self._audio += audio

    def read(self, at: int, until: int) -> bytes:
        """The audio from ``at``, which must be kept still, to ``until``."""
        return bytes(self._audio[at - self.begin : until - self.begin])

    def forget(self, before: int) -> None:
        """Keep nothing from before this position."""
        if before > self.begin:
            del self._audio[: before - self.begin]
            self.begin = before


class Voices:
    """When the voice detector heard a voice about which the recogniser has said nothing yet."""

    __slots__ = ("_spans", "active", "stopped")

    def __init__(self) -> None:
        self._spans: deque[tuple[int, int | None]] = deque()
        self.active = False
        self.stopped = 0
        """Where the last voice ended."""

    def start(self, at: int) -> None:
        """A voice began."""
        if not self.active:
            self.active = True
            self._spans.append((at, None))

    def stop(self, at: int) -> None:
        """It ended."""
        if self.active:
            self.active = False
            self.stopped = at
            self._spans.append((self._spans.pop()[0], at))

    @property
    def earliest(self) -> int | None:
        """Where the earliest began, None when there is none."""
        return self._spans[0][0] if self._spans else None

    def behind(self, position: int, now: int) -> bool:
        """Whether there was one behind ``position``, beyond the detector's late end of one."""
        return any((end or now) > position + _GRACE for _, end in self._spans)

    def settle(self, position: int) -> None:
        """The recogniser is done with everything before ``position``."""
        while self._spans:
            begin, end = self._spans[0]
            if end is None or end > position:
                self._spans[0] = (max(begin, position), end)
                return
            self._spans.popleft()


@dataclass(frozen=True, slots=True)
class Place:
    """A word and where it is in the call."""

    text: str
    begin: int
    end: int


@dataclass(slots=True)
class Seam:
    """Words that were final already and that a recogniser, started before them, says again.

    Where times are told, what lies before ``boundary`` is a repeat; a text without times is
    compared word for word.
    """

    before: tuple[Place, ...] = ()

    @property
    def boundary(self) -> int:
        """Behind the last word that was final."""
        return self.before[-1].end if self.before else 0

    def partial(self, text: str) -> str:
        """A partial without its repeats. Nothing is settled by it."""
        count = _repeats(words_of(text), self._words)
        return after_words(text, count) if count else text

    def final(self, text: str, places: Sequence[Place], end: int) -> str:
        """A final up to ``end`` without its repeats. What is before ``end`` comes no more."""
        boundary = self.boundary
        if places:
            repeats = [place for place in places if place.begin + place.end < 2 * boundary]
            count = sum(len(words_of(place.text)) for place in repeats)
        else:
            count = _repeats(words_of(text), self._words)
        self.before = tuple(place for place in self.before if place.end > end)
        return after_words(text, count) if count else text

    @property
    def _words(self) -> tuple[str, ...]:
        return tuple(word for place in self.before for word in words_of(place.text))


def _repeats(words: Sequence[str], before: Sequence[str]) -> int:
    """How many of the first ``words`` repeat the end of ``before``, or, when there are no
    others, a part of it."""
    for start in range(len(before)):
        count = 0
        for word, old in zip(words, before[start:], strict=False):
            if word != old:
                break
            count += 1
        if count and (start + count == len(before) or count == len(words)):
            return count
    return 0


class Told:
    """What was told of a call: up to where it is final, and the partial behind that."""

    __slots__ = ("last", "partial", "reach", "settled")

    def __init__(self) -> None:
        self.settled = 0
        """Everything before is final."""
        self.last: tuple[Place, ...] = ()
        """The words of the last final, () when their times are unknown."""
        self.partial = ""
        """The partial behind it as it was told."""
        self.reach = 0
        """How far partials and finals have come. A request that runs again starts before."""

    @property
    def open(self) -> bool:
        """Whether something was told that no final has settled."""
        return bool(self.partial) or self.reach > self.settled

    def take_partial(self, text: str, end: int | None) -> Transcript | None:
        """A recogniser's partial up to ``end`` (None: it does not say). Returns what to tell.

        What ends before ``reach`` is not told: an earlier request had come further.
        """
        if not text or (end is not None and end < self.reach):
            return None
        self.reach = max(self.reach, end or 0)
        if text == self.partial:
            return None
        self.partial = text
        return Transcript(text, final=False)

    def take_final(
        self, text: str, end: int, places: tuple[Place, ...], confidence: float | None
    ) -> Transcript | None:
        """A recogniser's final up to ``end``. Returns what to tell: an empty one only when it
        takes a partial back, and nothing of a part that was final already."""
        if end <= self.settled:
            return None
        told = None
        if text or (self.partial and end >= self.reach):
            told = Transcript(text, final=True, confidence=confidence)
            self.partial = ""
            self.last = places
        self.settle(end)
        return told

    def close(self, at: int) -> Transcript:
        """No final came for what is before ``at``: the partial has to be it. "" is one too."""
        text, self.partial = self.partial, ""
        self.last = ()
        self.settle(at)
        return Transcript(text, final=True)

    def settle(self, position: int) -> None:
        """Everything before ``position`` is done with."""
        self.settled = max(self.settled, position)
        self.reach = max(self.reach, position)
