"""A turn as a tree of spans, by OpenTelemetry's conventions for generative AI where they have one.

What there is to tell, without the packages that send it (`voicelat.metrics.exporters.otel`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, get_args

import msgspec

from voicelat.metrics.record import NUMBERS, Stamp, Stamps, TurnRecord

__all__ = ["Attributes", "Event", "Part", "events_of", "parts_of"]

# The GenAI conventions, as in opentelemetry-semantic-conventions 0.66b2. Written out, because that
# package has them as incubating and about to move; a test compares them with the installed one.
OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
MODEL: Final = "gen_ai.request.model"
STREAM: Final = "gen_ai.request.stream"
CONVERSATION: Final = "gen_ai.conversation.id"
FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
INPUT: Final = "gen_ai.input.messages"
OUTPUT: Final = "gen_ai.output.messages"

Attributes = dict[str, str | int | float | bool]

_MARKS: Final = ("BARGE_IN_HIT", "cutoff", "reopened", "clipped", "fallback")
_FIELDS: Final = (
    *("turn", "source", "outcome", "EOU_REASON", *NUMBERS, *_MARKS, "residual_ms", "stall_ms"),
    *("stt_lag_ms", "cache", "model_calls", "wasted_calls", "reply_words", "lost_logs"),
)
"""Attributes of a turn, as ``voicelat.`` and the name in lower case."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something at one instant of the turn, in call-clock ms."""

    name: str
    at_ms: int
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """A span to be: the turn, or a stretch of it. Times are call-clock ms."""

    name: str
    start_ms: int
    end_ms: int
    attributes: Attributes = field(default_factory=dict)


def parts_of(record: TurnRecord, content: bool = False) -> list[Part]:
    """The turn, then its stretches whose both ends are known; empty when it has no stamp.

    ``content``: with what was said. The model's stretch ends at its first clause, because nobody
    notes when its last word came.
    """
    stamps = record.stamps
    known = _known(stamps)
    if not known:
        return []
    first_clause = stamps.llm_first_token if stamps.tts_request is None else stamps.tts_request
    chat = _chat(record, content)
    stretches: tuple[tuple[str, int | None, int | None, Attributes], ...] = (
        ("recognition", stamps.speech_start, stamps.turn_end, _provider(record, "stt")),
        ("endpointing", stamps.speech_end, stamps.turn_end, {}),
        (f"chat {chat.get(MODEL, '')}".rstrip(), stamps.reply_start, first_clause, chat),
        ("speech synthesis", stamps.tts_request, stamps.tts_ready, _provider(record, "tts")),
        ("gate", stamps.tts_ready, stamps.gate_open, {}),
        ("playout", stamps.first_audio_sent, stamps.reply_end, {}),
    )
    return [
        Part("turn", min(known), max(known), _turn(record, content)),
        *(
            Part(name, start, end, attributes)
            for name, start, end, attributes in stretches
            if start is not None and end is not None and start <= end
        ),
    ]


def _known(stamps: Stamps) -> list[int]:
    return [at for name in get_args(Stamp) if (at := getattr(stamps, name)) is not None]


def _turn(record: TurnRecord, content: bool) -> Attributes:
    found = {f"voicelat.{name.lower()}": getattr(record, name) for name in _FIELDS}
    found |= {f"voicelat.leg.{leg}_ms": spent_ms for leg, spent_ms in record.legs.items()}
    if content:
        found |= {"voicelat.text": record.text, "voicelat.reply": record.reply}
    known = {name: value for name, value in found.items() if value is not None}
    return {CONVERSATION: record.call_id, **known}


def _provider(record: TurnRecord, role: str) -> Attributes:
    name = record.providers.get(role)
    return {} if name is None else {"voicelat.provider": name}


def _chat(record: TurnRecord, content: bool) -> Attributes:
    """The model's, by the GenAI conventions. A provider's name is ``service:model``."""
    attributes: Attributes = {OPERATION: "chat", CONVERSATION: record.call_id, STREAM: True}
    service, _, model = record.providers.get("llm", "").partition(":")
    if service:
        attributes[PROVIDER] = service
    if model:
        attributes[MODEL] = model
    asked, first = record.stamps.reply_start, record.stamps.llm_first_token
    if asked is not None and first is not None:
        attributes[FIRST_CHUNK] = (first - asked) / 1000
    if content:
        attributes[INPUT] = _message("user", record.text)
        attributes[OUTPUT] = _message("assistant", record.reply)
    return attributes


def _message(role: str, text: str) -> str:
    parts = [{"type": "text", "content": text}]
    return msgspec.json.encode([{"role": role, "parts": parts}]).decode()


def events_of(record: TurnRecord) -> list[Event]:
    """The interruption, and each time the event loop stood still."""
    events = [
        Event(
            "stall",
            stall.at_ms,
            {
                "voicelat.stall.ms": stall.ms,
                "voicelat.stall.kind": stall.kind,
                "voicelat.stall.where": stall.where,
            },
        )
        for stall in record.stalls
    ]
    if record.stamps.barge_in is not None:
        events.append(Event("barge_in", record.stamps.barge_in))
    return events
