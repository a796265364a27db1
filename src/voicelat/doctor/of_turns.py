"""A file of turns, examined: what only shows over many of them, and never in a good one.

Rules about time compare turns of the same file and ask for more than chance gives: an interval
that leaves zero out, and a difference that callers notice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from voicelat.doctor.catalog import CHECKS, fault, ok, skipped
from voicelat.doctor.measures import Measure, Told, examine
from voicelat.doctor.result import CheckResult
from voicelat.doctor.slower import first_turns, idle_connections
from voicelat.metrics.durations import duration
from voicelat.metrics.record import NUMBERS, Stamps, TurnRecord
from voicelat.metrics.samples import call_indices, is_cutoff, value_of
from voicelat.metrics.stalls import stall_finding
from voicelat.metrics.turnsfile import read_turns

__all__ = ["examine_records", "examine_turns"]

_LEAST: Final = 10
"""Turns below which a share or a median of them says nothing."""
_WAITS_ON_MS: Final = 30
"""More than a frame and a timer's slack."""
_RESIDUAL_MS: Final = 50
_ABSURD_MS: Final = 600_000
_STALLED_SHARE: Final = 0.05
_LONG_STALL_MS: Final = 500
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s")
_AGE_MS: Final = 300_000
"""Google's 305 s, less the time until the stream was open."""


async def examine_turns(
    file: str | Path, told: Told, wanted: frozenset[str] = frozenset(CHECKS)
) -> None:
    """``told`` is called with each result; ``wanted`` names the checks to do. Raises InvalidFile
    for a file that is none."""
    await examine_records(read_turns([file]).records, told, wanted)


async def examine_records(
    records: Sequence[TurnRecord], told: Told, wanted: frozenset[str] = frozenset(CHECKS)
) -> None:
    """The same for turns in hand."""
    if not records:
        for measure in _MEASURES:
            told(skipped(measure.checks[0], "the file has no turns"))
        return
    await examine(_MEASURES, records, told, wanted)


def _record_clock(records: Sequence[TurnRecord]) -> Iterator[CheckResult]:
    """Stamps of a turn that are before the one before in its call, and numbers that cannot be."""
    latest: dict[int, int] = {}
    wrong: list[str] = []
    for record, call in zip(records, call_indices(records), strict=True):
        name = f"{record.call_id} turn {record.turn}"
        start = record.stamps.speech_start
        if start is not None:
            if start < latest.get(call, start):
                wrong.append(f"{name} begins before the one before it")
            latest[call] = start
        known = [at for at in msgspec.structs.astuple(record.stamps) if at is not None]
        numbers = {number: value_of(record, number) for number in NUMBERS}
        absurd = [
            f"{number}={value}"
            for number, value in numbers.items()
            if value is not None and (value > _ABSURD_MS or (value < 0 and not is_cutoff(record)))
        ]
        if absurd or min(known, default=0) < 0:
            wrong.append(f"{name}: {', '.join(absurd) or 'a stamp before the call began'}")
    if wrong:
        evidence = f"{'; '.join(wrong[:3])}{' and more' if len(wrong) > 3 else ''}"
        what = f"{len(wrong)} of {len(records)} turns have times that cannot be"
        yield fault("record-clock", what, evidence)
    else:
        yield ok("record-clock", "all times can be", f"{len(records)} turns")


def _lost_logs(records: Sequence[TurnRecord]) -> Iterator[CheckResult]:
    lost = sum(record.lost_logs for record in records)
    turns = sum(record.lost_logs > 0 for record in records)
    if lost:
        evidence = f"{lost} log lines in {turns} of {len(records)} turns"
        yield fault("lost-logs", "log lines were dropped", evidence)
    else:
        yield ok("lost-logs", "no log line was dropped")


def _stalls(records: Sequence[TurnRecord]) -> Iterator[CheckResult]:
    """A stall now and then is the machine's; many, or a long one, have a cause."""
    watched = [record for record in records if record.stall_ms is not None or record.stalls]
    if not watched:
        yield skipped("stalls", "nobody watched the event loop of these turns")
        return
    hit = sum(bool(record.stalls) for record in watched)
    longest = max((stall.ms for record in watched for stall in record.stalls), default=0)
    evidence = f"{hit} of {len(watched)} turns, the longest {duration(longest)}"
    finding = stall_finding(watched)
    often = hit > 1 and hit >= _STALLED_SHARE * len(watched)
    if finding is not None and (often or longest >= _LONG_STALL_MS):
        yield msgspec.structs.replace(fault("stalls", finding.says, evidence), fix=finding.try_)
    else:
        yield ok("stalls", "the event loop seldom stood still", evidence)


