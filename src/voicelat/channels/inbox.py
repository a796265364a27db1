"""Takes in what providers tell: kept, then filed in the back office, then told to the agents."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from voicelat.channels.carrier import Carrier
from voicelat.channels.journal import Journal, Kept
from voicelat.channels.media import MAX_BYTES, MediaStore
from voicelat.channels.peers import AgentsPeer, OfficePeer, PeerFailed
from voicelat.channels.provider import (
    Fetchable,
    Incoming,
    Linked,
    Provider,
    ProviderName,
    Receipt,
    SendFailed,
    Told,
)
from voicelat.errors import ConnectError

__all__ = ["Inbox"]

_LOG = logging.getLogger("voicelat.channels")

_KINDS: Final[dict[type[Any], str]] = {Incoming: "message", Receipt: "receipt", Linked: "linked"}
_LOOK_S: Final = 0.5
_LONGEST_WAIT_S: Final = 15.0
_UNKNOWN_KEPT: Final = timedelta(hours=1)
"""A receipt may come before the answer to its send; one that is nobody's after that is refused."""
_FETCHES: Final = 4
_MOST_CHARS: Final = 4096
"""Of one message in the back office; a longer one is filed in parts."""
_EVENT_ID: Final = re.compile(r"[A-Za-z0-9_.:+@-]{1,128}")


