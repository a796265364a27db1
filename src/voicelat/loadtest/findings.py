"""What an agent does wrong, as only its callers can tell.

Each rule looks at the calls and has one thing to say, or nothing. Limits are judgement with a
reason beside it; rules about time ask for more than chance gives, so that a healthy agent with a
long tail stays silent.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voicelat.caller import CallResult, Heard, Violation
from voicelat.metrics.durations import duration
from voicelat.metrics.finding import Finding

__all__ = ["findings"]

_MANY: Final = 0.05
"""From this share on something that happened more than once is no accident."""
_SLOW_STOP_MS: Final = 700
"""An agent that talks on for longer was not listening: LiveKit's default stops after 0.5 s, and
people take more for being talked over."""
_FLOOD_MS: Final = 60_000
"""Nobody has a minute of speech to say at once: beyond it only ``clear`` can stop the agent."""
_BURST_MS: Final = 10_000
"""Whole replies are often sent at once. Ten seconds of it depend on ``clear`` in every
interruption, and hold every mark back."""
_CHOPPY_MS: Final = 100
"""A gap in the middle of speech that everybody hears."""
_FALSE_ALARM: Final = 0.01
"""Of each rule about time, over a whole run."""
_FELT_MS: Final = 500
"""A stall shorter than that is not told from a slow answer."""
_PERIODS: Final = range(2, 13)
_LEAST_HITS: Final = 3


@dataclass(frozen=True, slots=True)
class _Turn:
    """One question that was owed a reply."""

    call: int
    number: int
    ms: float
    """Voice to voice; how long it was waited in vain where ``answered`` is false."""
    answered: bool


def findings(calls: Sequence[CallResult]) -> list[Finding]:
    """What stands out over some calls, the gravest first; empty when nothing does.

    Rules about time judge only what callers heard who kept their own.
    """
    on_time = [call for call in calls if call.trusted]
    judged = ((rule, on_time if rule in _ABOUT_TIME else calls) for rule in _RULES)
    return [found for rule, of in judged if (found := rule(of)) is not None]


def _questions(calls: Sequence[CallResult]) -> Iterator[Heard]:
    for call in calls:
        yield from call.heard


def _turns(calls: Sequence[CallResult]) -> list[_Turn]:
    turns = []
    for index, call in enumerate(calls):
        for one in call.heard:
            if one.v2v_ms is not None:
                turns.append(_Turn(index, one.question, one.v2v_ms, True))
            elif one.in_vain_ms is not None:
                turns.append(_Turn(index, one.question, one.in_vain_ms, False))
    return turns


def _many(hits: int, of: int) -> bool:
    return hits > 1 and hits >= _MANY * of


def _never_answers(calls: Sequence[CallResult]) -> Finding | None:
    turns = _turns(calls)
    silent = sum(not turn.answered for turn in turns)
    if not _many(silent, len(turns)):
        return None
    what = "the agent never answers" if silent == len(turns) else "the agent leaves callers waiting"
    return Finding(
        None,
        f"{what}: {silent} of {len(turns)} questions got no reply",
        "look at the server's own turns and log: was the question heard, was a reply made?",
    )


def _answers_too_early(calls: Sequence[CallResult]) -> Finding | None:
    asked = list(_questions(calls))
    over = sum(one.talked_over for one in asked)
    if not _many(over, len(asked)):
        return None
    return Finding(
        "endpointing",
        f"the agent answers too early: it spoke into {over} of {len(asked)} questions",
        "wait for more silence: raise SPEAK_GATE_MS or VAD_HANGOVER_MS",
    )


def _ignores_interruptions(calls: Sequence[CallResult]) -> Finding | None:
    stops = [one.barge_stop_ms for one in _questions(calls) if one.barge_stop_ms is not None]
    late = sum(ms > _SLOW_STOP_MS for ms in stops)
    if not stops or not late or late < len(stops) / 4:
        return None
    cleared = sum(call.clears for call in calls)
    if not cleared:
        says = f"the agent ignores interruptions: no `clear` in {len(stops)} of them"
    else:
        says = f"the agent is slow to stop: it talked on in {late} of {len(stops)} interruptions"
    typical = duration(median(stops))
    return Finding(
        None,
        f"{says}; typically {typical} until it is silent",
        "send Twilio `clear` in the same moment the reply is cancelled",
    )


def _floods(calls: Sequence[CallResult]) -> Finding | None:
    ahead_ms = max((call.ahead_ms for call in calls), default=0)
    if ahead_ms < _BURST_MS:
        return None
    says = f"{duration(ahead_ms)} of audio lay at Twilio, still to be played"
    if ahead_ms >= _FLOOD_MS:
        says = f"the agent floods the line: {says}"
    return Finding(
        None, says, "send audio a few hundred ms ahead of real time, and stop when interrupted"
    )


_FAULTS: Final = "the agent breaks the protocol"


def _breaks_protocol(calls: Sequence[CallResult]) -> Finding | None:
    faults: Counter[Violation] = Counter()
    for call in calls:
        faults.update(call.violations)
    if not faults:
        return None
    told = ", ".join(f"{fault} x{count}" for fault, count in faults.most_common())
    return Finding(None, f"{_FAULTS}: {told}", "see Twilio's Media Streams message reference")


def _hangs_up(calls: Sequence[CallResult]) -> Finding | None:
    gone = sum(call.ended == "closed" for call in calls)
    if not _many(gone, len(calls)) and not (gone and len(calls) == 1):
        return None
    return Finding(
        None,
        f"the server hung up on {gone} of {len(calls)} callers",
        "look at its log: a crash, a limit or a deadline",
    )


def _choppy(calls: Sequence[CallResult]) -> Finding | None:
    gaps = [ms for call in calls for ms in call.pacing_ms if ms >= _CHOPPY_MS]
    replies = sum(one.reply_start_ms is not None for one in _questions(calls))
    if not replies or len(gaps) < 0.5 * replies:
        return None
    missing_ms = sum(sum(call.pacing_ms) for call in calls) / len(calls)
    return Finding(
        "tts",
        f"the agent's audio drifts: it comes slower than it is played, {len(gaps)} gaps of "
        f"{_CHOPPY_MS} ms or more in {replies} replies, {duration(missing_ms)} a call",
        "pace against absolute deadlines with a lead of 100 to 400 ms, not with sleep(0.02)",
    )


def _stalls_periodically(calls: Sequence[CallResult]) -> Finding | None:
    """Whether every k-th turn is slow. Ranks say how surprising it is that the slowest turns are
    those whose number is a multiple of k; as many questions are asked as there are k."""
    turns = _turns(calls)
    if len(turns) < 4 * _LEAST_HITS:
        return None
    ranks = _ranks(np.array([math.inf if not t.answered else t.ms for t in turns]))
    numbers = np.array([turn.number for turn in turns])
    times = np.array([turn.ms for turn in turns])
    best: tuple[float, int] | None = None
    for period in _PERIODS:
        hit = numbers % period == 0
        if hit.sum() < _LEAST_HITS or hit.all():
            continue
        p = _rank_sum_p(ranks, hit)
        there, elsewhere = float(np.median(times[hit])), float(np.median(times[~hit]))
        slow = there > max(2 * elsewhere, elsewhere + _FELT_MS)
        if slow and (best is None or p < best[0]):
            best = p, period
    if best is None or best[0] * len(_PERIODS) > _FALSE_ALARM:
        return None
    period = best[1]
    hit = numbers % period == 0
    medians = [duration(float(np.median(times[side]))) for side in (hit, ~hit)]
    return Finding(
        None,
        f"the agent stalls on every {_ordinal(period)} turn: {medians[0]} there, {medians[1]} "
        "elsewhere",
        "look for what happens every so often: a flush, a refresh, a reconnect, a collection",
    )


def _grows_slower(calls: Sequence[CallResult]) -> Finding | None:
    """Whether turns get slower as a call goes on: ranks within each call against their number."""
    slopes: list[float] = []
    tests: list[tuple[float, float]] = []
    for call in calls:
        known = [(one.question, one.v2v_ms) for one in call.heard if one.v2v_ms is not None]
        if len(known) < 4:
            continue
        number = np.array([n for n, _ in known], dtype=np.float64)
        ms = np.array([v for _, v in known], dtype=np.float64)
        size = len(known)
        rho = float(np.corrcoef(_ranks(number), _ranks(ms))[0, 1]) if np.ptp(ms) else 0.0
        tests.append((rho * math.sqrt(size - 1), 1.0))
        pairs = np.triu_indices(size, 1)
        rises = (ms[pairs[1]] - ms[pairs[0]]) / (number[pairs[1]] - number[pairs[0]])
        slopes.append(float(np.median(rises)))
    if not tests:
        return None
    z = sum(value for value, _ in tests) / math.sqrt(len(tests))
    slope = median(slopes)
    typical = median([turn.ms for turn in _turns(calls)])
    if z < NormalDist().inv_cdf(1 - _FALSE_ALARM) or slope < max(10.0, 0.02 * typical):
        return None
    return Finding(
        "llm",
        f"the agent drifts: it gets slower as the call goes on, by {duration(slope)} a turn",
        "bound what grows with the call: history, buffers, tasks nobody cancelled",
    )


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, ties shared."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared = last - (counts - 1) / 2
    ranked: NDArray[np.float64] = shared[inverse]
    return ranked


def _rank_sum_p(ranks: NDArray[np.float64], hit: NDArray[np.bool_]) -> float:
    """How likely ranks this high are by chance (Mann & Whitney 1947, ties corrected)."""
    n, m = len(ranks), int(hit.sum())
    spread = float(np.var(ranks, ddof=1)) * m * (n - m) / n
    if spread == 0:
        return 1.0
    z = (float(ranks[hit].sum()) - m * (n + 1) / 2 - 0.5) / math.sqrt(spread)
    return 1 - NormalDist().cdf(z)


def _ordinal(number: int) -> str:
    return f"{number}{({1: 'st', 2: 'nd', 3: 'rd'}).get(number, 'th')}"


_RULES: Final[tuple[Callable[[Sequence[CallResult]], Finding | None], ...]] = (
    _never_answers,
    _hangs_up,
    _answers_too_early,
    _stalls_periodically,
    _grows_slower,
    _ignores_interruptions,
    _breaks_protocol,
    _floods,
    _choppy,
)
_ABOUT_TIME: Final = (_stalls_periodically, _grows_slower, _ignores_interruptions, _choppy)
