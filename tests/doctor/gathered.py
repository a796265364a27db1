"""Evidence of an application without faults, two turns of one call long; change what you test."""

from __future__ import annotations

from voicelat.caller import CallResult, Heard
from voicelat.doctor.of_app_calls import Placed, Span
from voicelat.doctor.of_app_command import Command
from voicelat.doctor.of_app_evidence import Evidence
from voicelat.doctor.of_app_source import Reading
from voicelat.doctor.probe.seen import Seen, Serving
from voicelat.metrics.record import TurnRecord

__all__ = ["FIRST_S", "SECOND_S", "gathered"]

FIRST_S = 105.0
"""In the first turn."""
SECOND_S = 115.0
"""In the second."""


def gathered(
    seen: Seen,
    *,
    calls: int = 1,
    printed: str = "",
    imports_ms: dict[str, float] | None = None,
    reading: Reading | None = None,
    records: list[TurnRecord] | None = None,
    answered: bool = True,
) -> Evidence:
    heard = tuple(Heard(question=number, censored=not answered) for number in (1, 2))
    result = CallResult(stream_sid="MZ1", call_sid="CA1", duration_ms=20_000, heard=heard)
    turns = (Span(100.0, 110.0), Span(110.0, 120.0))
    return Evidence(
        command=Command(),
        serving=Serving(server="uvicorn", webhooks=[], sockets=[]),
        seen=seen,
        placed=Placed(turns, Span(100.0, 120.0), heard, (result,), 20.0),
        calls=calls,
        imports_ms=imports_ms or {},
        printed=printed,
        last_printed="",
        reading=reading or Reading(),
        compression=None,
        compression_unknown=None,
        records=records,
    )
