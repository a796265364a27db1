"""What one turn records: stamps, the numbers between them, the legs that sum to the total.

One schema, whoever writes it: serve, replay, loadtest or somebody else's server. A record is
one line of ``turns.jsonl``; its JSON keys are the field names below (numbers in capitals).

All stamps are whole milliseconds on the call clock (0 at Twilio's ``start``). Unknown is
``None``, never 0.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import msgspec

__all__ = [
    "LEGS",
    "NUMBERS",
    "SCHEMA",
    "CallInfo",
    "EouReason",
    "Leg",
    "Outcome",
    "Stall",
    "StallKind",
    "Stamp",
    "Stamps",
    "TurnRecord",
    "legs_of",
]

SCHEMA: Final = 1

EouReason = Literal["silence", "debounce", "timeout"]
"""Why the turn was over: the final was there, the partial was stable, or the wait ran out."""

Outcome = Literal["answered", "barged_in", "censored", "abandoned"]
"""answered: the reply was played. barged_in: the caller interrupted it after its first audio.
censored: the turn was over but no audio of a reply was ever sent. abandoned: the call ended
before the turn was over, so nothing was owed."""


class Stamps(msgspec.Struct, frozen=True, kw_only=True):
    """The instants of one turn, in call-clock ms. ``None`` is "not seen"."""

    speech_start: int | None = None
    """Acoustic start of the caller's speech."""
    first_partial: int | None = None
    """The first words of the recogniser."""
    last_partial: int | None = None
    """The last partial that changed the text before the turn was over."""
    speech_end: int | None = None
    """Acoustic end of the caller's speech, back-dated to the last voiced audio."""
    turn_end: int | None = None
    """The decision to start working: the text the turn acts on was settled."""
    stt_final: int | None = None
    """The recogniser's final, whether or not the turn waited for it."""
    reply_start: int | None = None
    """The model was asked (before ``turn_end`` when the reply was speculative)."""
    llm_first_token: int | None = None
    """The first text of the model."""
    tts_request: int | None = None
    """The first clause was handed to the voice."""
    tts_ready: int | None = None
    """The first audible audio of the reply was in hand."""
    gate_open: int | None = None
    """The decision to start speaking: from here on audio may be sent."""
    first_audio_sent: int | None = None
    """The first audible frame was handed to the socket."""
    first_content_sent: int | None = None
    """The same, for audio that is not a filler."""
    first_audio_heard: int | None = None
    """The mark behind the first audible frame came back."""
    reply_end: int | None = None
    """The reply was over: played to its last mark, cancelled, or given up."""
    barge_in: int | None = None
    """The interruption was recognised as one, and the playout cleared."""


Stamp = Literal[
    "speech_start",
    "first_partial",
    "last_partial",
    "speech_end",
    "turn_end",
    "stt_final",
    "reply_start",
    "llm_first_token",
    "tts_request",
    "tts_ready",
    "gate_open",
    "first_audio_sent",
    "first_content_sent",
    "first_audio_heard",
    "reply_end",
    "barge_in",
]
assert get_args(Stamp) == Stamps.__struct_fields__

NUMBERS: Final[dict[str, tuple[Stamp, Stamp]]] = {
    "STT_FIRST_PARTIAL_MS": ("speech_start", "first_partial"),
    "STT_FINAL_MS": ("speech_end", "turn_end"),
    "STT_FINAL_AFTER_PARTIAL_MS": ("first_partial", "turn_end"),
    "TTS_READY_MS": ("tts_request", "tts_ready"),
    "TOTAL_LATENCY_MS": ("speech_end", "first_audio_sent"),
    "FIRST_CONTENT_MS": ("speech_end", "first_content_sent"),
    "HEARD_LATENCY_MS": ("speech_end", "first_audio_heard"),
}
"""Every number that is the time between two stamps: ``name -> (from, to)``."""

Leg = Literal["endpointing", "llm", "clause", "tts", "gate"]

