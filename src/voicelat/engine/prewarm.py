"""What is made ready before anybody calls, and kept ready between the calls.

Services close idle connections and unload idle models, so the first reply after a quiet while is
slow. A short synthesis now and then, said to nobody, prevents that. None of it is ever in a
call's way: the start has a time limit, the rest waits for quiet and gives way to any call.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from voicelat.engine.tts_cache import TtsCache
from voicelat.errors import InvalidSetting

__all__ = ["Prewarm", "PrewarmConfig"]

_LOG = logging.getLogger("voicelat.phrases")

_QUIET_S: Final = 10.0
"""No caller was spoken to for so long: none of the next clauses will meet our request."""

_JITTER: Final = 0.2
"""Workers that start together must not go on together."""

_TICK_S: Final = 0.01
"""The shortest sleep: a timer may fire a hair early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrewarmConfig:
    """What is made ready. Raises InvalidSetting for values out of range."""

    phrases: tuple[str, ...] = ()
    """Made besides those given to `Prewarm.start`: `phrases.stock_phrases` has some."""
    limit_s: float = 10.0
    """How long the start waits for phrases. What is missing then follows between the calls."""
    every_s: float | None = None
    """A voice unused for so long (give or take a fifth) says a short phrase to nobody. None:
    never. Services let go after about ten minutes: 480 is what `voicelat serve` takes."""

    def __post_init__(self) -> None:
        if self.limit_s < 0:
            raise InvalidSetting("limit_s", self.limit_s, "must be 0 or more")
        if self.every_s is not None and self.every_s < 1:
            raise InvalidSetting("every_s", self.every_s, "must be 1 or more, or None")


class Prewarm:
    """Fills ``cache`` at the start and keeps its voice warm until `aclose`."""

    def __init__(
        self, cache: TtsCache, config: PrewarmConfig, *, rng: random.Random | None = None
    ) -> None:
        self._cache = cache
        self._config = config
        self._rng = rng or random.Random()
        self._told: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def start(self, phrases: Iterable[str]) -> None:
        """Put ``phrases`` and the configured ones in hand, within the time limit.

        What cannot be said is in ``cache.failed``; nothing is raised.
        """
        await self.aclose()
        wanted = (*phrases, *self._config.phrases)
        self._cache.want(wanted)
        filling = asyncio.create_task(self._cache.prewarm(wanted), name="prewarm")
        try:
            done, _ = await asyncio.wait({filling}, timeout=self._config.limit_s)
        finally:
            filling.cancel()
        if done:
            filling.result()
        else:
            limit_s, late = self._config.limit_s, len(self._cache.missing)
            _LOG.warning("%d phrases are not ready after %g s: they follow", late, limit_s)
        self._told |= set(self._cache.failed)
        if not done or self._config.every_s is not None:
            self._task = asyncio.create_task(self._run(wanted), name="keep warm")

    async def aclose(self) -> None:
        """Stop what goes on in the background."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    async def _run(self, phrases: tuple[str, ...]) -> None:
        await self._fill()
        while self._config.every_s is not None:
            await self._until_due(self._config.every_s)
            await self._until_quiet()
            await self._cache.giving_way(self._warm_up(phrases))
            await self._fill()

    async def _warm_up(self, phrases: tuple[str, ...]) -> None:
        sayable = [text for text in phrases if text and text not in self._cache.failed]
        if sayable and (why := await self._cache.warm_up(min(sayable, key=len))):
            _LOG.warning("the voice was to be kept warm: %s", why)

    async def _fill(self) -> None:
        """One phrase after the other, each when no call speaks. Failures are tried again the
        next time, unless they are for good."""
        for phrase in self._cache.missing:
            await self._until_quiet()
            await self._cache.giving_way(self._cache.prewarm([phrase]))
        for phrase in self._cache.failed.keys() - self._told:
            _LOG.warning("cannot say %r: %s", phrase, self._cache.failed[phrase])
        self._told |= set(self._cache.failed)

    async def _until_due(self, every_s: float) -> None:
        """Wait until the voice has been unused for about ``every_s``, from now on."""
        loop = asyncio.get_running_loop()
        pause_s = every_s * self._rng.uniform(1 - _JITTER, 1 + _JITTER)
        begin_s = loop.time()
        await _none_left(lambda: pause_s - min(self._cache.unused_s(), loop.time() - begin_s))

    async def _until_quiet(self) -> None:
        await _none_left(lambda: _QUIET_S - self._cache.quiet_s())


async def _none_left(left_s: Callable[[], float]) -> None:
    """Sleep as long as there are seconds left; there may be more again behind each sleep."""
    left = left_s()
    while left > 0:
        await asyncio.sleep(max(left, _TICK_S))
        left = left_s()
