"""Who is let in: opaque tokens, each for one agent of one tenant, some tools and some time.

A token is ``ID.SECRET``. The secret is 256 random bits and is shown once; its hash is kept.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.orm import Session

from voicelat.backoffice.operations import OPERATIONS
from voicelat.backoffice.problem import Problem
from voicelat.backoffice.tables import Token
from voicelat.errors import UsageError

__all__ = ["APPROVE", "AUDIT", "SCOPES", "Access", "find", "mint", "revoke", "secret_hash"]

APPROVE: Final = "approvals.grant"
AUDIT: Final = "audit.read"
SCOPES: Final = frozenset({operation.tool for operation in OPERATIONS} | {APPROVE, AUDIT})


@dataclass(frozen=True, slots=True)
class Access:
    """What a token opens."""

    token_id: str
    tenant: str
    agent: str
    scopes: frozenset[str]


def mint(
    db: Session,
    *,
    agent: str,
    tenant: str,
    scopes: Collection[str],
    ttl: timedelta,
    now: datetime,
) -> str:
    """A new token's text, which is not kept. Raises UsageError for scopes that cannot be."""
    if not scopes:
        raise UsageError("a token without a scope opens nothing; give --scope")
    if unknown := sorted(set(scopes) - SCOPES):
        raise UsageError(f"no scope {unknown[0]}; there are {', '.join(sorted(SCOPES))}")
    if APPROVE in scopes and set(scopes) - {APPROVE, AUDIT}:
        # Whoever holds both could approve its own writes.
        raise UsageError(f"{APPROVE} goes with no tool; mint a token of its own for it")
    if not (0 < len(tenant) <= 64 and 0 < len(agent) <= 64):
        raise UsageError("tenant and agent need 1 to 64 characters")
    if ttl <= timedelta(0):
        raise UsageError("a token must live for some time; give --ttl like 30d or 12h")
    token_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    db.add(
        Token(
            token_id=token_id,
            secret_sha256=secret_hash(secret),
            tenant=tenant,
            agent=agent,
            scopes=sorted(set(scopes)),
            created_at=now,
            expires_at=now + ttl,
        )
    )
    return f"{token_id}.{secret}"


def revoke(db: Session, token_id: str, now: datetime) -> None:
    """Close what the token opened, from now on. Raises UsageError when there is none."""
    token = db.get(Token, token_id)
    if token is None:
        raise UsageError(f"no token {token_id}; list them with: tokens")
    token.revoked_at = token.revoked_at or now


def find(db: Session, text: str | None, now: datetime) -> Access:
    """What the token opens. Raises Problem when it opens nothing, without saying why not."""
    token_id, _, secret = (text or "").partition(".")
    token = db.get(Token, token_id) if "\0" not in token_id else None
    # Compared even without a token, so that both take the same time.
    genuine = hmac.compare_digest(
        token.secret_sha256 if token is not None else secret_hash(""), secret_hash(secret)
    )
    if token is None or not genuine or token.revoked_at is not None or token.expires_at <= now:
        raise Problem(
            "unauthorised",
            "no valid token",
            "send Authorization: Bearer TOKEN; mint one: python -m voicelat.backoffice token",
        )
    return Access(token.token_id, token.tenant, token.agent, frozenset(token.scopes))


def secret_hash(secret: str) -> str:
    """What is kept of a secret. It is random, so no salt and no slow hash are needed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
