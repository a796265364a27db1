"""All turns of some files to some places: what ``voicelat export`` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from voicelat.metrics.exporters.live import BATCH, TurnWriter
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.turnsfile import Turns

__all__ = ["ExportResult", "FileWriter", "export_turns"]


class ExportResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the turns."""

    schema: Literal[1] = 1
    turns: int
    """All turns read."""
    calls: int
    written: dict[str, int]
    """Place (``csv``, ``parquet``, ``sql``, ``otlp``) -> turns written there."""
    skipped: dict[str, int]
    """Place -> turns that it cannot take."""
    reasons: dict[str, list[str]]
    """Place -> why, one line for each skipped turn."""
    truncated: list[str]
    """``path: line N`` of each line that breaks off and was left out."""


FileWriter = Callable[[Sequence[TurnRecord]], None]
"""Writes all turns to one file."""


def export_turns(
    turns: Turns,
    places: Mapping[str, TurnWriter | FileWriter],
    on_progress: Callable[[str, int], None],
) -> ExportResult:
    """Write them everywhere, one place after the other. ``on_progress`` hears after each batch
    where and how many.

    Raises what the writers raise; what was written until then stays.
    """
    reasons: dict[str, list[str]] = {}
    for place, writer in places.items():
        reasons[place] = refused = []
        if not callable(writer):
            for start in range(0, len(turns.records), BATCH):
                batch = turns.records[start : start + BATCH]
                refused += writer.write(batch)
                on_progress(place, len(batch))
            writer.close()
        else:
            writer(turns.records)
            on_progress(place, len(turns.records))
    return ExportResult(
        turns=len(turns.records),
        calls=len({(record.call_id, record.started_utc) for record in turns.records}),
        written={place: len(turns.records) - len(refused) for place, refused in reasons.items()},
        skipped={place: len(refused) for place, refused in reasons.items()},
        reasons={place: refused for place, refused in reasons.items() if refused},
        truncated=turns.truncated,
    )
