"""What may be sent to whom, before anything is sent.

WhatsApp takes a business' own words only for a day after the person last wrote; later it has to be
an approved template. A provider that is an ordinary account has no such rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from voicelat.channels.provider import Address, Medium, Outgoing, ProviderName, Template
from voicelat.channels.templates import NoTemplate, Templates

__all__ = ["WINDOW", "Refused", "ToSend", "prepared"]

WINDOW: Final = timedelta(hours=24)
_MARGIN: Final = timedelta(minutes=1)
"""Of two clocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToSend:
    """A message as the back office gave it out."""

    message_id: str
    thread_id: str
    phone: str | None
    external_ids: dict[str, str]
    """Provider -> who they are there; ``whatsapp``: at any of them."""
    text: str | None
    template: str | None
    template_variables: tuple[str, ...]
    language: str | None
    last_in_at: datetime | None
    media: tuple[Medium, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """It will not be sent, and why."""

    code: str
    says: str


def prepared(
    message: ToSend, provider: ProviderName, templates: Templates, now: datetime
) -> Outgoing | Refused:
    """What to hand to the provider, or why nothing."""
    address = _address(message, provider)
    if address is None:
        return Refused("no_address", f"neither a phone nor an id at {provider} is known of them")
    try:
        template = _template(message, provider, templates, now)
    except NoTemplate as error:
        return Refused("no_template", str(error))
    if isinstance(template, Refused):
        return template
    if provider == "twilio" and template is not None and template.content_sid is None:
        says = f"template {template.name} ({template.language}) has no content_sid"
        return Refused("no_template", f"{says}; have it approved at Twilio and add it to the file")
    if provider == "twilio" and any(medium.url is None for medium in message.media):
        return Refused("no_public_url", "Twilio fetches media itself: set PUBLIC_BASE_URL")
    text = None if template is not None else message.text
    return Outgoing(
        message_id=message.message_id, to=address, text=text, template=template, media=message.media
    )


def _template(
    message: ToSend, provider: ProviderName, templates: Templates, now: datetime
) -> Template | Refused | None:
    """The template to send; None: what is to be said goes as it is. Raises NoTemplate."""
    if message.template is not None:
        return templates.filled(message.template, message.language, message.template_variables)
    since = None if message.last_in_at is None else now - message.last_in_at
    if provider != "twilio" or (since is not None and since < WINDOW - _MARGIN):
        return None
    saying = None if message.text is None else templates.saying(message.text, message.language)
    if saying is not None and not message.media:
        return saying
    when = "never wrote" if since is None else f"last wrote {since // timedelta(hours=1)} hours ago"
    return Refused(
        "outside_window",
        f"they {when}: WhatsApp takes only an approved template now; send one, or name one as "
        "free_text in WHATSAPP_TEMPLATES",
    )


def _address(message: ToSend, provider: ProviderName) -> Address | None:
    external_id = message.external_ids.get(provider) or message.external_ids.get("whatsapp")
    if message.phone is None and external_id is None:
        return None
    return Address(phone=message.phone, external_id=external_id)
