"""Once and only once, the gate, the grants and the audit; over both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.backoffice.bench import Bench

LEAD: dict[str, Any] = {
    "name": "Dana",
    "phone": None,
    "external_id": None,
    "provider": None,
    "notes": None,
    "source": "test",
}
SEND: dict[str, Any] = {
    "to_lead_id": None,
    "to_phone": "+972501234567",
    "text": "Shalom",
    "template": None,
    "template_variables": [],
    "language": "en",
}


def test_the_same_request_again_gets_the_answer_again(bench: Bench) -> None:
    first, again = (bench.post("leads.upsert", LEAD, key="k") for _ in range(2))
    assert first.json() == again.json()
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(bench.audit()) == 1


def test_the_order_of_keys_and_a_later_day_make_no_other_request(bench: Bench) -> None:
    first = bench.post("leads.upsert", LEAD, key="k")
    bench.now += timedelta(days=20)
    again = bench.post("leads.upsert", dict(reversed(LEAD.items())), key="k")
    assert again.json() == first.json()


def test_a_key_is_for_one_request_alone(bench: Bench) -> None:
    bench.post("leads.upsert", LEAD, key="k")
    for tool, arguments in (("leads.upsert", LEAD | {"name": "Noa"}), ("whatsapp.send", SEND)):
        answer = bench.post(tool, arguments, key="k")
        assert (answer.status_code, answer.json()["error"]) == (409, "key_reused")


def test_keys_of_two_agents_and_two_tenants_do_not_meet(bench: Bench) -> None:
    holders = [bench.mint(), bench.mint(agent="whatsapp"), bench.mint(tenant="rival")]
    answers = [bench.post("leads.upsert", LEAD, key="k", token=token) for token in holders]
    assert len({answer.json()["lead_id"] for answer in answers}) == 3


def test_a_refused_write_leaves_its_key_free(bench: Bench) -> None:
    tag = {"lead_id": "lead_1", "tag": "hot"}
    assert bench.post("leads.tag", tag, key="k").status_code == 404
    assert bench.post("leads.upsert", LEAD, key="k").status_code == 200
    assert len(bench.audit()) == 1


def test_eight_at_once_with_one_key_write_once(bench: Bench) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: bench.post("whatsapp.send", SEND, key="k"), range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.json()["message_id"] for answer in answers}) == 1
    assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == 7
    assert len(bench.audit()) == 1


def test_eight_at_once_with_keys_of_their_own_make_one_lead_and_one_appointment(
    bench: Bench,
) -> None:
    booking = {
        "title": "Visit",
        "start": "2026-11-25T10:00:00Z",
        "end": "2026-11-25T11:00:00Z",
        "attendee_name": None,
        "attendee_phone": None,
        "lead_id": None,
    }

    def both(_: int) -> tuple[str, int]:
        lead = bench.post("leads.upsert", LEAD | {"phone": "+972501234567"}, key=f"l{_}")
        return lead.json()["lead_id"], bench.post(
            "calendar.create", booking, key=f"c{_}"
        ).status_code

    with ThreadPoolExecutor(8) as pool:
        leads, booked = zip(*pool.map(both, range(8)), strict=True)
    assert len(set(leads)) == 1
    assert sorted(booked) == [200] + [422] * 7


def test_the_audit_says_who_did_what_for_which_run(bench: Bench) -> None:
    bench.post(
        "leads.upsert", LEAD, key="k", X_Run_Id="run-1", X_Call_Id="CA1", X_Agent="backoffice"
    )
    (row,) = bench.audit()
    del row["after"], row["audit_id"]
    assert row.pop("target").startswith("leads/lead_")
    assert row == {
        "at": "2026-11-25T09:00:00Z",
        "agent": "voice",
        "claimed_agent": "backoffice",
        "token_id": bench.token.partition(".")[0],
        "tool": "leads.upsert",
        "before": None,
        "idempotency_key": "k",
        "grant_id": None,
        "run_id": "run-1",
        "call_id": "CA1",
    }


class Approver:
    """Asks for grants as the person's side would, and shows them as the agent would."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self._token = bench.mint("approvals.grant", agent="console")

    def grant(self, arguments: dict[str, Any], **changed: Any) -> str:
        from voicelat.backoffice.grants import arguments_sha256

        asked = {
            "tool": "whatsapp.send",
            "arguments_sha256": arguments_sha256(arguments),
            "call_id": "CA1",
            "run_id": "run-1",
            "ttl_s": 60,
            **changed,
        }
        answer = self.bench.client.post(
            "/v1/grants", json=asked, headers={"Authorization": f"Bearer {self._token}"}
        )
        assert answer.status_code == 200, answer.text
        grant: str = answer.json()["grant"]
        return grant

    def send(self, grant: str | None, key: str | None = None, **changed: Any) -> tuple[int, str]:
        """The status and the error; the error is empty where there is none."""
        shown = {} if grant is None else {"X_Approval_Grant": grant}
        answer = self.bench.post(
            "whatsapp.send", SEND | changed, key=key, X_Run_Id="run-1", X_Call_Id="CA1", **shown
        )
        return answer.status_code, answer.json().get("error", "")


