"""Turns to export: one that has everything, and any."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
from hypothesis import strategies as st

from voicelat.metrics.record import EouReason, Leg, Outcome, Stall, Stamp, Stamps, TurnRecord

__all__ = ["FULL", "any_records", "turn"]

FULL = TurnRecord(
    call_id="CA1",
    stream_sid="MZ1",
    started_utc="2026-11-25T10:00:00.250+00:00",
    turn=2,
    outcome="barged_in",
    providers={"stt": "google", "llm": "openai:gpt-x", "tts": "google:aoede"},
    settings={"VAD_HANGOVER_MS": 160, "SPECULATE": True, "TTS_RATE": 1.05, "VAD": "silero"},
    stamps=Stamps(
        speech_start=1000,
        first_partial=1300,
        last_partial=1900,
        speech_end=2000,
        turn_end=2200,
        stt_final=2210,
        reply_start=2210,
        llm_first_token=2710,
        tts_request=2800,
        tts_ready=3000,
        gate_open=3040,
        first_audio_sent=3050,
        first_content_sent=3050,
        first_audio_heard=3110,
        reply_end=4600,
        barge_in=4500,
    ),
    EOU_REASON="debounce",
    BARGE_IN_HIT=True,
    confidence=0.75,
    model_calls=2,
    wasted_calls=1,
    text="מה השעה?",
    reply='It is ten, "sharp",\nsir.',
    stall_ms=60,
    stalls=[Stall(at_ms=2300, ms=60, kind="gc", where="a collection")],
).measured()


def turn(number: int, call_id: str = "CA1", **fields: Any) -> TurnRecord:
    """One like `FULL`, with this number."""
    return msgspec.structs.replace(FULL, turn=number, call_id=call_id, **fields)


_INTS = st.integers(-(10**15), 10**15)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_SETTINGS = _INTS | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS


@st.composite
def _one(draw: st.DrawFn) -> TurnRecord:
    stamps = draw(st.dictionaries(st.sampled_from(get_args(Stamp)), _INTS))
    return TurnRecord(
        call_id=draw(_TEXTS),
        stream_sid=draw(st.none() | _TEXTS),
        started_utc=draw(st.none() | _TEXTS | st.datetimes().map(str)),
        source=draw(_TEXTS),
        turn=draw(_INTS),
        outcome=draw(st.sampled_from(get_args(Outcome))),
        providers=draw(st.dictionaries(_TEXTS | st.just("llm"), _TEXTS, max_size=2)),
        settings=draw(st.dictionaries(_TEXTS | st.just("VAD"), _SETTINGS, max_size=3)),
        stamps=Stamps(**stamps),
        EOU_REASON=draw(st.none() | st.sampled_from(get_args(EouReason))),
        TOTAL_LATENCY_MS=draw(st.none() | _INTS),
        legs=draw(st.dictionaries(st.sampled_from(get_args(Leg)) | _TEXTS, _INTS, max_size=3)),
        clipped=draw(st.none() | st.booleans()),
        confidence=draw(st.none() | st.floats(0, 1)),
        cache=draw(st.sampled_from([None, "hit", "miss"])),
        text=draw(_TEXTS),
        heard=draw(st.none() | _TEXTS),
        failure=draw(st.none() | _TEXTS),
        stalls=[Stall(at_ms=at, ms=5, kind="busy", where="x") for at in draw(st.lists(_INTS))][:2],
    )


any_records = st.lists(_one(), max_size=4)
"""Whatever may stand in files of turns."""
