"""What a turn measured, and what many turns say: records, percentiles, diagnosis, exporters."""

from __future__ import annotations

__all__: list[str] = []
