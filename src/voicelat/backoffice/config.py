"""What the back office may be told: where its data lie, its limits and its opening hours."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Final

__all__ = ["ANY_AGENT", "Config", "Opening"]

ANY_AGENT: Final = "*"
"""In `Config.needs_grant`: the tool needs a grant whoever calls it."""


@dataclass(frozen=True, slots=True)
class Opening:
    """When appointments can be had, for `calendar.find_slots`."""

    zone: tzinfo = UTC
    first_hour: int = 9
    last_hour: int = 17
    """The hour at which the day is over, up to 24."""
    weekdays: frozenset[int] = frozenset({0, 1, 2, 3, 4})
    """Days with opening hours; Monday is 0."""


@dataclass(frozen=True, slots=True)
class Config:
    """How one back office runs."""

    database: str = "sqlite:///backoffice.sqlite3"
    """A SQLAlchemy URL of a SQLite file or a PostgreSQL database."""
    needs_grant: frozenset[tuple[str, str]] = frozenset()
    """(agent or `ANY_AGENT`, tool): writes that a person has to approve first."""
    opening: Opening = field(default_factory=Opening)
    max_body_bytes: int = 256 * 1024
    """Of one request. A long call's transcript fits; nothing else comes near."""
    busy_wait_ms: int = 5000
    """How long a request waits for the database before it is told to come again."""
