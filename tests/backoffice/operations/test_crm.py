"""crm.* over both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.backoffice.bench import Bench


def customer(bench: Bench, name: str = "Émile Zola") -> str:
    known = {"phone": "+33123456789", "email": "emile@example.org", "notes": ""}
    customer_id: str = bench.call("crm.create", name=name, **known)["customer_id"]
    return customer_id


@pytest.mark.parametrize("query", ["émile", "ZOLA", "3456", "Example.ORG"])
def test_a_customer_is_found_by_a_part_in_any_case(bench: Bench, query: str) -> None:
    customer_id = customer(bench)
    found = bench.call("crm.search_customer", query=query, limit=5)["customers"]
    assert found == [{"customer_id": customer_id, "name": "Émile Zola", "phone": "+33123456789"}]


def test_a_query_is_text_and_no_pattern(bench: Bench) -> None:
    customer(bench)
    for query in ("%", "_", "\\", "' OR 1=1 --"):
        assert bench.call("crm.search_customer", query=query, limit=5) == {"customers": []}


def test_an_update_answers_what_was_and_what_is(bench: Bench) -> None:
    customer_id = customer(bench, "דנה")
    changes = [
        {"key": "phone", "value": ""},
        {"key": "name", "value": "דנה לוי"},
        {"key": "plan", "value": "gold"},
    ]
    updated = bench.call("crm.update", customer_id=customer_id, changes=changes)
    assert updated["before"] == [
        {"key": "phone", "value": "+33123456789"},
        {"key": "name", "value": "דנה"},
    ]
    assert updated["after"] == changes[1:]
    assert bench.call("crm.get", customer_id=customer_id) == {
        "customer_id": customer_id,
        "name": "דנה לוי",
        "phone": None,
        "email": "emile@example.org",
        "notes": "",
        "fields": [{"key": "plan", "value": "gold"}],
    }
    assert bench.call("crm.search_customer", query="לוי", limit=5)["customers"]


def test_one_bad_change_undoes_all(bench: Bench) -> None:
    customer_id = customer(bench)
    before = bench.call("crm.get", customer_id=customer_id)
    changes = [{"key": "plan", "value": "gold"}, {"key": "phone", "value": "12"}]
    problem = bench.fault("crm.update", customer_id=customer_id, changes=changes)
    assert problem["says"].startswith("phone:")
    assert bench.call("crm.get", customer_id=customer_id) == before


def test_a_key_is_changed_once(bench: Bench) -> None:
    changes = [{"key": "plan", "value": "gold"}, {"key": "plan", "value": "tin"}]
    problem = bench.fault("crm.update", customer_id=customer(bench), changes=changes)
    assert problem["fix"] == "name every key once"
