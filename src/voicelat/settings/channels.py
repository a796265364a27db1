"""From settings to the channels' running parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from voicelat.channels import webhooks
from voicelat.channels.app import Channels, Twilio
from voicelat.channels.baileys import Baileys
from voicelat.channels.carrier import Carrier
from voicelat.channels.inbox import Inbox
from voicelat.channels.journal import Journal
from voicelat.channels.media import MediaStore, Signer
from voicelat.channels.peers import AgentsPeer, OfficePeer
from voicelat.channels.provider import Provider, ProviderName
from voicelat.channels.templates import read_templates
from voicelat.channels.twilio import TwilioWhatsApp
from voicelat.errors import UsageError

if TYPE_CHECKING:
    from voicelat.settings.load import Settings

__all__ = ["channels"]


def channels(settings: Settings) -> Channels:
    """Everything, not started. To be called inside the loop it will run on.

    Raises UsageError for a setting that cannot work, InvalidFile for templates that cannot be read,
    ConnectError when the channels' database cannot be reached.
    """
    if settings.backoffice_token is None:
        raise UsageError("BACKOFFICE_TOKEN is not set: the channels' token for BACKOFFICE_URL")
    if "=" in settings.backoffice_token:
        raise UsageError("BACKOFFICE_TOKEN holds the agents' tokens; the channels need their own")
    templates = read_templates(
        None if settings.whatsapp_templates is None else Path(settings.whatsapp_templates)
    )
    ready, missing = _providers(settings)
    first = settings.whatsapp_provider
    if first is not None and first not in ready:
        raise UsageError(f"WHATSAPP_PROVIDER={first}: {missing[first]}")
    journal = Journal(settings.channels_db_url)
    media = MediaStore(Path(settings.media_dir))
    signer = Signer(journal.secret())
    base = settings.public_base_url

    def media_url(media_id: str) -> str | None:
        return None if base is None else f"{base.rstrip('/')}/media/{signer.sign(media_id)}"

    office = OfficePeer(settings.backoffice_url, settings.backoffice_token)
    agents = (
        AgentsPeer(settings.agents_url, settings.agents_token) if settings.agents_enabled else None
    )
    carrier = Carrier(
        journal,
        office,
        ready,
        templates,
        media,
        first=first,
        per_minute=settings.whatsapp_per_minute,
        media_url=media_url,
    )
    inbox = Inbox(journal, office, agents, carrier, media)
    return Channels(
        journal,
        inbox,
        carrier,
        media,
        signer,
        token=settings.channels_token,
        twilio=_twilio(settings),
        missing=missing,
        peers=(office,) if agents is None else (office, agents),
    )


def _providers(
    settings: Settings,
) -> tuple[dict[ProviderName, Provider], dict[ProviderName, str]]:
    """Those that are set up, and what the others lack."""
    ready: dict[ProviderName, Provider] = {}
    missing: dict[ProviderName, str] = {}
    needed = {
        "TWILIO_ACCOUNT_SID": settings.twilio_account_sid,
        "TWILIO_AUTH_TOKEN": settings.twilio_auth_token,
        "WHATSAPP_FROM": settings.whatsapp_from,
    }
    lacking = [name for name, value in needed.items() if not value]
    if lacking:
        missing["twilio"] = f"set {', '.join(lacking)}"
    else:
        base = settings.public_base_url
        ready["twilio"] = TwilioWhatsApp(
            settings.twilio_account_sid or "",
            settings.twilio_auth_token or "",
            settings.whatsapp_from or "",
            callback=None if base is None else f"{base.rstrip('/')}{webhooks.STATUS}",
            api=settings.twilio_api_url,
        )
    if settings.whatsapp_bridge_token is None:
        missing["baileys"] = "set WHATSAPP_BRIDGE_TOKEN, and run the bridge (docs/whatsapp.md)"
    else:
        ready["baileys"] = Baileys(settings.whatsapp_bridge_url, settings.whatsapp_bridge_token)
    return ready, missing


def _twilio(settings: Settings) -> Twilio | None:
    if not settings.twilio_account_sid or not settings.twilio_auth_token:
        return None
    parts = urlsplit(settings.public_base_url or "")
    return Twilio(
        account_sid=settings.twilio_account_sid,
        auth_token=settings.twilio_auth_token,
        public_base_url=settings.public_base_url if parts.netloc else None,
    )
