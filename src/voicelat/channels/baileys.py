"""WhatsApp by Baileys: an ordinary account, paired like WhatsApp Web, carried by a bridge in Node.

The bridge (``whatsapp-bridge/``) is a process by itself, on loopback. It keeps what it was asked to
send and what came in until it is acknowledged here, so either of the two may die.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import anyio.to_thread
import httpx
import msgspec

from voicelat.channels.media import MAX_BYTES
from voicelat.channels.provider import (
    Fetchable,
    Health,
    Incoming,
    Linked,
    Medium,
    Outgoing,
    ProviderName,
    Receipt,
    SendFailed,
    Sent,
    Told,
)

__all__ = ["Baileys"]

_PATIENCE: Final = httpx.Timeout(30.0, connect=2.0)
_QUIET_S: Final = 40.0
"""The bridge says something every 15 s; for longer than this it is gone."""
_LONGEST_WAIT_S: Final = 15.0
_FIX: Final = "start it: see docs/whatsapp.md"


class Baileys:
    """See `Provider`. ``token``: WHATSAPP_BRIDGE_TOKEN, shared with the bridge."""

    name: ProviderName = "baileys"

    def __init__(self, url: str, token: str, *, first_wait_s: float = 0.5) -> None:
        self._url = url.rstrip("/")
        self._first_wait_s = first_wait_s
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {token}"}, timeout=_PATIENCE, trust_env=False
        )

    async def send(self, message: Outgoing) -> Sent:
        """See `Provider`. The bridge sends the same message_id once, however often it is asked."""
        text = message.text if message.template is None else message.template.text
        media = [await anyio.to_thread.run_sync(_read, one) for one in message.media]
        body = {
            "message_id": message.message_id,
            "to": {"phone": message.to.phone, "external_id": message.to.external_id},
            "text": text,
            "media": media[0] if media else None,
        }
        try:
            answer = await self._http.post(f"{self._url}/messages", json=body)
        except httpx.ConnectError:
            raise SendFailed("unreachable", "the bridge is down", retry=True) from None
        except httpx.HTTPError as error:
            says = f"the bridge did not answer: {type(error).__name__}"
            raise SendFailed("unreachable", says, uncertain=True) from None
        return _sent(answer)

    async def settle(self, message: Outgoing) -> Sent | None:
        """What the bridge has written down of it."""
        answer = await self._asked("GET", f"/messages/{quote(message.message_id, safe='')}")
        return None if answer.status_code == 404 else _sent(answer)

    async def told(self, after: int) -> AsyncIterator[tuple[int, Told]]:
        """What the bridge keeps for us, until we acknowledge it."""
        wait_s = self._first_wait_s
        while True:
            try:
                async for number, told in self._stream(after):
                    wait_s = self._first_wait_s
                    yield number, told
                    after = number
                    await self._asked("POST", "/events/ack", {"seq": number})
            except (httpx.HTTPError, SendFailed, msgspec.ValidationError, ValueError):
                pass
            await asyncio.sleep(wait_s * random.uniform(0.5, 1))
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    async def _stream(self, after: int) -> AsyncIterator[tuple[int, Told]]:
        patience = httpx.Timeout(_QUIET_S, connect=2.0)
        asked = self._http.stream(
            "GET", f"{self._url}/events", params={"after": after}, timeout=patience
        )
        async with asked as answer:
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    event = json.loads(line.removeprefix("data:"))
                    if (told := _read_event(event)) is not None:
                        yield event["seq"], told

    async def fetch(self, medium: Fetchable, into: Path, max_bytes: int) -> int:
        """See `Provider`."""
        size = 0
        try:
            path = f"{self._url}/media/{quote(medium.source, safe='')}"
            async with self._http.stream("GET", path) as answer:
                if answer.status_code != 200:
                    later = answer.status_code >= 500
                    raise SendFailed(
                        str(answer.status_code), "the bridge has no such medium", retry=later
                    )
                content = bytearray()
                async for chunk in answer.aiter_bytes():
                    size += len(chunk)
                    if size > max_bytes:
                        raise SendFailed("too_large", f"more than {max_bytes} bytes")
                    content += chunk
        except httpx.HTTPError as error:
            raise SendFailed("unreachable", f"the bridge: {error}", retry=True) from None
        await anyio.to_thread.run_sync(into.write_bytes, bytes(content))
        return size

    async def health(self) -> Health:
        """See `Provider`."""
        try:
            answer = await self._asked("GET", "/status")
            said = answer.json()
            return Health(
                state=said["state"],
                says=said["says"],
                fix=said.get("fix") or "",
                account=said.get("account"),
                qr=said.get("qr"),
                warnings=tuple(said.get("warnings") or ()),
            )
        except SendFailed as failed:
            return Health(state="down", says=failed.says, fix=_FIX, account=None, qr=None)
        except (ValueError, KeyError, TypeError):
            says = "what listens at WHATSAPP_BRIDGE_URL is not the bridge"
            return Health(state="down", says=says, fix=_FIX, account=None, qr=None)

    async def logout(self) -> None:
        """Forget the account; another can be paired then."""
        answer = await self._asked("POST", "/logout", {})
        if not answer.is_success:
            raise _failure(answer)

    async def aclose(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def _asked(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        try:
            answer = await self._http.request(method, self._url + path, json=body)
        except httpx.HTTPError:
            raise SendFailed(
                "unreachable", f"no bridge answers at {self._url}", retry=True
            ) from None
        if answer.status_code == 401:
            says = "the bridge has another WHATSAPP_BRIDGE_TOKEN"
            raise SendFailed("unauthorised", says, retry=True)
        return answer


def _sent(answer: httpx.Response) -> Sent:
    if not answer.is_success:
        raise _failure(answer)
    try:
        said = answer.json()
        return msgspec.convert(said, Sent, strict=False)
    except (ValueError, msgspec.ValidationError):
        raise SendFailed("bad_answer", "the bridge answered nonsense", uncertain=True) from None


def _failure(answer: httpx.Response) -> SendFailed:
    try:
        said = answer.json()
        code, says = str(said["error"]), str(said["says"])
    except (ValueError, KeyError, TypeError):
        code, says, said = str(answer.status_code), "the bridge gave no reason", {}
    return SendFailed(
        code,
        says,
        retry=bool(said.get("retry", answer.status_code in (429, 503))),
        uncertain=bool(said.get("uncertain", answer.status_code in (500, 502, 504))),
    )


def _read(medium: Medium) -> dict[str, Any]:
    content = medium.path.read_bytes()
    if len(content) > MAX_BYTES:
        raise SendFailed("too_large", f"more than {MAX_BYTES} bytes")
    return {
        "content_type": medium.content_type,
        "file_name": medium.file_name,
        "base64": base64.b64encode(content).decode(),
    }


def _read_event(event: Mapping[str, Any]) -> Told | None:
    """What an event of the bridge tells; None: something that is news to nobody."""
    match event["kind"]:
        case "message":
            return msgspec.convert(event["message"], Incoming)
        case "receipt":
            return msgspec.convert(event["receipt"], Receipt)
        case "linked":
            return msgspec.convert(event["linked"], Linked)
    return None
