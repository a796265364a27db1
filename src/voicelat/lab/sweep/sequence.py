"""A check of the sweep: whole calls through the machine, one decision after the other.

The sweep judges each pause with the turn still open. Here nothing is held open: a turn that
ended early is over, is re-opened or interrupted, and the next pause meets what that left.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

import numpy as np

from voicelat.lab.calls import JudgedCall
from voicelat.lab.latency import ReplyLatency
from voicelat.lab.simulate import simulate
from voicelat.lab.sweep.grid import Setting
from voicelat.lab.sweep.judge import turn_config
from voicelat.lab.sweep.result import InSequence
from voicelat.metrics.record import CallInfo
from voicelat.turn import events as on
from voicelat.turn.endpointing import EndpointPolicy
from voicelat.turn.trace import Trace, TraceHeader

__all__ = ["in_sequence"]


def in_sequence(
    index: int,
    setting: Setting,
    calls: Sequence[JudgedCall],
    policy: Callable[[], EndpointPolicy],
    latency: ReplyLatency,
    max_speculations: int,
) -> InSequence:
    """Run ``setting``, the sweep's number ``index``, over whole calls and hold it to the truth."""
    config = turn_config(setting, max_speculations)
    turns = cutoffs = 0
    totals: list[int] = []
    for call in calls:
        info = CallInfo(call_id=call.call_id)
        trace = Trace(TraceHeader(call=info, turn=config, voicelat=""), list(call.steps))
        records = simulate(trace, config, latency, policy())
        sent = sorted(
            record.stamps.first_audio_sent
            for record in records
            if record.stamps.first_audio_sent is not None
        )
        for turn, end_ms in zip(call.truth.turns, _ends(call), strict=True):
            turns += 1
            cut = False
            for pause in turn.pauses:
                stop = call.steps[pause.stop_step]
                assert isinstance(stop.event, on.SpeechStopped)
                until_ms = (
                    end_ms if pause.start_step is None else call.steps[pause.start_step].at_ms
                )
                first = bisect_right(sent, stop.event.at_ms)
                heard = first < len(sent) and (until_ms is None or sent[first] <= until_ms)
                cut |= heard and pause.hold
                if heard and not pause.hold:
                    totals.append(sent[first] - stop.event.at_ms)
            cutoffs += cut
    return InSequence(
        setting=index,
        turns=turns,
        cutoffs=cutoffs,
        answered=len(totals),
        total_p50=_percentile(totals, 50),
        total_p95=_percentile(totals, 95),
    )


def _ends(call: JudgedCall) -> list[int | None]:
    """When the caller speaks next after each turn; None behind the last."""
    starts = [call.steps[turn.first_step].at_ms for turn in call.truth.turns]
    return [*starts[1:], None] if starts else []


def _percentile(totals: Sequence[int], percent: int) -> float | None:
    if not totals:
        return None
    return float(np.percentile(totals, percent, method="inverted_cdf"))
