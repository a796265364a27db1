from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from tests.agentkit.office import ANSWERS, Office

from voicelat.agentkit.api import Api, ApiError
from voicelat.agentkit.approver import Approver
from voicelat.agentkit.grants import arguments_sha256, grant_request
from voicelat.agentkit.http import JsonClient
from voicelat.agentkit.tools import ToolSet
from voicelat.errors import UsageError

TOOLS = ToolSet.builtin()
TAG = {"lead_id": "l1", "tag": "חם"}
SCOPES = frozenset(tool.id for tool in TOOLS)


class Clock:
    """Waits at once, and remembers how long it should have been."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


@pytest.fixture
def office() -> Office:
    tokens = {"agent": ("Backoffice", SCOPES), "person": ("-", frozenset({"approvals.grant"}))}
    return Office(tokens)


@pytest.fixture
async def address(office: Office) -> AsyncIterator[str]:
    async with office.run() as address:
        yield address


async def call(
    api: Api, tool: str = "leads.tag", arguments: dict[str, Any] = TAG, grant: str | None = None
) -> dict[str, Any]:
    return await api.call(
        TOOLS.get(tool),
        arguments,
        idempotency_key="run-1:1",
        run_id="run-1",
        call_id="CA1",
        agent="Backoffice",
        grant=grant,
    )


async def refused(api: Api, **what: Any) -> ApiError:
    with pytest.raises(ApiError) as error:
        await call(api, **what)
    assert "\n" not in str(error.value)
    return error.value


async def test_a_call_carries_who_and_what_it_is_for(office: Office, address: str) -> None:
    async with Api(address, "agent") as api:
        assert await call(api) == ANSWERS["leads.tag"]
    ((path, headers, body),) = office.requests
    assert (path, json.loads(body)) == ("/v1/leads/tag", TAG)
    assert headers["authorization"] == "Bearer agent"
    assert headers["idempotency-key"] == "run-1:1"
    assert (headers["x-run-id"], headers["x-call-id"], headers["x-agent"]) == (
        "run-1",
        "CA1",
        "Backoffice",
    )
    assert "x-approval-grant" not in headers


async def test_more_than_a_result_declares_does_not_come_back(address: str) -> None:
    async with Api(address, "agent") as api:
        found = await call(api, "crm.search_customer", {"query": "Dana", "limit": 1})
    assert found == {"customers": [{"customer_id": "c1", "name": "Dana", "phone": None}]}


BUSY = {"error": "busy", "says": "the database is busy", "fix": "Come again."}


@pytest.mark.parametrize(
    "trouble",
    [None, PlainTextResponse("oops", 500), JSONResponse(BUSY, 503, {"Retry-After": "3"})],
    ids=["cut off", "server error", "busy"],
)
async def test_trouble_is_met_by_the_same_request_again(
    trouble: Response | None, office: Office, address: str
) -> None:
    office.first = [trouble]
    clock = Clock()
    async with Api(address, "agent", clock.sleep) as api:
        assert await call(api) == ANSWERS["leads.tag"]
    first, second = office.requests
    assert first == second
    assert len(office.written) == len(clock.waits) == 1
    if trouble is not None and trouble.status_code == 503:
        assert clock.waits == [3.0]


async def test_an_answer_that_was_lost_is_not_a_second_write(office: Office, address: str) -> None:
    async with Api(address, "agent") as api:
        assert await call(api) == await call(api)
        assert (await refused(api, arguments={**TAG, "tag": "x"})).code == "key_reused"
    assert len(office.written) == 1


async def test_trouble_that_lasts_may_be_retried_later(office: Office, address: str) -> None:
    office.first = [JSONResponse(BUSY, 503)] * 3
    clock = Clock()
    async with Api(address, "agent", clock.sleep) as api:
        error = await refused(api)
    assert (error.code, error.says, error.retry) == (
        "busy",
        "the database is busy; Come again.",
        True,
    )
    assert len(office.requests) == 3


async def test_an_api_that_is_busy_for_long_is_not_waited_for(office: Office, address: str) -> None:
    office.first = [JSONResponse(BUSY, 503, {"Retry-After": "600"})]
    clock = Clock()
    async with Api(address, "agent", clock.sleep) as api:
        assert (await refused(api)).retry
    assert clock.waits == []


async def test_nobody_there_may_be_retried_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with Api(f"http://127.0.0.1:{port}", "agent", Clock().sleep) as api:
        error = await refused(api)
    assert (error.code, error.retry) == ("unreachable", True)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422])
async def test_a_refusal_is_never_repeated(status: int, office: Office, address: str) -> None:
    office.first = [JSONResponse({"error": "no", "says": "Not\nthis.", "fix": ""}, status)]
    async with Api(address, "agent") as api:
        error = await refused(api)
    assert (error.code, error.says, error.retry) == ("no", "Not this.", False)
    assert len(office.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        PlainTextResponse("<html>"),
        JSONResponse([1]),
        JSONResponse({"lead_id": 5}),
        PlainTextResponse("x" * 1_048_577),
        PlainTextResponse("[" * 100_000),
        PlainTextResponse("moved", 302),
    ],
)
async def test_an_answer_that_is_none_is_not_taken(
    answer: Response, office: Office, address: str
) -> None:
    office.first = [answer]
    async with Api(address, "agent") as api:
        error = await refused(api)
    assert (error.code, error.retry) == ("bad_answer", False)


async def test_a_token_without_the_scope_is_refused(office: Office, address: str) -> None:
    office.tokens["agent"] = ("Voice", SCOPES - {"leads.tag"})
    async with Api(address, "agent") as api:
        assert (await refused(api)).code == "missing_scope"


async def test_what_cannot_be_sent_is_refused_here(office: Office, address: str) -> None:
    async with Api(address, "agent") as api:
        assert (await refused(api, arguments={"tag": float("nan")})).code == "invalid"
        assert (await refused(api, arguments={"tag": "\ud800"})).code == "invalid"
        assert (await refused(api, grant="g\r\nX-Agent: other")).code == "invalid"
    assert office.requests == []


@pytest.mark.parametrize(
    ("url", "token"), [("office", "t"), ("http://office", ""), ("http://office", "tö")]
)
def test_an_address_or_token_that_is_none_is_named(url: str, token: str) -> None:
    with pytest.raises(UsageError, match="BACKOFFICE_"):
        JsonClient(url, token)


async def test_a_grant_is_for_one_tool_with_these_arguments_once(
    office: Office, address: str
) -> None:
    office.needs_grant = lambda *_: True
    async with Api(address, "agent") as api, Approver(address, "person") as person:
        assert (await refused(api)).code == "needs_grant"
        grant = await person.grant(grant_request("leads.tag", TAG, "CA1", "run-1"))
        assert (await refused(api, arguments={**TAG, "tag": "x"}, grant=grant)).code == (
            "grant_invalid"
        )
        grant = await person.grant(grant_request("leads.tag", TAG, "CA1", "run-1"))
        await call(api, grant=grant)
        error = await refused(api, arguments={**TAG, "lead_id": "l2"}, grant=grant)
        assert error.code == "key_reused"
    assert [(each.tool, each.granted) for each in office.written] == [("leads.tag", True)]


async def test_an_agents_token_cannot_approve(address: str) -> None:
    async with Approver(address, "agent") as person:
        with pytest.raises(ApiError, match="missing_scope"):
            await person.grant(grant_request("leads.tag", TAG, None, "run-1"))


def test_arguments_hash_the_same_in_any_order() -> None:
    assert arguments_sha256({"a": 1, "b": "ש"}) == arguments_sha256({"b": "ש", "a": 1})
    # The hash of {"a":1,"b":"ש"} in UTF-8, as any other client computes it.
    assert arguments_sha256({"a": 1, "b": "ש"}) == (
        "29adbb2f56148e565965c0c9113af8f5e03d987823642e2f8a806e7cf5336543"
    )
    assert arguments_sha256({"a": "\ud800"}) != arguments_sha256({"a": "?"})
