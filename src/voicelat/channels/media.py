"""Media of messages: fetched from where a stranger points to, and kept where they harm nobody.

Only hosts that are allowed are asked, over TLS, at public addresses; credentials go to the provider
alone and not to where it redirects. What is kept has a name nobody chose and a type that no browser
runs.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import re
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import anyio.to_thread
import httpx
import msgspec

from voicelat.channels.provider import SendFailed
from voicelat.errors import InvalidFile

__all__ = ["MAX_BYTES", "TWILIO_HOSTS", "MediaStore", "Stored", "fetch_media", "safe_type"]

MAX_BYTES: Final = 16 * 1024 * 1024
"""WhatsApp's own limit for most kinds."""
TWILIO_HOSTS: Final = ("api.twilio.com", "*.twiliocdn.com", "*.twilio.com", "*.amazonaws.com")
"""Where Twilio keeps media, and where it redirects to."""
_HOPS: Final = 3
_ANSWER_S: Final = 30.0
_WHOLE_S: Final = 120.0
_ID: Final = re.compile(r"[0-9a-f]{32}")
_SHOWN_INLINE: Final = frozenset(
    {"image/jpeg", "image/png", "image/webp", "image/gif", "audio/ogg", "audio/mpeg", "audio/mp4"}
    | {"audio/amr", "video/mp4", "video/3gpp"}
)
_KEPT_AS_IS: Final = _SHOWN_INLINE | {"application/pdf", "text/vcard", "text/plain", "text/csv"}
_OTHER: Final = "application/octet-stream"


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A medium that is kept."""

    media_id: str
    content_type: str
    bytes: int
    file_name: str | None = None

    @property
    def inline(self) -> bool:
        """Whether a browser may show it in place."""
        return self.content_type in _SHOWN_INLINE


def safe_type(content_type: str) -> str:
    """The type as it is kept: one of those known to be harmless, else bytes to be saved."""
    bare = content_type.partition(";")[0].strip().lower()
    return bare if bare in _KEPT_AS_IS else _OTHER


@dataclass(frozen=True, slots=True)
class MediaStore:
    """A folder of media, each by a random id with a line about it beside."""

    folder: Path

    def new_path(self) -> tuple[str, Path]:
        """An id, and where its bytes go."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        media_id = secrets.token_hex(16)
        return media_id, self.folder / media_id

    def keep(self, media_id: str, content_type: str, file_name: str | None) -> Stored:
        """What lies at the id's path is a medium from now on."""
        path = self.path(media_id)
        stored = Stored(
            media_id=media_id,
            content_type=safe_type(content_type),
            bytes=path.stat().st_size,
            file_name=file_name,
        )
        path.with_suffix(".json").write_bytes(msgspec.json.encode(stored))
        return stored

    def add(self, content: bytes, content_type: str, file_name: str | None) -> Stored:
        """Keep these bytes."""
        media_id, path = self.new_path()
        path.write_bytes(content)
        return self.keep(media_id, content_type, file_name)

    def find(self, media_id: str) -> Stored | None:
        """What is kept under the id; None: nothing, or it is no id."""
        if not _ID.fullmatch(media_id):
            return None
        about = self.path(media_id).with_suffix(".json")
        try:
            return msgspec.json.decode(about.read_bytes(), type=Stored)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise InvalidFile(about, f"is not about a medium: {error}") from None

    def path(self, media_id: str) -> Path:
        """Where its bytes are."""
        return self.folder / media_id

    def erase(self, media_ids: list[str]) -> int:
        """Delete them; returns how many there were."""
        erased = 0
        for media_id in media_ids:
            if _ID.fullmatch(media_id):
                path = self.path(media_id)
                erased += path.exists()
                path.unlink(missing_ok=True)
                path.with_suffix(".json").unlink(missing_ok=True)
        return erased


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs links by which a provider may fetch one medium for a while."""

    secret: bytes
    life_s: int = 3600

    def sign(self, media_id: str, now_s: float | None = None) -> str:
        """The last part of the link."""
        until = int((time.time() if now_s is None else now_s) + self.life_s)
        return f"{media_id}.{until}.{self._mac(media_id, until)}"

    def media_id(self, signed: str, now_s: float | None = None) -> str | None:
        """Which medium it opens; None: none, or no longer."""
        media_id, _, rest = signed.partition(".")
        until, _, mac = rest.partition(".")
        if not (until.isascii() and until.isdigit() and len(until) < 20):
            return None
        genuine = hmac.compare_digest(mac.encode(), self._mac(media_id, int(until)).encode())
        late = int(until) < (time.time() if now_s is None else now_s)
        return media_id if genuine and not late else None

    def _mac(self, media_id: str, until: int) -> str:
        return hmac.new(self.secret, f"{media_id}.{until}".encode(), hashlib.sha256).hexdigest()


async def fetch_media(
    url: str,
    into: Path,
    *,
    hosts: tuple[str, ...],
    auth: tuple[str, str] | None,
    max_bytes: int = MAX_BYTES,
    loopback: str | None = None,
) -> int:
    """Write what lies at ``url`` to ``into``; returns its bytes.

    ``hosts``: that may be asked, also after a redirect. ``auth``: for the first request alone.
    ``loopback``: the ``host:port`` at which plain HTTP on this machine is meant; None: nowhere.
    Raises SendFailed.
    """
    async with httpx.AsyncClient(timeout=_ANSWER_S, trust_env=False) as http:
        for hop in range(_HOPS):
            _check(url, hosts, loopback)
            request = http.build_request("GET", url)
            sender = httpx.BasicAuth(*auth) if auth is not None and hop == 0 else None
            try:
                answer = await http.send(request, auth=sender, stream=True, follow_redirects=False)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise SendFailed("unreachable", f"no medium: {error}", retry=True) from None
            try:
                _check_peer(answer, url, loopback)
                if answer.is_redirect:
                    url = urljoin(url, answer.headers["location"])
                    continue
                _check_status(answer)
                return await _written(answer.aiter_bytes(), into, max_bytes)
            finally:
                await answer.aclose()
    raise SendFailed("too_many_redirects", f"more than {_HOPS} redirects")


def _check(url: str, hosts: tuple[str, ...], loopback: str | None) -> None:
    """Raises SendFailed for a URL that must not be asked."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise SendFailed("forbidden_url", "the medium's address is no URL") from None
    if loopback is not None and parts.netloc == loopback and parts.scheme == "http":
        return
    if parts.scheme != "https" or port not in (None, 443) or "@" in parts.netloc:
        raise SendFailed("forbidden_url", f"media are fetched by https only, not from {host}")
    if not any(_matches(host, allowed) for allowed in hosts):
        raise SendFailed("forbidden_url", f"{host} is no host of media")


