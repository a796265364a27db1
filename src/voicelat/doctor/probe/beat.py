"""A heartbeat on whatever carries the calls, and a look at its stack while a beat is overdue.

asyncio beats with a timer, eventlet and gevent with a greenlet. Where every call has a thread,
the beat is a thread's: it is late when somebody holds the interpreter. The watchdog is an
operating-system thread, whatever was patched.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from voicelat.doctor.probe.originals import (
    allocate_lock,
    get_ident,
    monotonic,
    process_time,
    sleep,
    start_new_thread,
)
from voicelat.doctor.probe.seen import Spot, Stall
from voicelat.doctor.probe.wrappers import Watch

__all__ = ["Beat"]

_BEAT_S: Final = 0.02
_STALL_MS: Final = 50
_SAMPLE_S: Final = 0.01
_POOL_EVERY: Final = 12
"""Beats between two looks at the default thread pool."""
_IDLE: Final = ("/selectors.py", "/eventlet/hubs/", "/gevent/", "/asyncio/base_events.py")


class Beat:
    """See the module. Start one, in the process that carries calls."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._due_s: float | None = None
        self._cpu_s = 0.0
        self._samples: list[str] = []
        self._errands: list[Callable[[], None]] = []
        self._beats = 0

    def start(self) -> None:
        """Begin, on the thread that will carry the calls: after patching, before serving."""
        seen = self._watch.seen
        loop = _running_loop()
        if loop is not None:
            seen.beat_of = "asyncio"
            self._watch.loop_thread = get_ident()
            loop.call_soon(self._beat_on, loop)
        elif seen.green.by is not None:
            seen.beat_of = seen.green.by
            self._watch.loop_thread = get_ident()
            self._start_green(seen.green.by)
        else:
            seen.beat_of = "threads"
            start_new_thread(self._beat_in_thread, ())
        if self._watch.loop_thread is not None:
            start_new_thread(self._look, (self._watch.loop_thread,))

    def run(self, errand: Callable[[], None], patience_s: float) -> None:
        """Have the next beat do this, where the application's own locks may be taken; wait for
        it, from the probe's thread."""
        done = allocate_lock()
        done.acquire()

        def do() -> None:
            try:
                errand()
            finally:
                done.release()

        self._errands.append(do)
        done.acquire(timeout=patience_s)

    # -- the beats ------------------------------------------------------------------------------

    def _beat_on(self, loop: Any) -> None:
        self._beaten()
        self._beats += 1
        if self._beats % _POOL_EVERY == 0:
            self._try_pool(loop)
        loop.call_later(_BEAT_S, self._beat_on, loop)

    def _start_green(self, by: str) -> None:
        green: Any = __import__(by)
        green_sleep = green.sleep

        def beating() -> None:
            while True:
                self._beaten()
                green_sleep(_BEAT_S)

        green.spawn(beating)

    def _beat_in_thread(self) -> None:
        self._watch.quiet.add(get_ident())
        while True:
            self._beaten()
            sleep(_BEAT_S)

    def _beaten(self) -> None:
        now_s = monotonic()
        if self._due_s is not None:
            late_ms = max(0.0, now_s - self._due_s) * 1000
            self._watch.seen.beats.append((now_s, late_ms))
            if late_ms >= _STALL_MS:
                self._note(now_s, late_ms)
        while self._errands:
            self._errands.pop()()
        self._samples = []
        self._cpu_s = process_time()
        self._due_s = monotonic() + _BEAT_S

    def _note(self, now_s: float, late_ms: float) -> None:
        samples = self._samples
        where = ""
        if samples:
            place, count = Counter(samples).most_common(1)[0]
            # One look alone is evidence only where the process computed all the while: then
            # somebody held the interpreter, and the watchdog could not look more often.
            if count >= max(2, 0.6 * len(samples)) or self._computed(late_ms):
                where = place
        elif self._watch.loop_thread is None and self._computed(late_ms):
            where = "the interpreter, held by a computation"
        self._watch.seen.stalls.append(Stall(now_s - late_ms / 1000, late_ms, where))

    def _computed(self, late_ms: float) -> bool:
        """Whether this process computed most of the time since the last beat."""
        return (process_time() - self._cpu_s) * 1000 > late_ms * 0.8

    def _try_pool(self, loop: Any) -> None:
        """How long does work wait for a thread of the default pool?"""
        asked_s = monotonic()
        waits = self._watch.seen.pool_waits

        def begun() -> None:
            waits.append(Spot(asked_s, "default", (monotonic() - asked_s) * 1000))

        loop.run_in_executor(None, begun)
        pool = getattr(loop, "_default_executor", None)
        self._watch.seen.pool_size = getattr(pool, "_max_workers", None)

    # -- the watchdog ---------------------------------------------------------------------------

    def _look(self, thread: int) -> None:
        self._watch.quiet.add(get_ident())
        while True:
            sleep(_SAMPLE_S)
            due_s = self._due_s
            if due_s is None or monotonic() - due_s < 2 * _SAMPLE_S:
                continue
            frame = sys._current_frames().get(thread)
            if frame is not None and (place := self._place(frame)):
                self._samples.append(place)

    def _place(self, frame: FrameType) -> str:
        if any(part in frame.f_code.co_filename for part in _IDLE):
            return ""
        owner = self._watch.owner
        return owner.place(frame) or owner.line(frame)


def _running_loop() -> Any:
    """The loop of this thread; None where asyncio was never imported, or runs none."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    return asyncio._get_running_loop()
