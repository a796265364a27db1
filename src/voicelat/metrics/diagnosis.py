"""What to change first, in words a person can act on.

Each rule looks at the evidence and has one thing to say, or nothing. Rules compare medians
and shares with the targets and with what a healthy agent shows; the tail has its own
experiment (`voicelat.metrics.tail`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from voicelat.metrics.durations import counted, duration, duration_range
from voicelat.metrics.finding import Finding, worst_turns
from voicelat.metrics.percentiles import Percentile, percentile
from voicelat.metrics.record import NUMBERS, TurnRecord
from voicelat.metrics.samples import Sample, sample_of
from voicelat.metrics.stalls import stall_finding
from voicelat.metrics.tail import LEG_NAMES, RESIDUAL, leg_ms, tail_cause
from voicelat.metrics.targets import DEFAULT_TARGETS, Target

__all__ = ["NOTHING", "diagnose"]

# From here on a count or a median is worth a line. Judgement, not measurement: a handful of
# turns must not raise an alarm, and a healthy agent must stay silent.
_MANY_TIMEOUTS: Final = 0.2
_MANY_CUTOFFS: Final = 0.05
_MANY_CLIPPED: Final = 0.1
_MANY_MODEL_CALLS: Final = 2.0  # LiveKit's eager settings reach a median of 3 a turn
_FELT_RESIDUAL_MS: Final = 100  # dispatch and sending take a few ms when nothing blocks

NOTHING: Final = Finding(None, "nothing stands out", "")
"""What is said when nothing is found."""

_NAMES: Final[dict[str, str]] = {
    "endpointing": "settling the caller's text (endpointing)",
    "llm": "the model's first token",
    "clause": "collecting the first clause",
    "tts": "the voice's first audio",
    "gate": "the speak gate",
    RESIDUAL: "time that no stage accounts for (residual)",
}

_TRY: Final[dict[str, str]] = {
    "endpointing": (
        "lower VAD_HANGOVER_MS or STT_TIMEOUT_MS, or have the recogniser finalise sooner; "
        "watch the cutoffs while you do. `voicelat doctor --turns FILE --only "
        "double-wait,interim-results` looks for waits that are no setting's"
    ),
    "llm": (
        "a faster or warmed-up model, a shorter prompt, or an earlier speculative reply. "
        "`voicelat doctor myserver:app --only tls-per-turn,client-keepalive,client-per-turn` "
        "tells connections from the model"
    ),
    "clause": "lower AI_MAX_WORDS_FIRST_REPLY, so that the first clause reaches the voice sooner",
    "tts": (
        "set TTS_PREWARM=true, cache the common openings, and stream mu-law rather than files. "
        "`voicelat doctor --turns FILE --only openings,idle-connections` finds what is made anew"
    ),
    "gate": "lower SPEAK_GATE_MS: the answer was ready and waited for silence",
    RESIDUAL: (
        "look for blocking I/O, logs and round trips on the event loop: set ASYNC_LOG_QUEUE=1 "
        "and DEBUG=0, and move blocking work to a thread. `voicelat doctor myserver:app --only "
        "blocking-call,slow-log-handler,gc-in-calls,loop-lag` names the lines"
    ),
}

_BY_REASON: Final[dict[str | None, str]] = {
    "silence": "lower VAD_HANGOVER_MS: most turns wait for silence, with the final in hand",
    "debounce": "lower STT_PARTIAL_DEBOUNCE_MS or VAD_HANGOVER_MS: most turns end on a partial",
    "timeout": "lower STT_TIMEOUT_MS, or ask the recogniser for its final when speech stops",
}


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What the rules look at."""

    records: Sequence[TurnRecord]
    calls: Sequence[int]
    samples: dict[str, Sample]
    limits: dict[tuple[str, str], float]
    legs: dict[str, Sample]

    @property
    def knows_legs(self) -> bool:
        """Whether any turn has a stamp between its ends."""
        return any(len(sample) for sample in self.legs.values())

    def at(self, number: str, p: Percentile = 50) -> float | None:
        return percentile(self.samples[number], p)

    def limit(self, number: str, p: Percentile = 50) -> float:
        return self.limits.get((number, f"p{p}"), float("inf"))

    def misses(self, number: str, p: Percentile = 50) -> bool:
        """Known to be above its limit."""
        value = self.at(number, p)
        return value is not None and value > self.limit(number, p)


def diagnose(
    records: Sequence[TurnRecord],
    calls: Sequence[int],
    targets: Iterable[Target] = DEFAULT_TARGETS,
) -> list[Finding]:
    """Everything that stands out, the unanswered turns and the tail first; never empty.

    ``calls`` is as from `voicelat.metrics.samples.call_indices`. Targets not given are the
    default ones. All numbers count from the end of speech.
    """
    owed = [record for record in records if record.outcome != "abandoned"]
    if not owed:
        return [Finding(None, "there are no turns to judge", "make a call, or wait for one")]
    evidence = _Evidence(
        records=records,
        calls=calls,
        samples={name: sample_of(records, calls, name) for name in NUMBERS},
        limits={(t.number, t.percentile): t.limit_ms for t in (*DEFAULT_TARGETS, *targets)},
        legs={leg: _leg_sample(records, calls, leg) for leg in LEG_NAMES},
    )
    findings = [finding for rule in _RULES if (finding := rule(evidence)) is not None]
    return findings or [NOTHING]


