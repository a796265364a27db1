"""The one renderer for lengths of time (``240 ms``, ``1.24 s``, a dash for unknown) and for counts
(``1 turn``)."""

from __future__ import annotations

from typing import Final

__all__ = ["counted", "duration", "duration_range"]

_DASH: Final = "\u2013"


def duration(ms: float | None) -> str:
    """Milliseconds in at most six characters up to 1000 s; a dash for ``None``."""
    if ms is None:
        return _DASH
    if abs(round(ms)) < 1000:
        return f"{round(ms)} ms"
    seconds = ms / 1000
    for decimals, limit in ((2, 9.995), (1, 99.95)):
        if abs(seconds) < limit:
            return f"{seconds:.{decimals}f} s"
    return f"{seconds:.0f} s"


def duration_range(low_ms: float | None, high_ms: float | None) -> str:
    """An interval with one unit (1.10 to 1.38 s); an end that is not known is ``?``."""
    if low_ms is None and high_ms is None:
        return _DASH
    if round(max(low_ms or 0, high_ms or 0)) < 1000:
        unit, ends = "ms", [None if ms is None else f"{ms:.0f}" for ms in (low_ms, high_ms)]
    else:
        unit = "s"
        ends = [None if ms is None else f"{ms / 1000:.2f}" for ms in (low_ms, high_ms)]
    return f"{ends[0] or '?'}{_DASH}{ends[1] or '?'} {unit}"


def counted(number: int, what: str) -> str:
    """``1 turn``, ``2 turns``."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
