"""Which services in the network the settings name, and where they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from voicelat.providers.google_channel import on_loopback
from voicelat.providers.openai_client import OPENAI_URL
from voicelat.settings import Settings

__all__ = ["Service", "roles", "services", "uses"]


@dataclass(frozen=True, slots=True)
class Service:
    """One place that turns go to."""

    name: str
    """What it is there for, like "openai llm, tts"."""
    host: str
    port: int
    tls: bool
    http: bool
    """Whether it speaks HTTP in plain requests, and so tells its time."""

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{self.host}:{self.port}"


def roles(settings: Settings) -> dict[str, str]:
    """Role -> the provider's name."""
    return {
        "stt": settings.stt_provider,
        "llm": settings.llm_provider,
        "tts": settings.tts_provider,
        "fallback": settings.fallback_provider,
    }


def uses(settings: Settings, vendor: str) -> list[str]:
    """The roles that ``vendor`` (openai, google) has."""
    return [role for role, name in roles(settings).items() if name.split(":")[0] == vendor]


def services(settings: Settings) -> list[Service]:
    """One for each place; those of providers of your own are not known."""
    return list(_services(settings))


def _services(settings: Settings) -> Iterator[Service]:
    if for_ := uses(settings, "openai"):
        parts = urlsplit(settings.openai_base_url or OPENAI_URL)
        tls = parts.scheme == "https"
        name = f"openai {', '.join(for_)}"
        yield Service(name, parts.hostname or "", parts.port or (443 if tls else 80), tls, True)
    google = uses(settings, "google")
    if "stt" in google:
        region = settings.google_speech_location
        default = (
            "speech.googleapis.com" if region == "global" else f"{region}-speech.googleapis.com"
        )
        yield _google("google stt", settings.google_speech_endpoint or default)
    if "tts" in google:
        yield _google("google tts", settings.google_tts_endpoint or "texttospeech.googleapis.com")


def _google(name: str, endpoint: str) -> Service:
    host, _, port = endpoint.rpartition(":")
    here = on_loopback(endpoint)
    return Service(name, host or endpoint, int(port) if host else 443, not here, not here)
