"""What the pages are told, in order and without gaps, wherever they come back from."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

from voicelat.console.store import Event, Store

__all__ = ["Feed"]

_IN_MEMORY: Final = 2000
_BATCH: Final = 500


class Feed:
    """Appends events to the store and hands them to every page. Make it inside the loop.

    An event is kept before anybody is told of it, so that whoever was told can come back for what
    follows. One feed to a database: numbers are in the order of telling.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._recent: deque[Event] = deque(maxlen=_IN_MEMORY)
        self._came = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self.last = 0
        """The number of the last event."""

    async def open(self) -> None:
        """Go on from what was told before."""
        _, self.last = await asyncio.to_thread(self._store.bounds)

    def last_number(self, kind: str) -> int:
        """The ``number`` of the last event of that kind; 0: there is none. Blocks."""
        found = self._store.last_of(kind)
        return 0 if found is None else int(found.data.get("number", 0))

    async def tell(self, kind: str, **data: Any) -> None:
        """An event."""
        await self.tell_all([(kind, data)])

    async def tell_all(self, events: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Several, in this order, all or none."""
        if not events:
            return
        async with self._one_at_a_time:
            numbers = await asyncio.to_thread(self._store.append_all, events)
            self._recent.extend(
                Event(number, kind, data)
                for number, (kind, data) in zip(numbers, events, strict=True)
            )
            self.last = numbers[-1]
            self._came.set()
            self._came = asyncio.Event()

    async def since(
        self, after: int | None, *, look_s: float, may_go_on: Callable[[], bool]
    ) -> AsyncIterator[list[Event] | None]:
        """Every event behind ``after``, in batches, without end; None: from now on. A None now and
        then, ``look_s`` after the last, however much there is to tell. Ends when ``may_go_on`` says
        no.

        What is no longer kept, or was never told here, is a ``reset``: the page has to load anew.
        So is what a page was too slow to take.
        """
        place = self.last if after is None else after
        clock = asyncio.get_running_loop()
        look_at = clock.time() + look_s
        # Who comes back reads what is kept: of what stands in memory some may have been erased.
        batch = await self._kept(place)
        while may_go_on():
            if batch:
                place = batch[-1].id
                yield batch
            elif place == self.last:
                await self._wait(self._came, look_at - clock.time())
            if clock.time() >= look_at:
                look_at = clock.time() + look_s
                yield None
            batch = await self._behind(place)

    async def _behind(self, place: int) -> list[Event]:
        if place == self.last:
            return []
        if self._recent and self._recent[0].id <= place + 1:
            return [event for event in self._recent if event.id > place]
        return await self._kept(place)

    async def _kept(self, place: int) -> list[Event]:
        """The next events of the store, or the one that says that there is a gap."""
        last = self.last
        if place == last:
            return []
        first, _ = await asyncio.to_thread(self._store.bounds)
        if first - 1 <= place < last:
            found = await asyncio.to_thread(self._store.events, place, _BATCH)
            if found:
                return found
        return [Event(last, "reset", {})]

    @staticmethod
    async def _wait(came: asyncio.Event, patience_s: float) -> None:
        try:
            async with asyncio.timeout(patience_s):
                await came.wait()
        except TimeoutError:
            pass
