"""One call's ears over as many recognition requests as it takes.

Google ends a request after five minutes, and requests get lost. A call's stream therefore runs
in laps, one request each. Audio is kept until a final has settled it, so a new lap can begin
where the last final ended, whatever became of the lap before.

- `finalize` half-closes the lap, which makes Google give its final at once; the next lap begins
  behind it, and waits with what it hears until that final is there.
- A lap that is lost is run again from the last final on, through the same half-closes.
- A lap that gets old is left in silence, and in the middle of a word only when it must be.

A lap that starts behind a final starts a little early: before the final's last word, so that
this word is heard whole and dropped (`Seam`), and nothing between it and the next is missed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import islice
from typing import Final

from voicelat.audio.mulaw import BYTES_PER_MS
from voicelat.errors import ProviderError
from voicelat.providers.google_stt_lap import GoogleSttConfig, Lap
from voicelat.providers.google_stt_rewind import Place, Rewind, Seam, Told, Voices
from voicelat.providers.google_stt_wire import Recognised, Recognition
from voicelat.providers.protocols import Transcript

__all__ = ["GoogleSttStream"]

_LARGEST: Final = 15_000
"""Audio in one message; Google takes 25 KB."""


class GoogleSttStream:
    """One call's stream: see `SttStream`. ``recognise`` starts a request; ``on_silence`` is told
    of each that was not answered when it should have been."""

    def __init__(
        self,
        name: str,
        recognise: Callable[[], Recognition],
        config: GoogleSttConfig,
        on_close: Callable[[GoogleSttStream], None],
        on_silence: Callable[[], None] = lambda: None,
    ) -> None:
        self.forgotten_ms = 0
        """Audio dropped although no final had settled it."""
        self.laps = 0
        """Requests started."""
        self._name = name
        self._recognise = recognise
        self._config = config
        self._on_close = on_close
        self._on_silence = on_silence
        self._loop = asyncio.get_running_loop()
        self._out: asyncio.Queue[Transcript | ProviderError | None] = asyncio.Queue()
        self._audio = Rewind()
        self._voices = Voices()
        self._told = Told()
        self._failures = 0
        self._stalled = False
        self._closed = False
        self._running: set[asyncio.Task[None]] = set()
        self._laps: deque[Lap] = deque()
        self._laps.append(self._started(0, Seam(), 0.0))

    # -- what the call says -------------------------------------------------------------------

    def feed(self, audio: bytes) -> None:
        """Take the next mu-law audio, any length. Never blocks."""
        if self._closed:
            return
        self._audio.append(audio)
        if self._voices.active:
            self._notice_stall(self._laps[-1], len(audio))
        if len(self._laps) == 1:
            self._roll_if_old(self._laps[0])
            self._cut_longer_than(self._config.longest_ms)
        self._forget()
        self._laps[-1].wake.set()

    def voice(self, active: bool) -> None:
        """The voice detector heard speech begin (True) or fall silent (False)."""
        if self._closed:
            return
        if active:
            earliest = max(self._told.settled, self._audio.end - _bytes(self._config.pre_roll_ms))
            self._voices.start(earliest)
        else:
            self._voices.stop(self._audio.end)
            self._hurry(self._laps[-1])
            self._cut_longer_than(self._config.segment_ms)

    def finalize(self) -> None:
        """Give the final for what was fed so far as soon as possible. Never blocks.

        With nothing heard since the last final it does nothing. A voice without words gives an
        empty final.
        """
        if self._closed or not self._anything_heard():
            return
        lap = self._laps[-1]
        lap.stop = self._audio.end
        lap.told_final = False
        self._hurry(lap)
        self._limit(lap)
        start = lap.stop
        if not self._voices.active:  # never back into a voice: half a word is another word
            silent = max(self._voices.stopped, lap.stop - _bytes(self._config.pre_roll_ms))
            start = max(lap.start, silent)
        self._laps.append(self._started(start, Seam(), 0.0))

    def __aiter__(self) -> AsyncIterator[Transcript]:
        """Transcripts until `aclose`. Raises `ProviderError` when the ears are lost for good."""
        return self._transcripts()

    async def _transcripts(self) -> AsyncIterator[Transcript]:
        while isinstance(item := await self._out.get(), Transcript):
            yield item
        self._out.put_nowait(item)
        if item is not None:
            raise item

    async def aclose(self) -> None:
        """Stop what runs and wait until it has stopped. Safe to call twice."""
        self._end(None)
        while not self._out.empty():
            self._out.get_nowait()
        self._out.put_nowait(None)
        if self._running:
            await asyncio.wait(self._running)
        self._on_close(self)

    def _anything_heard(self) -> bool:
        """Whether there may be words behind the last final and the last half-close."""
        lap = self._laps[-1]
        if len(self._laps) == 1:
            return self._told.open or self._voices.behind(self._told.settled, self._audio.end)
        partial = any(heard.text and not heard.final for heard in lap.waiting[-1:])
        return partial or self._voices.behind(self._laps[-2].stop or 0, self._audio.end)

    # -- laps ---------------------------------------------------------------------------------

    def _started(self, start: int, seam: Seam, wait_s: float) -> Lap:
        """A lap that runs, for the caller to put where it belongs."""
        start = max(start, self._audio.begin)
        lap = Lap(start, self._loop.time() + wait_s, wait_s, sent=start, seam=seam)
        self.laps += 1
        lap.task = asyncio.create_task(self._run(lap), name=f"lap {self.laps} of {self._name}")
        self._running.add(lap.task)
        lap.task.add_done_callback(self._finished)
        return lap

    def _run_again(self, lap: Lap, wait_s: float) -> None:
        """Replace a lap: the first by one from the last final on, others from their start."""
        index = self._laps.index(lap)
        start, seam = lap.start, Seam()
        if index == 0:
            start, seam = self._resume(half_closed=lap.stop is not None)
            start = start if lap.stop is None else min(start, lap.stop)
        self._cancel(lap)
        again = self._started(start, seam, wait_s)
        again.stop, again.told_final = lap.stop, lap.told_final
        self._laps[index] = again

    def _cancel(self, lap: Lap) -> None:
        if lap.task is not None and lap.task is not asyncio.current_task():
            lap.task.cancel()

    def _resume(self, *, half_closed: bool) -> tuple[int, Seam]:
        """Where a new first lap has to begin, and what it will say again."""
        settled, last = self._told.settled, self._told.last
        voice = self._voices.earliest
        if self._told.open or (half_closed and voice is None):
            start = settled
        elif voice is not None:
            start = max(settled, voice)
        else:
            start = max(settled, self._audio.end - _bytes(self._config.pre_roll_ms))
        if start > settled or not last:
            return start, Seam()
        earliest = max(settled - _bytes(self._config.overlap_ms), self._audio.begin)
        word = last[-1]  # whole or not at all: half of it would be heard as another
        start = min(settled, word.begin if word.begin >= earliest else max(earliest, word.end))
        return start, Seam(tuple(place for place in last if place.end > start))

    def _notice_stall(self, lap: Lap, voiced: int) -> None:
        lap.unanswered += voiced
        if lap.unanswered > _bytes(self._config.stall_ms) and not self._stalled:
            self._stalled = True
            self._on_silence()
            self._run_again(lap, 0.0)

    def _roll_if_old(self, lap: Lap) -> None:
        sent_ms = (self._audio.end - lap.start) // BYTES_PER_MS
        age_ms = max(sent_ms, (self._loop.time() - lap.born_s) * 1000)
        if lap.stop is not None or age_ms < self._config.roll_after_ms:
            return
        quiet = not self._told.open and not self._voices.active
        if quiet or age_ms >= self._config.roll_by_ms:
            self._run_again(lap, 0.0)

    def _cut_longer_than(self, limit_ms: int) -> None:
        """A segment must not outgrow what is kept of it."""
        if self._told.open and self._audio.end - self._told.settled > _bytes(limit_ms):
            self.finalize()

    def _forget(self) -> None:
        """Keep what may have to be heard again, and no more."""
        first = self._laps[0]
        silent = first.sent - self._voices.stopped
        if (
            silent > _bytes(self._config.forget_ms)
            and first.stop is None
            and not self._voices.active
            and not self._told.open
        ):
            self._voices.settle(self._voices.stopped)
        resume, _ = self._resume(half_closed=first.stop is not None)
        later = (lap.start for lap in islice(self._laps, 1, None))
        needed = min(resume, first.sent, *later)
        limit = self._audio.end - _bytes(self._config.replay_ms)
        if limit > needed:
            self.forgotten_ms += max(0, limit - max(needed, self._audio.begin)) // BYTES_PER_MS
        self._audio.forget(max(needed, limit))

    def _hurry(self, lap: Lap) -> None:
        lap.flush = True
        lap.wake.set()

    # -- one lap ------------------------------------------------------------------------------

    async def _run(self, lap: Lap) -> None:
        if lap.wait_s:
            await asyncio.sleep(lap.wait_s)
        try:
            async with asyncio.timeout(self._config.connect_s) as lap.limit:
                await self._exchange(lap)
        except TimeoutError:
            self._on_silence()
            what = "connection" if lap.stop is None or lap.sent < lap.stop else "final"
            self._lost(lap, ProviderError(self._name, f"no {what} in time", "retry"))
        except ProviderError as error:
            self._lost(lap, error)
        else:
            self._over(lap)
        finally:
            # Tasks remember their frames, those their lap: in a circle, they would keep the
            # request until the garbage collector comes, and the request its connection.
            lap.task = lap.limit = None

    async def _exchange(self, lap: Lap) -> None:
        """Send and hear until the request is over."""
        recognition = self._recognise()
        sender = asyncio.create_task(self._send(lap, recognition))
        try:
            while (heard := await recognition.receive()) is not None:
                self._hear(lap, heard)
        finally:
            recognition.cancel()
            sender.cancel()
            await asyncio.wait([sender])
            if not sender.cancelled() and (error := sender.exception()):
                raise error

    async def _send(self, lap: Lap, recognition: Recognition) -> None:
        await recognition.begin()
        self._limit(lap)
        while lap.stop is None or lap.sent < lap.stop:
            lap.skip_to(self._audio.begin)
            end = self._audio.end if lap.stop is None else lap.stop
            until = min(end, lap.sent + _LARGEST)
            hurry = lap.flush or lap.stop is not None
            urgent = hurry or end - lap.sent >= _bytes(self._config.send_ms)
            if until > lap.sent and urgent:
                audio = self._audio.read(lap.sent, until)
                lap.flush = lap.flush and until < end
                lap.sent = until
                await recognition.send(audio)
            else:
                lap.wake.clear()
                await lap.wake.wait()
        await recognition.end()
        if lap.limit is not None:
            lap.limit.reschedule(self._loop.time() + self._config.final_s)

    def _limit(self, lap: Lap) -> None:
        """A connected lap may go on; a half-closed one must get its audio away and be answered."""
        if lap.limit is not None:
            away_s = self._loop.time() + self._config.connect_s + self._config.final_s
            lap.limit.reschedule(None if lap.stop is None else away_s)

    def _lost(self, lap: Lap, error: ProviderError) -> None:
        if self._closed or lap not in self._laps:
            return
        if (self._loop.time() - lap.born_s) * 1000 >= self._config.healthy_ms:
            self._failures = 0
        waits = self._config.retry_after_s
        if error.advice != "retry" or self._failures == len(waits):
            self._end(error)
            return
        self._failures += 1
        self._run_again(lap, waits[self._failures - 1])

    def _over(self, lap: Lap) -> None:
        """Google ended a request well: with its final, if there were words."""
        if self._closed or lap not in self._laps:
            return
        if lap.stop is None or lap.sent < lap.stop:
            self._lost(lap, ProviderError(self._name, "the recogniser hung up", "retry"))
            return
        lap.done = True
        while self._laps[0].done:
            self._hand_over(self._laps.popleft())

    def _hand_over(self, lap: Lap) -> None:
        """A half-closed lap has said all it will: the next one speaks."""
        assert lap.stop is not None
        if self._told.partial or not lap.told_final:
            self._out.put_nowait(self._told.close(lap.stop))
        self._told.settle(lap.stop)
        self._voices.settle(lap.stop)
        self._failures = 0
        head = self._laps[0]
        for heard in head.waiting:
            self._say(head, heard)
        head.waiting.clear()

    # -- what is heard ------------------------------------------------------------------------

    def _hear(self, lap: Lap, heard: Sequence[Recognised]) -> None:
        if self._closed or lap not in self._laps:
            return
        lap.unanswered = 0
        self._stalled = False
        for each in heard:
            if lap is self._laps[0]:
                self._say(lap, each)
            else:
                lap.waiting.append(each)

    def _say(self, lap: Lap, heard: Recognised) -> None:
        """Tell what the first lap heard."""
        reach = self._told.reach
        end = None if heard.end_ms is None else lap.place(heard.end_ms)
        if heard.final:
            told = self._final(lap, heard, end)
        else:
            told = self._told.take_partial(lap.seam.partial(heard.text), end)
        if told is not None:
            self._out.put_nowait(told)
        if self._told.reach > reach:
            self._failures = 0

    def _final(self, lap: Lap, heard: Recognised, end: int | None) -> Transcript | None:
        places = tuple(
            Place(word.text, lap.place(word.begin_ms), lap.place(word.end_ms))
            for word in heard.words
        )
        if end is None:
            end = places[-1].end if places else lap.sent
        end = min(end, lap.sent)
        text = lap.seam.final(heard.text, places, end)
        told = self._told.take_final(text, end, places, heard.confidence)
        lap.told_final = lap.told_final or told is not None
        self._voices.settle(self._told.settled)
        return told

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            broken = ProviderError(self._name, f"broke: {error!r}", "retry")
            broken.__cause__ = error
            self._end(broken)

    def _end(self, error: ProviderError | None) -> None:
        if self._closed:
            return
        self._closed = True
        for lap in self._laps:
            self._cancel(lap)
        self._out.put_nowait(error)


def _bytes(duration_ms: int) -> int:
    return duration_ms * BYTES_PER_MS
