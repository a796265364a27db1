"""leads.* over both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.backoffice.bench import Bench

PHONE = "+972501234567"


def test_a_lead_is_found_again_by_its_phone_and_by_its_identity(bench: Bench) -> None:
    lead_id = bench.lead(phone=PHONE)
    identity = {"provider": "whatsapp", "external_id": "דנה@lid"}
    assert bench.lead("Dana Levi", phone=PHONE, **identity) == lead_id
    assert bench.lead("Dana L.", **identity) == lead_id
    assert bench.audit()[-1]["after"] == {
        "lead_id": lead_id,
        "name": "Dana L.",
        "phone": PHONE,
        "notes": None,
        "source": "test",
        "created_at": "2026-11-25T09:00:00Z",
        "tags": [],
        "identities": ["whatsapp:דנה@lid"],
    }


def test_somebody_else_s_number_does_not_move_an_identity(bench: Bench) -> None:
    bench.lead(phone=PHONE)
    identity = {"provider": "whatsapp", "external_id": "eve"}
    eve = bench.lead("Eve", **identity)
    asked = {"name": "Eve", "phone": PHONE, "notes": None, "source": "test", **identity}
    problem = bench.fault("leads.upsert", **asked)
    assert problem["error"] == "invalid"
    assert eve in problem["says"]


@pytest.mark.parametrize(
    "changed",
    [{"external_id": "x"}, {"provider": "whatsapp"}, {"name": None}, {"source": None}],
)
def test_a_lead_is_somebody_from_somewhere(bench: Bench, changed: dict[str, str | None]) -> None:
    unknown = dict.fromkeys(("phone", "external_id", "provider", "notes"))
    asked = {"name": "Dana", "source": "test", **unknown, **changed}
    assert bench.fault("leads.upsert", **asked)["error"] == "invalid"


def test_tags_are_a_set(bench: Bench) -> None:
    lead_id = bench.lead()
    for tag in ("חם", "cold", "חם"):
        tagged = bench.call("leads.tag", lead_id=lead_id, tag=tag)
    assert tagged == {"lead_id": lead_id, "tags": ["cold", "חם"]}


def test_a_deleted_lead_leaves_what_belongs_to_others_and_its_audit(bench: Bench) -> None:
    lead_id = bench.lead(phone=PHONE, provider="whatsapp", external_id="dana")
    bench.call("leads.tag", lead_id=lead_id, tag="hot")
    send = {"to_lead_id": lead_id, "to_phone": None, "text": "hi", "template": None}
    bench.call("whatsapp.send", **send, template_variables=[], language="en")
    assert bench.call("leads.delete", lead_id=lead_id) == {"lead_id": lead_id}
    row = bench.audit()[-1]
    assert (row["before"]["tags"], row["after"]) == (["hot"], None)
    assert bench.fault("leads.tag", lead_id=lead_id, tag="hot")["error"] == "not_found"
    thread = bench.call("whatsapp.fetch_thread", lead_id=None, phone=PHONE, limit=5)
    assert [message["text"] for message in thread["messages"]] == ["hi"]
