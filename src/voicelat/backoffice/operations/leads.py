"""``leads.*``: people who may become customers, and who they are at providers."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import StringConstraints, model_validator
from sqlalchemy import delete, select, update

from voicelat.backoffice.fields import Arguments, Id, LongText, Phone, Result, ShortText
from voicelat.backoffice.operation import (
    Desk,
    Operation,
    Write,
    Written,
    new_id,
    not_found,
    snapshot,
)
from voicelat.backoffice.problem import Problem
from voicelat.backoffice.tables import Event, Identity, Lead, LeadTag, Thread

__all__ = ["OPERATIONS", "Provider", "known_lead", "lead_of_phone"]

Provider = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_.-]{1,40}$")]


class Upsert(Arguments):
    """Somebody, as far as known. Null is not known, and keeps what was."""

    name: ShortText | None
    phone: Phone | None
    external_id: ShortText | None
    provider: Provider | None
    notes: LongText | None
    source: ShortText
    """Where the lead came from; kept from its first time."""

    @model_validator(mode="after")
    def _somebody(self) -> Upsert:
        if (self.external_id is None) != (self.provider is None):
            raise ValueError("external_id and provider come together")
        if self.name is None and self.phone is None and self.external_id is None:
            raise ValueError("a lead needs a name, a phone or an external_id")
        return self


class Upserted(Result):
    """The lead; ``created`` is false when it was there."""

    lead_id: str
    created: bool


class AddTag(Arguments):
    """A word that sorts the lead."""

    lead_id: Id
    tag: Annotated[ShortText, StringConstraints(max_length=64)]


class Tagged(Result):
    """All tags of the lead, sorted."""

    lead_id: str
    tags: list[str]


class Delete(Arguments):
    """Which lead."""

    lead_id: Id


class Deleted(Result):
    """The lead that is gone."""

    lead_id: str


def known_lead(desk: Desk, lead_id: str) -> Lead:
    """The tenant's lead. Raises Problem when it has none of that id."""
    lead = desk.db.get(Lead, (desk.tenant, lead_id))
    if lead is None:
        raise not_found("lead", lead_id, "find or make it with leads.upsert")
    return lead


def lead_of_phone(desk: Desk, phone: str | None) -> Lead | None:
    """The tenant's first lead with that phone; None when there is none, or no phone."""
    if phone is None:
        return None
    return desk.db.scalar(
        select(Lead)
        .where(Lead.tenant == desk.tenant, Lead.phone == phone)
        .order_by(Lead.created_at, Lead.lead_id)
        .limit(1)
    )


def upsert(desk: Desk, asked: Upsert) -> Written:
    """Find the lead by its identity at the provider, else by its phone, else make it."""
    identity = None
    if asked.provider is not None and asked.external_id is not None:
        identity = desk.db.get(Identity, (desk.tenant, asked.provider, asked.external_id))
        if identity is None:
            identity = Identity(
                tenant=desk.tenant, provider=asked.provider, external_id=asked.external_id
            )
            desk.db.add(identity)
    lead = _same_person(desk, identity, asked.phone)
    before = None if lead is None else _whole(desk, lead)
    if lead is None:
        lead = Lead(
            tenant=desk.tenant, lead_id=new_id("lead"), source=asked.source, created_at=desk.now
        )
        desk.db.add(lead)
    lead.name = asked.name or lead.name
    lead.phone = asked.phone or lead.phone
    lead.notes = asked.notes if asked.notes is not None else lead.notes
    desk.db.flush()
    if identity is not None:
        identity.lead_id = lead.lead_id
        identity.phone = asked.phone or identity.phone
    return Written(
        Upserted(lead_id=lead.lead_id, created=before is None),
        f"leads/{lead.lead_id}",
        before,
        _whole(desk, lead),
    )


def _same_person(desk: Desk, identity: Identity | None, phone: str | None) -> Lead | None:
    """The one lead both point to. Raises Problem when they point to two.

    Anybody can say somebody else's number, so a number never moves a known identity.
    """
    by_phone = lead_of_phone(desk, phone)
    if identity is None or identity.lead_id is None:
        return by_phone
    known = known_lead(desk, identity.lead_id)
    if by_phone is not None and by_phone.lead_id != known.lead_id:
        raise Problem(
            "invalid",
            f"the phone is lead {by_phone.lead_id}'s and the identity lead {known.lead_id}'s",
            "send one of the two, or have a person merge the leads",
        )
    return known


def tag(desk: Desk, asked: AddTag) -> Written:
    """Add the tag; one the lead has already changes nothing."""
    lead = known_lead(desk, asked.lead_id)
    before = _whole(desk, lead)
    if asked.tag not in before["tags"]:
        desk.db.add(LeadTag(tenant=desk.tenant, lead_id=lead.lead_id, tag=asked.tag))
    after = _whole(desk, lead)
    return Written(
        Tagged(lead_id=lead.lead_id, tags=after["tags"]), f"leads/{lead.lead_id}", before, after
    )


def remove(desk: Desk, asked: Delete) -> Written:
    """Delete the lead. Its appointments, messages and identities stay, and belong to nobody."""
    lead = known_lead(desk, asked.lead_id)
    before = _whole(desk, lead)
    for kept in (Event, Identity, Thread):
        desk.db.execute(
            update(kept)
            .where(kept.tenant == desk.tenant, kept.lead_id == lead.lead_id)
            .values(lead_id=None)
        )
    desk.db.execute(
        delete(LeadTag).where(LeadTag.tenant == desk.tenant, LeadTag.lead_id == lead.lead_id)
    )
    desk.db.delete(lead)
    return Written(Deleted(lead_id=asked.lead_id), f"leads/{asked.lead_id}", before, None)


def _whole(desk: Desk, lead: Lead) -> dict[str, Any]:
    """The lead with its tags and identities, as JSON."""
    tags = desk.db.scalars(
        select(LeadTag.tag).where(LeadTag.tenant == desk.tenant, LeadTag.lead_id == lead.lead_id)
    )
    identities = desk.db.scalars(
        select(Identity).where(Identity.tenant == desk.tenant, Identity.lead_id == lead.lead_id)
    )
    return {
        **snapshot(lead),
        "tags": sorted(tags),
        "identities": sorted(f"{one.provider}:{one.external_id}" for one in identities),
    }


OPERATIONS: Final[tuple[Operation, ...]] = (
    Write("leads.upsert", Upsert, Upserted, upsert),
    Write("leads.tag", AddTag, Tagged, tag),
    Write("leads.delete", Delete, Deleted, remove),
)
