"""What the back office keeps.

Every key begins with the tenant, and so does every reference: the database itself refuses a row
that points into another tenant. Times are UTC. Unknown is NULL.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = [
    "Audit",
    "Base",
    "Call",
    "Customer",
    "CustomerField",
    "Event",
    "Grant",
    "Identity",
    "Key",
    "Lead",
    "LeadTag",
    "Message",
    "Recording",
    "Summary",
    "Thread",
    "Token",
    "TranscriptTurn",
    "UtcTime",
]


class UtcTime(TypeDecorator[datetime]):
    """A time with its zone, UTC in and out. SQLite keeps none, so it is put back here."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """On the way in."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """On the way out."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


_Json: Final = JSON(none_as_null=True)
# SQLite counts up by itself only in its own INTEGER.
_Count: Final = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """The tables' common registry; constraints are named so that migrations can find them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "fk": "fk_%(table_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcTime,
        str: Text,
        dict[str, Any]: _Json,
        list[str]: _Json,
        list[dict[str, Any]]: _Json,
    }


def _belongs_to(table: str, column: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["tenant", column], [f"{table}.tenant", f"{table}.{column}"])


class _Tenants(Base):
    __abstract__ = True
    tenant: Mapped[str] = mapped_column(String(64), primary_key=True, sort_order=-1)


class Call(_Tenants):
    """A telephone call."""

    __tablename__ = "calls"
    call_id: Mapped[str] = mapped_column(primary_key=True)
    from_number: Mapped[str | None]
    to_number: Mapped[str | None]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None]


class Recording(_Tenants):
    """Where a call's audio lies. One row for each call and URL."""

    __tablename__ = "recordings"
    __table_args__ = (
        _belongs_to("calls", "call_id"),
        Index("ux_recordings_url", "tenant", "call_id", "url", unique=True),
    )
    recording_id: Mapped[str] = mapped_column(primary_key=True)
    call_id: Mapped[str]
    url: Mapped[str]
    seconds: Mapped[float | None]


class TranscriptTurn(_Tenants):
    """What one side said in one turn of a call."""

    __tablename__ = "transcript_turns"
    __table_args__ = (_belongs_to("calls", "call_id"),)
    call_id: Mapped[str] = mapped_column(primary_key=True)
    turn: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    speaker: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str]
    at: Mapped[datetime]


class Summary(_Tenants):
    """A call's summary. Replaced ones stay as history."""

    __tablename__ = "summaries"
    __table_args__ = (
        _belongs_to("calls", "call_id"),
        Index(
            "ux_summaries_current",
            "tenant",
            "call_id",
            unique=True,
            sqlite_where=text("replaced_at IS NULL"),
            postgresql_where=text("replaced_at IS NULL"),
        ),
    )
    summary_id: Mapped[str] = mapped_column(primary_key=True)
    call_id: Mapped[str]
    summary: Mapped[str]
    action_items: Mapped[list[str]]
    language: Mapped[str]
    written_at: Mapped[datetime]
    replaced_at: Mapped[datetime | None]


class Lead(_Tenants):
    """Somebody who may become a customer."""

    __tablename__ = "leads"
    __table_args__ = (Index("ix_leads_phone", "tenant", "phone"),)
    lead_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str | None]
    phone: Mapped[str | None]
    notes: Mapped[str | None]
    source: Mapped[str]
    created_at: Mapped[datetime]


class LeadTag(_Tenants):
    """A word that sorts a lead."""

    __tablename__ = "lead_tags"
    __table_args__ = (_belongs_to("leads", "lead_id"),)
    lead_id: Mapped[str] = mapped_column(primary_key=True)
    tag: Mapped[str] = mapped_column(primary_key=True)


class Event(_Tenants):
    """An appointment in the calendar."""

    __tablename__ = "events"
    __table_args__ = (
        _belongs_to("leads", "lead_id"),
        Index("ix_events_starts_at", "tenant", "starts_at"),
    )
    event_id: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    attendee_name: Mapped[str | None]
    attendee_phone: Mapped[str | None]
    lead_id: Mapped[str | None]


class Customer(_Tenants):
    """A customer of the CRM."""

    __tablename__ = "customers"
    customer_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    phone: Mapped[str | None]
    email: Mapped[str | None]
    notes: Mapped[str]
    found_by: Mapped[str]
    """Name, phone and email, case-folded: SQLite folds only ASCII by itself."""


