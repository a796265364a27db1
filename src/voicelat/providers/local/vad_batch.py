"""Silero for all calls of a process in one go, off the event loop.

One window costs 44 us alone and 17 in a batch of 32 (onnxruntime 1.32, one thread, 2026-11), and a
thread's inference keeps no call waiting. Windows are gathered for a few milliseconds, which costs
no turn anything: an edge is dated back to where the voice ended, and the silence that ends a turn
is counted from there.

Implements `voicelat.audio.vad.SharedVoiceDetector`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import numpy as np

from voicelat.audio import mulaw as codec
from voicelat.errors import ProviderError
from voicelat.providers.local.inference import Array, inference_errors
from voicelat.providers.local.vad import CONTEXT, FLOAT, STATE, WINDOW, load, shared_session

__all__ = ["BatchedVad", "SileroBatch"]

_LOG = logging.getLogger("voicelat.vad")

GATHER_S: Final = 0.008
"""A quarter of a window: what a start or an interruption is noticed later, at most, while the
model keeps up."""
FULL: Final = 64
"""A batch that does not wait for more; larger ones are no faster a window."""
BACKLOG: Final = 30
"""Windows of one call that may wait: about a second. A model that is so far behind must not be
given what nobody can use any more."""

Answer = Callable[[float], None]


class SileroBatch:
    """The model and the calls that share it: call it for one `BatchedVad` per call. Implements
    `voicelat.audio.vad.DetectorPool`.

    Raises MissingExtra without the ``local`` extra.
    """

    def __init__(self) -> None:
        self.counts: Final[Counter[str]] = Counter()
        """windows judged; batches they came in; skipped: answered as the last one, because the
        model was behind; failed: answered "no speech", because it broke."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="voicelat-vad")
        self._states = np.zeros((2, 0, STATE), np.float32)
        self._contexts = np.zeros((0, CONTEXT), np.float32)
        self._free: list[int] = []
        self._waiting: deque[BatchedVad] = deque()
        """Calls with something to ask, each once."""
        self._timer: asyncio.TimerHandle | None = None
        self._running = False

    def __call__(self) -> BatchedVad:
        """One call's detector. The first one loads the model: not on the event loop."""
        load()
        return BatchedVad(self)

    def close(self) -> None:
        """Free the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    # For `BatchedVad`.

    def take_slot(self) -> int:
        """A place for one call's state, as at the beginning of a call."""
        if not self._free:
            had = len(self._contexts)
            more = max(16, had)
            self._states = np.concatenate(
                [self._states, np.zeros((2, more, STATE), np.float32)], axis=1
            )
            self._contexts = np.concatenate([self._contexts, np.zeros((more, CONTEXT), np.float32)])
            self._free = list(range(had + more - 1, had - 1, -1))
        slot = self._free.pop()
        self._states[:, slot] = 0
        self._contexts[slot] = 0
        return slot

    def free_slot(self, slot: int) -> None:
        """The call is over."""
        self._free.append(slot)

    def wait(self, call: BatchedVad) -> None:
        """``call`` has a window to judge."""
        self._waiting.append(call)
        if self._running:
            return
        if len(self._waiting) >= FULL:
            self._run()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self._run)

    def _run(self) -> None:
        """Judge one window of each call that waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        calls = [call for call in self._waiting if call.slot is not None]
        self._waiting.clear()
        if not calls:
            return
        asked = [call.asked.popleft() for call in calls]
        slots = np.array([call.slot for call in calls])
        windows = FLOAT[np.frombuffer(b"".join(window for window, _ in asked), np.uint8)]
        samples = np.concatenate(
            [self._contexts[slots], windows.reshape(len(calls), WINDOW)], axis=1
        )
        self._contexts[slots] = samples[:, -CONTEXT:]
        self._running = True
        loop = asyncio.get_running_loop()
        job = self._thread.submit(_infer, samples, self._states[:, slots])
        job.add_done_callback(
            lambda done: loop.call_soon_threadsafe(self._judged, done, calls, asked)
        )

    def _judged(
        self,
        job: Future[tuple[Array, Array]],
        calls: list[BatchedVad],
        asked: list[tuple[bytes, Answer]],
    ) -> None:
        self._running = False
        try:
            speech, states = job.result()
        except ProviderError as error:
            self.counts["failed"] += len(calls)
            _LOG.error("voice detection failed: %s", error)
            speech, states = np.zeros((len(calls), 1), np.float32), None
        self.counts["batches"] += 1
        self.counts["windows"] += len(calls)
        for row, (call, (_, answer)) in enumerate(zip(calls, asked, strict=True)):
            if call.slot is None:
                continue  # it hung up meanwhile
            if states is not None:
                self._states[:, call.slot] = states[:, row]
            probability = float(speech[row, 0])
            answer(probability)
            while len(call.asked) > BACKLOG:
                self.counts["skipped"] += 1
                call.asked.popleft()[1](probability)
            call.waits = bool(call.asked)
            if call.waits:
                self._waiting.append(call)
        if self._waiting and not self._running:
            self._run()


class BatchedVad:
    """One call's share of a `SileroBatch`: see `SharedVoiceDetector`."""

    __slots__ = ("_batch", "asked", "slot", "waits", "window_ms")

    def __init__(self, batch: SileroBatch) -> None:
        self.window_ms = WINDOW // codec.BYTES_PER_MS
        self.slot: int | None = batch.take_slot()
        """Where its state is; None: the call is over."""
        self.asked: deque[tuple[bytes, Answer]] = deque()
        self.waits = False
        """Whether the batch knows that something is asked."""
        self._batch = batch

    def ask(self, window: bytes, answer: Answer) -> None:
        """See `SharedVoiceDetector`. Raises ValueError for anything but 256 bytes."""
        if len(window) != WINDOW:
            raise ValueError(f"a window is {WINDOW} bytes of mu-law, not {len(window)}")
        self.asked.append((window, answer))
        if not self.waits:
            self.waits = True
            self._batch.wait(self)

    def close(self) -> None:
        """See `SharedVoiceDetector`."""
        self.asked.clear()
        if self.slot is not None:
            self._batch.free_slot(self.slot)
            self.slot = None


_RATE: Final = np.array(codec.RATE, np.int64)


def _infer(samples: Array, states: Array) -> tuple[Array, Array]:
    """Probabilities (calls, 1) and new states (2, calls, 128). In the thread."""
    feed = {"input": samples, "state": np.ascontiguousarray(states), "sr": _RATE}
    with inference_errors():
        speech, after = shared_session().run(None, feed)
    return speech, after
