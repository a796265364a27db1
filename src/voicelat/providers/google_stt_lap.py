"""One recognition request among those of a call, and how they are run."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from voicelat.audio.mulaw import BYTES_PER_MS
from voicelat.providers.google_stt_rewind import Seam
from voicelat.providers.google_stt_wire import Recognised

__all__ = ["GoogleSttConfig", "Lap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleSttConfig:
    """How laps are run."""

    roll_after_ms: int = 240_000
    """A lap this old is left at the next silence. Google ends it after 305 s."""
    roll_by_ms: int = 285_000
    """A lap this old is left even in the middle of a word."""
    pre_roll_ms: int = 500
    """Kept from before a voice: a detector notices a soft first consonant late."""
    overlap_ms: int = 1500
    """The earliest start of a lap before the last final's end."""
    segment_ms: int = 40_000
    """Words without a final for so long are made final at the next pause."""
    longest_ms: int = 55_000
    """The same without a pause."""
    replay_ms: int = 60_000
    """At most this much audio is kept to be heard again."""
    forget_ms: int = 5000
    """A voice that led to no words this long after its end was none."""
    send_ms: int = 40
    """Audio in one message while nothing is urgent. Each costs the event loop 0.2 ms."""
    connect_s: float = 4.0
    final_s: float = 3.0
    """The longest wait for the final of a half-closed lap."""
    stall_ms: int = 5000
    """Voice without any answer after which a lap is run again, once."""
    retry_after_s: tuple[float, ...] = (0.0, 0.2, 0.5, 1.0)
    """The waits before a lost lap is run again, as long as it gets no further; behind the last
    of them the ears are lost."""
    healthy_ms: int = 10_000
    """The loss of a lap that lived this long is no failure of the next."""


@dataclass(eq=False, slots=True)
class Lap:
    """One request: audio from ``start`` to ``stop``, None for as long as it goes on."""

    start: int
    born_s: float
    wait_s: float = 0.0
    stop: int | None = None
    sent: int = 0
    seam: Seam = field(default_factory=Seam)
    waiting: list[Recognised] = field(default_factory=list)
    """What it heard before its turn to speak came."""
    told_final: bool = False
    """Whether a final was told since its half-close was asked for."""
    done: bool = False
    unanswered: int = 0
    """Voiced audio since its last answer."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    flush: bool = False
    limit: asyncio.Timeout | None = None
    task: asyncio.Task[None] | None = None

    def skip_to(self, position: int) -> None:
        """What is before can be sent no more."""
        skipped = max(0, position - self.sent)
        self.start += skipped
        self.sent += skipped

    def place(self, offset_ms: int) -> int:
        """Where in the call a time of this request is."""
        return self.start + offset_ms * BYTES_PER_MS
