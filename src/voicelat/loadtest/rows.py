"""What a caller heard, as rows in the one schema and as the caller's side of a report.

The caller stands where Twilio stands, so its ear is the acoustic truth: ``first_audio_sent`` is
the instant its first audible sample is played, which is when the server sent it plus the way here.
Nothing inside the server is known, so a row has no legs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from voicelat.caller import CallResult, Heard
from voicelat.metrics.record import Outcome, Stamps, TurnRecord
from voicelat.metrics.summary import CallerSide

__all__ = ["caller_side", "turn_records"]


def turn_records(
    call_id: str,
    heard: Sequence[Heard],
    *,
    source: str,
    started_utc: str | None = None,
    settings: Mapping[str, str | int | float | bool] | None = None,
) -> list[TurnRecord]:
    """One row per question of a call, in order. Unknown is None.

    A question cut short by the end of the call, or with whose last word its caller hung up, is
    ``abandoned``: nothing was owed.
    """
    return [
        TurnRecord(
            call_id=call_id,
            source=source,
            started_utc=started_utc,
            settings=dict(settings or {}),
            turn=question.question,
            outcome=_outcome(question, following),
            stamps=_stamps(question, following),
            BARGE_IN_HIT=_interrupted(question, following),
            cutoff=question.talked_over,
            text=question.text,
        ).measured()
        for question, following in zip_longest(heard, heard[1:])
        if question is not None
    ]


def caller_side(
    call_id: str, heard: Sequence[Heard], result: CallResult | None = None
) -> CallerSide:
    """The same for `voicelat.metrics.summary.summarise`. ``result``: None for a call cut off."""
    return CallerSide(
        call_id=call_id,
        v2v_ms=[float(one.v2v_ms) for one in heard if one.v2v_ms is not None],
        unanswered_ms=[float(one.in_vain_ms) for one in heard if one.in_vain_ms is not None],
        barge_stop_ms=[float(one.barge_stop_ms) for one in heard if one.barge_stop_ms is not None],
        pacing_ms=[float(ms) for ms in result.pacing_ms] if result is not None else [],
    )


def _interrupted(question: Heard, following: Heard | None) -> bool:
    """Whether the next question was said into this one's reply."""
    if following is None or question.reply_start_ms is None:
        return False
    return following.barge_stop_ms is not None


def _outcome(question: Heard, following: Heard | None) -> Outcome:
    if question.censored:
        return "abandoned" if question.in_vain_ms is None else "censored"
    return "barged_in" if _interrupted(question, following) else "answered"


def _stamps(question: Heard, following: Heard | None) -> Stamps:
    reply_end_ms, barge_in_ms = question.reply_end_ms, None
    if question.said_end_ms is not None and question.in_vain_ms is not None:
        reply_end_ms = question.said_end_ms + question.in_vain_ms
    elif following is not None and _interrupted(question, following):
        barge_in_ms = following.said_start_ms
        reply_end_ms = _after(barge_in_ms, following.barge_stop_ms)
    # From the same rounding as v2v_ms, so that TOTAL_LATENCY_MS is v2v_ms to the millisecond.
    first_ms = _after(question.said_end_ms, question.v2v_ms)
    if first_ms is None:
        first_ms = question.reply_start_ms
    return Stamps(
        speech_start=question.said_start_ms,
        speech_end=question.said_end_ms,
        first_audio_sent=first_ms,
        first_audio_heard=first_ms,
        reply_end=reply_end_ms,
        barge_in=barge_in_ms,
    )


def _after(at_ms: int | None, wait_ms: int | None) -> int | None:
    return None if at_ms is None or wait_ms is None else at_ms + wait_ms
