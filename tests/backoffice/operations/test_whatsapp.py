"""whatsapp.* over both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.backoffice.bench import Bench

PHONE = "+972501234567"
SEND: dict[str, Any] = {
    "to_lead_id": None,
    "to_phone": PHONE,
    "text": None,
    "template": "visit_booked",
    "template_variables": ["דנה", "25.11"],
    "language": "he",
}


def came_in(number: int, *, phone: str | None = None, **changed: str) -> dict[str, Any]:
    message = {"external_id": "dana", "phone": phone, "provider_id": f"SM{number}", "text": "hi"}
    return {**message, "at": f"2026-11-25T08:0{number}:00Z", **changed}


def texts(bench: Bench, **whose: str) -> list[str]:
    asked = {"lead_id": None, "phone": None, "limit": 10, **whose}
    return [m["text"] for m in bench.call("whatsapp.fetch_thread", **asked)["messages"]]


def test_a_message_is_queued_and_shows_in_the_thread(bench: Bench) -> None:
    queued = bench.call("whatsapp.send", **SEND)
    assert queued["status"] == "queued"
    thread = bench.call("whatsapp.fetch_thread", lead_id=None, phone=PHONE, limit=10)
    assert thread["messages"] == [
        {
            "message_id": queued["message_id"],
            "direction": "out",
            "text": "[visit_booked] דנה · 25.11",
            "at": "2026-11-25T09:00:00Z",
            "status": "queued",
        }
    ]


def test_nobody_has_written_yet(bench: Bench) -> None:
    thread = bench.call("whatsapp.fetch_thread", lead_id=None, phone=PHONE, limit=10)
    assert thread == {"thread_id": None, "messages": []}


@pytest.mark.parametrize(
    "changed",
    [
        {"to_phone": None},
        {"to_lead_id": "lead_1"},
        {"text": "and a text"},
        {"template": None},
        {"template": None, "text": "hi"},
    ],
)
def test_a_message_has_one_receiver_and_one_body(bench: Bench, changed: dict[str, Any]) -> None:
    assert bench.fault("whatsapp.send", **SEND | changed)["error"] == "invalid"


def test_a_lead_nobody_can_write_to_is_refused(bench: Bench) -> None:
    problem = bench.fault("whatsapp.send", **SEND | {"to_phone": None, "to_lead_id": bench.lead()})
    assert problem["fix"] == "add one with leads.upsert"


def test_a_message_that_came_in_twice_is_kept_once(bench: Bench) -> None:
    first = bench.call("whatsapp.append_message", **came_in(1))
    again = bench.call("whatsapp.append_message", **came_in(1))
    assert (first.pop("created"), again.pop("created")) == (True, False)
    assert first == again


def test_the_latest_messages_come_oldest_first(bench: Bench) -> None:
    for number in (1, 3, 2):
        bench.call("whatsapp.append_message", **came_in(number, phone=PHONE, text=str(number)))
    assert texts(bench, phone=PHONE) == ["1", "2", "3"]
    latest = bench.call("whatsapp.fetch_thread", lead_id=None, phone=PHONE, limit=2)
    assert [message["text"] for message in latest["messages"]] == ["2", "3"]


def test_what_somebody_wrote_before_being_a_lead_becomes_the_lead_s(bench: Bench) -> None:
    bench.call("whatsapp.append_message", **came_in(1))
    lead_id = bench.lead(provider="whatsapp", external_id="dana")
    bench.call("whatsapp.send", **SEND | {"to_phone": None, "to_lead_id": lead_id})
    assert texts(bench, lead_id=lead_id) == ["hi", "[visit_booked] דנה · 25.11"]


def test_the_new_owner_of_a_number_does_not_see_what_the_last_one_wrote(bench: Bench) -> None:
    identity = {"provider": "whatsapp", "external_id": "dana"}
    dana = bench.lead(phone=PHONE, **identity)
    bench.call("whatsapp.append_message", **came_in(1, phone=PHONE, text="secret"))
    bench.lead(phone="+972500000000", **identity)
    assert texts(bench, phone=PHONE) == []
    assert texts(bench, lead_id=dana) == ["secret"]
