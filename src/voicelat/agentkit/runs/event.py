"""What happened, as it travels from the process that carries calls to the agents' process."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

__all__ = ["ID_PATTERN", "Event", "EventKind"]

EventKind = Literal["turn", "call_ended", "whatsapp_message"]

ID_PATTERN: Final = r"^[A-Za-z0-9_.:+@-]{1,128}$"
"""An id becomes a run's id, a part of keys and headers."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that may give the agents work.

    The same ``id`` twice is the same event: it runs once, however often it is sent.
    """

    id: Annotated[str, msgspec.Meta(pattern=ID_PATTERN)]
    kind: EventKind
    call_id: str | None = None
    """None: it belongs to no call."""
    thread_id: str | None = None
    """The WhatsApp thread. None: it belongs to none."""
    turn: int | None = None
    """None: it is no turn."""
    text: str
    """What was said or written; of a call that ended, its transcript."""
    language: str | None = None
    """A BCP-47 tag. None: unknown."""
    at_utc: str
    """ISO 8601 with zone."""
    data: dict[str, Any] = {}
    """Whatever else belongs to the kind, as JSON."""
