"""Every tool of the back office, one file for each group."""

from __future__ import annotations

from typing import Final

from voicelat.backoffice.operation import Operation
from voicelat.backoffice.operations import (
    calendar,
    calls,
    crm,
    leads,
    privacy,
    stt,
    summary,
    whatsapp,
)

__all__ = ["OPERATIONS"]

OPERATIONS: Final[tuple[Operation, ...]] = (
    *calls.OPERATIONS,
    *stt.OPERATIONS,
    *summary.OPERATIONS,
    *calendar.OPERATIONS,
    *leads.OPERATIONS,
    *whatsapp.OPERATIONS,
    *crm.OPERATIONS,
    *privacy.OPERATIONS,
)
