"""Looks on, everywhere at once, and tells the pages what changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from voicelat.agentkit.workflows.store import Store as Workflows
from voicelat.console.calls import Calls
from voicelat.console.feed import Feed
from voicelat.console.peers import ChannelsPeer, PeerAway
from voicelat.console.runs import Runs
from voicelat.errors import VoicelatError

__all__ = ["Live"]

_LOG = logging.getLogger("voicelat.console")
_LOOK_S: Final = 0.4
_SELDOM_S: Final = 3.0


class Live:
    """``run`` it beside the application."""

    def __init__(
        self, feed: Feed, calls: Calls, runs: Runs, channels: ChannelsPeer, workflows: Workflows
    ) -> None:
        self._feed = feed
        self._calls = calls
        self._runs = runs
        self._channels = channels
        self._workflows = workflows
        self._live: set[str] = set()
        self._status: dict[str, Any] | None = None
        self._heads: dict[str, str] | None = None
        self._place = 0
        """Of the channels' own news; kept with each event, so that none is told twice."""

    async def run(self) -> None:
        """Until it is cancelled."""
        await asyncio.to_thread(self._calls.follow)
        self._place = await asyncio.to_thread(self._feed.last_number, "message")
        async with asyncio.TaskGroup() as tasks:
            for look, every_s in (
                (self._new_turns, _LOOK_S),
                (self._new_lines, _LOOK_S),
                (self._live_calls, _SELDOM_S / 2),
                (self._new_status, _SELDOM_S),
                (self._new_versions, _SELDOM_S),
                (self._new_messages, 0.0),
            ):
                tasks.create_task(_kept_up(look, every_s))

    async def _new_turns(self) -> None:
        for record in await asyncio.to_thread(self._calls.follow):
            await self._feed.tell("turn", call_id=record.call_id, turn=record.turn)

    async def _live_calls(self) -> None:
        live = set(await asyncio.to_thread(self._calls.live))
        for call_id in live ^ self._live:
            await self._feed.tell("call", call_id=call_id, live=call_id in live)
        self._live = live

    async def _new_lines(self) -> None:
        await self._runs.news(self._feed.tell)

    async def _new_status(self) -> None:
        try:
            status = await self._channels.status()
        except PeerAway as away:
            status = {"off": True, "provider": None, "providers": [], "says": away.says}
        if status != self._status:
            self._status = status
            await self._feed.tell("channel", status=status)

    async def _new_messages(self) -> None:
        try:
            while True:
                told, self._place = await self._channels.events(self._place)
                for one in told:
                    if one["kind"] in ("message", "receipt"):
                        await self._feed.tell(
                            "message",
                            thread_id=one["thread_id"],
                            message_id=one["message_id"],
                            status=one["status"],
                            number=one["id"],
                        )
        except PeerAway:
            await asyncio.sleep(_SELDOM_S)

    async def _new_versions(self) -> None:
        heads = await asyncio.to_thread(self._current)
        for name, version in heads.items():
            if self._heads is not None and self._heads.get(name) != version:
                await self._feed.tell("workflow", name=name)
        self._heads = heads

    def _current(self) -> dict[str, str]:
        return {name: self._workflows.versions(name)[0].version for name in self._workflows.names()}


async def _kept_up(look: Callable[[], Awaitable[None]], every_s: float) -> None:
    """Whatever goes wrong with one, the others go on; what goes wrong is said once."""
    said = ""
    while True:
        try:
            await look()
            said = ""
        except VoicelatError as error:
            if str(error) != said:
                _LOG.warning("%s", error)
            said = str(error)
        await asyncio.sleep(every_s or 0.05)
