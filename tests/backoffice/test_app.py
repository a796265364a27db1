"""Who is let in, what is refused, and how it is said; over both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.backoffice.bench import Bench

LEAD = {
    "name": "Dana",
    "phone": None,
    "external_id": None,
    "provider": None,
    "notes": None,
    "source": "test",
}


def refused(bench: Bench, token: str) -> tuple[int, str]:
    answer = bench.post("leads.upsert", LEAD, token=token)
    return answer.status_code, answer.json()["error"]


@pytest.mark.parametrize("token", ["", "x", "x.y", ".", "é", "a" * 5000])
def test_a_token_that_is_none_opens_nothing(bench: Bench, token: str) -> None:
    answer = bench.client.post(
        "/v1/leads/upsert",
        json=LEAD,
        headers={b"Authorization": f"Bearer {token}".encode(), b"Idempotency-Key": b"k"},
    )
    assert (answer.status_code, answer.json()["error"]) == (401, "unauthorised")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_token_opens_until_it_expires_or_is_revoked(bench: Bench) -> None:
    from voicelat.backoffice import tokens

    short, long = bench.mint(days=1), bench.mint(days=30)
    assert bench.post("leads.upsert", LEAD, token=short).status_code == 200
    bench.now += timedelta(days=1)
    assert refused(bench, short) == (401, "unauthorised")
    assert bench.post("leads.upsert", LEAD, token=long).status_code == 200
    with bench.database.write("") as db:
        tokens.revoke(db, long.partition(".")[0], bench.now)
    assert refused(bench, long) == (401, "unauthorised")


def test_a_genuine_id_with_another_secret_opens_nothing(bench: Bench) -> None:
    token_id, _, secret = bench.token.partition(".")
    assert refused(bench, f"{token_id}.{secret[::-1]}") == (401, "unauthorised")
    assert refused(bench, token_id) == (401, "unauthorised")


def test_every_endpoint_asks_for_its_own_scope_by_name(bench: Bench) -> None:
    from voicelat.backoffice.tokens import APPROVE, AUDIT, SCOPES

    assert len(SCOPES) == 26
    for scope in SCOPES:
        token = bench.mint("leads.tag" if scope != "leads.tag" else "leads.upsert")
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k"}
        if scope == AUDIT:
            answer = bench.client.get("/v1/audit", headers=headers)
        else:
            path = "grants" if scope == APPROVE else scope.replace(".", "/")
            answer = bench.client.post(f"/v1/{path}", json={}, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (403, "missing_scope")
        assert scope in answer.json()["says"]


def test_another_tenant_s_rows_are_not_there(bench: Bench) -> None:
    lead_id = bench.lead(phone="+972501234567")
    bench.token = bench.mint(tenant="rival")
    assert bench.fault("leads.tag", lead_id=lead_id, tag="mine")["error"] == "not_found"
    assert bench.fault("leads.delete", lead_id=lead_id)["error"] == "not_found"
    assert bench.lead(phone="+972501234567") != lead_id
    assert [row["tool"] for row in bench.audit("rival")] == ["leads.upsert"]
    assert len(bench.audit("acme")) == 1


def test_the_database_itself_refuses_a_row_that_points_into_another_tenant(bench: Bench) -> None:
    from sqlalchemy.exc import IntegrityError

    from voicelat.backoffice.tables import LeadTag

    lead_id = bench.lead()
    with pytest.raises(IntegrityError), bench.database.write("rival") as db:
        db.add(LeadTag(tenant="rival", lead_id=lead_id, tag="mine"))


def test_a_write_needs_a_key(bench: Bench) -> None:
    answer = bench.client.post(
        "/v1/leads/upsert", json=LEAD, headers={"Authorization": f"Bearer {bench.token}"}
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "key_missing")


def test_a_body_that_is_too_long_is_refused(bench: Bench) -> None:
    answer = bench.post("leads.upsert", {**LEAD, "notes": "a" * 300_000})
    assert (answer.status_code, answer.json()["error"]) == (413, "too_large")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"name": NaN}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 60_000,
        b'{"\\ud800": 1}',
        b'{"name": "\\ud800", "phone": null}',
        b"\xff",
    ],
)
def test_a_body_that_is_no_request_is_refused_in_one_line(bench: Bench, body: bytes) -> None:
    answer = bench.client.post(
        "/v1/leads/upsert",
        content=body,
        headers={
            "Authorization": f"Bearer {bench.token}",
            "Idempotency-Key": "k",
            "Content-Type": "application/json",
        },
    )
    assert answer.status_code in {400, 422}
    assert answer.json()["error"] == "invalid"
    assert "\n" not in answer.json()["says"]


def test_what_is_not_there_is_said_like_everything_else(bench: Bench) -> None:
    nowhere, wrong = bench.client.get("/v1/nowhere"), bench.client.get("/v1/leads/upsert")
    assert (nowhere.status_code, nowhere.json()["error"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["error"]) == (405, "invalid")


def test_the_audit_is_read_page_by_page(bench: Bench) -> None:
    for number in range(5):
        bench.lead(str(number))
    headers = {"Authorization": f"Bearer {bench.mint('audit.read', agent='auditor')}"}
    names, after = [], 0
    while after is not None:
        page = bench.client.get(f"/v1/audit?limit=2&after={after}", headers=headers).json()
        names += [row["after"]["name"] for row in page["rows"]]
        after = page["next"]
    assert names == ["0", "1", "2", "3", "4"]
    for query in ("limit=0", "limit=101", "after=-1", f"after={2**63}"):
        assert bench.client.get(f"/v1/audit?{query}", headers=headers).status_code == 422


def test_the_health_check_asks_the_database(bench: Bench) -> None:
    assert bench.client.get("/healthz").json() == {"status": "ok"}


def test_a_broken_database_leaks_no_sql(bench: Bench) -> None:
    from sqlalchemy import text

    with bench.database.write("") as db:
        db.execute(text("DROP TABLE lead_tags"))
    answer = bench.post("leads.upsert", LEAD)
    assert answer.status_code >= 500
    assert not [word for word in ("sql", "lead_tags", "select") if word in answer.text.casefold()]