LEGS: Final[tuple[tuple[Leg | None, Stamp], ...]] = (
    ("endpointing", "turn_end"),
    (None, "reply_start"),
    ("llm", "llm_first_token"),
    ("clause", "tts_request"),
    ("tts", "tts_ready"),
    ("gate", "gate_open"),
    (None, "first_audio_sent"),
)
"""The critical path after ``speech_end``: each stamp and the leg whose end it is. The gaps
without a name are voicelat's own (dispatch and send): they are the residual."""


StallKind = Literal["blocked", "gc", "busy", "starved"]
"""Why the event loop stood still: one piece of code kept it, a garbage collection did, it had more
to do than there was time, or the machine gave it no time."""


class Stall(msgspec.Struct, frozen=True, kw_only=True):
    """The event loop stood still."""

    at_ms: int
    """From here on, on the call clock."""
    ms: int
    """For so long."""
    kind: StallKind
    where: str
    """The code that kept it, or why there is none, in one line."""
    stack: list[str] = []
    """What it was doing, innermost first: ``file:line function: source``."""


class CallInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What every turn of one call has in common."""

    call_id: str
    """Twilio's CallSid, or any name of the call."""
    stream_sid: str | None = None
    """Twilio's StreamSid."""
    started_utc: str | None = None
    """ISO 8601 wall-clock time of Twilio's ``start``."""
    source: str = "serve"
    """Who measured: serve, replay, loadtest, demo or the name of another server."""
    providers: dict[str, str] = {}
    """Role -> provider name (``stt``, ``llm``, ``tts``)."""
    settings: dict[str, str | int | float | bool] = {}
    """The settings in force, by their environment names."""


class TurnRecord(CallInfo, frozen=True, kw_only=True):
    """One turn, closed: what its call has in common, then what is its own.

    Made with stamps only; `measured` adds the numbers, legs and residual.
    """

    schema: Literal[1] = SCHEMA
    turn: int
    """Its number in the call, from 1."""
    outcome: Outcome
    """``answered``, ``barged_in`` (interrupted after the first audio), ``censored`` (no audio of
    a reply was ever sent) or ``abandoned`` (the call ended before the turn did)."""
    stamps: Stamps = Stamps()
    """See below."""

    STT_FIRST_PARTIAL_MS: int | None = None
    """``speech_start`` -> ``first_partial``"""
    STT_FINAL_MS: int | None = None
    """``speech_end`` -> ``turn_end``: when the text the turn acts on was settled."""
    STT_FINAL_AFTER_PARTIAL_MS: int | None = None
    """``first_partial`` -> ``turn_end``"""
    TTS_READY_MS: int | None = None
    """``tts_request`` -> ``tts_ready``"""
    TOTAL_LATENCY_MS: int | None = None
    """``speech_end`` -> ``first_audio_sent``"""
    FIRST_CONTENT_MS: int | None = None
    """``speech_end`` -> ``first_content_sent``: a filler cannot fake it."""
    HEARD_LATENCY_MS: int | None = None
    """``speech_end`` -> ``first_audio_heard``"""
    BARGE_IN_HIT: bool = False
    """The caller interrupted this reply."""
    EOU_REASON: EouReason | None = None
    """Why the turn was over: ``silence``, ``debounce`` or ``timeout``."""

    counted_from: dict[str, str] = {}
    """Numbers that begin at another stamp than they are defined to, because that one is unknown:
    number -> stamp. Only other people's servers have any (`voicelat.metrics.meter`)."""

    legs: dict[str, int] = {}
    """Leg -> ms on the critical path. Legs and residual sum to TOTAL_LATENCY_MS."""
    residual_ms: int | None = None
    """What no leg explains: dispatch, sending, and gaps whose stamps are unknown."""

    stt_lag_ms: int | None = None
    """How far the recogniser's text was behind the audio when it settled: speech_end -> the
    last partial or final that changed the text the turn acted on. Negative: before the end."""
    reopened: bool = False
    """The caller went on before any audio was sent."""
    cutoff: bool = False
    """Audio was sent although the caller had not finished (see `voicelat.turn.barge_in`)."""
    clipped: bool | None = None
    """The text acted on is not the final text. ``None``: no final came to compare with."""
    confidence: float | None = None
    """The recogniser's confidence in ``text``, 0..1. ``None``: it told none, or had not yet."""
    fallback: bool = False
    """No text was recognised, or none to be sure of: the caller was asked to repeat."""
    fallback_ms: int | None = None
    """The fallback transcriber was asked -> it answered. ``None``: it was not asked, or never
    answered."""
    fallback_text: str | None = None
    """What it heard. ``None``: as above."""
    fallback_used: Literal["answer", "history"] | None = None
    """What for: this turn was answered with it, or it is in the model's history as what the
    caller probably said."""
    fallback_failure: str | None = None
    """Why it was of no use, in one line."""
    cache: Literal["hit", "miss"] | None = None
    """Where the first audio of the reply came from. ``None``: no audio, or no cache in use."""
    model_calls: int = 0
    """Replies started for this turn, speculative ones included."""
    wasted_calls: int = 0
    """How many of them nobody heard a sound of."""
    text: str = ""
    """What the caller said, as acted on."""
    final_text: str | None = None
    """The recogniser's final. ``None``: none came."""
    reply: str = ""
    """What the agent said, as generated."""
    heard: str | None = None
    """What of it the marks confirm the caller heard. ``None``: all of it."""
    reply_words: int | None = None
    """Words in ``reply``."""
    failure: str | None = None
    """Why there was no or only half a reply, in one line."""
    stall_ms: int | None = None
    """How much of ``speech_end`` -> ``first_audio_sent`` the event loop stood still: part of the
    legs and the residual, whichever it hit. ``None``: nobody watched."""
    stalls: list[Stall] = []
    """The longest times it stood still while the turn lasted, five at most."""
    lost_logs: int = 0
    """Log lines that were dropped while the turn lasted."""

    def measured(self) -> TurnRecord:
        """This record with its numbers, legs and residual computed from its stamps."""
        numbers = {name: _gap(self.stamps, *ends) for name, ends in NUMBERS.items()}
        legs, residual_ms = legs_of(self.stamps)
        return msgspec.structs.replace(self, legs=legs, residual_ms=residual_ms, **numbers)


