"""Everything that is run for real, a customer and a browser: for tests that go all the way."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.serve.running import QUESTION

pytest.importorskip("dbos", reason="not installed: pip install 'voicelat[console]'")
pytest.importorskip("argon2", reason="not installed: pip install 'voicelat[console]'")
pytest.importorskip("playwright", reason="not installed")

from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from voicelat.caller import Say, Silence, WaitForReply
from voicelat.demo.evening import AT_TWILIO, CALLER, customer, with_twilio
from voicelat.demo.house import House, running_house
from voicelat.doubles.whatsapp import TwilioDouble
from voicelat.loadtest.line import place_call

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@dataclass
class Living:
    """A house somebody lives in."""

    house: House
    twilio: TwilioDouble
    folder: Path

    async def call(self, call_id: str = "CA" + "7" * 32) -> None:
        """A call from the customer, to its end."""
        await place_call(
            self.house.calls.replace("http", "ws") + "/media",
            [Say(QUESTION), WaitForReply(), Silence(300)],
            call_sid=call_id,
            custom_parameters={"from": CALLER},
        )


@asynccontextmanager
async def living(folder: Path, more: Mapping[str, str] | None = None) -> AsyncIterator[Living]:
    """A house with one customer, whose number is `CALLER`."""
    async with TwilioDouble(templates=AT_TWILIO).run() as twilio:
        settings = {**with_twilio(twilio, folder), **(more or {})}
        async with running_house(folder, settings) as house:
            customer(house)
            yield Living(house, twilio, folder)


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """A browser. Skips where there is none."""
    if CHROMIUM is None:
        pytest.skip("no chromium here: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


class Watched:
    """A page whose complaints are kept: errors, warnings, and requests to anywhere else."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda told: self._heard(told.type, told.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda asked: self._asked(asked.url, base))

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def _asked(self, url: str, base: str) -> None:
        if not url.startswith((base, "blob:", "data:")):
            self.complaints.append(f"asked for {url}")


async def signed_in(context: BrowserContext, house: House) -> Watched:
    """By the link that the first start prints."""
    watched = Watched(await context.new_page(), house.console)
    await watched.page.goto(house.link)
    await watched.page.get_by_role("heading", name="Calls").wait_for()
    return watched
