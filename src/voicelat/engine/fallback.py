"""A second opinion on what the caller said, beside the turn and never in it.

When a turn brought no text, or none to be sure of, the caller is asked to repeat at once, from
the phrase cache. Meanwhile a transcriber of another kind (Whisper and its like: slow, whole
utterances, good) works on the audio of the turn. What becomes of its text:

- It comes before the question can sound: it is answered, as a late final would be (the machine
  decides: `voicelat.turn.floor`). Only a text whose confidence is told, and enough, may do that.
- It comes later: the caller was asked, and is about to answer. An answer now would talk over
  them, and taking a question back in the middle sounds broken. So the text goes into the history
  as what the caller probably said, and the next turn has it, whatever becomes of the repeat.
- It never comes, or says nothing: nobody has waited for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from msgspec import structs

from voicelat.audio.mulaw import BYTES_PER_MS
from voicelat.engine.config import EngineConfig
from voicelat.engine.intake import transcript_of
from voicelat.errors import ProviderError
from voicelat.metrics.record import TurnRecord
from voicelat.providers.protocols import Transcriber, Transcript
from voicelat.turn.transcript import words_of

__all__ = ["LEAD_IN_MS", "Fallback", "Heard"]

_LOG = logging.getLogger("voicelat.call")

LEAD_IN_MS: Final = 1000
"""Audio kept while nobody has the floor: a voice is noticed after it began."""

_MOST_AT_ONCE: Final = 2
"""Transcriptions of one call that may run. More than one only run when a transcriber does not
stop when it is told to; one that never does must not be given work for ever."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of one transcription."""

    turn: int
    ms: int | None = None
    """What it took. None: it did not answer."""
    text: str | None = None
    """What it heard. None: as above."""
    failure: str | None = None
    """Why that is of no use. None: it is."""
    certain: bool = False
    """Whether the transcriber told that it is sure enough to act on."""

    def complete(self, record: TurnRecord) -> TurnRecord:
        """The record of the turn, with this in it."""
        used, failure = record.fallback_used, self.failure
        if used is None and failure is None:
            if record.fallback:
                used = "history"
            else:
                failure = "the caller or the recogniser said more in time"
        return structs.replace(
            record,
            fallback_ms=self.ms,
            fallback_text=self.text,
            fallback_used=used,
            fallback_failure=failure,
        )


@dataclass(slots=True, eq=False)
class _Run:
    turn: int
    began_s: float
    deadline: asyncio.TimerHandle


