"""The feed: whoever reads it, however often they come back, is told everything once, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("argon2", reason="not installed: pip install 'voicelat[console]'")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voicelat.console import feed as feed_module
from voicelat.console import store as store_module
from voicelat.console.feed import Feed
from voicelat.console.store import Event, Store

LONG_S = 60.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path / 'console.sqlite3'}")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file there."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def told_to(feed: Feed, after: int | None, count: int) -> list[Event]:
    """The next ``count`` events, as one page is told them before its connection breaks."""
    found: list[Event] = []
    stream: AsyncIterator[Any] = feed.since(after, look_s=LONG_S, may_go_on=lambda: True)
    async with asyncio.timeout(LONG_S):
        async for batch in stream:
            found += batch or []
            if len(found) >= count:
                break
    await stream.aclose()  # type: ignore[attr-defined]
    return found[:count]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    told=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    breaks=st.lists(st.integers(1, 25), max_size=12),
    memory=st.integers(1, 30),
    batch=st.integers(1, 10),
)
async def test_any_interleaving_of_reconnects_is_told_every_event_once(
    tmp_path_factory: pytest.TempPathFactory,
    told: list[int],
    breaks: list[int],
    memory: int,
    batch: int,
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(feed_module, "_IN_MEMORY", memory)
        patched.setattr(feed_module, "_BATCH", batch)
        store = Store(f"sqlite:///{tmp_path_factory.mktemp('feed') / 'c.sqlite3'}")
        feed = Feed(store)
        await feed.open()
        await feed.tell("first")
        place = feed.last
        whole = sum(told)

        async def tell() -> None:
            number = 0
            for size in told:
                news = [("note", {"n": number + one}) for one in range(size)]
                number += size
                await feed.tell_all(news)
                await asyncio.sleep(0)

        telling = asyncio.create_task(tell())
        found: list[Event] = []
        for read in [*breaks, whole]:
            count = min(read, whole - len(found))
            if count:
                found += await told_to(feed, place, count)
                place = found[-1].id
        await telling
        assert [event.data["n"] for event in found] == list(range(whole))
        assert [event.id for event in found] == sorted({event.id for event in found})
        store.close()


async def test_numbers_go_on_after_a_restart(store: Store) -> None:
    before = Feed(store)
    await before.open()
    await before.tell_all([("a", {}), ("b", {})])
    after = Feed(store)
    await after.open()
    await after.tell("c")
    assert [event.kind for event in await told_to(after, 1, 2)] == ["b", "c"]


@pytest.mark.parametrize("after", [5, 10**15])
async def test_a_number_that_was_never_told_here_is_a_reset(store: Store, after: int) -> None:
    feed = Feed(store)
    await feed.open()
    await feed.tell("a")
    (event,) = await told_to(feed, after, 1)
    assert (event.kind, event.id) == ("reset", 1)


async def test_what_a_page_was_too_slow_to_take_is_a_reset_and_no_gap(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name, value in (
        (store_module, "EVENTS_KEPT", 20),
        (store_module, "_TRIMMED_AT", 10),
        (feed_module, "_IN_MEMORY", 5),
    ):
        monkeypatch.setattr(module, name, value)
    feed = Feed(store)
    await feed.open()
    await feed.tell("a")
    stream = feed.since(0, look_s=LONG_S, may_go_on=lambda: True)
    first = await anext(stream)
    assert first is not None
    for number in range(100):
        await feed.tell("note", n=number)
    second = await anext(stream)
    assert second is not None
    assert [(event.kind, event.id) for event in second] == [("reset", feed.last)]


async def test_a_busy_stream_looks_up_now_and_then_all_the_same(store: Store) -> None:
    """Else a session that has ended would be told on, as long as there is something to tell."""
    feed = Feed(store)
    await feed.open()
    stream = feed.since(0, look_s=0.0, may_go_on=lambda: True)
    looks = 0
    for number in range(3):
        await feed.tell("note", n=number)
        while (await anext(stream)) is not None:
            pass
        looks += 1
    assert looks == 3


async def test_an_empty_store_tells_nothing_and_waits(store: Store) -> None:
    feed = Feed(store)
    await feed.open()
    reading = asyncio.create_task(told_to(feed, None, 1))
    await asyncio.sleep(0)
    await feed.tell("a")
    assert [event.kind for event in await reading] == ["a"]


async def test_what_is_erased_is_in_no_file_and_told_to_nobody_again(
    store: Store, tmp_path: Path
) -> None:
    feed = Feed(store)
    await feed.open()
    await feed.tell("turn", call_id="CA1", turn=1)
    await feed.tell("approval", approval={"arguments": {"text": "my secret sentence"}})
    await feed.tell("message", thread_id="t", message_id="m", status="read", number=7)
    assert store.erase_events() == 1
    assert [event.kind for event in await told_to(feed, 0, 3)] == ["turn", "reset", "message"]
    assert feed.last_number("message") == 7
    for name, content in contents(tmp_path).items():
        assert b"my secret sentence" not in content, name
    assert store.erase_events() == 0
