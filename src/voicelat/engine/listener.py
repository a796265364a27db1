"""The recogniser's side of a call: audio is kept from the first frame on, whatever is ready."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from voicelat.engine.intake import transcript_of
from voicelat.errors import Advice, ProviderError
from voicelat.providers.protocols import SpeechToText, SttStream, Transcript

__all__ = ["Listener"]

_LOG = logging.getLogger("voicelat.call")

MAX_BACKLOG: Final = 30 * 50
"""Entries kept while no stream is open: half a minute of 20 ms frames."""

REOPEN_AFTER_S: Final = (0.0, 0.5, 2.0)
"""The waits before a lost recogniser is opened again, as long as it tells nothing; behind the
last of them each time the caller speaks. At once first: streams that reach their vendor's time
limit are the usual loss."""

ASLEEP_BACKLOG: Final = 25
"""Entries kept behind the last wait: the half second before a voice was noticed. What was said
earlier belongs to turns whose caller has been asked to repeat."""


class Listener:
    """Feeds one call's audio to its recogniser and passes its transcripts on.

    ``feed``, ``voice`` and ``finalize`` never block. Until the stream is open, and while it is
    being opened again, they are kept, the oldest dropped and counted beyond `MAX_BACKLOG`.
    """

    def __init__(
        self, stt: SpeechToText, language: str, on_transcript: Callable[[Transcript], None]
    ) -> None:
        self._stt = stt
        self._language = language
        self._on_transcript = on_transcript
        self._stream: SttStream | None = None
        self._backlog: deque[bytes | bool | None] = deque()
        self._running: asyncio.Task[None] | None = None
        self._breach: Exception | None = None
        self._voice = False
        """The last hint a stream was given."""
        self._failures = 0
        """Streams lost since the last transcript."""
        self._asleep: asyncio.Event | None = None
        """Set when the caller speaks. None: it does not wait for that."""
        self.lost = 0
        """Backlog entries dropped because no recogniser was there in time."""
        self.errors: list[str] = []
        """What the recogniser raised, one line each."""

    def feed(self, audio: bytes) -> None:
        """The next caller audio."""
        self._give(audio)

    def voice(self, active: bool) -> None:
        """The voice detector's hint."""
        self._give(active)
        if active and self._asleep is not None:
            self._asleep.set()

    def finalize(self) -> None:
        """Ask for the final."""
        self._give(None)

    async def run(self) -> None:
        """Listen until cancelled, or until the recogniser will never work.

        Raises what a stream raised that its contract does not allow.
        """
        self._running = asyncio.current_task()
        try:
            while True:
                if not await self._listen_once():
                    return
                if self._failures > len(REOPEN_AFTER_S):
                    await self._until_spoken_to()
                else:
                    await asyncio.sleep(REOPEN_AFTER_S[self._failures - 1])
        except asyncio.CancelledError:
            if self._breach is None:
                raise
            raise self._breach from None

    async def _until_spoken_to(self) -> None:
        """Nobody pays for a recogniser that is away while there is nothing to hear."""
        self._asleep = asyncio.Event()
        try:
            await self._asleep.wait()
        finally:
            self._asleep = None

    async def _listen_once(self) -> bool:
        """One stream from open to end. Returns whether there may be a next."""
        stream: SttStream | None = None
        try:
            stream = await self._stt.open(self._language)
            self._catch_up(stream)
            async for transcript in stream:
                self._failures = 0
                self._on_transcript(transcript_of(transcript))
                await asyncio.sleep(0)  # one that never waits must not keep the calls waiting
        except ProviderError as error:
            return self._failed(str(error), error.advice)
        else:
            return self._failed(f"{self._stt.name}: the stream ended by itself", "retry")
        finally:
            self._stream = None
            if stream is not None:
                await stream.aclose()

    def _catch_up(self, stream: SttStream) -> None:
        """Give a new stream what came while there was none."""
        if self._voice:
            stream.voice(True)
        while self._backlog:
            self._pass(stream, self._backlog.popleft())
        self._stream = stream

    def _failed(self, why: str, advice: Advice) -> bool:
        """Note a loss. Returns what `_listen_once` does."""
        self.errors.append(why)
        _LOG.warning("recogniser lost (%s): %s", advice, why)
        self._failures += 1
        return advice == "retry"

    def _give(self, entry: bytes | bool | None) -> None:
        if self._stream is not None:
            try:
                self._pass(self._stream, entry)
            except Exception as error:  # noqa: BLE001 - foreign code: its bug must not end the call
                self._break(error)
            return
        self._backlog.append(entry)
        most = MAX_BACKLOG if self._asleep is None else ASLEEP_BACKLOG
        while len(self._backlog) > most:
            self._backlog.popleft()
            self.lost += 1

    def _break(self, error: Exception) -> None:
        """A stream raised where it must not: `run` ends with what it raised."""
        self._stream = None
        self._breach = error
        if self._running is not None:
            self._running.cancel()

    def _pass(self, stream: SttStream, entry: bytes | bool | None) -> None:
        if entry is None:
            stream.finalize()
        elif isinstance(entry, bool):
            self._voice = entry
            stream.voice(entry)
        else:
            stream.feed(entry)
