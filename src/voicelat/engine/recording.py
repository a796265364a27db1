"""Keeps calls for later: a two-channel recording and a trace of each, written off the loop."""

from __future__ import annotations

import contextlib
import itertools
import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Full, Queue
from typing import BinaryIO, Final

from voicelat import __version__
from voicelat.audio.mulaw import duration_ms, silence
from voicelat.audio.wav import Channel, TwoChannelWriter
from voicelat.errors import UsageError
from voicelat.metrics.record import CallInfo
from voicelat.turn.config import TurnConfig
from voicelat.turn.effects import Effect
from voicelat.turn.events import Event
from voicelat.turn.trace import TraceHeader, TraceStep, encode_line

__all__ = ["CallTape", "TapeDeck", "tape_name"]

_LOG = logging.getLogger("voicelat.recording")

QUEUE_SIZE: Final = 50_000
"""Jobs waiting for the disk: about a second of 250 calls in both directions."""

FLUSH_S: Final = 0.5
"""A killed process loses at most so much of a trace."""


class TapeDeck:
    """Writes the calls of one process into ``directory`` on one thread.

    Raises UsageError when the directory cannot be made. After that nothing here blocks or
    raises: what the disk does not take is counted in ``lost``, and the call goes on.
    """

    def __init__(
        self, directory: Path, *, queue_size: int = QUEUE_SIZE, flush_s: float = FLUSH_S
    ) -> None:
        try:
            directory.mkdir(0o700, parents=True, exist_ok=True)  # what callers said is theirs
        except OSError as error:
            raise UsageError(f"cannot record into {directory}: {error.strerror}") from None
        self.directory = directory
        self.lost: Counter[str] = Counter()
        """Jobs not done, by why: ``queue full``, or what the disk said."""
        self._jobs: Queue[Callable[[], None] | None] = Queue(queue_size)
        self._flush_s = flush_s
        self._open: set[CallTape] = set()
        self._thread = threading.Thread(target=self._work, name="voicelat-tapes", daemon=True)
        self._thread.start()

    def tape(self, info: CallInfo, turn: TurnConfig) -> CallTape:
        """Begin to keep a call."""
        return CallTape(self, info, turn)

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what is queued and stop. A disk that hangs is waited for ``timeout_s`` twice."""
        with contextlib.suppress(Full):
            self._jobs.put(None, timeout=timeout_s)
        self._thread.join(timeout_s)

    def do(self, job: Callable[[], None]) -> bool:
        """Queue a job for the thread. False, and counted, when the queue is full."""
        try:
            self._jobs.put_nowait(job)
        except Full:
            self.lost["queue full"] += 1
            return False
        return True

    def _work(self) -> None:
        flush_s = time.monotonic() + self._flush_s
        while True:
            if time.monotonic() >= flush_s:
                self._flush()
                flush_s = time.monotonic() + self._flush_s
            try:
                job = self._jobs.get(timeout=self._flush_s)
            except Empty:
                continue
            if job is None:
                break
            self._try(job)
        for tape in list(self._open):
            self._try(tape.shut)

    def _flush(self) -> None:
        idle = self._jobs.empty()
        for tape in list(self._open):
            self._try(tape.shut if tape.over and idle else tape.flush)

    def _try(self, job: Callable[[], None]) -> None:
        try:
            job()
        except OSError as error:
            self.lose(error.strerror or str(error))
        except ValueError:
            self.lose("impossible time")

    def lose(self, why: str) -> None:
        """Count a job that was not done (on the thread)."""
        if why not in self.lost:
            _LOG.error("recording into %s: %s", self.directory, why)
        self.lost[why] += 1

    def opened(self, tape: CallTape) -> None:
        """A tape's files exist (on the thread)."""
        self._open.add(tape)

    def shut(self, tape: CallTape) -> None:
        """A tape's files are closed (on the thread)."""
        self._open.discard(tape)


