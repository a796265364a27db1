"""Phrases in Redis, for workers on many machines. Needs the ``redis`` extra.

Each phrase is a value that expires; beside them stands how old and how large they are, so
that all together stay within a bound. Redis is asked at warm-up and in the background only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from voicelat.engine.cache_tiers import packed, unpacked
from voicelat.errors import MissingExtra, UsageError

__all__ = ["RedisTier"]

_LOG = logging.getLogger("voicelat.phrases")

_VALUE: Final = "voicelat:phrase:"
_TIMES: Final = "voicelat:phrases:times"
"""Key -> when it was last asked for, in seconds since 1970."""
_SIZES: Final = "voicelat:phrases:sizes"
"""Key -> bytes of its value."""

_AT_ONCE: Final = 4
"""Requests, and so connections. The others wait, for no longer than these fail."""

_REST_S: Final = 30.0
"""A Redis that failed is not asked again for so long: a server without it starts at once."""

_WEEK_S: Final = 7 * 86_400

_T = TypeVar("_T")


class RedisTier:
    """At most ``max_bytes`` at ``url`` (``redis://``, ``rediss://``, ``unix://``), each phrase for
    ``life_s`` after it was last asked for.

    No request takes longer than ``deadline_s``; one that fails is counted, and told once.
    Raises UsageError for a URL that is none, MissingExtra without the package.
    """

    def __init__(
        self,
        url: str,
        max_bytes: int,
        *,
        life_s: int = _WEEK_S,
        deadline_s: float = 0.25,
    ) -> None:
        try:
            from redis import exceptions
            from redis.asyncio import Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
        except ImportError:
            raise MissingExtra("redis", "a phrase cache in Redis (REDIS_URL)") from None
        try:
            self._redis: Any = Redis.from_url(
                url,
                socket_timeout=deadline_s,
                socket_connect_timeout=deadline_s,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError:  # unsaid: it repeats parts of the URL, which may hold a password
            why = "write it as redis://[:PASSWORD@]HOST[:PORT][/DB], rediss://... or unix://PATH"
            raise UsageError(f"REDIS_URL is none: {why}") from None
        if self._redis.connection_pool.connection_kwargs.get("decode_responses"):
            raise UsageError("REDIS_URL: leave decode_responses out of it, audio is no text")
        self._failures = (exceptions.RedisError, OSError, TimeoutError)
        self._too_slow = (exceptions.TimeoutError, TimeoutError)
        self._max_bytes = max_bytes
        self._life_s = life_s
        self._deadline_s = deadline_s
        self._counts: Counter[str] = Counter()
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._asks_again_s = 0.0

    async def get(self, key: str) -> bytes | None:
        """See `Tier`. What is damaged is none, and counted."""
        return await self._in_time(lambda: self._get(key))

    async def put(self, key: str, audio: bytes) -> None:
        """See `Tier`."""
        content = packed(audio)
        if len(content) > self._max_bytes:
            self._counts["redis too large"] += 1
        else:
            await self._in_time(lambda: self._put(key, content))

    def counts(self) -> dict[str, int]:
        """Hits, misses, values stored, damaged, evicted, too large; errors and time-outs, and
        requests left out because of one."""
        return dict(self._counts)

    async def aclose(self) -> None:
        """Close the connections."""
        self._asks_again_s = float("inf")
        with contextlib.suppress(*self._failures):
            async with asyncio.timeout(self._deadline_s):
                await self._redis.aclose()

    async def _in_time(self, request: Callable[[], Awaitable[_T]]) -> _T | None:
        """Its result, None when Redis does not give it in time."""
        async with self._at_once:
            if asyncio.get_running_loop().time() < self._asks_again_s:
                self._counts["redis left out"] += 1
                return None
            try:
                async with asyncio.timeout(self._deadline_s):
                    return await request()
            except self._failures as error:
                self._rest(error)
        return None

    def _rest(self, error: Exception) -> None:
        self._asks_again_s = asyncio.get_running_loop().time() + _REST_S
        what = "redis timeout" if isinstance(error, self._too_slow) else "redis error"
        if what not in self._counts:
            why = str(error) or f"no answer in {self._deadline_s} s"
            _LOG.warning("phrases in Redis: %s; going on without (told once)", why)
        self._counts[what] += 1

    async def _get(self, key: str) -> bytes | None:
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.get(_VALUE + key)
            pipe.expire(_VALUE + key, self._life_s)
            pipe.zadd(_TIMES, {key: time.time()}, xx=True)
            pipe.expire(_TIMES, self._life_s)
            pipe.expire(_SIZES, self._life_s)
            content, *_ = await pipe.execute()
        if content is None:
            self._counts["redis miss"] += 1
            return None
        audio = unpacked(content)
        self._counts["redis damaged" if audio is None else "redis hit"] += 1
        return audio

    async def _put(self, key: str, content: bytes) -> None:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.set(_VALUE + key, content, ex=self._life_s)
            pipe.zadd(_TIMES, {key: time.time()})
            pipe.hset(_SIZES, key, len(content))
            pipe.expire(_TIMES, self._life_s)
            pipe.expire(_SIZES, self._life_s)
            pipe.zrange(_TIMES, 0, -1, withscores=True)
            pipe.hgetall(_SIZES)
            *_, times, sizes = await pipe.execute()
        self._counts["redis stored"] += 1
        await self._shrink(times, {name: int(size) for name, size in sizes.items()})

    async def _shrink(self, times: list[tuple[Any, float]], sizes: dict[Any, int]) -> None:
        """Forget what has expired, then the least recently used until the bound holds."""
        expired_s = time.time() - self._life_s
        total = sum(sizes.values())
        gone = []
        for name, at_s in times:  # the oldest first
            if at_s > expired_s:
                if total <= self._max_bytes:
                    break
                self._counts["redis evicted"] += 1
            total -= sizes.get(name, 0)
            gone.append(name)
        if gone:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.delete(*(_VALUE.encode() + name for name in gone))
                pipe.zrem(_TIMES, *gone)
                pipe.hdel(_SIZES, *gone)
                await pipe.execute()
