"""WhatsApp by Twilio: messages out through the REST API; what comes in comes by webhooks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import requests
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from twilio.rest import Client

from voicelat.channels.media import TWILIO_HOSTS, fetch_media
from voicelat.channels.provider import (
    Address,
    Fetchable,
    Health,
    Outgoing,
    ProviderName,
    SendFailed,
    Sent,
    Status,
    Told,
)

__all__ = ["OUTSIDE_WINDOW", "STATUSES", "TwilioWhatsApp", "address_of"]

OUTSIDE_WINDOW: Final = "63016"
"""Twilio's code for free text after the day is over."""
STATUSES: Final[dict[str, Status]] = {
    "accepted": "sent",
    "scheduled": "sent",
    "queued": "sent",
    "sending": "sent",
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "failed": "failed",
    "undelivered": "failed",
    "canceled": "failed",
}
"""Twilio's words -> ours. What Twilio has taken is sent, as far as we can do anything about it."""
_TIMEOUT_S: Final = 20.0
_TELLS_LATE: Final = timedelta(seconds=30)
"""A message that was created is in Twilio's list by then."""
_CLOCKS: Final = timedelta(minutes=2)


class TwilioWhatsApp:
    """See `Provider`. ``sender``: +E164, or MG… of a messaging service.

    ``callback``: where Twilio tells what became of a message, our id to be put behind it; None: it
    is not told. ``api``: Twilio's, or a double's. ``tells_late``: how long after a send whose
    answer was lost a list without it proves that there was none.
    """

    name: ProviderName = "twilio"

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        sender: str,
        *,
        callback: str | None,
        api: str = "https://api.twilio.com",
        tells_late: timedelta = _TELLS_LATE,
    ) -> None:
        self._account, self._token = account_sid, auth_token
        self._sender = sender
        self._callback = callback
        self._api = api
        self._tells_late = tells_late
        self._client = Client(account_sid, auth_token, http_client=_Http(api))

    async def send(self, message: Outgoing) -> Sent:
        """See `Provider`."""
        return await asyncio.to_thread(self._create, message)

    async def settle(self, message: Outgoing) -> Sent | None:
        """What Twilio's list of messages to them says. It has no key to ask by: a message with the
        same words, made since, is ours."""
        return await asyncio.to_thread(self._look, message)

    async def told(self, after: int) -> AsyncIterator[tuple[int, Told]]:
        """Nothing: Twilio tells by webhook."""
        return
        yield

    async def fetch(self, medium: Fetchable, into: Path, max_bytes: int) -> int:
        """See `Provider`."""
        parts = urlsplit(self._api)
        local = parts.netloc if parts.scheme == "http" else None
        hosts = TWILIO_HOSTS if local is None else ()
        auth = (self._account, self._token)
        return await fetch_media(
            medium.source, into, hosts=hosts, auth=auth, max_bytes=max_bytes, loopback=local
        )

    async def health(self) -> Health:
        """Whether the account answers."""
        try:
            await asyncio.to_thread(self._client.api.accounts(self._account).fetch)
        except TwilioRestException as error:
            fix = "correct TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"
            return self._stands("down", f"Twilio answered {error.status}: {error.msg}", fix)
        except requests.RequestException as error:
            return self._stands("down", f"Twilio does not answer: {type(error).__name__}", "")
        return self._stands("ready", "the account answers", "")

    async def logout(self) -> None:
        """See `Provider`. There is nothing to log out of."""
        raise SendFailed("not_paired", "an account at Twilio is not paired here")

    async def aclose(self) -> None:
        """Nothing is held."""

    def _stands(self, state: Any, says: str, fix: str) -> Health:
        return Health(state=state, says=says, fix=fix, account=self._sender, qr=None)

    def _create(self, message: Outgoing) -> Sent:
        try:
            made = self._client.messages.create(**self._parameters(message))
        except TwilioRestException as error:
            code = str(error.code or error.status)
            if error.status == 429:
                raise SendFailed(code, str(error.msg), retry=True) from None
            if error.status >= 500:
                raise SendFailed(code, str(error.msg), uncertain=True) from None
            raise SendFailed(code, str(error.msg)) from None
        except (requests.exceptions.ConnectTimeout, requests.exceptions.ConnectionError) as error:
            refused = isinstance(error, requests.exceptions.ConnectTimeout) or _never_left(error)
            says = f"Twilio does not answer: {type(error).__name__}"
            raise SendFailed("unreachable", says, retry=refused, uncertain=not refused) from None
        except requests.RequestException as error:
            says = f"Twilio's answer was lost: {type(error).__name__}"
            raise SendFailed("unreachable", says, uncertain=True) from None
        return Sent(provider_id=str(made.sid), status=STATUSES.get(str(made.status), "sent"))

    def _parameters(self, message: Outgoing) -> dict[str, Any]:
        asked: dict[str, Any] = {"to": address_of(message.to)}
        if self._sender.startswith("MG"):
            asked["messaging_service_sid"] = self._sender
        else:
            asked["from_"] = f"whatsapp:{self._sender}"
        if message.template is not None:
            variables = enumerate(message.template.variables, 1)
            asked["content_sid"] = message.template.content_sid
            asked["content_variables"] = json.dumps({str(n): text for n, text in variables})
        if message.text is not None:
            asked["body"] = message.text
        if message.media:
            asked["media_url"] = [medium.url for medium in message.media]
        if self._callback is not None:
            asked["status_callback"] = f"{self._callback}?message={message.message_id}"
        return asked

    def _look(self, message: Outgoing) -> Sent | None:
        since = message.begun_at or datetime.now(UTC)
        try:
            found = self._client.messages.list(
                to=address_of(message.to), date_sent_after=since - _CLOCKS, limit=100
            )
        except (TwilioRestException, requests.RequestException) as error:
            says = f"Twilio cannot be asked what became of it: {type(error).__name__}"
            raise SendFailed("unreachable", says, retry=True) from None
        words = message.text if message.template is None else message.template.text
        for one in found:
            made = one.date_created
            if made is not None and made < since - timedelta(seconds=1):
                continue
            if str(one.direction).startswith("outbound") and one.body == words:
                return Sent(provider_id=str(one.sid), status=STATUSES.get(str(one.status), "sent"))
        if datetime.now(UTC) - since < self._tells_late:
            raise SendFailed("unknown", "Twilio does not list it yet", retry=True)
        return None


class _Http(TwilioHttpClient):  # type: ignore[misc] # the SDK is not typed
    """The SDK's own client, to another address where one is set."""

    def __init__(self, api: str) -> None:
        super().__init__(timeout=_TIMEOUT_S)
        self._base = urlsplit(api)

    def request(self, method: str, url: str, *more: Any, **named: Any) -> Response:
        parts = urlsplit(url)
        if parts.hostname == "api.twilio.com":
            url = urlunsplit(parts._replace(scheme=self._base.scheme, netloc=self._base.netloc))
        return super().request(method, url, *more, **named)


def address_of(to: Address) -> str:
    """``whatsapp:…`` as Twilio has it: by number where one is known, else by their name there."""
    return f"whatsapp:{to.phone or to.external_id}"


def _never_left(error: requests.exceptions.ConnectionError) -> bool:
    """Whether no byte of the request can have arrived: the connection was refused."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            return True
        reason = getattr(cause.args[0], "reason", None) if cause.args else None
        cause = (
            reason if isinstance(reason, BaseException) else cause.__cause__ or cause.__context__
        )
    return False