def tape_name(info: CallInfo) -> str:
    """What a call's files are named, without their suffix. A second call of the same name and
    second has ``-2`` behind it."""
    stamp = re.sub(r"\D", "", info.started_utc or "")[:14]
    call_id = re.sub(r"[^\w.-]", "_", info.call_id, flags=re.ASCII)[:100]
    return f"{stamp}-{call_id}"


class CallTape:
    """One call's ``NAME.wav`` and ``NAME.trace.jsonl``; see `voicelat.engine.call.Tape`.

    Both end where the first write failed: a trace with a hole replays as another call.
    """

    def __init__(self, deck: TapeDeck, info: CallInfo, turn: TurnConfig) -> None:
        self.over = False
        """Whether the call has ended and the queue was too full to say so."""
        self._deck = deck
        self._info = info
        self._turn = turn
        self._wav: TwoChannelWriter | None = None
        self._trace: BinaryIO | None = None
        self._agent_end_ms = 0
        self._failure: str | None = None
        self._whole = self._do(self._start)
        """Whether every step so far was queued."""

    def caller(self, at_ms: int, audio: bytes) -> None:
        """See `Tape`."""
        self._do(lambda: self._write("caller", at_ms, audio))

    def agent(self, at_ms: int, audio: bytes) -> None:
        """See `Tape`."""
        self._do(lambda: self._write("agent", at_ms, audio))

    def cleared(self, at_ms: int) -> None:
        """See `Tape`."""
        self._do(lambda: self._erase(at_ms))

    def step(self, at_ms: int, event: Event, effects: list[Effect]) -> None:
        """See `Tape`."""
        row = TraceStep(at_ms=at_ms, event=event, effects=effects)
        self._whole = self._whole and self._do(lambda: self._note(row))

    def close(self) -> None:
        """See `Tape`."""
        self.over = not self._deck.do(self.shut)

    def _do(self, job: Callable[[], None]) -> bool:
        return self._deck.do(lambda: self._run(job))

    # -- on the deck's thread -----------------------------------------------------------------

    def _run(self, job: Callable[[], None]) -> None:
        if self._failure is not None:
            self._deck.lose(self._failure)
            return
        try:
            job()
        except OSError as error:
            self._fail(error.strerror or str(error))

    def _fail(self, why: str) -> None:
        self._failure = why
        self._deck.lose(why)
        self.shut()

    def _start(self) -> None:
        self._deck.opened(self)
        base, self._trace = self._new_file()
        header = TraceHeader(call=self._info, turn=self._turn, voicelat=__version__)
        self._trace.write(encode_line(header))
        self._wav = TwoChannelWriter(base.with_name(f"{base.name}.wav"))

    def _new_file(self) -> tuple[Path, BinaryIO]:
        """A name that no other call has: callers choose their ids themselves."""
        first = tape_name(self._info)
        for number in itertools.count(1):
            name = first if number == 1 else f"{first}-{number}"
            base = self._deck.directory / name
            with contextlib.suppress(FileExistsError):
                return base, base.with_name(f"{name}.trace.jsonl").open("xb")
        raise AssertionError("counting ended")

    def _write(self, channel: Channel, at_ms: int, audio: bytes) -> None:
        if channel == "agent":
            self._agent_end_ms = at_ms + duration_ms(audio)
        if self._wav is not None:
            self._wav.write(channel, max(0, at_ms), audio)

    def _erase(self, at_ms: int) -> None:
        if self._agent_end_ms > at_ms:
            self._write("agent", at_ms, silence(self._agent_end_ms - at_ms))
            self._agent_end_ms = at_ms

    def _note(self, row: TraceStep) -> None:
        if self._trace is None:
            return
        try:
            line = encode_line(row)
        except (TypeError, ValueError) as error:  # text that is no Unicode, a foreign number
            self._fail(f"a step cannot be written: {error}")
        else:
            self._trace.write(line)

    def flush(self) -> None:
        """Put the trace on disk."""
        if self._trace is not None and not self._trace.closed:
            self._run(self._trace.flush)

    def shut(self) -> None:
        """Close both files."""
        self._deck.shut(self)
        try:
            if self._trace is not None:
                self._trace.close()
        finally:
            if self._wav is not None:
                self._wav.close()
