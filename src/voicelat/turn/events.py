"""What can happen to a turn: the only things that enter the machine.

A closed union of flat, frozen events. Caller events come from the ears (voice detector and
recogniser) and the telephone line; reply events come from the providers and the playout, and
each names the reply it belongs to by turn and attempt, so that stale ones die in the core.

``at_ms`` inside an event is an *acoustic* instant on the call clock, back-dated to the audio
itself; the time at which the event enters the machine is the ``now_ms`` of `handle`.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = [
    "AudioQueued",
    "AudioSent",
    "Dtmf",
    "EndpointHint",
    "Event",
    "FallbackHeard",
    "Final",
    "MarkEchoed",
    "Partial",
    "ReplyFailed",
    "ReplyFinished",
    "ReplyTextStarted",
    "SpeechReady",
    "SpeechRequested",
    "SpeechStarted",
    "SpeechStopped",
    "StreamStopped",
    "Tick",
]


class SpeechStarted(Struct, frozen=True, tag="speech_started"):
    """The caller's voice began."""

    at_ms: int


class SpeechStopped(Struct, frozen=True, tag="speech_stopped"):
    """The caller's voice fell silent: a pause, perhaps the end. No hangover is included."""

    at_ms: int


class Partial(Struct, frozen=True, tag="partial"):
    """The recogniser's text so far for the segment since its last final; it may change."""

    text: str


class Final(Struct, frozen=True, tag="final"):
    """The recogniser's last word on a segment. ``confidence`` 0..1, None if it tells none."""

    text: str
    confidence: float | None = None


class FallbackHeard(Struct, frozen=True, tag="fallback_heard"):
    """The fallback transcriber is sure that ``turn`` was ``text``."""

    turn: int
    text: str


class EndpointHint(Struct, frozen=True, tag="endpoint_hint"):
    """Somebody's estimate that the turn is over now, 0..1 (an end-of-turn model)."""

    probability: float


class Dtmf(Struct, frozen=True, tag="dtmf"):
    """The caller pressed a key."""

    digit: str


class MarkEchoed(Struct, frozen=True, tag="mark_echoed"):
    """A mark of ours came back."""

    name: str


class StreamStopped(Struct, frozen=True, tag="stream_stopped"):
    """The call is over, whoever ended it."""

    why: str = "stop"


class ReplyTextStarted(Struct, frozen=True, tag="reply_text_started"):
    """The model's first token arrived."""

    turn: int
    attempt: int


class SpeechRequested(Struct, frozen=True, tag="speech_requested"):
    """The first text of the reply was handed to the voice."""

    turn: int
    attempt: int


class SpeechReady(Struct, frozen=True, tag="speech_ready"):
    """The first audible audio of the reply is in hand. ``cached``: None if no cache is used."""

    turn: int
    attempt: int
    cached: bool | None = None


class AudioQueued(Struct, frozen=True, tag="audio_queued"):
    """Audio was put into the playout: ``text`` is what it says ("" inside a clause)."""

    turn: int
    attempt: int
    duration_ms: int
    text: str = ""


class AudioSent(Struct, frozen=True, tag="audio_sent"):
    """The first audible frame left for the caller; again for the first that is no filler."""

    turn: int
    attempt: int
    filler: bool = False


class ReplyFinished(Struct, frozen=True, tag="reply_finished"):
    """All audio of the reply is in the playout."""

    turn: int
    attempt: int
    text: str = ""


class ReplyFailed(Struct, frozen=True, tag="reply_failed"):
    """The reply broke off. Audio already queued is still played."""

    turn: int
    attempt: int
    why: str


class Tick(Struct, frozen=True, tag="tick"):
    """The machine's deadline has come."""


CallerEvent = (
    SpeechStarted
    | SpeechStopped
    | Partial
    | Final
    | EndpointHint
    | Dtmf
    | MarkEchoed
    | StreamStopped
)
ReplyEvent = (
    ReplyTextStarted
    | SpeechRequested
    | SpeechReady
    | AudioQueued
    | AudioSent
    | ReplyFinished
    | ReplyFailed
)
Event = CallerEvent | ReplyEvent | FallbackHeard | Tick
