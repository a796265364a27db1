"""whatsapp.* over both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.backoffice.operations.whatsapp.delivery import may_follow
from voicelat.backoffice.tables import Customer

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


def came_in(number: int, *, phone: str | None = None, **changed: Any) -> dict[str, Any]:
    return {
        "provider": "twilio",
        "external_id": "dana",
        "phone": phone,
        "profile_name": None,
        "provider_id": f"SM{number}",
        "text": "hi",
        "media": [],
        "reply_to": None,
        "at": f"2026-11-25T08:0{number}:00Z",
        **changed,
    }


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


def claimed(bench: Bench, limit: int = 10, lease_s: int = 60) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = bench.call("whatsapp.claim", limit=limit, lease_s=lease_s)[
        "messages"
    ]
    return messages


def became(status: str, **changed: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(("message_id", "provider", "provider_id", "error_code", "says"))
    return {**nothing, "status": status, "at": "2026-11-25T09:00:00Z", **changed}


def test_a_claimed_message_has_what_its_channel_needs(bench: Bench) -> None:
    lead_id = bench.lead(phone=PHONE, provider="baileys", external_id="972501234567@lid")
    bench.call("whatsapp.append_message", **came_in(1, phone=PHONE))
    sent = bench.call("whatsapp.send", **SEND)
    (message,) = claimed(bench)
    assert message.pop("thread_id").startswith("thread_")
    assert message == {
        "message_id": sent["message_id"],
        "lead_id": lead_id,
        "to_phone": PHONE,
        "addresses": [
            {"provider": "baileys", "external_id": "972501234567@lid"},
            {"provider": "twilio", "external_id": "dana"},
        ],
        "text": None,
        "template": "visit_booked",
        "template_variables": ["דנה", "25.11"],
        "language": "he",
        "media": [],
        "attempt": 1,
        "last_in_at": "2026-11-25T08:01:00Z",
        "queued_at": "2026-11-25T09:00:00Z",
    }


def test_a_message_is_claimed_once_until_its_lease_runs_out(bench: Bench) -> None:
    bench.call("whatsapp.send", **SEND)
    assert len(claimed(bench)) == 1
    assert claimed(bench) == []
    bench.now += timedelta(seconds=60)
    assert [one["attempt"] for one in claimed(bench)] == [2]


def test_a_claim_of_nothing_leaves_no_trace(bench: Bench) -> None:
    assert claimed(bench) == []
    assert bench.audit() == []


def test_the_same_claim_sent_again_gets_the_same_messages(bench: Bench) -> None:
    bench.call("whatsapp.send", **SEND)
    asked = {"limit": 5, "lease_s": 60}
    first = bench.post("whatsapp.claim", asked, key="k")
    again = bench.post("whatsapp.claim", asked, key="k")
    assert first.json() == again.json()
    assert len(again.json()["messages"]) == 1


def test_a_file_is_queued_with_its_caption(bench: Bench) -> None:
    whose = {"to_lead_id": None, "to_phone": PHONE}
    file = {"media_id": "m1", "content_type": "image/png", "file_name": None, "caption": "here"}
    bench.call("whatsapp.send_media", **whose, **file)
    (message,) = claimed(bench)
    assert message["text"] == "here"
    assert message["media"] == [
        {"media_id": "m1", "content_type": "image/png", "bytes": None, "file_name": None}
    ]


def test_a_receipt_finds_its_message_by_the_providers_id(bench: Bench) -> None:
    sent = bench.call("whatsapp.send", **SEND)
    claimed(bench)
    names = {"provider": "twilio", "provider_id": "SMout"}
    bench.call("whatsapp.set_status", **became("sent", message_id=sent["message_id"], **names))
    read = bench.call("whatsapp.set_status", **became("read", **names))
    assert read == {"message_id": sent["message_id"], "status": "read", "changed": True}
    late = bench.call("whatsapp.set_status", **became("delivered", **names))
    assert late == {"message_id": sent["message_id"], "status": "read", "changed": False}
    other = became("read", provider="baileys", provider_id="SMout")
    assert bench.fault("whatsapp.set_status", **other)["error"] == "not_found"


def test_what_was_not_sent_can_be_put_back_and_what_was_cannot(bench: Bench) -> None:
    sent = bench.call("whatsapp.send", **SEND)["message_id"]
    claimed(bench)
    assert bench.call("whatsapp.set_status", **became("queued", message_id=sent))["changed"]
    assert [one["message_id"] for one in claimed(bench)] == [sent]
    bench.call("whatsapp.set_status", **became("sent", message_id=sent))
    assert not bench.call("whatsapp.set_status", **became("queued", message_id=sent))["changed"]
    bench.now += timedelta(days=1)
    assert claimed(bench) == []


STATUSES = ("sending", "uncertain", "sent", "failed", "delivered", "read")


@given(st.lists(st.sampled_from(STATUSES), min_size=1))
def test_receipts_in_any_order_come_to_the_same(receipts: list[str]) -> None:
    def end(of: list[str]) -> str:
        now = "queued"
        for after in of:
            now = after if may_follow(now, after) else now
        return now

    assert end(receipts) == end(sorted(receipts)) == end(receipts[::-1])


def test_two_ids_of_one_person_become_one_conversation(bench: Bench) -> None:
    hers = {"provider": "baileys"}
    one = bench.call("whatsapp.append_message", **came_in(1, external_id="9@lid", **hers))
    two = bench.call(
        "whatsapp.append_message", **came_in(2, external_id="9@net", phone=PHONE, **hers)
    )
    assert one["thread_id"] != two["thread_id"]
    linked = bench.call(
        "whatsapp.link_identity",
        **hers,
        external_id="9@lid",
        phone=PHONE,
        also_external_id="9@net",
    )
    assert linked["thread_id"] == one["thread_id"]
    asked = {"before": None, "limit": 10}
    assert len(bench.call("whatsapp.list_threads", **asked)["threads"]) == 1
    assert len(texts(bench, phone=PHONE)) == 2


def test_two_leads_are_never_made_one(bench: Bench) -> None:
    bench.lead("Dana", provider="baileys", external_id="1@lid")
    bench.lead("Noa", phone=PHONE)
    link = {"provider": "baileys", "external_id": "1@lid", "also_external_id": None}
    dana = bench.call("whatsapp.link_identity", **link, phone=PHONE)["lead_id"]
    assert bench.call("whatsapp.append_message", **came_in(1, phone=PHONE))["lead_id"] != dana


def test_whoever_writes_is_the_customer_of_their_number(bench: Bench) -> None:
    with bench.database.write("acme") as db:
        known = {"email": None, "notes": "", "found_by": "dana"}
        db.add(Customer(tenant="acme", customer_id="c1", name="Dana Levi", phone=PHONE, **known))
    kept = bench.call("whatsapp.append_message", **came_in(1, phone=PHONE))
    assert kept["customer_id"] == "c1"
    (thread,) = bench.call("whatsapp.list_threads", before=None, limit=10)["threads"]
    assert (thread["name"], thread["last_text"], thread["last_direction"]) == (
        "Dana Levi",
        "hi",
        "in",
    )


def test_pages_of_threads_and_messages_hold_everything_once(bench: Bench) -> None:
    for number in range(5):
        who = f"person {number // 2}"
        bench.call("whatsapp.append_message", **came_in(number, external_id=who, text=str(number)))
    threads: list[dict[str, Any]] = []
    page = {"before": None}
    while True:
        got = bench.call("whatsapp.list_threads", **page, limit=2)
        threads += got["threads"]
        if got["next"] is None:
            break
        page = {"before": got["next"]}
    assert [one["last_text"] for one in threads] == ["4", "3", "1"]
    asked = {"thread_id": threads[1]["thread_id"], "limit": 1}
    newest = bench.call("whatsapp.list_messages", **asked, before=None)
    older = bench.call("whatsapp.list_messages", **asked, before=newest["next"])
    assert [m["text"] for m in newest["messages"] + older["messages"]] == ["3", "2"]
    assert older["next"] is None


@pytest.mark.parametrize("cursor", ["x", "2026-11-25T08:00:00~m", "2026-11-25T08:00:00Z~"])
def test_a_page_that_is_none_is_refused(bench: Bench, cursor: str) -> None:
    problem = bench.fault("whatsapp.list_threads", before=cursor, limit=2)
    assert problem["error"] == "invalid"


def test_another_tenant_sees_and_claims_nothing(bench: Bench) -> None:
    sent = bench.call("whatsapp.send", **SEND)["message_id"]
    bench.token = bench.mint(tenant="other")
    assert claimed(bench) == []
    assert bench.call("whatsapp.list_threads", before=None, limit=10)["threads"] == []
    refused = bench.fault("whatsapp.set_status", **became("read", message_id=sent))
    assert refused["error"] == "not_found"


def test_two_claimers_never_get_the_same_message(bench: Bench) -> None:
    for _ in range(20):
        bench.call("whatsapp.send", **SEND)
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: claimed(bench, limit=3), range(8)))
    ids = [message["message_id"] for messages in got for message in messages]
    assert len(ids) == len(set(ids)) == 20


def test_strangers_without_a_number_have_each_their_own_conversation(bench: Bench) -> None:
    one = bench.call("whatsapp.append_message", **came_in(1, external_id="1@lid"))
    two = bench.call("whatsapp.append_message", **came_in(2, external_id="2@lid"))
    assert one["thread_id"] != two["thread_id"]
