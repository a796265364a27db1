"""Calls as the page shows them: from turns as they are written, and the recordings beside."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from voicelat.audio.mulaw import BYTES_PER_MS, Pcm
from voicelat.audio.wav import read
from voicelat.engine.recording import tape_name
from voicelat.errors import InvalidFile
from voicelat.metrics.record import LEGS, NUMBERS, Stamps, TurnRecord
from voicelat.metrics.summary import Summary, summarise
from voicelat.metrics.targets import Target
from voicelat.metrics.turnsfile import decode

__all__ = ["Calls"]

_KEPT: Final = 50_000
_SUMMED: Final = 5_000
"""The last turns that the percentiles are of."""
_LIVE_S: Final = 3.0
"""A trace is written twice a second while its call goes on."""
_PEAKS_PER_S: Final = 20
_FULL: Final = 32_768.0
_READ: Final = 1 << 20
_SUMMARY_LIVES_S: Final = 5.0


class Calls:
    """Follows ``turns_file`` and looks into ``record_dir``; None: there is none. Any thread."""

    def __init__(
        self, turns_file: Path | None, record_dir: Path | None, targets: Sequence[Target]
    ) -> None:
        self._file = turns_file
        self._folder = record_dir
        self._targets = targets
        self._lock = threading.Lock()
        self._records: list[TurnRecord] = []
        self._calls: dict[str, list[TurnRecord]] = {}
        """By call, the one of the last turn last."""
        self._place = 0
        self._inode: int | None = None
        self._rest = b""
        self._peaks: dict[tuple[str, float], dict[str, Any]] = {}
        self._summary: tuple[float, int, Summary] | None = None
        self.unreadable = 0
        """Lines that were no turns."""

    def follow(self) -> list[TurnRecord]:
        """What was written since the last time. A file that was put in the other's place, or cut,
        is read from its beginning."""
        if self._file is None:
            return []
        with self._lock:
            try:
                about = self._file.stat()
                if about.st_ino != self._inode or about.st_size < self._place:
                    self._records.clear()
                    self._calls.clear()
                    self._inode, self._place, self._rest = about.st_ino, 0, b""
                if about.st_size == self._place:
                    return []
                with self._file.open("rb") as file:
                    file.seek(self._place)
                    chunk = file.read()
            except OSError:
                return []
            self._place += len(chunk)
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            new = [record for line in lines if (record := self._decoded(line)) is not None]
            self._records.extend(new)
            for record in new:
                turns = self._calls.pop(record.call_id, [])
                self._calls[record.call_id] = [*turns, record]
            self._forget()
            return new

    def _forget(self) -> None:
        """The oldest calls, once there are too many turns."""
        while len(self._records) > _KEPT and len(self._calls) > 1:
            oldest = next(iter(self._calls))
            gone = len(self._calls.pop(oldest))
            del self._records[:gone]

    def _decoded(self, line: bytes) -> TurnRecord | None:
        if not line.strip():
            return None
        try:
            record = decode(line.strip(), call_id="unnamed", turn=1)
        except ValueError:
            record = None
        self.unreadable += record is None
        return record

    # -- what the page asks -------------------------------------------------------------------

    def overview(self) -> dict[str, Any]:
        """The numbers over the last turns, against their targets."""
        with self._lock:
            records = self._records[-_SUMMED:]
            count = len(self._records)
        now = time.monotonic()
        kept = self._summary
        if kept is None or (kept[1] != count and now - kept[0] > _SUMMARY_LIVES_S):
            kept = (now, count, summarise(records, self._targets))
            self._summary = kept
        summary = kept[2]
        total = summary.numbers["TOTAL_LATENCY_MS"]
        return {
            "turns": summary.turns,
            "p50_ms": _whole(total.p50),
            "p95_ms": _whole(total.p95),
            "numbers": [_number(name, summary, self._targets) for name in NUMBERS],
            "legs": [
                {"leg": name, "p50_ms": _whole(leg.p50), "p95_ms": _whole(leg.p95)}
                for name, leg in summary.legs.items()
            ],
            "barge_ins": summary.barge_ins,
            "cutoffs": summary.cutoffs,
        }

    def page(self, before: str | None, limit: int) -> dict[str, Any]:
        """Calls, newest first, by the place of their last turn. ``before``: a page's ``next``."""
        with self._lock:
            grouped = dict(self._calls)
        order = list(reversed(grouped))
        start = order.index(before) + 1 if before in grouped else 0
        live = self.live()
        shown = [self._call(call_id, grouped[call_id], live) for call_id in order[start:]][:limit]
        if start == 0 and before is None:
            unseen = [one for one in live if one not in grouped]
            shown = [self._call(one, [], live) for one in unseen] + shown
        more = start + limit < len(order)
        return {"calls": shown, "next": order[start + limit - 1] if more else None}

    def one(self, call_id: str) -> dict[str, Any] | None:
        """A call with its turns and its recording; None: there is none of that id."""
        records = self._turns(call_id)
        live = self.live()
        if not records and call_id not in live:
            return None
        return {
            "call": self._call(call_id, records, live),
            "turns": [_turn(record) for record in records],
            "recording": self._recording(call_id, records),
        }

    def recording(self, call_id: str) -> Path | None:
        """The file of a call's recording; None: it was not recorded."""
        if self._folder is None:
            return None
        records = self._turns(call_id)
        if not records:
            return None
        # Named by what the record says, never by what a browser sent.
        path = self._folder / f"{tape_name(records[0])}.wav"
        return path if path.is_file() else None

    def live(self) -> dict[str, float]:
        """Calls that go on now -> when something was last written of them. Only recorded ones are
        seen."""
        if self._folder is None:
            return {}
        now, found = time.time(), {}
        for path in self._folder.glob("*.trace.jsonl"):
            try:
                written = path.stat().st_mtime
            except OSError:
                continue
            if now - written < _LIVE_S:
                found[path.name.removesuffix(".trace.jsonl").partition("-")[2]] = written
        return found

    def _turns(self, call_id: str) -> list[TurnRecord]:
        with self._lock:
            return list(self._calls.get(call_id, ()))

    def _call(
        self, call_id: str, records: list[TurnRecord], live: dict[str, float]
    ) -> dict[str, Any]:
        totals = [one.TOTAL_LATENCY_MS for one in records if one.TOTAL_LATENCY_MS is not None]
        settings = records[-1].settings if records else {}
        last = records[-1] if records else None
        ended = None
        if last is not None and last.stamps.reply_end is not None and call_id not in live:
            ended = _after(last.started_utc, last.stamps.reply_end)
        return {
            "call_id": call_id,
            "started_at": records[0].started_utc if records else None,
            "ended_at": ended,
            "live": call_id in live,
            "language": settings.get("SPEECH_LANGUAGE"),
            "turns": len(records),
            "p50_ms": _whole(float(np.percentile(totals, 50))) if totals else None,
            "p95_ms": _whole(float(np.percentile(totals, 95))) if totals else None,
            "worst_ms": max(totals, default=None),
            "errors": sum(one.failure is not None for one in records),
            "has_recording": self.recording(call_id) is not None,
        }

    def _recording(self, call_id: str, records: list[TurnRecord]) -> dict[str, Any] | None:
        path = self.recording(call_id)
        if path is None:
            return None
        key = (path.name, path.stat().st_mtime)
        if key not in self._peaks:
            try:
                channels = read(path).channels
            except InvalidFile:
                return None
            if len(self._peaks) > 200:
                self._peaks.clear()
            agent = channels[1] if len(channels) > 1 else channels[0]
            self._peaks[key] = {
                "seconds": round(len(channels[0]) / (1000 * BYTES_PER_MS), 2),
                "peaks": {"caller": _peaks(channels[0]), "agent": _peaks(agent)},
                "peaks_per_s": _PEAKS_PER_S,
            }
        return {"url": f"/api/calls/{call_id}/recording", **self._peaks[key]}


