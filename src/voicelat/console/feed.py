"""What the pages are told, in order and without gaps, wherever they come back from."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from voicelat.console.store import Event, Store

__all__ = ["Feed"]

_IN_MEMORY: Final = 2000
_BATCH: Final = 500


class Feed:
    """Appends events to the store and hands them to every page. Make it inside the loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._recent: deque[Event] = deque(maxlen=_IN_MEMORY)
        self._came = asyncio.Condition()
        self._one_at_a_time = asyncio.Lock()
        self.last = 0
        """The number of the last event."""

    async def open(self) -> None:
        """Go on from what was told before."""
        first, self.last = await asyncio.to_thread(self._store.bounds)
        after = max(first - 1, self.last - _IN_MEMORY)
        self._recent.extend(await asyncio.to_thread(self._store.events, after, _IN_MEMORY))

    def last_number(self, kind: str) -> int:
        """The ``number`` of the last event of that kind; 0: there is none. Blocks."""
        found = self._store.last_of(kind)
        return 0 if found is None else int(found.data.get("number", 0))

    async def tell(self, kind: str, **data: Any) -> None:
        """An event. Numbers and order are those of the store."""
        async with self._one_at_a_time:
            number = await asyncio.to_thread(self._store.append, kind, data)
            async with self._came:
                self._recent.append(Event(number, kind, data))
                self.last = number
                self._came.notify_all()

    async def since(
        self, after: int | None, *, look_s: float, may_go_on: Callable[[], bool]
    ) -> AsyncIterator[Event | None]:
        """Every event behind ``after``, without end; None: from now on. A None now and then, when
        ``look_s`` went by without any. Ends when ``may_go_on`` says no.

        What is no longer kept, or was never told here, is a ``reset``: the page has to load anew.
        """
        place = self.last if after is None else after
        first, last = await asyncio.to_thread(self._store.bounds)
        if place > last or (place < first - 1):
            place = last
            yield Event(last, "reset", {})
        while may_go_on():
            for event in await self._behind(place):
                yield event
                place = event.id
            if place < self.last:
                continue
            try:
                async with asyncio.timeout(look_s), self._came:
                    await self._came.wait_for(lambda: self.last > place)  # noqa: B023 - awaited here
            except TimeoutError:
                yield None

    async def _behind(self, place: int) -> list[Event]:
        if self._recent and self._recent[0].id <= place + 1:
            return [event for event in self._recent if event.id > place]
        return await asyncio.to_thread(self._store.events, place, _BATCH)