def _many(hits: int, of: int, share: float) -> bool:
    """More than one, and more than a share: once is chance."""
    return hits > 1 and hits > share * of


def _leg_sample(records: Sequence[TurnRecord], calls: Sequence[int], leg: str) -> Sample:
    pairs = ((leg_ms(record, leg), call) for record, call in zip(records, calls, strict=True))
    return Sample.of((ms, True, call) for ms, call in pairs if ms is not None)


def _unanswered(evidence: _Evidence) -> Finding | None:
    silent = [record for record in evidence.records if record.outcome == "censored"]
    if not silent:
        return None
    failures = Counter(record.failure for record in silent if record.failure)
    why = f"; most often: {failures.most_common(1)[0][0]}" if failures else ""
    says = f"{len(silent)} of {len(evidence.records)} turns never got an answer{why}"
    advice = "fix these first; a fast median does not make up for silence"
    return Finding(None, says, advice, worst_turns((record, None) for record in silent))


def _tail(evidence: _Evidence) -> Finding | None:
    cause = tail_cause(evidence.records, evidence.calls)
    if cause is None:
        return None
    gain = f"{duration(cause.gain_ms)} (95 %: {duration_range(*cause.gain_ci95)})"
    what = f"{_NAMES[cause.leg]}: always at its median, the P95 of {duration(cause.p95_ms)}"
    where = _where(cause.slow_by_call)
    if not cause.resolved:
        says = f"the slow turns may be due to {what} would fall by {gain}{where}"
        more = f"; not resolvable with {cause.turns} turns"
        return Finding(None, says + more, "look at these turns, and measure more calls", cause.slow)
    says = f"the slow turns are due to {what} would fall by {gain}{where}"
    if cause.rival is not None:
        says += f"; with {cause.turns} turns not told apart from {_NAMES[cause.rival]}"
    return Finding(cause.leg, says, _TRY[cause.leg], cause.slow)


def _where(slow_by_call: dict[str, int]) -> str:
    """Whether the slow turns are everywhere, or one call's."""
    turns, calls = sum(slow_by_call.values()), len(slow_by_call)
    says = f"; it slowed {counted(turns, 'turn')} of {counted(calls, 'call')}"
    for worst, its_turns in list(slow_by_call.items())[:1]:
        if calls > 1 and 2 * its_turns > turns:
            says += f", {its_turns} of them in {worst}"
    return says


def _slow_first_partial(evidence: _Evidence) -> Finding | None:
    number = "STT_FIRST_PARTIAL_MS"
    if not evidence.misses(number):
        return None
    says = f"the first recognised words take {duration(evidence.at(number))}"
    return Finding(
        "stt",
        says,
        "stream audio to the recogniser from the start of the call, in its own region, and ask "
        "for interim results. `voicelat doctor --only round-trip,dns,interim-results` measures it",
    )


def _slow_final(evidence: _Evidence) -> Finding | None:
    first, final = "STT_FIRST_PARTIAL_MS", "STT_FINAL_MS"
    if not evidence.misses(final) or evidence.misses(first):
        return None
    says = (
        f"the first words come after {duration(evidence.at(first))}, but the text is only "
        f"settled {duration(evidence.at(final))} after the caller stopped"
    )
    reasons = Counter(r.EOU_REASON for r in evidence.records if r.EOU_REASON is not None)
    most = reasons.most_common(1)[0][0] if reasons else None
    return Finding("endpointing", says, _BY_REASON.get(most, _TRY["endpointing"]))


def _many_timeouts(evidence: _Evidence) -> Finding | None:
    known = [r.EOU_REASON for r in evidence.records if r.EOU_REASON is not None]
    late = [record for record in evidence.records if record.EOU_REASON == "timeout"]
    if not _many(len(late), len(known), _MANY_TIMEOUTS):
        return None
    return Finding(
        "endpointing",
        f"{len(late)} of {len(known)} turns ended by timeout: the recogniser's text came too late",
        "ask the recogniser for its final when speech stops, or lower "
        "STT_PARTIAL_DEBOUNCE_MS so that a partial counts sooner",
        worst_turns((record, record.STT_FINAL_MS) for record in late),
    )


def _slow_voice(evidence: _Evidence) -> Finding | None:
    number = "TTS_READY_MS"
    if not evidence.misses(number):
        return None
    cached = Counter(r.cache for r in evidence.records if r.cache is not None)
    looked_up = cached.total()
    hits = f" ({cached['hit']} of {looked_up} openings came from the cache)" if looked_up else ""
    says = f"the voice takes {duration(evidence.at(number))} to its first audio{hits}"
    return Finding("tts", says, _TRY["tts"])


