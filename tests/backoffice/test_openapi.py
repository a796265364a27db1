"""The API holds what its own OpenAPI promises, whatever is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.backoffice.bench import Bench


def test_whatever_is_sent_gets_an_answer_that_was_promised(bench: Bench) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.checks import CHECKS, load_all_checks

    from voicelat.backoffice.tokens import APPROVE, AUDIT

    load_all_checks()
    promised = CHECKS.get_by_names(
        [
            "not_a_server_error",
            "status_code_conformance",
            "response_schema_conformance",
            "content_type_conformance",
        ]
    )
    tokens = {
        "/v1/audit": bench.mint(AUDIT, agent="auditor"),
        "/v1/grants": bench.mint(APPROVE, agent="console"),
    }
    served, tried = set(), set()

    def send(case: Any) -> None:
        token = tokens.get(case.path, bench.token)
        tried.add(case.path)
        answer = case.call_and_validate(
            headers={"Authorization": f"Bearer {token}"}, checks=promised
        )
        if answer.status_code == 200:
            served.add(case.path)

    bounded: Any = settings(
        max_examples=25,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    schema = schemathesis.openapi.from_asgi("/openapi.json", bench.client.app)
    for operation in schema.get_all_operations():
        cases: Any = given(operation.ok().as_strategy())
        bounded(cases(send))()
    assert tried == set(bench.client.get("/openapi.json").json()["paths"])
    # What needs no row that is there already was served, not only refused.
    assert {"/v1/leads/upsert", "/v1/crm/search_customer", "/v1/grants", "/v1/audit"} <= served
