"""What somebody tries who means the console no good, each refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.console.desk import PASSWORD, Desk, Visitor, desk_at

from voicelat.console.guard import Throttle


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_at(tmp_path) as served:
        yield served


@pytest.fixture
async def ada(desk: Desk) -> AsyncIterator[Visitor]:
    """An admin."""
    visitor = Visitor(desk.url)
    assert (await visitor.sign_in("ada")).status_code == 200
    yield visitor
    await visitor.http.aclose()


async def endless() -> AsyncIterator[bytes]:
    """A body that does not say how long it is, and is longer than anything of ours."""
    for _ in range(100):
        yield b" " * 10_000


async def test_a_body_in_pieces_is_held_to_the_same_size(ada: Visitor) -> None:
    headers = {"Content-Type": "application/json", "X-CSRF-Token": ada.csrf}
    for path in ("/api/login", "/api/approvals/x/reject"):
        answer = await ada.http.post(path, content=endless(), headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (413, "too_large")


async def test_a_form_in_pieces_is_no_json(ada: Visitor) -> None:
    """A form is what another site can post without asking; in pieces it has no length."""

    async def form() -> AsyncIterator[bytes]:
        yield b"reason=no"

    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-CSRF-Token": ada.csrf}
    answer = await ada.http.post("/api/approvals/x/reject", content=form(), headers=headers)
    assert answer.status_code == 415


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_browser_that_says_another_site_asked_is_believed(ada: Visitor, site: str) -> None:
    answer = await ada.post("/api/logout", **{"Sec-Fetch-Site": site})
    assert (answer.status_code, answer.json()["error"]) == (403, "csrf")
    assert (await ada.get("/api/session")).status_code == 200


async def test_many_guesses_at_once_are_no_more_than_one_after_the_other(desk: Desk) -> None:
    async with httpx.AsyncClient(base_url=desk.url, trust_env=False, timeout=60) as http:
        guesses = [{"user": "ada", "password": f"a wrong password {n}"} for n in range(20)]
        answers = await asyncio.gather(*(http.post("/api/login", json=one) for one in guesses))
    codes = [answer.status_code for answer in answers]
    assert codes.count(401) == 5
    assert codes.count(429) == 15


async def test_one_address_cannot_guess_at_everybody(desk: Desk) -> None:
    async with httpx.AsyncClient(base_url=desk.url, trust_env=False, timeout=60) as http:
        codes = [
            (await http.post("/api/login/link", json={"token": f"guess {n}"})).status_code
            for n in range(31)
        ]
    assert codes == [401] * 30 + [429]


def test_what_went_right_is_taken_back_and_nothing_else() -> None:
    throttle = Throttle(most=2)
    throttle.failed("an address")
    for _ in range(9):
        throttle.failed("an address")
        throttle.undo("an address")
    assert throttle.wait_s("an address") is None
    throttle.failed("an address")
    assert throttle.wait_s("an address") is not None


async def test_a_refused_decision_stands_in_the_audit_with_its_user(desk: Desk) -> None:
    async with httpx.AsyncClient(base_url=desk.url, trust_env=False):
        visitor = Visitor(desk.url)
        await visitor.sign_in("vera")
        await visitor.post("/api/whatsapp/provider", {"provider": "twilio"})
        await visitor.http.aclose()
    admin = Visitor(desk.url)
    await admin.sign_in("ada")
    await admin.post("/api/whatsapp/provider", {"provider": "twilio"})
    await admin.post("/api/workflows/voice_turn/rollback", {"version": "0" * 12})
    decisions = (await admin.get("/api/audit")).json()["decisions"]
    await admin.http.aclose()
    told = [(one["user"], one["what"], one["detail"]) for one in decisions]
    assert ("vera", "refused /api/whatsapp/provider", "needs admin") in told
    assert ("ada", "refused /api/whatsapp/provider", "the channels does not answer") in told
    assert any(
        user == "ada" and what == "refused /api/workflows/voice_turn/rollback"
        for user, what, _ in told
    )


async def test_one_session_cannot_take_every_stream(
    desk: Desk, ada: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicelat.console.app._STREAMS_EACH", 1)
    async with ada.http.stream("GET", "/api/events") as first:
        chunks = first.aiter_bytes()  # held: closed with its last name, the stream would be, too
        await anext(chunks)
        assert (await ada.get("/api/events")).status_code == 429
    async with asyncio.timeout(20):
        while True:  # the server notices that the first is gone when it writes to it
            async with ada.http.stream("GET", "/api/events") as second:
                if second.status_code == 200:
                    break
            desk.log(0)
            await asyncio.sleep(0.1)


async def test_a_stream_that_is_never_quiet_ends_with_its_session(desk: Desk, ada: Visitor) -> None:
    going = True

    async def chatter() -> None:
        seq = 0
        while going:
            desk.log(seq)
            seq += 1
            await asyncio.sleep(0.05)

    talking = asyncio.create_task(chatter())
    async with ada.http.stream("GET", "/api/events", timeout=30) as answer, asyncio.timeout(20):
        chunks = answer.aiter_bytes()
        await anext(chunks)
        desk.store.remove_user("ada")
        async for _ in chunks:
            pass
    going = False
    await talking


@pytest.mark.parametrize(
    "path",
    [
        "/api/calls/%00",
        "/api/runs/a%0d%0aSet-Cookie:%20x=y",
        "/api/calls/..%2f..%2fagents.sqlite3/recording",
        "/api/runs?before=%00",
        "/assets/..%2f..%2fapp.py",
        "/assets/%2e%2e/%2e%2e/app.py",
    ],
)
async def test_a_path_leads_nowhere_else(ada: Visitor, path: str) -> None:
    answer = await ada.get(path)
    assert answer.status_code in (200, 400, 404)
    assert "set-cookie" not in answer.headers
    assert b"SQLite format" not in answer.content
    assert b"import " not in answer.content


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("user", "password", "token", "arguments", "reason", "provider", "yaml", "version")
BODIES = st.binary(max_size=200) | st.dictionaries(st.sampled_from(KEYS), JSON).map(
    lambda body: json.dumps(body).encode()
)
POSTS = (
    "/api/login/link",
    "/api/approvals/{}/approve",
    "/api/approvals/{}/reject",
    "/api/runs/{}/retry",
    "/api/whatsapp/provider",
    "/api/whatsapp/logout",
    "/api/workflows/{}/publish",
    "/api/workflows/{}/rollback",
)
GETS = (
    "/api/calls/{}",
    "/api/calls/{}/recording",
    "/api/calls?before={}&limit={}",
    "/api/runs/{}",
    "/api/runs?before={}&state={}",
    "/api/approvals?state={}",
    "/api/workflows/{}/{}",
    "/api/whatsapp/media/{}",
    "/{}",
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_whatever_is_asked_is_answered_in_json_or_by_the_page(
    desk: Desk, ada: Visitor, data: Any
) -> None:
    part = quote(data.draw(st.text(min_size=1, max_size=30)), safe="")
    if data.draw(st.booleans()):
        path = data.draw(st.sampled_from(POSTS)).replace("{}", part)
        headers = {"Content-Type": "application/json", "X-CSRF-Token": ada.csrf}
        answer = await ada.http.post(path, content=data.draw(BODIES), headers=headers)
    else:
        path = data.draw(st.sampled_from(GETS)).replace("{}", part)
        answer = await ada.get(path)
    assert answer.status_code < 500 or answer.json()["error"] == "away", (path, answer.text)
    kind = answer.headers["content-type"]
    assert kind.startswith("application/json") or not path.startswith("/api/"), (path, kind)
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_session_that_was_made_up_opens_nothing(desk: Desk) -> None:
    for made_up in ("", "0" * 43, "../../x", "a" * 4000):
        async with httpx.AsyncClient(base_url=desk.url, trust_env=False) as http:
            answer = await http.get("/api/session", headers={"Cookie": f"voicelat={made_up}"})
            assert answer.status_code == 401


async def test_names_that_nobody_has_cost_as_many_tries(desk: Desk) -> None:
    async with httpx.AsyncClient(base_url=desk.url, trust_env=False, timeout=60) as http:
        for name in ("nobody", "ada"):
            body = {"user": name, "password": "a wrong password"}
            codes = [(await http.post("/api/login", json=body)).status_code for _ in range(6)]
            assert codes == [401] * 5 + [429]
        good = await http.post("/api/login", json={"user": "paul", "password": PASSWORD})
        assert good.status_code == 200
