"""One thing a report has found out."""

from __future__ import annotations

import msgspec

__all__ = ["Finding"]


class Finding(msgspec.Struct, frozen=True, rename={"try_": "try"}):
    """One thing found, and what to try."""

    leg: str | None
    """A leg, ``residual`` or ``stt``; ``None`` when it is about no single leg."""
    says: str
    """One sentence for people."""
    try_: str
    """What to do about it; empty when there is nothing to do."""
