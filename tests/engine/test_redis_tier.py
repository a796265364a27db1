"""Phrases in a real Redis, and in one that is slow, dead or full of something else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.engine.redis_server import running_redis

from voicelat.engine import redis_tier
from voicelat.engine.cache_tiers import packed
from voicelat.engine.phrases import phrase_key
from voicelat.engine.redis_tier import RedisTier
from voicelat.errors import MissingExtra, UsageError

A, B, C = (phrase_key("voice", "he-IL", text) for text in ("שלום", "בשמחה", "רגע"))
PATIENT_S = 5.0


@asynccontextmanager
async def opened(
    url: str, max_bytes: int = 10_000, *, life_s: int = 3600, deadline_s: float = PATIENT_S
) -> AsyncIterator[RedisTier]:
    tier = RedisTier(url, max_bytes, life_s=life_s, deadline_s=deadline_s)
    yield tier
    await tier.aclose()


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Any]:
    from redis.asyncio import Redis

    async with Redis.from_url(redis_url) as client:
        yield client


async def test_workers_share_what_one_of_them_made(redis_url: str) -> None:
    async with opened(redis_url) as one, opened(redis_url) as other:
        await one.put(A, b"audio")
        assert await other.get(A) == b"audio"
        assert (one.counts(), other.counts()) == ({"redis stored": 1}, {"redis hit": 1})


async def test_everything_expires_and_a_hit_begins_anew(redis_url: str, client: Any) -> None:
    async with opened(redis_url, life_s=3600) as tier:
        await tier.put(A, b"audio")
        for key in await client.keys("*"):
            assert 3590 <= await client.ttl(key) <= 3600
            await client.expire(key, 10)
        await tier.get(A)
        assert [await client.ttl(key) > 3590 for key in await client.keys("*")] == [True] * 3


async def test_what_has_expired_takes_no_room(redis_url: str, client: Any) -> None:
    async with opened(redis_url, 2_500) as tier:
        for key in (A, B):
            await tier.put(key, bytes(1000))
        await client.delete(f"voicelat:phrase:{A}")
        await client.zadd("voicelat:phrases:times", {A: 0})
        await tier.put(C, bytes(1000))
        assert await tier.get(B) is not None
        assert "redis evicted" not in tier.counts()
        assert await client.hlen("voicelat:phrases:sizes") == 2


async def test_making_a_phrase_again_takes_no_more_room(redis_url: str, client: Any) -> None:
    async with opened(redis_url, 2_500) as tier:
        for length in (900, 1000, 800):
            await tier.put(A, bytes(length))
            await tier.put(B, bytes(length))
        assert "redis evicted" not in tier.counts()
        sizes = await client.hvals("voicelat:phrases:sizes")
        assert sum(map(int, sizes)) == 2 * len(packed(bytes(800)))


async def test_a_damaged_value_is_counted_and_replaced(redis_url: str, client: Any) -> None:
    await client.set(f"voicelat:phrase:{A}", b"\xff\x00 not ours")
    async with opened(redis_url) as tier:
        assert await tier.get(A) is None
        assert tier.counts() == {"redis damaged": 1}
        await tier.put(A, b"audio")
        assert await tier.get(A) == b"audio"


async def test_keys_of_others_in_our_place_are_an_error_not_an_end(
    redis_url: str, client: Any
) -> None:
    await client.set("voicelat:phrases:times", "mine")
    async with opened(redis_url) as tier:
        await tier.put(A, b"audio")
        assert tier.counts() == {"redis error": 1}


async def test_many_at_once_take_turns(redis_url: str) -> None:
    keys = [phrase_key("voice", "en-US", str(number)) for number in range(50)]
    async with opened(redis_url, 1_000_000) as tier:
        await asyncio.gather(*(tier.put(key, key.encode()) for key in keys))
        got = await asyncio.gather(*(tier.get(key) for key in keys))
        assert got == [key.encode() for key in keys]


async def test_a_redis_that_dies_is_told_once_and_left_alone_for_a_while(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running_redis(tmp_path) as (url, process):
        async with opened(url) as tier:
            await tier.put(A, b"audio")
            process.kill()
            process.wait()
            assert [await tier.get(A) for _ in range(3)] == [None] * 3
            assert tier.counts() == {"redis stored": 1, "redis error": 1, "redis left out": 2}
            assert len(caplog.messages) == 1
            assert "(told once)" in caplog.text


async def test_a_redis_that_does_not_answer_is_given_up_at_the_deadline() -> None:
    pytest.importorskip("redis", reason="the extra is not installed")

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass
        writer.close()

    async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with opened(f"redis://127.0.0.1:{port}", deadline_s=0.05) as tier:
            assert await tier.get(A) is None
            await tier.put(A, b"audio")
            assert tier.counts() == {"redis timeout": 1, "redis left out": 1}


@pytest.mark.parametrize(
    "url", ["http://:hush@h", "redis://:hu#sh@h", "redis://:hush@h:port", "redis://:hush@h?db=x"]
)
def test_a_url_that_is_none_is_told_without_its_password(url: str) -> None:
    pytest.importorskip("redis", reason="the extra is not installed")
    with pytest.raises(UsageError, match="REDIS_URL is none: write it as redis://") as caught:
        RedisTier(url, 1000)
    assert "hu" not in str(caught.value)


def test_audio_cannot_be_decoded_as_text() -> None:
    pytest.importorskip("redis", reason="the extra is not installed")
    with pytest.raises(UsageError, match="leave decode_responses out"):
        RedisTier("redis://h?decode_responses=yes", 1000)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingExtra, match=r"voicelat\[redis\]"):
        RedisTier("redis://h", 1000)


async def test_an_answer_that_comes_too_late_is_never_taken_for_the_next_one(
    redis_url: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_tier, "_REST_S", 0.0)
    async with opened(redis_url, deadline_s=PATIENT_S) as tier:
        await tier.put(A, b"audio of A")
        await tier.put(B, b"audio of B")
    async with opened(redis_url, deadline_s=0.1) as tier:
        assert await tier.get(A) == b"audio of A"  # the connection is open
        await client.execute_command("CLIENT", "PAUSE", "300", "ALL")
        assert await tier.get(A) is None
        got = [await tier.get(B) for _ in range(10)]
        assert set(got) <= {None, b"audio of B"}
        assert got[-1] == b"audio of B"
        assert tier.counts()["redis timeout"] >= 1
