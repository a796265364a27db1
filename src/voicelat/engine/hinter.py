"""Asking an end-of-turn model about the caller's pauses, beside the call and never in its way."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import Final, SupportsFloat

from voicelat.audio.mulaw import BYTES_PER_MS
from voicelat.providers.turn_model import TurnModel
from voicelat.turn.events import EndpointHint

__all__ = ["ASK_AFTER_MS", "MEMORY_MS", "Hinter"]

_LOG = logging.getLogger("voicelat.call")

MEMORY_MS: Final = 8000
"""How much of the caller's audio is kept: what models of this kind are trained on. Cutting it
where the turn began told Smart Turn nothing more (42 pauses of a call: AUC 0.75, whole 0.77)."""

ASK_AFTER_MS: Final = 200
"""Silence before the model is asked. Smart Turn is trained on ends of turns with 200 ms of it;
asked at 100 to 600 ms its AUC moved by less than 42 pauses can tell."""


class Hinter:
    """One call's questions to the model: one a pause, answered from a thread.

    Time is the audio's: a pause is as long as what was heard of it. At most one question is
    open; a hint for a pause that is over is dropped. Nothing here blocks, or raises what the model
    raises. Make it on the event loop; ``post`` is called there.
    """

    def __init__(
        self,
        model: TurnModel,
        executor: Executor,
        post: Callable[[EndpointHint], None],
        *,
        ask_after_ms: int = ASK_AFTER_MS,
    ) -> None:
        self._model = model
        self._executor = executor
        self._post = post
        self._ask_after_ms = ask_after_ms
        self._loop = asyncio.get_running_loop()
        self._heard = bytearray()
        self._silent: int | None = None
        """Mu-law bytes of the pause that were heard. None: no pause."""
        self._pauses = 0
        self._asked = False
        """Whether the model was asked about this pause."""
        self._question: Future[float] | None = None
        self._closed = False
        self.hints = 0
        """Hints that were posted."""
        self.dropped: Counter[str] = Counter()
        """Hints that were not, by why."""
        self.errors: list[str] = []
        """What went wrong, one line each, every line once."""

    def hear(self, audio: bytes) -> None:
        """The next caller audio, mu-law of any length."""
        self._heard += audio
        del self._heard[: -MEMORY_MS * BYTES_PER_MS]
        if self._silent is not None:
            self._silent += len(audio)
            self._consider()

    def voice(self, active: bool, silent_ms: int = 0) -> None:
        """The caller's voice begins or falls silent, ``silent_ms`` before the end of what was
        heard."""
        if not active:
            self._silent = silent_ms * BYTES_PER_MS
            self._consider()
            return
        if self._due() and not self._asked:
            self._drop("the model was busy")
            self._say(f"{self._model.name} answers too late")
        if self._question is not None:
            self._question.cancel()
        self._silent, self._asked = None, False
        self._pauses += 1

    def close(self) -> None:
        """The call is over: no more hints."""
        self._closed = True
        self._silent = None
        if self._question is not None:
            self._question.cancel()

    def _due(self) -> bool:
        return self._silent is not None and self._silent >= self._ask_after_ms * BYTES_PER_MS

    def _consider(self) -> None:
        if self._asked or self._closed or self._question is not None or not self._due():
            return
        self._asked = True
        pause = self._pauses
        try:
            question = self._executor.submit(_ask, self._model, bytes(self._heard))
        except RuntimeError as error:  # the executor was shut down
            self._fail(error)
            return
        self._question = question
        question.add_done_callback(lambda _: self._report(pause, question))

    def _report(self, pause: int, question: Future[float]) -> None:
        """In the model's thread: the rest is for the event loop."""
        with suppress(RuntimeError):  # it is closed, and nobody waits for hints any more
            self._loop.call_soon_threadsafe(self._answered, pause, question)

    def _answered(self, pause: int, question: Future[float]) -> None:
        self._question = None
        if question.cancelled():
            self._drop("the pause was over")
        elif (error := question.exception()) is not None:
            self._fail(error)
        elif self._closed or self._silent is None or pause != self._pauses:
            self._drop("the pause was over")
        else:
            self.hints += 1
            self._post(EndpointHint(question.result()))
        self._consider()

    def _fail(self, error: BaseException) -> None:
        self._drop("the model failed")
        self._say(f"{self._model.name} gives no hint: {error!r}")

    def _drop(self, why: str) -> None:
        self.dropped[why] += 1

    def _say(self, line: str) -> None:
        if line not in self.errors:
            self.errors.append(line)
            _LOG.warning("end-of-turn model: %s", line)


def _ask(model: TurnModel, audio: bytes) -> float:
    """The model's answer, as a plain number. Raises TypeError or ValueError for what is none."""
    given: object = model.probability(audio)
    if not isinstance(given, SupportsFloat):
        raise TypeError(f"{type(given).__name__} instead of a probability")
    probability = float(given)
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"{probability} is no probability")
    return probability
