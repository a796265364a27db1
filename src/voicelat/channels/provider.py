"""What every WhatsApp provider does, and what it tells.

A provider only carries. What may be sent, when, and what becomes of it is decided and kept above
it, the same for all of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from voicelat.errors import VoicelatError

__all__ = [
    "Address",
    "Fetchable",
    "Health",
    "Incoming",
    "Linked",
    "Medium",
    "Outgoing",
    "Provider",
    "ProviderName",
    "Receipt",
    "SendFailed",
    "Sent",
    "State",
    "Status",
    "Template",
    "Told",
]

ProviderName = Literal["twilio", "baileys"]
State = Literal["ready", "connecting", "needs_qr", "logged_out", "replaced", "banned", "down"]
Status = Literal["queued", "sending", "sent", "delivered", "read", "failed", "uncertain"]
"""Of a message that goes out. uncertain: it may have been sent, and nobody can tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Somebody at a provider. One of both is known, or both are."""

    phone: str | None
    """E.164. None: unknown, as WhatsApp has user names."""
    external_id: str | None
    """The provider's own id of them: a JID (``…@s.whatsapp.net``, ``…@lid``), Twilio's WaId."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Medium:
    """A file to send."""

    path: Path
    content_type: str
    file_name: str | None
    url: str | None
    """Where the provider can fetch it, for those that take no bytes. None: nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """An approved template with what goes into it."""

    name: str
    language: str
    content_sid: str | None
    """Twilio's id of it. None: it has none there."""
    variables: tuple[str, ...]
    text: str
    """As it reads, for providers without templates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message to send: a text or a template, perhaps with media."""

    message_id: str
    """Ours. The same id again is the same message: a provider that can sends it once."""
    to: Address
    text: str | None
    template: Template | None
    media: tuple[Medium, ...] = ()
    begun_at: datetime | None = None
    """When it was first handed to the provider, for `Provider.settle`. None: it never was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The provider has taken it."""

    provider_id: str
    status: Status


class SendFailed(VoicelatError):
    """It was not sent, or nobody knows.

    ``code``: the provider's, or ours (``outside_window``, ``unreachable``, ``bad_address``, …).
    ``retry``: it was certainly not sent and may be sent again later. ``uncertain``: it may have
    been sent; ask `Provider.settle`. Neither: it never will be.
    """

    def __init__(self, code: str, says: str, *, retry: bool = False, uncertain: bool = False):
        super().__init__(f"{code}: {says}")
        self.code = code
        self.says = says
        self.retry = retry
        self.uncertain = uncertain


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetchable:
    """A medium somebody sent, not fetched yet."""

    source: str
    """What its provider fetches it by: Twilio's MediaUrl, the bridge's id of it."""
    content_type: str
    file_name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A message somebody sent."""

    provider_id: str
    sender: Address
    profile_name: str | None
    text: str | None
    """None: only media."""
    media: tuple[Fetchable, ...]
    at: datetime
    reply_to: str | None
    """provider_id of the message it answers. None: it answers none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of a message of ours."""

    provider_id: str
    message_id: str | None
    """Our id of it, where the provider says so too. None: it does not."""
    status: Status
    at: datetime
    error_code: str | None
    says: str | None
    """The error in one line. None: no error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """Two addresses that are the same person."""

    external_id: str
    also: Address


Told = Incoming | Receipt | Linked


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a provider stands."""

    state: State
    says: str
    fix: str
    """What to do about it; empty when nothing."""
    account: str | None
    """The sender as people see it. None: unknown yet."""
    qr: str | None
    """The text of the code to scan. None: there is none to scan."""
    warnings: tuple[str, ...] = ()
    """Signs that the number may be banned, each in one line."""


class Provider(Protocol):
    """Carries messages. Nothing in it blocks the loop."""

    @property
    def name(self) -> ProviderName:
        """Which one it is."""
        ...

    async def send(self, message: Outgoing) -> Sent:
        """Send it. Raises SendFailed."""
        ...

    async def settle(self, message: Outgoing) -> Sent | None:
        """What became of a send whose answer was lost. None: it was certainly not sent. Raises
        SendFailed: ``uncertain`` when it cannot be told, ``retry`` when it cannot be asked now."""
        ...

    def told(self, after: int) -> AsyncIterator[tuple[int, Told]]:
        """What it tells, each with its number, from the one behind ``after`` on, without end: it
        reconnects by itself. Ends at once for a provider that tells by webhook."""
        ...

    async def fetch(self, medium: Fetchable, into: Path, max_bytes: int) -> int:
        """Write the medium to ``into``; returns its bytes. Raises SendFailed (``retry`` or not)."""
        ...

    async def health(self) -> Health:
        """How it stands. Never raises for a provider that is down: that is a state."""
        ...

    async def logout(self) -> None:
        """Forget the account, where it was paired here. Raises SendFailed where there is none."""
        ...

    async def aclose(self) -> None:
        """Give connections back."""
        ...
