"""The embedded ears: Moonshine tiny-en behind the `SpeechToText` protocol.

Moonshine transcribes whole segments and invents words for noise, so the voice detector's hints
decide what it hears: nothing without a hint, and a little before one. While the voice goes on,
the growing segment is transcribed again and again for partials; when it pauses, once more for
the text that counts.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from functools import partial

from voicelat.audio.mulaw import BYTES_PER_MS
from voicelat.errors import ProviderError
from voicelat.providers.local.inference import Stopper
from voicelat.providers.local.moonshine import Heard, Moonshine
from voicelat.providers.local.pool import Rank, RankedPool
from voicelat.providers.protocols import Transcript

__all__ = ["MoonshineStream", "MoonshineStt", "SttConfig"]


@dataclass(frozen=True, slots=True)
class SttConfig:
    """All times are durations of audio fed, not of a clock."""

    pre_roll_ms: int = 300
    """Kept from before a voice hint: a detector notices a soft first consonant late."""
    first_partial_ms: int = 300
    """Voice heard before the first partial. Below it the model mostly guesses."""
    partial_every_ms: int = 400
    """New audio between partials."""
    final_after_ms: int = 100
    """Silence after a pause hint that makes its text final. Shorter breaks stay one segment."""
    longest_ms: int = 20_000
    """A segment without a pause is cut here; the model was trained on up to 30 s."""
    shortest_ms: int = 160
    """Less audio than this is no word: what is left behind a segment cut under a voice."""
    threads: int = 2


class MoonshineStt:
    """English ears for many calls at once, on ``threads`` threads, text 30 to 80 ms after a pause.

    Needs the ``local`` extra. `warm` and `open` raise `MissingExtra` without it, and
    `ProviderError` for wrong weights.
    """

    name = "local"

    def __init__(self, config: SttConfig | None = None) -> None:
        self._config = config or SttConfig()
        self._pool = RankedPool(self._config.threads, "voicelat-stt")
        self._streams: set[MoonshineStream] = set()
        self._loading: asyncio.Future[Moonshine] | None = None

    async def warm(self) -> None:
        """Load the model in a thread and transcribe a second of silence."""
        await self._model()

    async def open(self, language: str) -> MoonshineStream:
        """Start one call. Raises `ProviderError` (give_up) for any language but English."""
        if language.partition("-")[0].lower() != "en":
            raise ProviderError("local", f"hears English only, not {language}", "give_up")
        model = await self._model()
        stream = MoonshineStream(model, self._pool, self._config, self._streams.discard)
        self._streams.add(stream)
        return stream

    def computing(self) -> bool:
        """See `ComputesHere`: the model is being loaded, or a stream's job is not done."""
        loading = self._loading is not None and not self._loading.done()
        return loading or any(stream.computing() for stream in self._streams)

    async def aclose(self) -> None:
        """Close every stream, end the threads, drop the model."""
        for stream in tuple(self._streams):
            await stream.aclose()
        await asyncio.to_thread(self._pool.close)
        self._loading = None

    async def _model(self) -> Moonshine:
        failed = self._loading is not None and self._loading.done() and self._loading.exception()
        if self._loading is None or failed:
            self._loading = asyncio.wrap_future(self._pool.submit(Rank.NOW, _load))
        # Shielded: a caller who hangs up while it loads must not stop it for the others.
        return await asyncio.shield(self._loading)


def _load() -> Moonshine:
    model = Moonshine()
    model.transcribe(bytes([0xFF]) * 1000 * BYTES_PER_MS)
    return model


class _Phase(Enum):
    IDLE = "nobody speaks"
    VOICED = "the caller speaks"
    PAUSED = "the caller fell silent, and the segment is not final yet"


@dataclass(slots=True, eq=False)
class _Job:
    """One transcription under way. ``text`` is None until it is done."""

    stopper: Stopper = field(default_factory=Stopper)
    future: Future[Heard | None] | None = None
    text: str | None = None
    told: bool = False