class Inbox:
    """``take`` what comes, and ``run`` it. ``agents``: None: nobody is told."""

    def __init__(
        self,
        journal: Journal,
        office: OfficePeer,
        agents: AgentsPeer | None,
        carrier: Carrier,
        media: MediaStore,
        *,
        first_wait_s: float = 0.5,
    ) -> None:
        self._journal = journal
        self._office = office
        self._agents = agents
        self._carrier = carrier
        self._media = media
        self._first_wait_s = first_wait_s
        self._came = asyncio.Event()
        self._filed = asyncio.Event()

    async def take(self, provider: ProviderName, told: Told, *, cursor: int | None = None) -> bool:
        """Keep it, for good; whether it is new. Raises ConnectError."""
        payload: dict[str, Any] = msgspec.to_builtins(told)
        new = await asyncio.to_thread(
            self._journal.keep, provider, _key(told), _KINDS[type(told)], payload, cursor=cursor
        )
        self._came.set()
        return new

    async def run(self, providers: Mapping[ProviderName, Provider]) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._each("kept", self._file, self._came))
            tasks.create_task(self._each("filed", self._tell, self._filed))
            tasks.create_task(self._each("unknown", self._file, asyncio.Event()))
            tasks.create_task(self._prune())
            for name, provider in providers.items():
                tasks.create_task(self._listen(name, provider))

    async def _listen(self, name: ProviderName, provider: Provider) -> None:
        after = await asyncio.to_thread(self._journal.cursor, name)
        async for number, told in provider.told(after):
            while True:
                try:
                    await self.take(name, told, cursor=number)
                    break
                except ConnectError as error:
                    _LOG.error("%s", error)
                    await asyncio.sleep(1)

    async def _each(self, stage: Any, work: Any, wake: asyncio.Event) -> None:
        """Work on everything at that stage, in order; wait where a peer is away."""
        wait_s = self._first_wait_s
        while True:
            wake.clear()
            try:
                waiting = await asyncio.to_thread(self._journal.waiting, stage)
                for kept in waiting:
                    await work(kept)
            except (PeerFailed, ConnectError) as error:
                _LOG.warning("%s; trying again in %.1f s", error, wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
                continue
            wait_s = self._first_wait_s
            if not waiting or stage == "unknown":
                try:
                    await asyncio.wait_for(wake.wait(), _LOOK_S)
                except TimeoutError:
                    continue

    async def _prune(self) -> None:
        while True:
            await asyncio.sleep(3600)
            await asyncio.to_thread(self._journal.prune, datetime.now(UTC))

    # -- filing -------------------------------------------------------------------------------

    async def _file(self, kept: Kept) -> None:
        """Raises PeerFailed where it is worth trying again."""
        try:
            match kept.kind:
                case "message":
                    await self._file_message(kept)
                case "receipt":
                    await self._file_receipt(kept)
                case _:
                    await self._file_link(kept)
        except PeerFailed as failed:
            if failed.retry:
                raise
            _LOG.error("%s %s of %s is refused: %s", kept.kind, kept.key, kept.provider, failed)
            await self._move(kept, "refused", kept.payload, str(failed))

    async def _file_message(self, kept: Kept) -> None:
        message = msgspec.convert(kept.payload.get("message", kept.payload), Incoming)
        stored, missing = await self._fetched(kept, message)
        text = "\n".join([*([message.text] if message.text else []), *missing]) or None
        filed: dict[str, Any] = {}
        for number, part in enumerate(_parts(text) or [None], 1):
            provider_id = message.provider_id if number == 1 else f"{message.provider_id}#{number}"
            answer = await self._office.call(
                "whatsapp.append_message",
                f"in:{kept.provider}:{provider_id}",
                provider=kept.provider,
                external_id=message.sender.external_id or message.sender.phone,
                phone=message.sender.phone,
                profile_name=message.profile_name,
                provider_id=provider_id,
                text=part,
                media=stored if number == 1 else [],
                reply_to=message.reply_to,
                at=message.at.isoformat(),
            )
            filed = filed or answer
        event = _event(kept.provider, message, filed, text, stored)
        await self._move(kept, "filed", event)
        await asyncio.to_thread(
            self._journal.tell, "message", filed["thread_id"], filed["message_id"], "received"
        )
        self._filed.set()

    async def _fetched(
        self, kept: Kept, message: Incoming
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """What was fetched, as the back office keeps it; and a line for each that cannot be."""
        stored: list[dict[str, Any]] = kept.payload.get("stored", [])
        missing: list[str] = kept.payload.get("missing", [])
        for medium in message.media[len(stored) + len(missing) :]:
            try:
                stored.append(await self._fetch(kept.provider, medium))
            except SendFailed as failed:
                kind = medium.content_type.partition("/")[0]
                missing.append(f"[{kind} that could not be fetched: {failed.says}]")
                _LOG.error("a medium of message %s: %s", message.provider_id, failed)
            payload = {
                "message": msgspec.to_builtins(message),
                "stored": stored,
                "missing": missing,
            }
            await self._move(kept, "kept", payload)
        return stored, missing

    async def _fetch(self, provider: str, medium: Fetchable) -> dict[str, Any]:
        media_id, path = await asyncio.to_thread(self._media.new_path)
        carrier = next(one for name, one in self._carrier.providers.items() if name == provider)
        for attempt in range(1, _FETCHES + 1):
            try:
                await carrier.fetch(medium, path, MAX_BYTES)
                break
            except SendFailed as failed:
                if not failed.retry or attempt == _FETCHES:
                    raise
                await asyncio.sleep(self._first_wait_s * 2**attempt)
        kept = await asyncio.to_thread(
            self._media.keep, media_id, medium.content_type, medium.file_name
        )
        plain: dict[str, Any] = msgspec.to_builtins(kept)
        return plain

    async def _file_receipt(self, kept: Kept) -> None:
        receipt = msgspec.convert(kept.payload, Receipt)
        name = next((one for one in self._carrier.providers if one == kept.provider), None)
        if name is not None and await self._carrier.take_receipt(name, receipt):
            await self._move(kept, "done", None)
        elif datetime.now(UTC) - datetime.fromisoformat(kept.at) > _UNKNOWN_KEPT:
            await self._move(kept, "refused", kept.payload, "it is of no message that is known")
        elif kept.stage == "kept":
            await self._move(kept, "unknown", kept.payload)

    async def _file_link(self, kept: Kept) -> None:
        linked = msgspec.convert(kept.payload, Linked)
        await self._office.call(
            "whatsapp.link_identity",
            f"link:{kept.provider}:{kept.key}",
            provider=kept.provider,
            external_id=linked.external_id,
            phone=linked.also.phone,
            also_external_id=linked.also.external_id,
        )
        await self._move(kept, "done", None)

    async def _tell(self, kept: Kept) -> None:
        """Tell the agents. Raises PeerFailed."""
        if self._agents is not None and not await self._agents.tell(kept.payload):
            await self._move(kept, "refused", kept.payload, "the agents refused it")
            return
        await self._move(kept, "done", None)

    async def _move(
        self, kept: Kept, stage: Any, payload: dict[str, Any] | None, says: str | None = None
    ) -> None:
        await asyncio.to_thread(self._journal.move, kept.number, stage, payload, says)


def _key(told: Told) -> str:
    match told:
        case Incoming():
            return f"in:{told.provider_id}"
        case Receipt():
            return f"receipt:{told.provider_id}:{told.status}"
        case Linked():
            return f"link:{told.external_id}:{told.also.external_id}:{told.also.phone}"


def _parts(text: str | None) -> list[str]:
    if not text:
        return []
    return [text[start : start + _MOST_CHARS] for start in range(0, len(text), _MOST_CHARS)]


def _event(
    provider: str,
    message: Incoming,
    filed: Mapping[str, Any],
    text: str | None,
    stored: list[dict[str, Any]],
) -> dict[str, Any]:
    """What the agents are told."""
    plain = f"wa:{provider}:{message.provider_id}"
    event_id = plain
    if not _EVENT_ID.fullmatch(plain):
        event_id = f"wa:{provider}:{hashlib.sha256(plain.encode()).hexdigest()}"
    return {
        "id": event_id,
        "kind": "whatsapp_message",
        "thread_id": filed["thread_id"],
        "text": text or " ".join(f"[{one['content_type']}]" for one in stored),
        "at_utc": message.at.astimezone(UTC).isoformat(),
        "data": {
            "message_id": filed["message_id"],
            "lead_id": filed["lead_id"],
            "customer_id": filed["customer_id"],
            "phone": message.sender.phone,
            "external_id": message.sender.external_id,
            "provider": provider,
            "name": message.profile_name,
        },
    }
