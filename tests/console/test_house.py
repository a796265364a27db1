"""From a caller's voice to a message that was read, by a person at the console."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect
from tests.channels.bridge import TOKEN, whatsapp
from tests.console.house import browsing, living, signed_in

pytestmark = pytest.mark.timeout(300)
RUN = "CA" + "7" * 32 + ".end"


async def test_a_call_becomes_a_card_that_is_approved_and_a_message_that_was_read(
    tmp_path: Path,
) -> None:
    async with living(tmp_path) as home, browsing() as browser:
        context = await browser.new_context(locale="en-US")
        watched = await signed_in(context, home.house)
        page = watched.page
        await page.get_by_role("link", name="Agents").click()
        await home.call()

        card = page.get_by_role("article", name="whatsapp.send")
        await expect(card).to_be_visible(timeout=60_000)
        await expect(card).to_contain_text("call_follow_up")
        await page.reload()  # nothing is lost by it
        await card.get_by_role("button", name="Approve", exact=True).click()
        await expect(card).to_be_hidden(timeout=30_000)

        (sent,) = await home.twilio.sent(1)
        assert "Dana Levi" in sent.body
        await page.get_by_role("link", name="WhatsApp").click()
        await page.get_by_role("link", name="Dana Levi").click()
        bubble = page.locator(".bubble.out")
        await expect(bubble).to_have_attribute("data-status", "sent", timeout=30_000)
        await home.twilio.call_back(sent, "delivered")
        await home.twilio.call_back(sent, "read")
        await expect(bubble).to_have_attribute("data-status", "read", timeout=30_000)
        assert len(home.twilio.messages) == 1

        await page.get_by_role("link", name="Agents").click()
        await page.get_by_role("link", name=RUN).click()
        await expect(page.get_by_text("approval decided")).to_be_visible()
        wrote = page.locator(".log-line.called", has_text="crm.update")
        await expect(wrote.locator("ins").first).to_be_visible()
        await page.get_by_role("link", name="Audit").click()
        await expect(page.get_by_role("cell", name="approve").first).to_be_visible()
        await page.get_by_role("link", name="Calls").click()
        await page.get_by_role("link", name="CA777").click()
        await expect(page.locator(".turn")).to_have_count(1)
        await expect(page.locator(".waves canvas")).to_be_visible()
        assert watched.complaints == []


async def test_the_toggle_sends_the_next_message_through_the_real_baileys_client(
    tmp_path: Path,
) -> None:
    async with whatsapp(tmp_path) as (telephone, bridge):
        settings = {"WHATSAPP_BRIDGE_URL": bridge.url, "WHATSAPP_BRIDGE_TOKEN": TOKEN}
        async with living(tmp_path, settings) as home, browsing() as browser:
            watched = await signed_in(await browser.new_context(locale="en-US"), home.house)
            page = watched.page
            await page.get_by_role("link", name="WhatsApp").click()
            card = page.locator("[data-provider=baileys]")
            await expect(card).to_contain_text("ready", timeout=60_000)
            await card.get_by_role("button", name="Carry by baileys").click()
            await card.get_by_role("button", name="Yes").click()
            await expect(card).to_contain_text("Carried by", timeout=30_000)

            await home.call()
            await page.get_by_role("link", name="Agents").click()
            waiting = page.get_by_role("article", name="whatsapp.send")
            await expect(waiting).to_be_visible(timeout=60_000)
            await waiting.get_by_role("button", name="Approve", exact=True).click()
            await expect(waiting).to_be_hidden(timeout=30_000)

            await page.get_by_role("link", name="WhatsApp").click()
            await page.get_by_role("link", name="Dana Levi").click()
            bubble = page.locator(".bubble.out")
            await expect(bubble).to_have_attribute("data-status", "sent", timeout=60_000)
            assert len(telephone.received()) == 1
            assert home.twilio.messages == []

            await telephone.write("thank you!")
            await expect(page.locator(".bubble.in")).to_contain_text("thank you!", timeout=60_000)
            assert watched.complaints == []
