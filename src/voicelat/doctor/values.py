"""The values in force that are harmful in themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from voicelat.doctor.catalog import fault, ok, skipped
from voicelat.doctor.result import CheckResult
from voicelat.providers.google_channel import on_loopback
from voicelat.settings import Settings

__all__ = [
    "auth_token",
    "debug_output",
    "late_starts",
    "log_queue",
    "patience",
    "prewarm",
    "public_url",
    "send_lead",
]

_TOKEN: Final = re.compile(r"[0-9a-fA-F]{32}")

_BEYOND: Final = {
    "VAD_HANGOVER_MS": (600, "callers wait this long in every turn before anything begins"),
    "STT_PARTIAL_DEBOUNCE_MS": (300, "a partial that has not changed for 100 ms seldom does"),
    "STT_TIMEOUT_MS": (1500, "a late final holds the turn up for this long"),
    "SPEAK_GATE_MS": (1200, "a ready answer waits for this much silence"),
    "BARGE_IN_ONSET_MS": (600, "callers talk against the agent for this long"),
}
"""Setting -> the most that can be of use, and what more does. The hangovers that field reports
end with are 160 to 500 ms; people fall silent for 200."""


def debug_output(settings: Settings) -> Iterator[CheckResult]:
    """DEBUG and LOG_LEVEL."""
    on = [
        said
        for said, is_on in (
            ("DEBUG=1", settings.debug),
            ("LOG_LEVEL=DEBUG", settings.log_level == "DEBUG"),
        )
        if is_on
    ]
    if on:
        yield fault("debug-output", "debug output is on while calls are taken", " ".join(on))
    else:
        yield ok("debug-output", "no debug output", f"LOG_LEVEL={settings.log_level}")


def log_queue(settings: Settings) -> Iterator[CheckResult]:
    """ASYNC_LOG_QUEUE."""
    if settings.async_log_queue:
        yield ok("log-queue", "logs are written from a thread", "ASYNC_LOG_QUEUE=1")
    else:
        yield fault("log-queue", "the event loop writes the logs itself", "ASYNC_LOG_QUEUE=0")


def prewarm(settings: Settings) -> Iterator[CheckResult]:
    """TTS_PREWARM."""
    if settings.tts_prewarm:
        yield ok("prewarm", "phrases are made before the first call", "TTS_PREWARM=1")
    else:
        yield fault("prewarm", "no phrase is ready when a call begins", "TTS_PREWARM=0")


def patience(settings: Settings) -> Iterator[CheckResult]:
    """The waits for the caller."""
    good = True
    for name, (most, does) in _BEYOND.items():
        value = settings.value(name)
        assert isinstance(value, int)
        if value > most:
            good = False
            evidence = f"{name}={value}, of use up to {most}"
            yield fault("patience", f"{name} is far beyond what helps: {does}", evidence)
    if good:
        evidence = " ".join(f"{name}={settings.value(name)}" for name in _BEYOND)
        yield ok("patience", "no wait is far beyond what helps", evidence)


def send_lead(settings: Settings) -> Iterator[CheckResult]:
    """SEND_LEAD_MS."""
    lead_ms = settings.send_lead_ms
    evidence = f"SEND_LEAD_MS={lead_ms}"
    if 100 <= lead_ms <= 400:
        yield ok("send-lead", "audio is sent a little ahead", evidence)
    else:
        what = "leaves no slack for a stall" if lead_ms < 100 else "makes barge-in and marks late"
        yield fault("send-lead", f"the lead of {lead_ms} ms {what}", evidence)


def late_starts(settings: Settings) -> Iterator[CheckResult]:
    """What lets a reply begin early."""
    hosted = settings.llm_provider.split(":")[0] not in ("local", "simulated")
    off = {
        "SPECULATE=0": ("the model is asked only when the turn is over", not settings.speculate),
        "REPLY_BY_CLAUSE=0": ("the voice waits for the whole reply", not settings.reply_by_clause),
        "LLM_HEDGE=0": ("a late first word has no second try", hosted and not settings.llm_hedge),
    }
    harmful = {evidence: says for evidence, (says, is_off) in off.items() if is_off}
    for evidence, says in harmful.items():
        yield fault("late-starts", says, evidence)
    if not harmful:
        yield ok("late-starts", "replies start early and are spoken clause by clause")


def public_url(settings: Settings) -> Iterator[CheckResult]:
    """PUBLIC_BASE_URL."""
    url = settings.public_base_url
    if url is None:
        yield skipped("public-url", "PUBLIC_BASE_URL is not set: Twilio's Host header is taken")
        return
    parts = urlsplit(url)
    wrong = None
    if parts.scheme != "https":
        wrong = "is not https"
    elif "?" in url or "#" in url:
        wrong = "has a query string, which would end up inside the stream's URL"
    if wrong:
        yield fault("public-url", f"PUBLIC_BASE_URL {wrong}", f"PUBLIC_BASE_URL={url}")
    else:
        yield ok("public-url", "Twilio can stream there", f"PUBLIC_BASE_URL={url}")


def auth_token(settings: Settings) -> Iterator[CheckResult]:
    """TWILIO_AUTH_TOKEN. Its value is never shown."""
    token = settings.twilio_auth_token
    if token is not None:
        if _TOKEN.fullmatch(token):
            yield ok("auth-token", "requests are checked", "TWILIO_AUTH_TOKEN is set")
        else:
            evidence = f"{len(token)} characters"
            yield fault("auth-token", "TWILIO_AUTH_TOKEN is not 32 hexadecimal digits", evidence)
    elif settings.public_base_url is None and on_loopback(settings.host):
        yield skipped("auth-token", f"the server listens on {settings.host} only")
    else:
        evidence = f"HOST={settings.host} PUBLIC_BASE_URL={settings.public_base_url or ''}"
        yield fault("auth-token", "the server is public and checks no signature", evidence)
