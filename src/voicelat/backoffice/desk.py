"""What is the same for every tool: the gate, the grant, once and only once, and the audit.

A write, its grant, its audit row and its stored answer are one transaction. So a server that dies
has done all of it or nothing, and the same request sent again gets the answer or does the work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from voicelat.backoffice import grants
from voicelat.backoffice.config import Config
from voicelat.backoffice.database import Database
from voicelat.backoffice.fields import Arguments
from voicelat.backoffice.gate import Asked, Gate
from voicelat.backoffice.operation import Desk, Read, Write, Written, dumped, snapshot
from voicelat.backoffice.problem import Problem
from voicelat.backoffice.tables import Audit, Key
from voicelat.backoffice.tokens import APPROVE, Access

__all__ = ["Answer", "Context", "Office"]


@dataclass(frozen=True, slots=True)
class Context:
    """What a request says of itself beside its arguments. None where it does not."""

    run_id: str | None
    call_id: str | None
    claimed_agent: str | None
    grant: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """The result as JSON; ``replayed`` when it was written before, under the same key."""

    result: dict[str, Any]
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Office:
    """Does what a token's holder asks for, where it may."""

    config: Config
    database: Database
    gate: Gate
    now: Callable[[], datetime]

    def read(
        self, access: Access, operation: Read[Any], asked: Arguments, sent: Any, context: Context
    ) -> Answer:
        """Look. ``sent`` is the request's JSON, as it came."""
        now = self.now()
        if (
            self._asks_a_person(access, operation.tool, sent, context, now)
            or context.grant is not None
        ):
            with self.database.write(access.tenant) as db:
                self._use_grant(db, access, operation.tool, sent, context, now)
                return Answer(dumped(operation.run(self._desk(db, access, now), asked)))
        with self.database.read() as db:
            return Answer(dumped(operation.run(self._desk(db, access, now), asked)))

    def write(
        self,
        access: Access,
        operation: Write[Any],
        asked: Arguments,
        sent: Any,
        context: Context,
        key: str,
    ) -> Answer:
        """Write once for each key. ``sent`` is the request's JSON, as it came."""
        answer = self._written(access, operation, asked, sent, context, key)
        if operation.compacts:
            self.database.compact()
        return answer

    def _written(
        self,
        access: Access,
        operation: Write[Any],
        asked: Arguments,
        sent: Any,
        context: Context,
        key: str,
    ) -> Answer:
        now = self.now()
        fingerprint = grants.arguments_sha256({"tool": operation.tool, "arguments": sent})
        with self.database.write(access.tenant) as db:
            before = db.get(Key, (access.tenant, access.agent, key))
            if before is not None:
                return _replayed(before, fingerprint)
            grant_id = None
            if (
                self._asks_a_person(access, operation.tool, sent, context, now)
                or context.grant is not None
            ):
                grant_id = self._use_grant(db, access, operation.tool, sent, context, now)
            written = operation.run(self._desk(db, access, now), asked)
            result = dumped(written.result)
            if written.idle:
                return Answer(result)
            db.add(_audit(access, operation.tool, written, context, now, key, grant_id))
            db.add(
                Key(
                    tenant=access.tenant,
                    agent=access.agent,
                    key=key,
                    request_sha256=fingerprint,
                    answer=result,
                    at=now,
                )
            )
            return Answer(result)

    def grant(self, access: Access, asked: grants.GrantAsked, context: Context) -> Answer:
        """Mint a grant. Its text is in the answer and nowhere else, so this has no key."""
        now = self.now()
        with self.database.write(access.tenant) as db:
            grant, text = grants.mint(db, access.tenant, asked, now)
            after = {k: v for k, v in snapshot(grant).items() if k != "secret_sha256"}
            granted = Written(grants.Granted(grant=text), f"grants/{grant.grant_id}", None, after)
            db.add(_audit(access, APPROVE, granted, context, now, None, grant.grant_id))
            return Answer(dumped(granted.result))

    def _desk(self, db: Session, access: Access, now: datetime) -> Desk:
        return Desk(db, access.tenant, now, self.config.opening)

    def _asks_a_person(
        self, access: Access, tool: str, sent: Any, context: Context, now: datetime
    ) -> bool:
        """Whether a grant is needed. Raises Problem for what must not be."""
        verdict = self.gate(
            Asked(
                tenant=access.tenant,
                agent=access.agent,
                tool=tool,
                arguments=sent,
                run_id=context.run_id,
                call_id=context.call_id,
                at=now,
            )
        )
        if verdict == "deny":
            raise Problem("denied", f"{access.agent} may not use {tool}", "change the policy")
        return verdict == "ask"

    def _use_grant(
        self, db: Session, access: Access, tool: str, sent: Any, context: Context, now: datetime
    ) -> str:
        """Use up the grant that was shown, needed or not: the audit then names the approval."""
        if context.grant is None:
            raise Problem(
                "needs_grant",
                f"{tool} has to be approved",
                "send the grant of the approval as X-Approval-Grant",
            )
        approved = grants.Approved(
            tool, grants.arguments_sha256(sent), context.call_id, context.run_id
        )
        return grants.consume(db, access.tenant, context.grant, approved, now)


def _replayed(before: Key, fingerprint: str) -> Answer:
    if before.request_sha256 != fingerprint:
        raise Problem(
            "key_reused",
            "the Idempotency-Key was used for another request",
            "send a new key with a new request",
        )
    return Answer(before.answer, replayed=True)


def _audit(
    access: Access,
    tool: str,
    written: Written,
    context: Context,
    now: datetime,
    key: str | None,
    grant_id: str | None,
) -> Audit:
    return Audit(
        tenant=access.tenant,
        at=now,
        agent=access.agent,
        claimed_agent=context.claimed_agent,
        token_id=access.token_id,
        tool=tool,
        target=written.target,
        before=written.before,
        after=written.after,
        idempotency_key=key,
        grant_id=grant_id,
        run_id=context.run_id,
        call_id=context.call_id,
    )
