"""A recogniser that counts words per audio byte, and a caller who speaks them.

A word is a run of one byte value between two marks, so that a recogniser can tell a whole word
from a half one: what it hears only in part becomes a word that nobody said.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from voicelat.audio.mulaw import BYTES_PER_MS, silence
from voicelat.errors import ProviderError
from voicelat.providers.google_stt_wire import Recognised, Word

__all__ = ["NAMES", "ScriptedRecogniser", "Service", "heard_in", "spoken"]

NAMES: Final = ("one", "two", "three", "four", "no", "yes")
_BEGIN: Final = 100
_END: Final = 101
_FIRST: Final = 1
"""The byte of the first name."""
_SOUND: Final = re.compile(b"[^%b]+" % silence(1)[:1])


def spoken(name: str, length_ms: int) -> bytes:
    """A word as sound."""
    body = bytes([_FIRST + NAMES.index(name)]) * (length_ms * BYTES_PER_MS - 2)
    return bytes([_BEGIN]) + body + bytes([_END])


def heard_in(audio: bytes, *, over: bool) -> tuple[list[Word], int]:
    """The words in ``audio`` and the milliseconds of silence behind the last.

    A word that is not over yet is no word, unless nothing more comes (``over``).
    """
    words: list[Word] = []
    end = 0
    for run in _SOUND.finditer(audio):
        sound = run[0]
        if run.end() == len(audio) and sound[-1] != _END and not over:
            return words, 0
        if body := sound.strip(bytes((_BEGIN, _END))):
            whole = sound[0] == _BEGIN and sound[-1] == _END
            name = NAMES[body[0] - _FIRST]
            end = run.end()
            text = name if whole else f"half-{name}"
            words.append(Word(text, run.start() // BYTES_PER_MS, end // BYTES_PER_MS))
    return words, (len(audio) - end) // BYTES_PER_MS


@dataclass
class Service:
    """How the recogniser behaves, and what it was asked."""

    final_after_ms: int = 600
    """Silence that makes a final."""
    delay_s: float = 0.1
    """From audio to what is heard in it."""
    limit_ms: int = 10_000
    """A request's audio, or life, behind which it is ended."""
    dies_at: list[int] = field(default_factory=list)
    """Positions in all the audio ever sent, at which a request is reset."""
    half_close_s: float = 0.0
    """What the final of a half-close takes more."""
    end_late_ms: int = 0
    """How much too late finals say they end: a part of the next word seems to be theirs."""
    stalls: int = 0
    """The first so many requests never answer."""
    word_times: bool = True
    interim_ends: bool = True
    recognised: int = 0
    """Bytes of audio all requests took together."""
    requests: int = 0
    open: int = 0
    oldest_ms: int = 0
    """The longest any request lived."""

    def __call__(self) -> ScriptedRecogniser:
        self.requests += 1
        return ScriptedRecogniser(self)


class ScriptedRecogniser:
    """One request: a `Recognition`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._loop = asyncio.get_running_loop()
        self._out: asyncio.Queue[list[Recognised] | ProviderError | None] = asyncio.Queue()
        self._due: deque[list[Recognised] | ProviderError | None] = deque()
        self._audio = bytearray()
        self._settled = 0
        self._said: list[Word] = []
        self._born_s = self._loop.time()
        self._over = False
        self._mute = service.requests <= service.stalls
        service.open += 1

    async def begin(self) -> None:
        await asyncio.sleep(0.03)

    async def send(self, audio: bytes) -> None:
        await asyncio.sleep(0)
        if self._over:
            return
        self._audio += audio
        service = self._service
        service.recognised += len(audio)
        age_ms = round((self._loop.time() - self._born_s) * 1000)
        service.oldest_ms = max(service.oldest_ms, age_ms)
        if service.dies_at and service.recognised >= service.dies_at[0]:
            del service.dies_at[0]
            self._tell(ProviderError("scripted", "reset", "retry"))
        elif max(age_ms, len(self._audio) // BYTES_PER_MS) > service.limit_ms:
            self._tell(ProviderError("scripted", "out of range", "retry"))
        else:
            self._listen(over=False)

    async def end(self) -> None:
        if not self._over:
            self._listen(over=True)
            self._tell(None, late=True)

    async def receive(self) -> Sequence[Recognised] | None:
        item = await self._out.get()
        if isinstance(item, ProviderError):
            raise item
        return item

    def cancel(self) -> None:
        if not self._over:
            self._over = True
        self._service.open -= 1

    def _listen(self, *, over: bool) -> None:
        if self._mute:
            return
        words, silent_ms = heard_in(bytes(self._audio[self._settled :]), over=over)
        offset_ms = self._settled // BYTES_PER_MS
        placed = tuple(
            Word(word.text, word.begin_ms + offset_ms, word.end_ms + offset_ms) for word in words
        )
        end_ms = len(self._audio) // BYTES_PER_MS
        text = " ".join(word.text for word in words)
        if words and (over or silent_ms >= self._service.final_after_ms):
            times = placed if self._service.word_times else ()
            self._settled = len(self._audio)
            self._said = []
            told_ms = end_ms + self._service.end_late_ms
            self._tell([Recognised(text, True, told_ms, times, 0.9)], late=over)
        elif words and words != self._said:
            self._said = words
            end = end_ms if self._service.interim_ends else None
            self._tell([Recognised(text, False, end)])

    def _tell(self, item: list[Recognised] | ProviderError | None, *, late: bool = False) -> None:
        if not isinstance(item, list):
            self._over = True
        self._due.append(item)
        delay_s = self._service.delay_s + (self._service.half_close_s if late else 0.0)
        self._loop.call_later(delay_s, self._pass_on)

    def _pass_on(self) -> None:
        """In the order of telling, whatever timers of the same moment do."""
        self._out.put_nowait(self._due.popleft())
