"""Turns of made-up calls, in Hebrew and English, with everything that happens in some."""

from __future__ import annotations

from typing import Any

import numpy as np

from voicelat.metrics.record import EouReason, Outcome, Stamps, TurnRecord
from voicelat.metrics.turnsfile import Turns
from voicelat.report import report_turns
from voicelat.report.pictures.page import Evidence, page

_SAID = ("אני רוצה לקבוע תור ליום שני", "do you have rooms for 2?", "050-1234567, תודה", "yes")
SLOW = ((2, 3), (3, 4), (4, 2), (5, 5), (7, 6))
_OUTCOMES: dict[tuple[int, int], Outcome] = {(1, 2): "barged_in", (3, 1): "censored"}
_REASONS: tuple[EouReason, ...] = ("silence", "debounce", "timeout")


def made_up(calls: int = 8, turns: int = 6, **fields: Any) -> list[TurnRecord]:
    """The same every time. ``fields`` are set on every turn."""
    rng = np.random.default_rng(3)
    records = []
    for call in range(calls):
        start = 1500
        for number in range(1, turns + 1):
            records.append(_turn(rng, call, number, start, fields))
            start += 8000
    return records


def _turn(
    rng: np.random.Generator, call: int, number: int, start: int, fields: dict[str, Any]
) -> TurnRecord:
    gaps = [int(rng.gamma(4, 500)), 160, 2, 300, 20, 150, 10, 3]
    if (call, number) in SLOW:
        gaps[3] = 3000 + call
    speech_end, turn_end, asked, token, clause, ready, gate, sent = np.cumsum(
        [start + gaps[0], *gaps[1:]]
    ).tolist()
    outcome = _OUTCOMES.get((call, number), "answered")
    stamps = Stamps(
        speech_start=start,
        first_partial=start + 200,
        speech_end=speech_end,
        turn_end=turn_end,
        reply_start=asked,
        llm_first_token=token,
        tts_request=clause,
        tts_ready=ready,
        gate_open=gate,
        first_audio_sent=sent if outcome != "censored" else None,
        reply_end=sent + 2000,
    )
    given: dict[str, Any] = {
        "started_utc": f"2026-11-25T08:{call:02d}:00.000+00:00",
        "providers": {"stt": "google", "llm": "openai"},
        "settings": {"VAD_HANGOVER_MS": 160 + 40 * (call % 2)},
        "text": _SAID[number % len(_SAID)],
        "reply": "בשמחה, יש תור פנוי ב-10:30",
        "reopened": (call, number) == (4, 4),
        "cutoff": (call, number) == (6, 2),
        "outcome": outcome,
        **fields,
    }
    return TurnRecord(
        call_id=f"CA{call}",
        turn=number,
        EOU_REASON=_REASONS[number % 3],
        BARGE_IN_HIT=outcome == "barged_in",
        stamps=stamps,
        **given,
    ).measured()


def page_of(records: list[TurnRecord], **evidence: Any) -> str:
    """The page of a report on these turns."""
    return page(report_turns(Turns(records)), Evidence(records, **evidence))