class Fallback:
    """One call's audio in hand, and its transcriptions. Nothing here blocks, raises or waits.

    ``on_heard`` is called once for each `run`, with whatever became of it. ``on_turn`` gets every
    record of the call, in order: those of transcribed turns when that is known, the others at
    once unless they stand behind such a one. Without a transcriber (None) nothing is kept and
    nothing waits. Make it on the event loop.
    """

    def __init__(
        self,
        transcriber: Transcriber | None,
        config: EngineConfig,
        *,
        on_heard: Callable[[Heard], None],
        on_turn: Callable[[TurnRecord], None],
    ) -> None:
        self._transcriber = transcriber
        self._config = config
        self._on_heard = on_heard
        self._on_turn = on_turn
        self._loop = asyncio.get_running_loop()
        self._records: deque[TurnRecord] = deque()
        self._heard: dict[int, Heard] = {}
        self._audio = bytearray()
        self._run: _Run | None = None
        self.tasks: set[asyncio.Task[Transcript]] = set()
        """What runs, those included that were given up and do not stop."""
        self.lost_ms = 0
        """Audio of turns longer than is kept."""
        self.errors: list[str] = []
        """What the transcriber raised that its contract does not allow, one line each."""

    @property
    def kept_ms(self) -> int:
        """How much audio is in hand."""
        return len(self._audio) // BYTES_PER_MS

    def hear(self, audio: bytes, *, in_turn: bool) -> None:
        """The next caller audio, mu-law of any length; ``in_turn``: it may still be needed.

        Outside a turn all but a lead-in is freed.
        """
        if self._transcriber is None:
            return
        self._audio += audio
        kept_ms = self._config.fallback_audio_ms if in_turn else LEAD_IN_MS
        excess = len(self._audio) - kept_ms * BYTES_PER_MS
        if excess > 0:
            del self._audio[:excess]
            self.lost_ms += excess // BYTES_PER_MS if in_turn else 0

    def run(self, turn: int) -> None:
        """Transcribe the audio in hand."""
        self.drop("another turn had to be transcribed")
        transcriber, audio = self._transcriber, bytes(self._audio)
        if transcriber is None:
            return
        if not audio:
            self._settle(Heard(turn, failure="there was no audio"))
        elif len(self.tasks) >= _MOST_AT_ONCE:
            self._settle(Heard(turn, failure=f"{transcriber.name}: it is still busy"))
        else:
            self._start(transcriber, turn, audio)

    def not_needed(self, turn: int) -> None:
        """The turn has its words after all."""
        if self._run is not None and self._run.turn == turn:
            self.drop("the recogniser's text came after all")

    def drop(self, why: str) -> None:
        """Give up what runs, if anything does. Nobody waits for its end: it may ignore being
        cancelled."""
        run, self._run = self._run, None
        if run is None:
            return
        run.deadline.cancel()
        for task in self.tasks:
            task.cancel()
        self._settle(Heard(run.turn, failure=why))

    def close_turn(self, record: TurnRecord) -> None:
        """A turn is over: its record goes to ``on_turn``."""
        self._records.append(record)
        self._hand_over()

    def close(self, why: str) -> None:
        """The call is over. What still runs then is in ``tasks``, and was told to stop."""
        self.drop(why)
        self._audio.clear()

    def _start(self, transcriber: Transcriber, turn: int, audio: bytes) -> None:
        limit_ms = self._config.fallback_timeout_ms
        late = partial(self.drop, f"{transcriber.name}: no text in {limit_ms} ms")
        deadline = self._loop.call_later(limit_ms / 1000, late)
        run = self._run = _Run(turn, self._loop.time(), deadline)
        work = self._transcribe(transcriber, audio)
        task = self._loop.create_task(work, name=f"fallback of turn {turn}")
        self.tasks.add(task)
        task.add_done_callback(partial(self._done, run, transcriber.name))

    async def _transcribe(self, transcriber: Transcriber, audio: bytes) -> Transcript:
        return transcript_of(await transcriber.transcribe(audio, self._config.language))

    def _done(self, run: _Run, name: str, task: asyncio.Task[Transcript]) -> None:
        self.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, ProviderError):
            self._tell(f"{name}: {error!r}")
        if run is not self._run:
            return
        run.deadline.cancel()
        self._run = None
        if task.cancelled():
            heard = Heard(run.turn, failure=f"{name}: it cancelled itself")
        elif error is not None:
            heard = Heard(run.turn, failure=str(error) or repr(error))
        else:
            ms = round((self._loop.time() - run.began_s) * 1000)
            heard = self._judged(run.turn, ms, task.result())
        self._settle(heard)

    def _judged(self, turn: int, ms: int, transcript: Transcript) -> Heard:
        """Whether the text is of use. One that comes without a confidence is believed, as what
        the caller *probably* said: it takes a confidence to be acted on."""
        text, confidence = transcript.text.strip(), transcript.confidence
        asked = self._config.fallback_min_confidence
        if not words_of(text):
            return Heard(turn, ms, text, "it heard no words")
        if confidence is not None and not confidence >= asked:
            return Heard(turn, ms, text, f"confidence {confidence:.2f} is below {asked:g}")
        return Heard(turn, ms, text, certain=confidence is not None)

    def _settle(self, heard: Heard) -> None:
        _LOG.info("fallback of turn %d: %s", heard.turn, heard.failure or f"{heard.ms} ms")
        self._heard[heard.turn] = heard
        self._on_heard(heard)
        self._hand_over()

    def _hand_over(self) -> None:
        while self._records:
            record = self._records[0]
            if self._run is not None and self._run.turn == record.turn:
                return
            self._records.popleft()
            heard = self._heard.pop(record.turn, None)
            self._on_turn(record if heard is None else heard.complete(record))

    def _tell(self, line: str) -> None:
        self.errors.append(line)
        _LOG.error("fallback: %s", line)
