"""Whether the event loop stood still, what stopped it, and whose turn it hit.

A heartbeat on the loop measures its lag. A watchdog thread looks at the loop's stack while a beat
is overdue, so that what blocks is caught in the act; code that holds the interpreter (a C encoder)
is caught when it lets go, with its frame still there. Collections of garbage are timed by the
collector's own callbacks.

A loop can also be late without anybody blocking it: because it has more to do than there is time
(*busy*), or because the machine gave its thread no time (*starved*). Neither is blamed on the
frame that happened to run.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

from voicelat.metrics.record import Stall, StallKind, TurnRecord

__all__ = ["LAG_BUCKETS_MS", "Histogram", "LoopWatch"]

BEAT_S: Final = 0.02
STALL_MS: Final = 50
"""A beat later than that is a stall: two and a half frames of audio, where callers begin to hear
it and Twilio to throw their audio away."""
SAMPLE_S: Final = 0.01
KEPT: Final = 256
"""Stalls remembered, for the turns that are still open."""
STALLS_A_TURN: Final = 5
_COLLECTIONS: Final = 15
_SAMPLES: Final = 500
_NEARLY_ALL: Final = 0.8
"""Of a stall. What else was due runs behind it, before the loop can note that it stood still."""
"""Five seconds of one stall: what it is will have shown by then."""
STACK: Final = 12

LAG_BUCKETS_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)

_LOOPS: Final = ("/asyncio/", "/uvloop/", "/uvicorn/server.py", "/uvicorn/_compat.py")
"""Files whose frames run the loop; what lies below them is what it runs."""


@dataclass(slots=True)
class Histogram:
    """Counts by bucket of `LAG_BUCKETS_MS`, the last one for anything longer."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LAG_BUCKETS_MS) + 1))
    total_ms: float = 0.0

    def observe(self, ms: float) -> None:
        """Count one."""
        self.counts[bisect_left(LAG_BUCKETS_MS, ms)] += 1
        self.total_ms += ms


@dataclass(frozen=True, slots=True)
class _LoopStall:
    """One, on the monotonic clock."""

    began_s: float
    ended_s: float
    kind: StallKind
    where: str
    stack: list[str]


@dataclass(frozen=True, slots=True)
class _Sample:
    """The loop's stack, innermost first, and which frames those were."""

    at_s: float
    """When, on the monotonic clock. What holds the interpreter is seen once, at its end: a sample
    stands for all the time since the one before."""
    frames: tuple[int, ...]
    lines: list[str]


