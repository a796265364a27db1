"""The playout: audio leaves in whole 20 ms frames, a fixed lead ahead of its play time.

Twilio plays what it gets in order and at once. Sending all of it makes barge-in depend on
``clear`` and marks late; sending it just in time makes every stall audible. Frames are paced
against absolute deadlines, so that late wake-ups do not add up to a drift.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from voicelat.audio.framing import FRAME_MS, Framer
from voicelat.audio.level import is_audible
from voicelat.clock import Clock
from voicelat.engine.transport import Transport
from voicelat.twilio.codec import encode_clear, encode_mark, encode_media

__all__ = ["Playout"]


class _Frame(NamedTuple):
    audio: bytes
    on_sent: Callable[[], None] | None


class _Mark(NamedTuple):
    name: str


class Playout:
    """One call's way out. The only writer of its transport.

    ``on_play(at_ms, audio)`` is told of each frame that leaves and when the caller will hear
    it; ``on_clear(at_ms)`` that what was to play from then on never will.
    """

    def __init__(
        self,
        transport: Transport,
        stream_sid: str,
        clock: Clock,
        lead_ms: int,
        *,
        on_play: Callable[[int, bytes], None],
        on_clear: Callable[[int], None],
    ) -> None:
        self._transport = transport
        self._stream_sid = stream_sid
        self._clock = clock
        self._lead_ms = lead_ms
        self._on_play = on_play
        self._on_clear = on_clear
        self._framer = Framer()
        self._queue: deque[_Frame | _Mark] = deque()
        self._urgent: deque[str] = deque()
        self._play_ms = 0
        """When the next frame will be played."""
        self._wake: asyncio.Future[None] | None = None
        self._sending_ms: int | None = None
        """Since when a send has not come back; None: none is under way."""
        self.gap_ms = 0
        """Silence the caller heard because a reply's next audio came too late."""
        self._more = False
        self.held = False
        """Whether `hold` is in force."""

    def queue(self, audio: bytes, on_audible: Callable[[], None] | None = None) -> bool:
        """Append audio of any length; a rest shorter than a frame waits for more or `flush`.

        ``on_audible`` is called once the first audible frame of this audio was handed over.
        Returns whether there was such a frame.
        """
        audible = self._append(self._framer.push(audio), on_audible)
        self._more = True
        return audible

    def flush(self) -> None:
        """The reply has no more audio: fill up its last frame."""
        rest = self._framer.flush()
        if rest is not None:
            self._append([rest], None)
        self._more = False

    def mark(self, name: str, *, urgent: bool) -> None:
        """Send a mark behind all audio queued, or (``urgent``) behind the audio already sent."""
        if urgent:
            self._urgent.append(encode_mark(self._stream_sid, name))
        else:
            self._queue.append(_Mark(name))
        self._wake_up()

    def clear(self) -> None:
        """Forget what is queued and have Twilio forget what it has."""
        self.drop()
        self._urgent.append(encode_clear(self._stream_sid))
        now_ms = self._clock.now_ms()
        self._play_ms = min(self._play_ms, now_ms)
        self._on_clear(now_ms)
        self._wake_up()

    def drop(self) -> None:
        """Forget what is queued; what Twilio has plays on."""
        self._queue.clear()
        self._framer.flush()
        self._more = self.held = False

    def hold(self) -> None:
        """Keep what is queued, and send none of it until `release`."""
        self.held = True

    def release(self) -> None:
        """Go on sending."""
        self.held = False
        self._wake_up()

    def stuck_ms(self, now_ms: int) -> int:
        """For how long the peer has taken nothing; 0 while it takes what it is sent."""
        return 0 if self._sending_ms is None else now_ms - self._sending_ms

    async def run(self) -> None:
        """Send until cancelled. Raises ConnectError when the transport is closed."""
        while True:
            while self._urgent:
                await self._send(self._urgent.popleft())
            wait_ms = await self._send_due()
            if not self._urgent:
                await self._sleep(wait_ms)

    async def _send_due(self) -> int | None:
        """Send the first thing that is due. Returns ms until the next is, None when empty."""
        if not self._queue or self.held:
            return None
        item = self._queue[0]
        if isinstance(item, _Mark):
            self._queue.popleft()
            await self._send(encode_mark(self._stream_sid, item.name))
            return 0
        now_ms = self._clock.now_ms()
        early_ms = self._play_ms - self._lead_ms - now_ms
        if early_ms > 0:
            return early_ms
        self._queue.popleft()
        play_ms = max(self._play_ms, now_ms)
        self._play_ms = play_ms + FRAME_MS
        # Before the send: while that waits, a `clear` may take the frame back.
        self._on_play(play_ms, item.audio)
        await self._send(encode_media(self._stream_sid, item.audio))
        if item.on_sent is not None:
            item.on_sent()
        return 0

    async def _send(self, text: str) -> None:
        self._sending_ms = self._clock.now_ms()
        await self._transport.send(text)
        self._sending_ms = None

    def _append(self, frames: list[bytes], on_audible: Callable[[], None] | None) -> bool:
        now_ms = self._clock.now_ms()
        if self._more and frames and not self._queue and self._play_ms < now_ms:
            self.gap_ms += now_ms - self._play_ms
        audible = False
        for frame in frames:
            first = not audible and on_audible is not None and is_audible(frame)
            audible = audible or first
            self._queue.append(_Frame(frame, on_audible if first else None))
        self._wake_up()
        return audible

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _sleep(self, wait_ms: int | None) -> None:
        """Until something is queued, or ``wait_ms`` have passed. 0 does not sleep."""
        if wait_ms == 0 or (wait_ms is None and self._queue and not self.held):
            return
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        timer = None if wait_ms is None else loop.call_later(wait_ms / 1000, self._wake_up)
        try:
            await self._wake
        finally:
            self._wake = None
            if timer is not None:
                timer.cancel()