def _matches(host: str, allowed: str) -> bool:
    return host.endswith(allowed[1:]) if allowed.startswith("*.") else host == allowed


def _check_peer(answer: httpx.Response, url: str, loopback: str | None) -> None:
    """The address really connected to: a name may lead anywhere, and elsewhere the next time."""
    if loopback is not None and urlsplit(url).netloc == loopback:
        return
    stream: Any = answer.extensions.get("network_stream")
    peer = stream.get_extra_info("server_addr") if stream is not None else None
    address = ipaddress.ip_address(peer[0]) if peer else None
    if address is None or not address.is_global:
        raise SendFailed(
            "forbidden_url", "the medium's host leads to an address that is not public"
        )


def _check_status(answer: httpx.Response) -> None:
    if not answer.is_success:
        later = answer.status_code >= 500 or answer.status_code in (404, 408, 425, 429)
        raise SendFailed(str(answer.status_code), "no medium there", retry=later)


async def _written(chunks: AsyncIterator[bytes], into: Path, max_bytes: int) -> int:
    size = 0
    whole = False
    try:
        async with asyncio.timeout(_WHOLE_S):
            with into.open("wb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > max_bytes:
                        break
                    await anyio.to_thread.run_sync(file.write, chunk)
        whole = size <= max_bytes
    except TimeoutError:
        raise SendFailed("too_slow", f"the medium took more than {_WHOLE_S:.0f} s") from None
    except httpx.HTTPError as error:
        raise SendFailed("unreachable", f"the medium broke off: {error}", retry=True) from None
    finally:
        if not whole:
            await anyio.to_thread.run_sync(lambda: into.unlink(missing_ok=True))
    if not whole:
        raise SendFailed("too_large", f"the medium has more than {max_bytes} bytes")
    return size
