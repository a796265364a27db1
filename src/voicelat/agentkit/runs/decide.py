"""A person's yes or no: minted as a grant, and written where the waiting run finds it.

This runs in the process of the command line or the console, with a token that may grant. The
agents' process has none: what is written into its database alone opens nothing at the API.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

from voicelat.agentkit.runs.store import Approval, Store
from voicelat.errors import UsageError

__all__ = ["GRANT_LIFE_S", "Mint", "approve", "reject"]

GRANT_LIFE_S: Final = 86_400
"""A worker that is down when a person says yes has a day to come back."""

Mint = Callable[[Approval, dict[str, Any]], Awaitable[str]]
"""An approval and the arguments as approved -> the one-time grant for exactly these."""


async def approve(
    store: Store,
    approval_id: str,
    mint: Mint,
    *,
    who: str,
    now: Callable[[], datetime],
    arguments: dict[str, Any] | None = None,
    check: Callable[[dict[str, Any]], dict[str, Any]] = lambda arguments: arguments,
) -> Approval:
    """The approval as decided. ``arguments``: as corrected; None: as they are. ``check`` raises for
    those the tool does not take. Raises UsageError when it is not there or waits no more."""
    waiting = _waiting(store, approval_id)
    assert waiting.arguments is not None  # it waits: nobody has used them
    agreed = check(waiting.arguments if arguments is None else arguments)
    grant = await mint(waiting, agreed)
    if not store.approve(approval_id, agreed, grant, who, now()):
        raise UsageError(_too_late(store, approval_id))
    return _found(store, approval_id)


def reject(store: Store, approval_id: str, reason: str, *, who: str, now: datetime) -> Approval:
    """The approval as decided. Raises UsageError as above."""
    _waiting(store, approval_id)
    if not store.reject(approval_id, reason, who, now):
        raise UsageError(_too_late(store, approval_id))
    return _found(store, approval_id)


def _found(store: Store, approval_id: str) -> Approval:
    found = store.approval(approval_id)
    if found is None:
        raise UsageError(f"no approval {approval_id}; list what waits: voicelat agents approve")
    return found


def _waiting(store: Store, approval_id: str) -> Approval:
    if (found := _found(store, approval_id)).state != "waiting":
        raise UsageError(_too_late(store, approval_id))
    return found


def _too_late(store: Store, approval_id: str) -> str:
    found = _found(store, approval_id)
    if found.state == "waiting":
        return f"{approval_id} has expired at {found.expires_at}"
    by = f" by {found.decided_by}" if found.decided_by else ""
    return f"{approval_id} is {found.state}{by} since {found.decided_at}"
