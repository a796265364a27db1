"""The contract of a call: what goes into a caller, what comes out, what it makes of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct

from voicelat.caller.ear import Heard
from voicelat.twilio.mirror import Fault

__all__ = [
    "TRUSTED_LATENESS_MS",
    "CallResult",
    "CallSetup",
    "CallerEvent",
    "Close",
    "Closed",
    "Leave",
    "Opened",
    "Output",
    "Tick",
    "Violation",
    "lateness_p99",
]

TRUSTED_LATENESS_MS: Final = 10
"""Half a frame. A caller that is woken later than that at P99 measures its own machine."""

Violation = Literal[Fault, "before_start", "wrong_stream"]
"""How a server broke the protocol: a fault of one message, media before it had seen ``start``,
or a streamSid that is not this call's."""


class CallSetup(Struct, frozen=True, kw_only=True):
    """What the carrier decides about a call. A call placed on a real socket gets ids of its own."""

    stream_sid: str = "MZ00000000000000000000000000000000"
    call_sid: str = "CA00000000000000000000000000000000"
    account_sid: str = "AC00000000000000000000000000000000"
    custom_parameters: dict[str, str] = {}
    frame_bytes: tuple[int, ...] = (160,)
    """Sizes of the caller's media messages, repeated in turn. Twilio sends 160, by habit."""
    tracks: tuple[str, ...] = ("inbound",)
    """With "outbound" too, each message of the caller's is followed by a silent one of that
    track, as a two-track fork sends."""
    arrivals: tuple[int | None, ...] = ()
    """How many ms behind its time each of the caller's packets reaches Twilio, None: never;
    repeated in turn. Empty: all on time. A lost packet leaves a gap in the timestamps; a late one
    holds up those behind it, as a WebSocket keeps its order."""
    noise: bytes = b""
    """A mu-law loop heard wherever the caller does not speak; b"" is digital silence."""


class Opened(Struct, frozen=True, tag="opened"):
    """The socket is up. Comes first, once."""


class Closed(Struct, frozen=True, tag="closed"):
    """The socket is gone, whoever closed it."""


class Tick(Struct, frozen=True, tag="tick"):
    """The deadline has come."""


class Leave(Struct, frozen=True, tag="leave"):
    """The caller hangs up now, whatever its script says. What it is waiting for counts as owed
    by nobody."""


class Close(Struct, frozen=True):
    """Close the socket: politely, or ``abrupt``, without a closing handshake."""

    abrupt: bool = False


CallerEvent = str | bytes | Opened | Closed | Tick | Leave
Output = str | Close


class CallResult(Struct, frozen=True, kw_only=True):
    """What one call was like, measured at the caller. Times in ms, unknown is None."""

    stream_sid: str
    call_sid: str
    ended: Literal["hung_up", "closed"] | None = None
    """hung_up: the script came to its end. closed: the socket went away first. None: the call
    is still going on."""
    duration_ms: int = 0
    heard: tuple[Heard, ...] = ()
    greeting_ms: int | None = None
    """Start of the stream -> first audible sample of the agent's."""
    pacing_ms: tuple[int, ...] = ()
    """Every time the buffer ran dry inside a reply: how long."""
    violations: dict[Violation, int] = {}
    frames_sent: int = 0
    frames_lost: int = 0
    """Packets that never reached Twilio: ``arrivals`` had them lost, or still under way when the
    call ended."""
    media_received: int = 0
    """Media messages, of any size."""
    bytes_received: int = 0
    """Of audio."""
    marks_echoed: int = 0
    clears: int = 0
    ahead_ms: int = 0
    """The most audio that ever lay ahead of what was being played."""
    lateness_ms: dict[int, int] = {}
    """How late the caller was woken for its own frames, in ms -> how many frames."""

    @property
    def lateness_p99_ms(self) -> int | None:
        """At P99; None before the first frame."""
        return lateness_p99([self])

    @property
    def trusted(self) -> bool:
        """Whether this caller kept time well enough for its numbers to mean anything."""
        return self.lateness_p99_ms is not None and self.lateness_p99_ms <= TRUSTED_LATENESS_MS


def lateness_p99(calls: Iterable[CallResult]) -> int | None:
    """The P99 of `CallResult.lateness_ms` over all frames of some calls; None without any."""
    frames: Counter[int] = Counter()
    for call in calls:
        frames.update(call.lateness_ms)
    rank = math.ceil(frames.total() * 0.99)
    for ms in sorted(frames):
        rank -= frames[ms]
        if rank <= 0:
            return ms
    return None
