"""An evening at the house: customers call, one writes, and somebody decides at the console."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from voicelat.audio.mulaw import BYTES_PER_MS, encode
from voicelat.backoffice.database import Database
from voicelat.backoffice.tables import Customer
from voicelat.caller import Say, Silence, WaitForReply
from voicelat.channels.webhooks import INCOMING
from voicelat.demo.house import TENANT, House, running_house
from voicelat.doubles.whatsapp import TwilioDouble
from voicelat.loadtest.line import place_call

__all__ = ["AT_TWILIO", "CALLER", "customer", "spend", "with_twilio"]

CALLER: Final = "+972501234567"
TEMPLATES: Final = """\
version: 1
free_text: notice
templates:
  notice: {en: {content_sid: HX1, text: "A message from us: {1}"}}
  call_follow_up:
    en: {content_sid: HX2, text: "Hello {1}, thank you for your call."}
    he: {content_sid: HX3, text: "שלום {1}, תודה על השיחה."}
  we_will_call_you:
    en: {content_sid: HX4, text: "We will call you about {1}."}
    he: {content_sid: HX5, text: "נתקשר אליך בנושא {1}."}
"""
AT_TWILIO: Final = {
    "HX1": "A message from us: {{1}}",
    "HX2": "Hello {{1}}, thank you for your call.",
    "HX3": "שלום {{1}}, תודה על השיחה.",
    "HX4": "We will call you about {{1}}.",
    "HX5": "נתקשר אליך בנושא {{1}}.",
}
_NOISE: Final = np.random.default_rng(1).normal(0.0, 3000.0, 600 * BYTES_PER_MS)


async def spend(folder: Path, on_ready: Callable[[House], None], calls: int = 3) -> None:
    """Until it is cancelled. ``on_ready`` is told where everything is, before the first call."""
    async with (
        TwilioDouble(templates=AT_TWILIO).run() as twilio,
        running_house(folder, with_twilio(twilio, folder)) as house,
    ):
        customer(house)
        on_ready(house)
        for number in range(calls):
            await _call(house, f"CA{number + 1:032d}")
        await twilio.write(
            house.channels + INCOMING,
            Body="היי, אפשר לקבוע תור למחר בעשר?",
            ProfileName="דנה לוי",
            From=f"whatsapp:{CALLER}",
        )
        await _receipts(twilio)


def with_twilio(twilio: TwilioDouble, folder: Path) -> dict[str, str]:
    """The settings by which messages go to the double."""
    templates = folder / "templates.yaml"
    templates.write_text(TEMPLATES, encoding="utf-8")
    return {
        "TWILIO_ACCOUNT_SID": twilio.account_sid,
        "TWILIO_AUTH_TOKEN": twilio.auth_token,
        "TWILIO_API_URL": twilio.url,
        "WHATSAPP_FROM": "+15550100",
        "WHATSAPP_PROVIDER": "twilio",
        "WHATSAPP_TEMPLATES": str(templates),
    }


def customer(house: House) -> None:
    """Somebody the back office knows: the calls come from her."""
    database = Database(house.database)
    with database.write(TENANT) as db:
        db.add(
            Customer(
                tenant=TENANT,
                customer_id="customer_1",
                name="Dana Levi",
                phone=CALLER,
                email=None,
                notes="",
                found_by=f"dana levi {CALLER}",
            )
        )
    database.close()


async def _call(house: House, call_id: str) -> None:
    await place_call(
        house.calls.replace("http", "ws") + "/media",
        [Say(encode(_NOISE.astype(np.int16))), WaitForReply(), Silence(300)],
        call_sid=call_id,
        custom_parameters={"from": CALLER},
    )


async def _receipts(twilio: TwilioDouble) -> None:
    """Whoever gets a message reads it, a second later."""
    told = 0
    while True:
        messages = await twilio.sent(told + 1)
        await asyncio.sleep(1)
        for message in messages[told:]:
            for status in ("delivered", "read"):
                await twilio.call_back(message, status)
        told = len(messages)
