"""Keeps calls for later: a two-channel recording and a trace of each, written off the loop."""

from __future__ import annotations

import logging
import re
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Full, Queue
from typing import BinaryIO, Final

from voicelat import __version__
from voicelat.audio.mulaw import silence
from voicelat.audio.wav import Channel, TwoChannelWriter
from voicelat.errors import UsageError
from voicelat.metrics.record import CallInfo
from voicelat.turn.config import TurnConfig
from voicelat.turn.effects import Effect
from voicelat.turn.events import Event
from voicelat.turn.trace import TraceHeader, TraceStep, encode_line

__all__ = ["CallTape", "TapeDeck"]

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

    def __init__(self, directory: Path) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot record into {directory}: {error.strerror}") from None
        self.directory = directory
        self.lost: Counter[str] = Counter()
        """Jobs not done, by why: ``queue full``, or what the disk said."""
        self._jobs: Queue[Callable[[], None] | None] = Queue(QUEUE_SIZE)
        self._open: set[CallTape] = set()
        self._thread = threading.Thread(target=self._work, name="voicelat-tapes", daemon=True)
        self._thread.start()

    def tape(self, info: CallInfo, turn: TurnConfig) -> CallTape:
        """Begin to keep a call."""
        return CallTape(self, info, turn)

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what is queued and stop, within ``timeout_s``."""
        self._jobs.put(None)
        self._thread.join(timeout_s)

    def do(self, job: Callable[[], None]) -> None:
        """Queue a job for the thread."""
        try:
            self._jobs.put_nowait(job)
        except Full:
            self.lost["queue full"] += 1

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=FLUSH_S)
            except Empty:
                self._try(self._flush)
                continue
            if job is None:
                break
            self._try(job)
        for tape in list(self._open):
            self._try(tape.shut)

    def _flush(self) -> None:
        for tape in self._open:
            tape.flush()

    def _try(self, job: Callable[[], None]) -> None:
        try:
            job()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            if why not in self.lost:
                _LOG.error("recording into %s: %s", self.directory, why)
            self.lost[why] += 1

    def opened(self, tape: CallTape) -> None:
        """A tape's files exist (on the thread)."""
        self._open.add(tape)

    def shut(self, tape: CallTape) -> None:
        """A tape's files are closed (on the thread)."""
        self._open.discard(tape)


class CallTape:
    """One call's ``NAME.wav`` and ``NAME.trace.jsonl``; see `voicelat.engine.call.Tape`."""

    def __init__(self, deck: TapeDeck, info: CallInfo, turn: TurnConfig) -> None:
        self._deck = deck
        self._info = info
        self._turn = turn
        self._wav: TwoChannelWriter | None = None
        self._trace: BinaryIO | None = None
        self._agent_end_ms = 0
        deck.do(self._start)

    def caller(self, at_ms: int, audio: bytes) -> None:
        """See `Tape`."""
        self._deck.do(lambda: self._write("caller", at_ms, audio))

    def agent(self, at_ms: int, audio: bytes) -> None:
        """See `Tape`."""
        self._deck.do(lambda: self._write("agent", at_ms, audio))

    def cleared(self, at_ms: int) -> None:
        """See `Tape`."""
        self._deck.do(lambda: self._erase(at_ms))

    def step(self, at_ms: int, event: Event, effects: list[Effect]) -> None:
        """See `Tape`."""
        row = TraceStep(at_ms=at_ms, event=event, effects=effects)
        self._deck.do(lambda: self._note(row))

    def close(self) -> None:
        """See `Tape`."""
        self._deck.do(self.shut)

    # -- on the deck's thread -----------------------------------------------------------------

    def _start(self) -> None:
        name = re.sub(r"[^\w.-]", "_", self._info.call_id)[:100]
        stamp = re.sub(r"\D", "", self._info.started_utc or "")[:14]
        base = self._deck.directory / f"{stamp}-{name}"
        self._deck.opened(self)
        self._trace = base.with_name(base.name + ".trace.jsonl").open("wb")
        self._trace.write(
            encode_line(TraceHeader(call=self._info, turn=self._turn, voicelat=__version__))
        )
        self._wav = TwoChannelWriter(base.with_name(base.name + ".wav"))

    def _write(self, channel: Channel, at_ms: int, audio: bytes) -> None:
        if self._wav is not None:
            self._wav.write(channel, max(0, at_ms), audio)
        if channel == "agent":
            self._agent_end_ms = at_ms + len(audio) // 8

    def _erase(self, at_ms: int) -> None:
        if self._wav is not None and self._agent_end_ms > at_ms:
            self._wav.write("agent", at_ms, silence(self._agent_end_ms - at_ms))

    def _note(self, row: TraceStep) -> None:
        if self._trace is not None:
            self._trace.write(encode_line(row))

    def flush(self) -> None:
        """Put the trace on disk."""
        if self._trace is not None:
            self._trace.flush()

    def shut(self) -> None:
        """Close both files."""
        self._deck.shut(self)
        try:
            if self._trace is not None:
                self._trace.close()
        finally:
            if self._wav is not None:
                self._wav.close()