@pytest.fixture
def approver(url: str) -> Any:
    pytest.importorskip("alembic", reason="the agents extra is not installed")
    from tests.backoffice.bench import open_bench

    with open_bench(url, needs_grant=frozenset({("voice", "whatsapp.send")})) as bench:
        yield Approver(bench)


def test_a_grant_is_good_once_and_the_audit_names_it(approver: Approver) -> None:
    assert approver.send(None) == (403, "needs_grant")
    grant = approver.grant(SEND)
    assert approver.send(grant) == (200, "")
    assert approver.send(grant) == (403, "grant_invalid")
    minted, sent = approver.bench.audit()
    assert minted["grant_id"] == sent["grant_id"] == grant.partition(".")[0]
    assert grant.partition(".")[2] not in str(minted)
    assert "secret_sha256" not in minted["after"]


def test_a_retry_of_a_granted_write_needs_no_second_grant(approver: Approver) -> None:
    grant = approver.grant(SEND)
    assert approver.send(grant, key="k") == approver.send(grant, key="k") == (200, "")
    assert len(approver.bench.audit()) == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"tool": "leads.delete"},
        {"arguments_sha256": "0" * 64},
        {"call_id": "CA2"},
        {"call_id": None},
        {"run_id": "run-2"},
    ],
)
def test_a_grant_is_for_this_write_alone(approver: Approver, changed: dict[str, Any]) -> None:
    assert approver.send(approver.grant(SEND, **changed)) == (403, "grant_invalid")


def test_a_grant_for_a_harmless_text_sends_no_other(approver: Approver) -> None:
    assert approver.send(approver.grant(SEND), text="Pay here") == (403, "grant_invalid")


def test_a_grant_expires(approver: Approver) -> None:
    grant = approver.grant(SEND)
    approver.bench.now += timedelta(seconds=60)
    assert approver.send(grant) == (403, "grant_invalid")


def test_a_made_up_or_foreign_grant_is_none(approver: Approver) -> None:
    grant = approver.grant(SEND)
    for made_up in ("x", "x.y", grant.partition(".")[0], f"{grant}x"):
        assert approver.send(made_up) == (403, "grant_invalid")
    approver.bench.token = approver.bench.mint(tenant="rival")
    assert approver.send(grant) == (403, "grant_invalid")


def test_a_write_that_fails_leaves_its_grant(approver: Approver) -> None:
    to_lead = SEND | {"to_phone": None, "to_lead_id": approver.bench.lead()}
    grant = approver.grant(to_lead)
    assert approver.send(grant, **to_lead) == (422, "invalid")
    upsert = LEAD | {"name": "Dana", "phone": "+972501234567"}
    approver.bench.post("leads.upsert", upsert)
    assert approver.send(grant, **to_lead) == (422, "invalid")
    assert [row["tool"] for row in approver.bench.audit()].count("whatsapp.send") == 0


def test_eight_at_once_use_a_grant_once(approver: Approver) -> None:
    grant = approver.grant(SEND)
    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(lambda n: approver.send(grant, key=f"k{n}"), range(8)))
    assert answers == [(200, "")] + [(403, "grant_invalid")] * 7


def test_only_the_named_agent_needs_the_grant(approver: Approver) -> None:
    approver.bench.token = approver.bench.mint(agent="person")
    assert approver.send(None) == (200, "")


def test_an_agent_s_token_mints_no_grant(bench: Bench) -> None:
    from voicelat.errors import UsageError

    headers = {"Authorization": f"Bearer {bench.token}"}
    assert bench.client.post("/v1/grants", json={}, headers=headers).status_code == 403
    with pytest.raises(UsageError, match="goes with no tool"):
        bench.mint("approvals.grant", "leads.upsert")


def test_a_gate_of_one_s_own_sees_the_arguments_and_may_refuse_or_ask(url: str) -> None:
    pytest.importorskip("alembic", reason="the agents extra is not installed")
    from tests.backoffice.bench import open_bench

    from voicelat.backoffice.gate import Asked, Verdict

    def gate(asked: Asked) -> Verdict:
        verdicts: dict[str, Verdict] = {"leads.delete": "deny", "crm.get": "ask"}
        return (
            "ask" if asked.arguments.get("source") == "web" else verdicts.get(asked.tool, "allow")
        )

    with open_bench(url, gate=gate) as bench:
        lead_id = bench.lead()
        assert bench.fault("leads.delete", lead_id=lead_id)["error"] == "denied"
        assert bench.fault("leads.upsert", **LEAD | {"source": "web"})["error"] == "needs_grant"
        assert bench.fault("crm.get", customer_id="c")["error"] == "needs_grant"
        asked = {"customer_id": "c"}
        grant = Approver(bench).grant(asked, tool="crm.get", call_id=None)
        answer = bench.post("crm.get", asked, X_Run_Id="run-1", X_Approval_Grant=grant)
        assert answer.json()["error"] == "not_found"