def legs_of(stamps: Stamps) -> tuple[dict[str, int], int | None]:
    """Split speech_end -> first_audio_sent into legs.

    Walks the critical path with a cursor that never goes back, so work that overlapped an
    earlier leg (a speculative reply) costs nothing twice, and legs plus residual equal the
    total by construction. A gap that ends or begins at an unknown stamp is residual.

    Returns ``(legs, residual_ms)``; ``({}, None)`` when either end of the total is unknown, or
    everything between (a caller knows no more: its whole wait is nobody's residual), or when
    audio was sent before the caller's end: nothing was waited for, so there is nothing to split.
    The negative total itself is kept, as the cutoff it shows.
    """
    if stamps.speech_end is None or stamps.first_audio_sent is None:
        return {}, None
    if all(getattr(stamps, name) is None for _, name in LEGS[:-1]):
        return {}, None
    if stamps.first_audio_sent < stamps.speech_end:
        return {}, None
    cursor = stamps.speech_end
    end = stamps.first_audio_sent
    legs: dict[str, int] = {}
    residual_ms = 0
    known = True
    for leg, name in LEGS:
        at: int | None = getattr(stamps, name)
        if at is None:
            known = False
            continue
        at = min(at, end)
        gap = max(0, at - cursor)
        if leg is not None and known:
            legs[leg] = gap
        else:
            residual_ms += gap
        cursor = max(cursor, at)
        known = True
    return legs, residual_ms


def _gap(stamps: Stamps, start: Stamp, end: Stamp) -> int | None:
    a: int | None = getattr(stamps, start)
    b: int | None = getattr(stamps, end)
    return None if a is None or b is None else b - a