class CustomerField(_Tenants):
    """What else is known of a customer."""

    __tablename__ = "customer_fields"
    __table_args__ = (_belongs_to("customers", "customer_id"),)
    customer_id: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class Identity(_Tenants):
    """Who somebody is at a provider. The phone may stay unknown: WhatsApp has user names."""

    __tablename__ = "identities"
    __table_args__ = (_belongs_to("leads", "lead_id"), _belongs_to("customers", "customer_id"))
    provider: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    phone: Mapped[str | None]
    lead_id: Mapped[str | None]
    customer_id: Mapped[str | None]


class Thread(_Tenants):
    """A WhatsApp conversation with one person: a lead's, or not yet anybody's."""

    __tablename__ = "threads"
    __table_args__ = (
        _belongs_to("leads", "lead_id"),
        Index("ix_threads_phone", "tenant", "phone"),
        Index("ix_threads_lead_id", "tenant", "lead_id"),
    )
    thread_id: Mapped[str] = mapped_column(primary_key=True)
    lead_id: Mapped[str | None]
    phone: Mapped[str | None]
    external_id: Mapped[str | None]
    """At WhatsApp, where there may be no phone."""


class Message(_Tenants):
    """One WhatsApp message. Those to send are queued until a channel delivers them."""

    __tablename__ = "messages"
    __table_args__ = (
        _belongs_to("threads", "thread_id"),
        Index("ix_messages_at", "tenant", "thread_id", "at"),
        Index("ux_messages_provider_id", "tenant", "provider", "provider_id", unique=True),
        Index("ix_messages_status", "tenant", "status", "at"),
    )
    message_id: Mapped[str] = mapped_column(primary_key=True)
    thread_id: Mapped[str]
    direction: Mapped[str]
    """in or out."""
    text: Mapped[str | None]
    template: Mapped[str | None]
    template_variables: Mapped[list[str]]
    language: Mapped[str | None]
    media: Mapped[list[dict[str, Any]]]
    """Ids of files that the channel has, with what they are."""
    status: Mapped[str]
    error_code: Mapped[str | None]
    says: Mapped[str | None]
    """Of the error, where there is one."""
    at: Mapped[datetime]
    provider: Mapped[str | None]
    """Who carried it; None until somebody has."""
    provider_id: Mapped[str | None]
    """The provider's own id of the message; None until it has one."""
    profile_name: Mapped[str | None]
    """What whoever wrote calls themselves."""
    reply_to: Mapped[str | None]
    """provider_id of the message it answers."""
    attempts: Mapped[int]
    """How often a channel has claimed it."""
    claimed_until: Mapped[datetime | None]


class Token(Base):
    """What an agent shows to be let in. Only a hash of its secret is kept."""

    __tablename__ = "tokens"
    token_id: Mapped[str] = mapped_column(primary_key=True)
    secret_sha256: Mapped[str]
    tenant: Mapped[str] = mapped_column(String(64))
    agent: Mapped[str]
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class Grant(_Tenants):
    """A person's approval of one write, good once."""

    __tablename__ = "grants"
    grant_id: Mapped[str] = mapped_column(primary_key=True)
    secret_sha256: Mapped[str]
    tool: Mapped[str]
    arguments_sha256: Mapped[str]
    call_id: Mapped[str | None]
    run_id: Mapped[str]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class Key(_Tenants):
    """An Idempotency-Key that was used, and the answer it got."""

    __tablename__ = "idempotency_keys"
    agent: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_sha256: Mapped[str]
    answer: Mapped[dict[str, Any]]
    at: Mapped[datetime]


class Audit(Base):
    """One write: who, what, before and after. Rows are only ever added."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_tenant", "tenant", "audit_id"),)
    audit_id: Mapped[int] = mapped_column(_Count, primary_key=True, autoincrement=True)
    tenant: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime]
    agent: Mapped[str]
    """Whose token it was."""
    claimed_agent: Mapped[str | None]
    """What X-Agent said; proves nothing."""
    token_id: Mapped[str]
    tool: Mapped[str]
    target: Mapped[str]
    """table/id of the row."""
    before: Mapped[dict[str, Any] | None] = mapped_column(_Json)
    after: Mapped[dict[str, Any] | None] = mapped_column(_Json)
    idempotency_key: Mapped[str | None]
    grant_id: Mapped[str | None]
    run_id: Mapped[str | None]
    call_id: Mapped[str | None]