def _residual(records: Sequence[TurnRecord]) -> Iterator[CheckResult]:
    known = [record.residual_ms for record in records if record.residual_ms is not None]
    if len(known) < _LEAST:
        yield skipped("residual", f"only {len(known)} turns have their stages stamped")
        return
    typical = median(known)
    evidence = f"P50 {duration(typical)} over {len(known)} turns"
    if typical > _RESIDUAL_MS:
        yield fault("residual", "turns spend time that no stage accounts for", evidence)
    else:
        yield ok("residual", "the stages account for the wait", evidence)


def _double_wait(records: Sequence[TurnRecord]) -> Iterator[CheckResult]:
    """How long turns wait with the final in hand, and the hangover that was in force over."""
    gaps = [gap for record in records if (gap := _waited_on_ms(record)) is not None]
    if len(gaps) < _LEAST:
        why = "have a final before their end and a fixed VAD_HANGOVER_MS on record"
        yield skipped("double-wait", f"only {len(gaps)} turns {why}")
        return
    typical = median(gaps)
    evidence = f"P50 {duration(typical)} over {len(gaps)} turns"
    if typical > _WAITS_ON_MS:
        yield fault("double-wait", "turns wait on, with the final in hand", evidence)
    else:
        yield ok("double-wait", "turns end with their final", evidence)


def _waited_on_ms(record: TurnRecord) -> int | None:
    stamps, settings = record.stamps, record.settings
    hangover_ms = settings.get("VAD_HANGOVER_MS")
    adapts = settings.get("EOU_POLICY", "fixed") != "fixed" or bool(settings.get("EOU_TUNE"))
    if stamps.speech_end is None or stamps.stt_final is None or stamps.turn_end is None:
        return None
    if not isinstance(hangover_ms, int) or adapts or stamps.stt_final > stamps.turn_end:
        return None
    return stamps.turn_end - max(stamps.stt_final, stamps.speech_end + hangover_ms)


def _interim_results(records: Sequence[TurnRecord]) -> Iterator[CheckResult]:
    """Words before the final, in any turn at all."""
    finals = [one.stamps for one in records if one.stamps.stt_final is not None]
    early = sum(_has_partial(stamps) for stamps in finals)
    evidence = f"{early} of {len(finals)} turns have words before their final"
    if len(finals) < _LEAST:
        yield skipped("interim-results", f"only {len(finals)} turns have a final")
    elif not early:
        yield fault("interim-results", "the recogniser says nothing before its final", evidence)
    else:
        yield ok("interim-results", "the recogniser gives partials", evidence)


def _has_partial(stamps: Stamps) -> bool:
    first, final = stamps.first_partial, stamps.stt_final
    return first is not None and final is not None and first < final


def _stream_age(records: Sequence[TurnRecord]) -> Iterator[CheckResult]:
    """Whether turns past Google's limit come without words, where earlier ones had them."""
    late: list[bool] = []
    early: list[bool] = []
    for record in records:
        start = record.stamps.speech_start
        if start is not None and record.outcome != "abandoned":
            deaf = not record.text or record.outcome == "censored"
            (late if start >= _AGE_MS else early).append(deaf)
    if len(late) < 3 or len(early) < _LEAST:
        yield skipped("stream-age", f"only {len(late)} turns are later than 5 minutes in a call")
        return
    evidence = (
        f"deaf: {sum(late)} of {len(late)} later than 5 minutes, {sum(early)} of {len(early)} else"
    )
    if sum(late) >= max(3, len(late) / 2) and sum(early) <= 0.1 * len(early):
        yield fault("stream-age", "the recogniser goes deaf after five minutes", evidence)
    else:
        yield ok("stream-age", "long calls are heard to their end", evidence)


def _openings(records: Sequence[TurnRecord]) -> Iterator[CheckResult]:
    """Replies whose first sentence was said before, and whose audio was made anew."""
    seen: dict[str, int] = {}
    again = misses = 0
    for record in records:
        opening = _SENTENCE_END.split(record.reply.strip(), maxsplit=1)[0]
        if record.cache is None or not opening:
            continue
        if seen.get(opening):
            again += 1
            misses += record.cache == "miss"
        seen[opening] = seen.get(opening, 0) + 1
    if again < _LEAST:
        yield skipped("openings", f"only {again} replies begin as an earlier one did")
        return
    evidence = f"{misses} of {again} replies that begin as an earlier one did"
    if misses > again / 2:
        common = max(seen, key=lambda words: seen[words])
        what = f"known openings are made anew, such as {common[:60]!r}"
        yield fault("openings", what, evidence)
    else:
        yield ok("openings", "known openings come from the cache", evidence)


_MEASURES: Final = (
    Measure(("record-clock",), _record_clock),
    Measure(("lost-logs",), _lost_logs),
    Measure(("stalls",), _stalls),
    Measure(("residual",), _residual),
    Measure(("double-wait",), _double_wait),
    Measure(("interim-results",), _interim_results),
    Measure(("stream-age",), _stream_age),
    Measure(("first-turns",), first_turns),
    Measure(("idle-connections",), idle_connections),
    Measure(("openings",), _openings),
)