class LoopWatch:
    """Watches the event loop it is started on, until it is stopped. One per process is enough.

    ``lost_logs``: how many log lines were dropped so far; None: nobody counts.
    """

    def __init__(self, lost_logs: Callable[[], int] | None = None) -> None:
        self.lag: Final = Histogram()
        """How late the beats were."""
        self.gc: Final = {generation: Histogram() for generation in range(3)}
        """How long collections took, by generation."""
        self.stalls: Final[Counter[StallKind]] = Counter()
        """How many there were, by kind."""
        self.lost_logs: Final = lost_logs or (lambda: 0)
        self._recent: deque[_LoopStall] = deque(maxlen=KEPT)
        self._collections: tuple[tuple[float, float, int], ...] = ()
        """The last ones, replaced as a whole: one may come while somebody looks at them."""
        self._collecting_since = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._due_s = self._beat_s = 0.0
        self._cpu_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._samples: list[_Sample] = []
        self._over = threading.Event()

    def start(self) -> None:
        """Begin, on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._over.clear()
        gc.callbacks.append(self._collected)
        self._arm()
        threading.Thread(target=self._watch, name="voicelat-watch", daemon=True).start()

    def stop(self) -> None:
        """End. Safe to call twice."""
        self._over.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._collected in gc.callbacks:
            gc.callbacks.remove(self._collected)

    def attribute(self, record: TurnRecord, zero_s: float, lost_logs: int) -> TurnRecord:
        """``record`` with the stalls that hit its turn. ``zero_s``: where its call clock began on
        the monotonic clock. ``lost_logs``: log lines lost before the turn."""
        stamps = record.stamps
        known = [at for at in msgspec.structs.astuple(stamps) if at is not None]
        if not known:
            return record
        begin_s, end_s = (zero_s + at / 1000 for at in (min(known), max(known)))
        hit = [one for one in self._recent if one.ended_s > begin_s and one.began_s < end_s]
        waited = 0.0
        if stamps.speech_end is not None and stamps.first_audio_sent is not None:
            wait = zero_s + stamps.speech_end / 1000, zero_s + stamps.first_audio_sent / 1000
            waited = sum(max(0.0, min(s.ended_s, wait[1]) - max(s.began_s, wait[0])) for s in hit)
        longest = sorted(hit, key=lambda one: one.began_s - one.ended_s)[:STALLS_A_TURN]
        return msgspec.structs.replace(
            record,
            stall_ms=round(waited * 1000),
            stalls=[
                Stall(
                    at_ms=round((one.began_s - zero_s) * 1000),
                    ms=round((one.ended_s - one.began_s) * 1000),
                    kind=one.kind,
                    where=one.where,
                    stack=one.stack,
                )
                for one in sorted(longest, key=lambda one: one.began_s)
            ],
            lost_logs=self.lost_logs() - lost_logs,
        )

    # -- on the loop --------------------------------------------------------------------------

    def _arm(self) -> None:
        assert self._loop is not None
        self._beat_s = time.monotonic()
        self._cpu_s = time.thread_time()
        self._due_s = self._beat_s + BEAT_S
        self._timer = self._loop.call_later(BEAT_S, self._beat)

    def _beat(self) -> None:
        now_s = time.monotonic()
        lag_ms = max(0.0, now_s - self._due_s) * 1000
        self.lag.observe(lag_ms)
        began_s, cpu_s, samples = self._beat_s, time.thread_time() - self._cpu_s, self._samples
        self._samples = []
        self._arm()
        if lag_ms >= STALL_MS:
            self._note(began_s, now_s, cpu_s, samples)

    def _note(self, began_s: float, now_s: float, cpu_s: float, samples: list[_Sample]) -> None:
        gap_s = now_s - began_s
        collected = [one for one in self._collections if one[1] > began_s]
        kind: StallKind
        stack: list[str] = []
        if collected and sum(end - begin for begin, end, _ in collected) > gap_s / 2:
            _, _, generation = max(collected, key=lambda one: one[1] - one[0])
            kind, where = "gc", f"garbage collection of generation {generation}"
            stack = samples[-1].lines if samples else []
        elif len(samples) < 2 and cpu_s * 1000 < STALL_MS:
            # Neither did the loop compute for as long as a stall takes, nor did the watchdog come
            # to look, which needs next to nothing.
            kind, where = "starved", "the machine gave the loop no time"
        elif not samples:
            # Between pieces of Python the watchdog would have had its turn.
            kind, where = "blocked", "code that held the interpreter, and could not be seen"
        elif (caught := _keeper(samples, began_s)) is not None:
            kind, stack = "blocked", caught
            where = stack[0] if stack else "unknown"
        else:
            kind, where = "busy", "more to do than time"
        self.stalls[kind] += 1
        self._recent.append(_LoopStall(began_s, now_s, kind, where, stack))

    # -- elsewhere ----------------------------------------------------------------------------

    def _watch(self) -> None:
        """The watchdog: look at the loop's stack while a beat is overdue."""
        while not self._over.wait(SAMPLE_S):
            if time.monotonic() - self._due_s > 2 * SAMPLE_S:
                frame = sys._current_frames().get(self._thread)
                if frame is not None and len(self._samples) < _SAMPLES:
                    self._samples.append(_sample(frame))

    def _collected(self, phase: str, info: dict[str, int]) -> None:
        """The collector's callback, on whichever thread it ran; no other runs meanwhile."""
        now_s = time.monotonic()
        if phase == "start":
            self._collecting_since = now_s
            return
        began_s = self._collecting_since
        self.gc[info["generation"]].observe((now_s - began_s) * 1000)
        self._collections = (
            *self._collections[-_COLLECTIONS:],
            (began_s, now_s, info["generation"]),
        )


def _keeper(samples: list[_Sample], began_s: float) -> list[str] | None:
    """The stack of the innermost frame that was there nearly all along; None when there was none:
    the loop did one thing after another."""
    if not samples:
        return None
    spans = [
        sample.at_s - before_s
        for before_s, sample in zip(
            (began_s, *(sample.at_s for sample in samples)), samples, strict=False
        )
    ]
    held_s: defaultdict[int, float] = defaultdict(float)
    for sample, span_s in zip(samples, spans, strict=True):
        for frame in set(sample.frames):
            held_s[frame] += span_s
    longest = samples[max(range(len(samples)), key=spans.__getitem__)]
    for depth, frame in enumerate(longest.frames):
        if held_s[frame] >= _NEARLY_ALL * sum(spans):
            last = [sample for sample in samples if frame in sample.frames][-1]
            # From where it was seen last, if that goes deeper: that is what it was doing.
            return (longest.lines[depth:] if last is longest else last.lines)[:STACK]
    return None


def _sample(frame: FrameType | None) -> _Sample:
    ids: list[int] = []
    lines: list[str] = []
    while frame is not None:
        path = frame.f_code.co_filename
        if any(part in path for part in _LOOPS) and path.endswith(
            ("base_events.py", "events.py", "runners.py", "server.py", "_compat.py")
        ):
            break
        ids.append(id(frame))
        if len(lines) < STACK:
            source = _source(path)
            line = source[frame.f_lineno - 1].strip() if frame.f_lineno <= len(source) else ""
            lines.append(f"{_short(path)}:{frame.f_lineno} {frame.f_code.co_name}: {line}")
        frame = frame.f_back
    return _Sample(time.monotonic(), tuple(ids), lines)


@lru_cache(64)
def _source(path: str) -> list[str]:
    """A file's lines; none where there is no file. `linecache` is not for two threads."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _short(path: str) -> str:
    """The path from its package on: where it is installed is nobody's business."""
    for root in ("/site-packages/", "/dist-packages/", "/src/"):
        if root in path:
            return path.rsplit(root, 1)[1]
    parts = path.split("/")
    for index, part in enumerate(parts):
        if part.startswith("python3"):
            return "/".join(parts[index + 1 :])
    return "/".join(parts[-2:])