def _turn(record: TurnRecord) -> dict[str, Any]:
    stamps = {name: getattr(record.stamps, name) for name in Stamps.__struct_fields__}
    return {
        "turn": record.turn,
        "at_ms": record.stamps.speech_start,
        "total_ms": record.TOTAL_LATENCY_MS,
        "numbers": {name: getattr(record, name) for name in NUMBERS},
        "legs": {**record.legs, "residual": record.residual_ms},
        "spans": _spans(record),
        "outcome": record.outcome,
        "reason": record.EOU_REASON,
        "barge_in": record.BARGE_IN_HIT,
        "error": record.failure,
        "caller_text": record.text or None,
        "agent_text": record.reply or None,
        "stamps": stamps,
    }


def _spans(record: TurnRecord) -> list[dict[str, Any]]:
    """The waterfall: each leg where it lies, in ms from the end of the caller's speech."""
    start, end = record.stamps.speech_end, record.stamps.first_audio_sent
    if start is None:
        return []
    spans, cursor = [], start
    for leg, name in LEGS:
        at = getattr(record.stamps, name)
        if at is None:
            continue
        at = at if end is None else min(at, end)
        if at > cursor:
            ends = {"from_ms": cursor - start, "to_ms": at - start}
            spans.append({"leg": leg or "residual", **ends})
            cursor = at
    return spans


def _number(name: str, summary: Summary, targets: Sequence[Target]) -> dict[str, Any]:
    found = summary.numbers[name]
    limits = {one.percentile: one.limit_ms for one in targets if one.number == name}
    judged = [
        value <= limit
        for statistic, limit in limits.items()
        if (value := summary.value(name, statistic)) is not None
    ]
    return {
        "name": name,
        "p50_ms": _whole(found.p50),
        "p95_ms": _whole(found.p95),
        "target_p50_ms": _whole(limits.get("p50")),
        "target_p95_ms": _whole(limits.get("p95")),
        "ok": all(judged) if judged else None,
    }


def _after(started_utc: str | None, ms: int) -> str | None:
    if started_utc is None:
        return None
    try:
        return (datetime.fromisoformat(started_utc) + timedelta(milliseconds=ms)).isoformat()
    except ValueError:
        return None


def _whole(ms: float | None) -> int | None:
    return None if ms is None else round(ms)


def _peaks(samples: Pcm) -> list[float]:
    """Square roots, so that quiet speech is seen too."""
    size = 1000 * BYTES_PER_MS // _PEAKS_PER_S
    padded = np.zeros(-(-len(samples) // size) * size, dtype=np.float32)
    padded[: len(samples)] = np.abs(samples.astype(np.float32))
    return [round(float(peak), 2) for peak in np.sqrt(padded.reshape(-1, size).max(axis=1) / _FULL)]
