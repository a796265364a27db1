"""Carries what goes out: claims it, sends it, finds out what became of it, and says so.

Nothing is sent that was not written down before, and nothing is sent again unless its provider has
said that it never was. A message of which nobody can tell stays ``uncertain``: a person decides.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from voicelat.channels.journal import Journal, Send
from voicelat.channels.media import MediaStore
from voicelat.channels.peers import OfficePeer, PeerFailed
from voicelat.channels.provider import (
    Medium,
    Outgoing,
    Provider,
    ProviderName,
    Receipt,
    SendFailed,
    Sent,
    Template,
)
from voicelat.channels.rules import Refused, ToSend, prepared
from voicelat.channels.templates import NoTemplate, Templates
from voicelat.channels.twilio import OUTSIDE_WINDOW
from voicelat.errors import ConnectError, UsageError

__all__ = ["Carrier"]

_LOG = logging.getLogger("voicelat.channels")

_LOOK_S: Final = 0.3
_AT_ONCE: Final = 8
_LEASE_S: Final = 300
_LONGEST_WAIT_S: Final = 30.0
_ASKS_S: Final = (0.5, 1, 2, 5, 10, 20, 30, 60, 120)
"""Between the questions what became of a message; then it is uncertain."""
_A_MINUTE_S: Final = 60.0
_FACT: Final = "provider"
_NOBODY: Final = "none"


class Carrier:
    """Moves messages from the back office to a provider. ``run`` it.

    ``first``: who carries until somebody says otherwise. ``media_url``: where a provider fetches a
    medium; None: nowhere. ``asks_s``: see `_ASKS_S`.
    """

    def __init__(
        self,
        journal: Journal,
        office: OfficePeer,
        providers: Mapping[ProviderName, Provider],
        templates: Templates,
        media: MediaStore,
        *,
        first: ProviderName | None,
        per_minute: int,
        media_url: Callable[[str], str | None] = lambda _media_id: None,
        asks_s: tuple[float, ...] = _ASKS_S,
    ) -> None:
        self._journal = journal
        self._office = office
        self.providers = providers
        self._templates = templates
        self._media = media
        self._first = first
        self._per_minute = per_minute
        self._media_url = media_url
        self._asks_s = asks_s
        self._in_flight: set[str] = set()
        self._sent_at: deque[float] = deque()
        self._claims = 0
        self._wait_s = 0.0
        self._not_before = 0.0
        self.waits_for: str | None = None
        """Why nothing is claimed at the moment. None: nothing is in the way."""

    async def provider(self) -> ProviderName | None:
        """Who carries; None: nobody."""
        chosen = await asyncio.to_thread(self._journal.fact, _FACT)
        if chosen is None:
            return self._first
        return next((name for name in self.providers if name == chosen), None)

    async def use(self, name: ProviderName | None) -> None:
        """Have another carry what is not under way yet. Raises UsageError for one that is not set
        up."""
        if name is not None and name not in self.providers:
            raise UsageError(f"{name} is not set up here: see `voicelat channels status`")
        await asyncio.to_thread(self._journal.set_fact, _FACT, name or _NOBODY)
        self._wait_s = self._not_before = 0.0
        await asyncio.to_thread(self._journal.tell, "status", None, None, None)

    async def run(self) -> None:
        """Until it is cancelled. What is under way then is asked about by the next one."""
        async with asyncio.TaskGroup() as tasks:
            for send in await asyncio.to_thread(self._journal.sends, "under_way"):
                self._start(tasks, send.message_id, self._resume(send))
            while True:
                try:
                    await self._report()
                    await self._claim(tasks)
                except PeerFailed as failed:
                    self._pause(failed.says)
                except ConnectError as error:
                    self._pause(str(error))
                await asyncio.sleep(_LOOK_S)

    async def take_receipt(self, provider: ProviderName, receipt: Receipt) -> bool:
        """Say what became of a message; False: it is none of ours, as far as is known yet."""
        send = await self._sent_as(provider, receipt)
        if send is None:
            return False
        if (
            receipt.status == "failed"
            and receipt.error_code == OUTSIDE_WINDOW
            and not send.second
            and send.message_id not in self._in_flight
            and (outgoing := self._as_template(send)) is not None
        ):
            # On its own: whoever tells of receipts has others to tell of.
            self._second = asyncio.ensure_future(self._send_again(send, outgoing, second=True))
            return True
        if send.state in ("under_way", "uncertain") and receipt.status != "failed":
            await asyncio.to_thread(
                self._journal.settle,
                send.message_id,
                "sent",
                provider_id=receipt.provider_id,
                status=receipt.status,
            )
        says = _fix(receipt.error_code, receipt.says) if receipt.status == "failed" else None
        await self._set_status(
            send,
            receipt.status,
            provider=provider,
            provider_id=receipt.provider_id,
            error_code=receipt.error_code,
            says=says,
            at=receipt.at,
        )
        if receipt.status == "failed":
            await asyncio.to_thread(
                self._journal.settle,
                send.message_id,
                "failed",
                status="failed",
                error_code=receipt.error_code,
                says=says,
            )
            await asyncio.to_thread(self._journal.told, send.message_id)
        return True

    # -- claiming -----------------------------------------------------------------------------

    async def _claim(self, tasks: asyncio.TaskGroup) -> None:
        name = await self.provider()
        if name is None:
            self.waits_for = "no provider is chosen"
            return
        now = time.monotonic()
        room = min(_AT_ONCE - len(self._in_flight), self._budget(now))
        if now < self._not_before or room <= 0:
            return
        self._claims += 1
        key = f"claim:{time.time_ns()}:{self._claims}"
        answer = await self._office.call("whatsapp.claim", key, limit=room, lease_s=_LEASE_S)
        self.waits_for = None
        for asked in answer["messages"]:
            message = self._to_send(asked)
            if message.message_id not in self._in_flight:
                self._start(tasks, message.message_id, self._carry(name, message))

    def _start(
        self, tasks: asyncio.TaskGroup, message_id: str, work: Coroutine[Any, Any, None]
    ) -> None:
        async def watched() -> None:
            try:
                await work
            except ConnectError as error:
                _LOG.error("message %s: %s; it is taken up again", message_id, error)
            finally:
                self._in_flight.discard(message_id)

        self._in_flight.add(message_id)
        tasks.create_task(watched())

    def _budget(self, now: float) -> int:
        """How many more may go out in this minute."""
        while self._sent_at and self._sent_at[0] <= now - _A_MINUTE_S:
            self._sent_at.popleft()
        left = self._per_minute - len(self._sent_at)
        if left <= 0:
            self.waits_for = f"{self._per_minute} messages were sent in the last minute"
        return left

    def _pause(self, why: str) -> None:
        """Wait for longer each time, and say so once."""
        if self.waits_for != why:
            _LOG.warning("%s; trying again", why)
        self.waits_for = why
        self._wait_s = min(max(self._wait_s * 2, 0.5), _LONGEST_WAIT_S)
        self._not_before = time.monotonic() + self._wait_s

    def _to_send(self, asked: dict[str, Any]) -> ToSend:
        last_in = asked["last_in_at"]
        return ToSend(
            message_id=asked["message_id"],
            thread_id=asked["thread_id"],
            phone=asked["to_phone"],
            external_ids={one["provider"]: one["external_id"] for one in asked["addresses"]},
            text=asked["text"],
            template=asked["template"],
            template_variables=tuple(asked["template_variables"]),
            language=asked["language"],
            last_in_at=None if last_in is None else datetime.fromisoformat(last_in),
            media=tuple(
                Medium(
                    path=self._media.path(medium["media_id"]),
                    content_type=medium["content_type"],
                    file_name=medium["file_name"],
                    url=self._media_url(medium["media_id"]),
                )
                for medium in asked["media"]
            ),
        )

    # -- sending ------------------------------------------------------------------------------

    async def _carry(self, name: ProviderName, message: ToSend) -> None:
        standing = await asyncio.to_thread(self._journal.send, message.message_id)
        if standing is not None:
            await self._resume(standing)
            return
        outgoing = prepared(message, name, self._templates, datetime.now(UTC))
        if isinstance(outgoing, Refused):
            await self._begin(message, name, {})
            await asyncio.to_thread(
                self._journal.settle,
                message.message_id,
                "failed",
                status="failed",
                error_code=outgoing.code,
                says=outgoing.says,
            )
            return
        await self._begin(message, name, _packed(outgoing, message.language))
        await self._send(name, outgoing, message.language, second=False)

    async def _begin(self, message: ToSend, name: str, packed: dict[str, Any]) -> None:
        await asyncio.to_thread(
            self._journal.begin, message.message_id, message.thread_id, name, packed
        )

    async def _resume(self, send: Send) -> None:
        """Go on with one that was begun: here before, or in a process that is gone."""
        if send.state != "under_way" or not send.outgoing:
            # Its end is known; only the back office did not hear of it.
            await asyncio.to_thread(
                self._journal.settle,
                send.message_id,
                "failed" if send.state == "under_way" else send.state,
                status=send.status,
                error_code=send.error_code,
                says=send.says,
            )
            return
        outgoing, language = _unpacked(send)
        name = next((one for one in self.providers if one == send.provider), None)
        if name is None:
            says = f"{send.provider} is not set up any more"
            await self._uncertain(send.message_id, says)
            return
        await self._ask_after(name, outgoing, language, second=send.second)

    async def _send(
        self, name: ProviderName, outgoing: Outgoing, language: str | None, *, second: bool
    ) -> None:
        self._sent_at.append(time.monotonic())
        begun = replace(outgoing, begun_at=datetime.now(UTC))
        try:
            sent = await self.providers[name].send(outgoing)
        except SendFailed as failed:
            await self._failed(name, begun, language, failed, second=second)
            return
        self._wait_s = 0.0
        await self._sent(outgoing.message_id, sent)

    async def _sent(self, message_id: str, sent: Sent) -> None:
        await asyncio.to_thread(
            self._journal.settle,
            message_id,
            "failed" if sent.status == "failed" else "sent",
            provider_id=sent.provider_id,
            status=sent.status,
        )

    async def _failed(
        self,
        name: ProviderName,
        outgoing: Outgoing,
        language: str | None,
        failed: SendFailed,
        *,
        second: bool,
    ) -> None:
        message_id = outgoing.message_id
        if failed.uncertain:
            await self._ask_after(name, outgoing, language, second=second)
        elif failed.retry:
            self._pause(f"{name}: {failed.says}")
            await self._put_back(message_id)
        elif failed.code == OUTSIDE_WINDOW and not second and outgoing.text is not None:
            template = self._saying(outgoing.text, language)
            if template is None:
                await self._final(message_id, failed.code, failed.says)
                return
            again = replace(outgoing, text=None, template=template)
            packed = _packed(again, language)
            await asyncio.to_thread(self._journal.again, message_id, name, packed, second=True)
            await self._send(name, again, language, second=True)
        else:
            await self._final(message_id, failed.code, failed.says)

    async def _final(self, message_id: str, code: str, says: str) -> None:
        await asyncio.to_thread(
            self._journal.settle,
            message_id,
            "failed",
            status="failed",
            error_code=code,
            says=_fix(code, says),
        )

    async def _uncertain(self, message_id: str, says: str) -> None:
        _LOG.error("message %s may have been sent or not: %s", message_id, says)
        await asyncio.to_thread(
            self._journal.settle, message_id, "uncertain", status="uncertain", says=says
        )

    async def _put_back(self, message_id: str) -> None:
        """Certainly not sent: queued again, for whoever carries then."""
        body = _status("queued", message_id=message_id)
        while True:
            try:
                await self._office.call("whatsapp.set_status", _key(message_id), **body)
                break
            except PeerFailed as failed:
                if not failed.retry:
                    _LOG.error("message %s: %s", message_id, failed)
                    break
                await asyncio.sleep(1)
        # In this order: dropped first, a death between the two would leave nobody who knows it.
        await asyncio.to_thread(self._journal.drop, message_id)

    async def _ask_after(
        self, name: ProviderName, outgoing: Outgoing, language: str | None, *, second: bool
    ) -> None:
        """Find out what became of it; if it was never sent, send it."""
        says = "its provider cannot tell"
        for wait_s in self._asks_s:
            standing = await asyncio.to_thread(self._journal.send, outgoing.message_id)
            if standing is None or standing.state != "under_way":
                return  # a receipt was quicker
            try:
                sent = await self.providers[name].settle(outgoing)
            except SendFailed as failed:
                says = failed.says
                if failed.uncertain:
                    break
                await asyncio.sleep(wait_s)
                continue
            if sent is not None:
                await self._sent(outgoing.message_id, sent)
                return
            packed = _packed(outgoing, language)
            await asyncio.to_thread(
                self._journal.again, outgoing.message_id, name, packed, second=second
            )
            await self._send(name, outgoing, language, second=second)
            return
        await self._uncertain(outgoing.message_id, says)

    async def _send_again(self, send: Send, outgoing: Outgoing, *, second: bool) -> None:
        name = next(one for one in self.providers if one == send.provider)
        _, language = _unpacked(send)
        packed = _packed(outgoing, language)
        self._in_flight.add(send.message_id)
        try:
            await asyncio.to_thread(
                self._journal.again, send.message_id, name, packed, second=second
            )
            await self._send(name, outgoing, language, second=second)
        finally:
            self._in_flight.discard(send.message_id)

    def _as_template(self, send: Send) -> Outgoing | None:
        """The same in an approved template; None: there is none, or it was one."""
        if not send.outgoing:
            return None
        outgoing, language = _unpacked(send)
        if outgoing.text is None:
            return None
        template = self._saying(outgoing.text, language)
        return None if template is None else replace(outgoing, text=None, template=template)

    def _saying(self, text: str, language: str | None) -> Template | None:
        try:
            return self._templates.saying(text, language)
        except NoTemplate:
            return None

    # -- telling ------------------------------------------------------------------------------

    async def _report(self) -> None:
        """Tell the back office of every end it does not know."""
        for send in await asyncio.to_thread(self._journal.untold):
            await self._set_status(
                send,
                send.status or send.state,
                provider=send.provider if send.provider_id else None,
                provider_id=send.provider_id,
                error_code=send.error_code,
                says=send.says,
                at=datetime.now(UTC),
            )
            await asyncio.to_thread(self._journal.told, send.message_id)

    async def _set_status(self, send: Send, status: str, **more: Any) -> None:
        """Raises PeerFailed where it is worth trying again."""
        body = _status(status, message_id=send.message_id, **more)
        try:
            await self._office.call("whatsapp.set_status", _key(send.message_id), **body)
        except PeerFailed as failed:
            if failed.retry:
                raise
            _LOG.error(
                "message %s: the back office refused %s: %s", send.message_id, status, failed
            )
        await asyncio.to_thread(
            self._journal.tell, "receipt", send.thread_id, send.message_id, status
        )

    async def _sent_as(self, provider: str, receipt: Receipt) -> Send | None:
        if receipt.message_id is not None:
            return await asyncio.to_thread(self._journal.send, receipt.message_id)
        return await asyncio.to_thread(self._journal.send_of, provider, receipt.provider_id)


def _status(status: str, *, message_id: str, **more: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(("provider", "provider_id", "error_code", "says"))
    body = {**nothing, "message_id": message_id, "status": status, "at": datetime.now(UTC), **more}
    body["at"] = body["at"].isoformat()
    body["says"] = None if body["says"] is None else str(body["says"])[:500]
    return body


def _key(message_id: str) -> str:
    """Each time a new one: setting a status again is harmless, an old answer would not be."""
    return f"status:{message_id}:{time.time_ns()}"


def _fix(code: str | None, says: str | None) -> str:
    """What is told of a failure, with what to do about it where that is known."""
    if code == OUTSIDE_WINDOW:
        return (
            f"{says or 'the person has not written for a day'}; send an approved template, or name "
            "one as free_text in WHATSAPP_TEMPLATES"
        )
    return says or f"the provider gave no reason ({code})"


def _packed(outgoing: Outgoing, language: str | None) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(outgoing, enc_hook=str)
    if plain.get("begun_at") is None:
        plain["begun_at"] = datetime.now(UTC).isoformat()
    return {"outgoing": plain, "language": language}


def _unpacked(send: Send) -> tuple[Outgoing, str | None]:
    assert send.outgoing is not None
    outgoing = msgspec.convert(
        send.outgoing["outgoing"], Outgoing, dec_hook=lambda _kind, value: Path(value)
    )
    return outgoing, send.outgoing["language"]
