"""privacy.erase over both databases: what is erased is in no table, and with SQLite in no file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select
from tests.backoffice.operations.test_whatsapp import PHONE, came_in

from voicelat.backoffice.tables import Base, Customer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.backoffice.bench import Bench

SECRET = "the blue house behind the mill"
OTHER = "+972500000001"
NOBODY = dict.fromkeys(("phone", "lead_id", "customer_id", "call_id", "before"))


def everything(bench: Bench) -> str:
    """Every row of every table, in one text."""
    with bench.database.read() as db:
        rows = [db.execute(select(table)).all() for table in Base.metadata.sorted_tables]
    return str(rows)


def of_dana(bench: Bench, phone: str = PHONE, call_id: str = "CA1") -> None:
    """A call, a lead, a customer and a conversation, with the secret in each."""
    bench.call(
        "calls.log_create",
        call_id=call_id,
        from_number=phone,
        to_number=None,
        started_at="2026-11-25T08:00:00Z",
        ended_at=None,
        outcome=SECRET,
    )
    said = {"turn": 1, "speaker": "caller", "text": SECRET, "at": "2026-11-25T08:00:01Z"}
    bench.call("stt.append_turns", call_id=call_id, turns=[said])
    bench.call(
        "summary.generate", call_id=call_id, summary=SECRET, action_items=[SECRET], language="en"
    )
    bench.lead(SECRET, phone=phone, provider="twilio", external_id=f"wa {phone}")
    message = came_in(1, phone=phone, external_id=f"wa {phone}", provider_id=f"SM{call_id}")
    bench.call("whatsapp.append_message", **message | {"text": SECRET})
    with bench.database.write("acme") as db:
        known = {"email": None, "notes": SECRET, "found_by": SECRET, "name": SECRET}
        db.add(Customer(tenant="acme", customer_id=f"c {phone}", phone=phone, **known))


def test_nothing_of_a_person_is_left_in_any_table(bench: Bench) -> None:
    of_dana(bench)
    assert SECRET in everything(bench)
    told = bench.call("privacy.erase", **NOBODY | {"phone": PHONE})
    assert SECRET not in everything(bench)
    assert told["call_ids"] == ["CA1"]
    assert told["erased"]["messages"] == 1
    assert told["erased"]["leads"] == told["erased"]["customers"] == 1
    left = [row["tool"] for row in bench.audit()]
    assert "whatsapp.append_message" in left
    assert left[-1] == "privacy.erase"


def test_somebody_else_s_data_stay(bench: Bench) -> None:
    of_dana(bench)
    of_dana(bench, OTHER, "CA2")
    bench.call("privacy.erase", **NOBODY | {"phone": PHONE})
    kept = everything(bench)
    assert OTHER in kept
    assert SECRET in kept
    assert PHONE not in kept


def test_one_call_can_be_erased_alone(bench: Bench) -> None:
    of_dana(bench)
    told = bench.call("privacy.erase", **NOBODY | {"call_id": "CA1"})
    assert set(told["erased"]) == {"calls", "summaries", "transcript_turns", "audit"}
    assert bench.call("whatsapp.list_threads", before=None, limit=10)["threads"] != []


def test_what_is_older_than_a_day_goes_and_the_rest_stays(bench: Bench) -> None:
    of_dana(bench)
    none = bench.call("privacy.erase", **NOBODY | {"before": "2026-11-25T07:00:00Z"})
    assert none["erased"] == {}
    told = bench.call("privacy.erase", **NOBODY | {"before": "2026-11-25T08:01:30Z"})
    assert told["message_ids"] != []
    assert told["call_ids"] == ["CA1"]


def test_another_tenant_erases_nothing_here(bench: Bench) -> None:
    of_dana(bench)
    bench.token = bench.mint(tenant="other")
    assert bench.call("privacy.erase", **NOBODY | {"phone": PHONE})["erased"] == {}
    assert SECRET in everything(bench)


@pytest.mark.parametrize("given", [{}, {"phone": PHONE, "call_id": "CA1"}])
def test_exactly_one_thing_is_erased(bench: Bench, given: dict[str, Any]) -> None:
    assert bench.fault("privacy.erase", **NOBODY | given)["error"] == "invalid"


def test_no_file_holds_what_was_erased(bench: Bench, url: str, tmp_path: Path) -> None:
    if not url.startswith("sqlite"):
        pytest.skip("PostgreSQL's files are not ours to look into")
    of_dana(bench)
    files = list(tmp_path.glob("office.sqlite3*"))
    assert any(SECRET.encode() in file.read_bytes() for file in files)
    bench.call("privacy.erase", **NOBODY | {"phone": PHONE})
    for file in tmp_path.glob("office.sqlite3*"):
        assert SECRET.encode() not in file.read_bytes(), file.name
        assert PHONE.encode() not in file.read_bytes(), file.name
