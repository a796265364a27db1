"""``whatsapp.*``: conversations. Messages to send are queued here; a channel delivers them."""

from __future__ import annotations

from typing import Final

from voicelat.backoffice.operation import Operation
from voicelat.backoffice.operations.whatsapp import conversation, delivery, inbound, threads

__all__ = ["OPERATIONS"]

OPERATIONS: Final[tuple[Operation, ...]] = (
    *conversation.OPERATIONS,
    *delivery.OPERATIONS,
    *inbound.OPERATIONS,
    *threads.OPERATIONS,
)