class MoonshineStream:
    """One call's ears. See `SttStream`; beyond it:

    - The text of a pause comes as a partial as soon as it is known, and again as the final once
      `finalize` was called or ``final_after_ms`` of audio followed, whichever is first. If the
      voice resumes before, the segment goes on and is transcribed as a whole.
    - A partial is never empty; while the voice goes on it comes only when the text changed. A
      final may be empty: there was a voice, but no words.
    - `finalize` while the voice is active closes the segment right there; with nothing voiced
      since the last final it does nothing.
    """

    def __init__(
        self,
        model: Moonshine,
        pool: RankedPool,
        config: SttConfig,
        on_close: Callable[[MoonshineStream], None],
    ) -> None:
        self._model = model
        self._pool = pool
        self._config = config
        self._out: asyncio.Queue[Transcript | ProviderError | None] = asyncio.Queue()
        self._phase = _Phase.IDLE
        self._audio = bytearray()
        self._unheard = 0
        self._silence = 0
        self._due = False
        self._draft: tuple[int, ...] = ()
        self._said = ""
        self._job: _Job | None = None
        self._closing: deque[_Job] = deque()
        self._running: set[Future[Heard | None]] = set()
        self._closed = False
        self._on_close = on_close

    def feed(self, audio: bytes) -> None:
        """Take the next mu-law audio, any length. Never blocks."""
        if self._closed:
            return
        self._audio += audio
        match self._phase:
            case _Phase.IDLE:
                del self._audio[: -_bytes(self._config.pre_roll_ms)]
            case _Phase.VOICED:
                self._unheard += len(audio)
                if len(self._audio) >= _bytes(self._config.longest_ms):
                    self._cut()
                elif self._unheard >= _bytes(self._config.partial_every_ms) and not self._job:
                    self._unheard = 0
                    self._job = self._transcribe(Rank.LATER)
            case _Phase.PAUSED:
                self._silence += len(audio)
                self._advance()

    def voice(self, active: bool) -> None:
        """The voice detector heard speech begin (True) or fall silent (False)."""
        if self._closed:
            return
        if active and self._phase is not _Phase.VOICED:
            if self._phase is _Phase.IDLE:
                head_start = self._config.partial_every_ms - self._config.first_partial_ms
                self._unheard = _bytes(head_start)
            self._drop_job()
            self._phase = _Phase.VOICED
        elif not active and self._phase is _Phase.VOICED:
            self._pause()

    def finalize(self) -> None:
        """Give the final for what was fed so far as soon as possible. Never blocks."""
        if self._closed:
            return
        if self._phase is _Phase.VOICED:
            self._cut()
        elif self._phase is _Phase.PAUSED:
            self._due = True
            self._advance()

    async def __aiter__(self) -> AsyncIterator[Transcript]:
        """Transcripts until `aclose`. Raises `ProviderError` when the model fails."""
        while not (self._closed and self._out.empty()):
            item = await self._out.get()
            if isinstance(item, ProviderError):
                raise item
            if item is not None:
                yield item

    async def aclose(self) -> None:
        """Stop what runs and wait until it has stopped. Safe to call twice."""
        self._end(None)
        if self._running:
            await asyncio.wait([asyncio.wrap_future(job) for job in self._running])
        self._on_close(self)

    def computing(self) -> bool:
        """Whether a job is under way, a stopped one that has not ended yet included."""
        return bool(self._running)

    def _transcribe(self, rank: Rank) -> _Job:
        """Start on the segment as it is now."""
        job = _Job()
        work = partial(
            self._model.transcribe,
            bytes(self._audio),
            self._draft,
            job.stopper,
            self._pool.urgent if rank is Rank.LATER else None,
        )
        job.future = self._pool.submit(rank, work)
        self._running.add(job.future)
        asyncio.wrap_future(job.future).add_done_callback(partial(self._done, job))
        return job

    def _pause(self) -> None:
        self._drop_job()
        if len(self._audio) < _bytes(self._config.shortest_ms):
            self._start_segment(_Phase.IDLE, keep=len(self._audio))
            return
        self._phase, self._silence, self._due = _Phase.PAUSED, 0, False
        self._job = self._transcribe(Rank.NOW)

    def _drop_job(self) -> None:
        if self._job is not None:
            _stop(self._job)
            self._job = None

    def _cut(self) -> None:
        """Close the segment although the voice goes on. With nothing in it, there is none."""
        if len(self._audio) < _bytes(self._config.shortest_ms):
            return
        self._drop_job()
        self._closing.append(self._transcribe(Rank.NOW))
        self._start_segment(_Phase.VOICED, keep=0)

    def _start_segment(self, phase: _Phase, *, keep: int) -> None:
        del self._audio[: len(self._audio) - keep]
        self._phase, self._draft, self._said, self._unheard = phase, (), "", 0

    def _done(self, job: _Job, future: asyncio.Future[Heard | None]) -> None:
        if job.future is not None:
            self._running.discard(job.future)
        if future.cancelled():
            return
        error = future.exception()
        if self._closed:
            return
        if error is not None:
            self._end(error)
            return
        heard = future.result()
        if job in self._closing:
            job.text = heard.text if heard else ""
        elif job is self._job:
            self._heard(job, heard)
        self._advance()

    def _heard(self, job: _Job, heard: Heard | None) -> None:
        if heard is not None:
            self._draft = heard.tokens
        if self._phase is _Phase.PAUSED:
            job.text = heard.text if heard else ""
            return
        self._job = None
        if heard is None:  # It gave way to a pause of another call: the next one will do.
            return
        if heard.text not in ("", self._said) and not self._closing:
            self._said = heard.text
            self._out.put_nowait(Transcript(heard.text, final=False))

    def _advance(self) -> None:
        """Tell what has become tellable: closed segments first, then the pause."""
        while self._closing and (text := self._closing[0].text) is not None:
            self._closing.popleft()
            self._out.put_nowait(Transcript(text, final=True))
        job = self._job
        if self._closing or self._phase is not _Phase.PAUSED or job is None or job.text is None:
            return
        if self._due or self._silence >= _bytes(self._config.final_after_ms):
            self._out.put_nowait(Transcript(job.text, final=True))
            self._job = None
            pre_roll = _bytes(self._config.pre_roll_ms)
            self._start_segment(_Phase.IDLE, keep=min(self._silence, pre_roll))
        elif job.text and not job.told:
            self._said, job.told = job.text, True
            self._out.put_nowait(Transcript(job.text, final=False))

    def _end(self, error: BaseException | None) -> None:
        if self._closed:
            return
        lost: ProviderError | None = None
        if isinstance(error, ProviderError):
            lost = error
        elif error is not None:
            lost = ProviderError("local", f"transcription broke: {error!r}", "retry")
            lost.__cause__ = error
        self._closed = True
        for job in (self._job, *self._closing):
            if job is not None:
                _stop(job)
        self._out.put_nowait(lost)


def _bytes(duration_ms: int) -> int:
    return duration_ms * BYTES_PER_MS


def _stop(job: _Job) -> None:
    job.stopper.stop()
    if job.future is not None:
        job.future.cancel()
