"""The page in a browser: hostile words stay words, both languages, no harm to who cannot see."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, expect
from tests.console.desk import PASSWORD, Desk, desk_at
from tests.console.house import Watched, browsing

pytest.importorskip("axe_playwright_python", reason="not installed")
from axe_playwright_python.async_playwright import Axe

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>javascript:alert(3) \u202egnp.exe"
PAGES = ("calls", "agents", "whatsapp", "workflows", "settings", "audit")
SERIOUS = ("serious", "critical")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_at(tmp_path) as served:
        yield served


async def enter(context: BrowserContext, desk: Desk, name: str = "ada") -> Watched:
    watched = Watched(await context.new_page(), desk.url)
    await watched.page.goto(desk.url)
    await watched.page.get_by_label("Name").fill(name)
    await watched.page.get_by_label("Password").fill(PASSWORD)
    await watched.page.get_by_role("button", name="Sign in").click()
    await watched.page.get_by_role("heading", name="Calls", exact=True).wait_for()
    watched.complaints.clear()  # the browser reports the 401 of the first question
    return watched


async def write(desk: Desk, text: str, name: str) -> None:
    """Have somebody write to the back office, as a channel tells it."""
    message: dict[str, object] = {
        "provider": "twilio",
        "external_id": "x",
        "phone": "+972501234567",
        "profile_name": name,
        "provider_id": uuid.uuid4().hex,
        "text": text,
        "media": [],
        "reply_to": None,
        "at": datetime.now(UTC).isoformat(),
    }
    await desk.office_call("whatsapp.append_message", message)


async def go(page: Page, name: str) -> None:
    await page.locator(f"nav a[href='/{name}']").click()
    await page.locator("h1").wait_for()


async def test_hostile_words_stay_words_everywhere(desk: Desk) -> None:
    desk.turn(1, HOSTILE)
    desk.ask(text=HOSTILE, why=HOSTILE, rule=HOSTILE)
    desk.log(0, "began", event="call_ended", workflow="voice_turn", version="1" * 64)
    desk.log(1, "called", result={HOSTILE: HOSTILE})
    await write(desk, HOSTILE, HOSTILE)
    async with browsing() as browser:
        watched = await enter(await browser.new_context(locale="en-US"), desk)
        page = watched.page
        dialogs: list[str] = []
        page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        await page.get_by_role("link", name="CA1").click()
        await expect(page.get_by_text("onerror=alert(1)").first).to_be_visible()
        await go(page, "agents")
        await expect(page.get_by_role("article").get_by_text("onerror").first).to_be_visible()
        await page.get_by_role("link", name="CA1.end").first.click()
        await page.get_by_text("Details").last.click()
        await expect(page.locator(".log").get_by_text("onerror").first).to_be_visible()
        await go(page, "whatsapp")
        await page.locator(".threads a").first.click()
        await expect(page.locator(".bubble")).to_contain_text("onerror")
        for name in PAGES:
            await go(page, name)
        assert await page.locator("img[src='x'], script:not([src])").count() == 0
        assert dialogs == []
        assert watched.complaints == []


async def test_a_card_comes_by_itself_and_is_decided_by_keyboard_alone(desk: Desk) -> None:
    async with browsing() as browser:
        watched = await enter(await browser.new_context(locale="en-US"), desk, "paul")
        page = watched.page
        await go(page, "agents")
        await expect(page.get_by_text("Nothing waits for approval.")).to_be_visible()
        desk.ask(1, "first")
        desk.ask(2, "second")
        cards = page.get_by_role("article")
        await expect(cards).to_have_count(2, timeout=20_000)
        await page.keyboard.press("j")
        await page.keyboard.press("a")
        await expect(cards).to_have_count(1, timeout=20_000)
        await page.keyboard.press("j")
        await page.keyboard.press("e")
        await page.get_by_label("Text", exact=False).first.wait_for()
        box = page.locator(".editor textarea").filter(has_text="second")
        await box.fill("better")
        await page.get_by_role("button", name="Approve as edited").click()
        await expect(cards).to_have_count(0, timeout=20_000)
        assert [one["text"] for one in desk.minted] == ["first", "better"]
        desk.ask(3, "third")
        await expect(cards).to_have_count(1, timeout=20_000)
        await page.keyboard.press("j")
        await page.keyboard.press("r")
        await page.keyboard.type("not our customer")
        await page.keyboard.press("Enter")
        await expect(cards).to_have_count(0, timeout=20_000)
        decided = desk.agents.approval("CA1.end:3")
        assert decided is not None
        assert (decided.state, decided.reason) == ("rejected", "not our customer")
        assert watched.complaints == []


async def test_somebody_who_only_looks_on_is_offered_nothing_to_decide(desk: Desk) -> None:
    desk.ask()
    async with browsing() as browser:
        watched = await enter(await browser.new_context(locale="en-US"), desk, "vera")
        await go(watched.page, "agents")
        card = watched.page.get_by_role("article")
        await expect(card).to_be_visible()
        assert await card.get_by_role("button").count() == 0
        await expect(watched.page.get_by_text("needs the role approve")).to_be_visible()


async def test_ten_thousand_lines_of_a_run_and_all_that_is_told_meanwhile(desk: Desk) -> None:
    from voicelat.agentkit.runs.store import Entry

    at = datetime.now(UTC).isoformat()
    desk.agents.append(
        [
            Entry(run_id="big", seq=seq, at=at, kind="note", facts={"n": seq})
            for seq in range(10_000)
        ]
    )
    async with browsing() as browser:
        watched = await enter(await browser.new_context(locale="en-US"), desk)
        page = watched.page
        await go(page, "agents")
        await page.get_by_role("link", name="big").click()
        await expect(page.locator(".log-line")).to_have_count(10_000, timeout=60_000)
        desk.log(10_000, run_id="big", last=True)
        await expect(page.locator(".log-line")).to_have_count(10_001, timeout=60_000)
        await go(page, "calls")
        assert watched.complaints == []


@pytest.mark.parametrize(
    ("locale", "scheme"), [("en-US", "light"), ("en-US", "dark"), ("he-IL", "light")]
)
async def test_nobody_is_shut_out(desk: Desk, locale: str, scheme: str) -> None:
    """What axe-core finds wrong on any page, and whether the page reads from the right side."""
    desk.turn(1, "שלום, אפשר לקבוע תור?")
    desk.ask(text="תודה")
    desk.log(0, "began", event="call_ended", workflow="voice_turn", version="1" * 64)
    await write(desk, "היי", "דנה")
    async with browsing() as browser:
        context = await browser.new_context(
            locale=locale,
            color_scheme="dark" if scheme == "dark" else "light",
            viewport={"width": 1280, "height": 900},
        )
        page = await context.new_page()
        token = desk.store.link("ada", datetime.now(UTC))
        await page.goto(f"{desk.url}/login#{token}")
        await page.locator("h1").wait_for()
        direction = await page.evaluate("document.documentElement.dir")
        assert direction == ("rtl" if locale == "he-IL" else "ltr")
        found: list[str] = []
        for name in (*PAGES, "calls/CA1", "agents/CA1.end"):
            await page.goto(f"{desk.url}/{name}")
            await page.locator("h1").wait_for()
            await expect(page.locator("[aria-busy=true]")).to_have_count(0)
            results = await Axe().run(page)
            found += [
                f"{name}: {one['id']}: {one['nodes'][0]['html'][:120]}"
                for one in results.response["violations"]
                if one["impact"] in SERIOUS
            ]
        assert found == []


async def test_a_narrow_screen_has_nothing_beside_it(desk: Desk) -> None:
    desk.turn(1)
    desk.ask()
    async with browsing() as browser:
        context = await browser.new_context(viewport={"width": 400, "height": 800}, locale="en-US")
        page = (await enter(context, desk)).page
        for name in PAGES:
            await go(page, name)
            wider = await page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert wider <= 0, name