def _slow_between(evidence: _Evidence) -> Finding | None:
    """All stages are fast and the total is not: somebody in between is waiting."""
    stages = ("STT_FIRST_PARTIAL_MS", "STT_FINAL_MS", "TTS_READY_MS")
    total = "TOTAL_LATENCY_MS"
    if not evidence.misses(total) or any(evidence.misses(stage) for stage in stages):
        return None
    if not any(len(evidence.samples[stage]) for stage in stages) and not evidence.knows_legs:
        return _only_the_ends(evidence)
    says = f"recognition and voice are fast, the total of {duration(evidence.at(total))} is not: "
    legs = {leg: percentile(evidence.legs[leg], 50) or 0 for leg in LEG_NAMES}
    if not any(legs.values()):
        says += "no stamps tell the model's time from waiting"
        return Finding(RESIDUAL, says, f"log the stamps of the model; then {_TRY[RESIDUAL]}")
    most = max(LEG_NAMES, key=lambda leg: legs[leg])
    return Finding(most, f"{says}{_NAMES[most]} takes {duration(legs[most])}", _TRY[most])


def _only_the_ends(evidence: _Evidence) -> Finding:
    """A caller hears when it stopped and when the answer began, and nothing in between."""
    says = (
        f"the total of {duration(evidence.at('TOTAL_LATENCY_MS'))} is slow; these turns were "
        "measured from the outside and do not tell where it goes"
    )
    return Finding(
        None,
        says,
        "the server's own turns do: run `voicelat report` on its turns file (TURNS_FILE)",
    )


def _felt_residual(evidence: _Evidence) -> Finding | None:
    """Slow or not, this time is nobody's work. Already said when the total is high."""
    typical = percentile(evidence.legs[RESIDUAL], 50)
    if typical is None or typical < _FELT_RESIDUAL_MS or evidence.misses("TOTAL_LATENCY_MS"):
        return None
    says = f"{duration(typical)} of a typical turn are {_NAMES[RESIDUAL]}"
    return Finding(RESIDUAL, says, _TRY[RESIDUAL])


def _wasted_replies(evidence: _Evidence) -> Finding | None:
    calls = [r.model_calls for r in evidence.records if r.model_calls > 0]
    if not calls or sum(calls) <= _MANY_MODEL_CALLS * len(calls):
        return None
    says = f"{sum(calls) / len(calls):.1f} model calls a turn: most speculative replies are wasted"
    return Finding(
        "llm", says, "raise STT_PARTIAL_DEBOUNCE_MS, so that a reply starts on steadier text"
    )


def _clipped(evidence: _Evidence) -> Finding | None:
    known = sum(record.clipped is not None for record in evidence.records)
    clipped = [record for record in evidence.records if record.clipped]
    if not _many(len(clipped), known, _MANY_CLIPPED):
        return None
    return Finding(
        "endpointing",
        f"{len(clipped)} of {known} turns acted on text the recogniser then changed",
        "raise STT_PARTIAL_DEBOUNCE_MS or STT_TIMEOUT_MS to wait for the rest",
        worst_turns((record, None) for record in clipped),
    )


def _cutoffs(evidence: _Evidence) -> Finding | None:
    early = [record for record in evidence.records if record.cutoff]
    if not _many(len(early), len(evidence.records), _MANY_CUTOFFS):
        return None
    return Finding(
        "endpointing",
        f"{len(early)} of {len(evidence.records)} turns cut the caller off: part of the speed is "
        "haste",
        "raise SPEAK_GATE_MS first, then VAD_HANGOVER_MS; `voicelat sweep` finds by how much",
        worst_turns((record, None) for record in early),
    )


def _stood_still(evidence: _Evidence) -> Finding | None:
    return stall_finding(evidence.records)


def _lost_logs(evidence: _Evidence) -> Finding | None:
    lost = sum(record.lost_logs for record in evidence.records)
    if not lost:
        return None
    says = f"{lost} log lines were dropped: the queue before the log handlers was full"
    return Finding(None, says, "log less (DEBUG=0, LOG_LEVEL), or to something faster")


def _stand_ins(evidence: _Evidence) -> Finding | None:
    """Numbers of other people's servers that begin elsewhere than they are defined to."""
    guessed = Counter(number for r in evidence.records for number in r.counted_from)
    most = max(guessed["TOTAL_LATENCY_MS"], guessed["TTS_READY_MS"])
    if not most:
        return None
    says = (
        f"in {most} of {len(evidence.records)} turns the total counts from the last words, which "
        "come later than the end of speech, or the voice's time from before it was asked"
    )
    return Finding(None, says, "tell the meter speech_ended and tts_requested, too")


_RULES: Final[tuple[Callable[[_Evidence], Finding | None], ...]] = (
    _unanswered,
    _stood_still,
    _tail,
    _slow_first_partial,
    _slow_final,
    _many_timeouts,
    _slow_voice,
    _slow_between,
    _felt_residual,
    _wasted_replies,
    _clipped,
    _cutoffs,
    _lost_logs,
    _stand_ins,
)
