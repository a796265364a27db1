"""The console: who may do what, from where, and what it does not let itself be talked into."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.console.desk import PASSWORD, USERS, Desk, Visitor, desk_at

from voicelat.console.app import Console
from voicelat.console.guard import Throttle
from voicelat.console.store import IDLE, ROLES, Role, Store
from voicelat.errors import UsageError
from voicelat.settings import Settings

PATHS = {
    "{call_id}": "CA1",
    "{run_id}": "CA1.end",
    "{approval_id}": "CA1.end:1",
    "{thread_id}": "thread_1",
    "{media_id}": "0" * 32,
    "{name}": "voice_turn",
    "{version}": "0" * 12,
}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_at(tmp_path) as served:
        yield served


@asynccontextmanager
async def visiting(desk: Desk, name: str | None) -> AsyncIterator[Visitor]:
    visitor = Visitor(desk.url)
    if name is not None:
        assert (await visitor.sign_in(name)).status_code == 200
    try:
        yield visitor
    finally:
        await visitor.http.aclose()


def routes() -> list[tuple[str, str, Role]]:
    """Method, path and least role of everything that needs a session."""
    return [
        (method, re.sub(r"\{\w+\}", lambda part: PATHS[part[0]], path), role)
        for method, path, role, _ in Console.table(Console.__new__(Console))
    ]


async def test_every_route_asks_who_it_is_and_for_the_least_role(desk: Desk) -> None:
    for name in (None, *USERS):
        for method, path, role in routes():
            if path in ("/api/events", "/api/logout"):
                continue
            async with visiting(desk, None) as visitor:
                if name is not None:
                    token = desk.store.begin_session(name, datetime.now(UTC))
                    visitor.http.cookies.set("voicelat", token)
                    visitor.csrf = (await visitor.get("/api/session")).json()["csrf"]
                answer = await (visitor.get(path) if method == "GET" else visitor.post(path))
            if name is None:
                assert (answer.status_code, answer.json()["error"]) == (401, "not_in"), path
            elif ROLES.index(USERS[name]) < ROLES.index(role):
                assert (answer.status_code, answer.json()["error"]) == (403, "forbidden"), path
            else:
                assert answer.status_code not in (401, 403, 500), (path, answer.text)


async def test_a_change_needs_the_pages_token_and_its_origin(desk: Desk) -> None:
    desk.ask()
    async with visiting(desk, "paul") as visitor:
        path, body = "/api/approvals/CA1.end:1/reject", {"reason": "no"}
        visitor.csrf, real = "", visitor.csrf
        assert (await visitor.post(path, body)).json()["error"] == "csrf"
        visitor.csrf = real
        evil = {"Origin": "https://evil.example"}
        assert (await visitor.post(path, body, **evil)).json()["error"] == "csrf"
        form = await visitor.http.post(path, data={"reason": "no"}, headers={"X-CSRF-Token": real})
        assert form.status_code == 415
        assert (await visitor.post(path, body, Origin=desk.url)).status_code == 200
    refused = [one["what"] for one in desk.store.decisions()]
    assert f"refused {path}" in refused


async def test_a_name_that_was_made_to_lead_here_is_refused(desk: Desk) -> None:
    async with visiting(desk, "ada") as visitor:
        assert (await visitor.get("/api/session", Host="evil.example")).status_code == 421


async def test_answers_forbid_everything_a_browser_can_be_forbidden(desk: Desk) -> None:
    async with visiting(desk, "ada") as visitor:
        for path in ("/", "/api/session", "/nowhere", "/api/nowhere"):
            headers = (await visitor.get(path)).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "'unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"


async def test_guessing_a_password_is_slow_and_stops(desk: Desk) -> None:
    async with visiting(desk, None) as visitor:
        for _ in range(5):
            assert (await visitor.sign_in("ada", "wrong password")).status_code == 401
        stopped = await visitor.sign_in("ada")
        assert stopped.status_code == 429
        assert int(stopped.headers["retry-after"]) > 0
        assert (await visitor.sign_in("paul")).status_code == 200


async def test_a_cookie_is_only_the_servers_and_a_new_one_each_time(desk: Desk) -> None:
    async with visiting(desk, None) as visitor:
        visitor.http.cookies.set("voicelat", "made ready by somebody else")
        answer = await visitor.sign_in("ada")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert "made ready" not in cookie


async def test_a_session_ends(desk: Desk) -> None:
    async with visiting(desk, "ada") as visitor:
        assert (await visitor.post("/api/logout")).status_code == 204
        assert (await visitor.get("/api/session")).status_code == 401
    now = datetime.now(UTC)
    token = desk.store.begin_session("ada", now)
    assert desk.store.session(token, now + IDLE) is None
    token = desk.store.begin_session("ada", now)
    desk.store.put_user("ada", "view", PASSWORD, now)
    assert desk.store.session(token, now) is None


async def test_a_link_signs_in_once_and_soon(desk: Desk) -> None:
    now = datetime.now(UTC)
    token = desk.store.link("vera", now)
    async with visiting(desk, None) as visitor:
        first = await visitor.http.post("/api/login/link", json={"token": token})
        assert (first.status_code, first.json()["role"]) == (200, "view")
        again = await visitor.http.post("/api/login/link", json={"token": token})
        assert again.status_code == 401
    late = desk.store.link("vera", now)
    assert desk.store.use_link(late, now + timedelta(minutes=16)) is None


async def test_what_is_approved_is_what_was_seen(desk: Desk) -> None:
    approval = desk.ask()
    async with visiting(desk, "paul") as visitor:
        (card,) = (await visitor.get("/api/approvals")).json()["approvals"]
        assert "grant_token" not in card
        path = f"/api/approvals/{approval.id}/approve"
        other = await visitor.post(path, {"arguments": None, "shown_sha256": "0" * 64})
        assert (other.status_code, other.json()["error"]) == (409, "changed")
        assert desk.minted == []
        done = await visitor.post(path, {"arguments": None, "shown_sha256": card["shown_sha256"]})
        assert done.json()["approval"]["state"] == "approved"
        assert done.json()["approval"]["decided_by"] == "paul"
        assert desk.minted == [approval.arguments]
        again = await visitor.post(path, {"arguments": None, "shown_sha256": card["shown_sha256"]})
        assert (again.status_code, again.json()["error"]) == (409, "decided")


async def test_edited_arguments_have_to_be_the_tools(desk: Desk) -> None:
    approval = desk.ask()
    async with visiting(desk, "paul") as visitor:
        (card,) = (await visitor.get("/api/approvals")).json()["approvals"]
        shown = {"shown_sha256": card["shown_sha256"]}
        path = f"/api/approvals/{approval.id}/approve"
        bad = await visitor.post(path, {"arguments": {"text": 7}, **shown})
        assert bad.status_code == 409
        edited = {**(approval.arguments or {}), "text": "better"}
        assert (await visitor.post(path, {"arguments": edited, **shown})).status_code == 200
        assert desk.minted == [edited]


async def test_the_back_offices_audit_is_shown_beside_the_log(desk: Desk) -> None:
    desk.log(0, "began", event="call_ended", workflow="voice_turn", version="1" * 64)
    desk.log(1, "called", key="CA1.end:0", arguments={"tag": "x"})
    async with visiting(desk, "vera") as visitor:
        run = (await visitor.get("/api/runs/CA1.end")).json()
        assert run["run"]["workflow"] == "voice_turn"
        assert [line["kind"] for line in run["log"]] == ["began", "called"]
        assert (await visitor.get("/api/runs/none")).status_code == 404
        (listed,) = (await visitor.get("/api/runs")).json()["runs"]
        assert (listed["run_id"], listed["tools"]) == ("CA1.end", 1)


async def calls_when(
    visitor: Visitor, holds: Callable[[list[dict[str, Any]]], bool]
) -> list[dict[str, Any]]:
    """The list of calls, once it is so."""
    async with asyncio.timeout(20):
        while True:
            calls: list[dict[str, Any]] = (await visitor.get("/api/calls")).json()["calls"]
            if holds(calls):
                return calls
            await asyncio.sleep(0.1)


async def test_turns_are_followed_as_they_are_written(desk: Desk) -> None:
    for number in range(1, 4):
        desk.turn(number)
    async with visiting(desk, "vera") as visitor:
        calls = await calls_when(visitor, bool)
        assert calls[0]["turns"] == 3
        assert calls[0]["p50_ms"] == 710
        call = (await visitor.get("/api/calls/CA1")).json()
        spans = {span["leg"]: span["to_ms"] - span["from_ms"] for span in call["turns"][0]["spans"]}
        assert spans == {"endpointing": 200, "llm": 300, "clause": 50, "tts": 150, "residual": 10}
        overview = (await visitor.get("/api/overview")).json()
        assert overview["turns"] == 3
        assert overview["calls_live"] is None
        desk.turns.write_bytes(b"")  # somebody began a new file
        desk.turn(1, call_id="CA2")
        calls = await calls_when(visitor, lambda calls: calls[0]["call_id"] == "CA2")
        assert len(calls) == 1


@pytest.mark.parametrize("name", ["../office.sqlite3", "%2e%2e%2foffice", "..", "/etc/passwd"])
async def test_a_recording_is_found_by_its_call_and_by_no_path(desk: Desk, name: str) -> None:
    desk.turn(1)
    async with visiting(desk, "vera") as visitor:
        answer = await visitor.http.get(f"/api/calls/{name}/recording")
        assert answer.status_code == 404
        assert b"SQLite" not in answer.content


async def test_a_peer_that_is_away_is_a_sentence(desk: Desk) -> None:
    async with visiting(desk, "ada") as visitor:
        status = (await visitor.get("/api/whatsapp/status")).json()
        assert status["off"] is True
        assert status["fix"] == "start them: voicelat channels serve"
        use = await visitor.post("/api/whatsapp/provider", {"provider": "twilio"})
        assert (use.status_code, use.json()["error"]) == (503, "away")


async def test_secrets_never_leave(tmp_path: Path) -> None:
    shown = json.dumps(
        Settings(approver_token="s3cret-token", openai_api_key="sk-s3cret").described()
    )
    assert "s3cret" not in shown


async def events_of(desk: Desk, name: str, after: int | None, count: int) -> list[dict[str, Any]]:
    """So many events, as a browser gets them."""
    found: list[dict[str, Any]] = []
    async with visiting(desk, name) as visitor:
        params = {} if after is None else {"after": after}
        async with visitor.http.stream("GET", "/api/events", params=params, timeout=30) as answer:
            current: dict[str, Any] = {}
            async for line in answer.aiter_lines():
                key, _, value = line.partition(": ")
                if key in ("id", "event"):
                    current[key] = value
                elif key == "data":
                    current["data"] = json.loads(value)
                    found.append(current)
                    current = {}
                    if len(found) >= count:
                        return found
    return found


async def test_whoever_comes_back_is_told_what_they_missed_once_and_in_order(desk: Desk) -> None:
    first = asyncio.create_task(events_of(desk, "vera", None, 3))
    await asyncio.sleep(1)
    desk.log(0)
    desk.log(1)
    told = await first
    assert [one["event"] for one in told] == ["hello", "run", "run"]
    for seq in range(2, 40):
        desk.log(seq)
    missed = await events_of(desk, "vera", int(told[-1]["id"]), 38)
    assert [one["data"]["entry"]["seq"] for one in missed] == list(range(2, 40))
    assert [int(one["id"]) for one in missed] == sorted(int(one["id"]) for one in missed)


async def test_what_is_no_longer_kept_is_said_and_loaded_anew(desk: Desk) -> None:
    (event,) = await events_of(desk, "vera", 10**9, 1)
    assert event["event"] == "reset"


async def test_a_stream_ends_with_its_session(desk: Desk) -> None:
    async with (
        visiting(desk, "vera") as visitor,
        visitor.http.stream("GET", "/api/events", timeout=30) as answer,
        asyncio.timeout(20),
    ):
        desk.store.remove_user("vera")
        async for _ in answer.aiter_bytes():
            pass


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"[" * 100_000, b'"x"', b"null"])
async def test_whatever_is_sent_is_answered(desk: Desk, body: bytes) -> None:
    async with visiting(desk, "ada") as visitor:
        for path in ("/api/login", "/api/approvals/x/approve", "/api/workflows/voice_turn/publish"):
            headers = {"X-CSRF-Token": visitor.csrf, "Content-Type": "application/json"}
            answer = await visitor.http.post(path, content=body, headers=headers)
            assert answer.status_code in (401, 409, 413, 422), (path, answer.text)
            assert set(answer.json()) == {"error", "says", "fix"}


def test_a_user_needs_a_name_and_a_long_password(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'c.sqlite3'}")
    for name, password in (("", PASSWORD), ("a\nb", PASSWORD), ("ada", "short")):
        with pytest.raises(UsageError):
            store.put_user(name, "view", password, datetime.now(UTC))
    with pytest.raises(UsageError, match="no user bob"):
        store.link("bob", datetime.now(UTC))
    store.close()


def test_a_throttle_forgets_what_went_right() -> None:
    throttle = Throttle(most=2)
    throttle.failed("a")
    throttle.failed("a")
    assert throttle.wait_s("a") is not None
    assert throttle.wait_s("b") is None
    throttle.worked("a")
    assert throttle.wait_s("a") is None


async def test_an_agents_process_decides_nothing_here(desk: Desk) -> None:
    """Neither with a token of its own nor by writing into the database it shares."""
    approval = desk.ask()
    async with httpx.AsyncClient(base_url=desk.url, trust_env=False) as agent:
        headers = {"Authorization": "Bearer an agent's token"}
        path = f"/api/approvals/{approval.id}/approve"
        assert (await agent.post(path, json={}, headers=headers)).status_code == 401
    # It may write that it was approved; the grant is what the back office asks for.
    desk.agents.approve(approval.id, {}, "forged", "me", datetime.now(UTC))
    body = {"to_lead_id": None, "to_phone": "+972501234567", "text": "x", "template": None}
    forged = {"Authorization": "Bearer x.y", "X-Approval-Grant": "forged", "Idempotency-Key": "k"}
    async with httpx.AsyncClient(trust_env=False) as agent:
        answer = await agent.post(f"{desk.office}/v1/whatsapp/send", json=body, headers=forged)
    assert answer.status_code == 401
