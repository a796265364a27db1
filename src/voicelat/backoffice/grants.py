"""A person's approval, as a thing that can be used once.

It is bound to the tool, the arguments, the call and the run: whoever steals it can do with it only
what was approved, and only if nobody has done it yet.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import update
from sqlalchemy.orm import Session

from voicelat.backoffice.fields import Arguments, Id, Result, Sha256
from voicelat.backoffice.problem import Problem
from voicelat.backoffice.tables import Grant
from voicelat.backoffice.tokens import secret_hash

__all__ = ["Approved", "GrantAsked", "Granted", "arguments_sha256", "consume", "mint"]


class GrantAsked(Arguments):
    """What a person approved."""

    tool: Id
    arguments_sha256: Sha256
    call_id: Id | None
    run_id: Id
    ttl_s: Annotated[int, Field(ge=1, le=86_400)]


class Granted(Result):
    """The grant's text, to be sent once as X-Approval-Grant. It is not kept."""

    grant: str


@dataclass(frozen=True, slots=True)
class Approved:
    """What a request is about to do, to be held against its grant."""

    tool: str
    arguments_sha256: str
    call_id: str | None
    run_id: str | None


def arguments_sha256(arguments: Mapping[str, Any]) -> str:
    """The hash that binds a grant to its arguments: of their one canonical JSON."""
    canonical = json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def mint(db: Session, tenant: str, asked: GrantAsked, now: datetime) -> tuple[Grant, str]:
    """A new grant and its text."""
    secret = secrets.token_urlsafe(32)
    grant = Grant(
        tenant=tenant,
        grant_id=secrets.token_hex(8),
        secret_sha256=secret_hash(secret),
        expires_at=now + timedelta(seconds=asked.ttl_s),
        **asked.model_dump(exclude={"ttl_s"}),
    )
    db.add(grant)
    return grant, f"{grant.grant_id}.{secret}"


def consume(db: Session, tenant: str, text: str, approved: Approved, now: datetime) -> str:
    """Use the grant up and return its id. Raises Problem when it does not fit, or no longer."""
    grant_id, _, secret = text.partition(".")
    grant = db.get(Grant, (tenant, grant_id))
    if grant is None or not hmac.compare_digest(grant.secret_sha256, secret_hash(secret)):
        raise _invalid("there is no such grant")
    bound = Approved(grant.tool, grant.arguments_sha256, grant.call_id, grant.run_id)
    if bound != approved:
        raise _invalid("the grant is for another tool, other arguments, another call or run")
    if grant.expires_at <= now:
        raise _invalid("the grant has expired")
    taken = db.scalars(
        update(Grant)
        .where(Grant.tenant == tenant, Grant.grant_id == grant_id, Grant.used_at.is_(None))
        .values(used_at=now)
        .returning(Grant.grant_id)
    ).all()
    if not taken:
        raise _invalid("the grant has been used")
    return grant_id


def _invalid(says: str) -> Problem:
    return Problem("grant_invalid", says, "ask for approval again")
